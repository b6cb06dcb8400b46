use std::{collections::BTreeSet, env, process::Command};

use coco_tests::coco::root;
use serde_json::Value;

/// Each crate with what it may use of the project, and what it must not use of others.
const RULES: [(&str, &[&str], &[&str]); 6] = [
    ("coco-checks", &[], &["tokio", "serde", "axum", "clap", "toml", "tracing", "metrics"]),
    ("coco-ring", &[], &["tokio", "serde", "axum", "clap", "toml", "tracing", "metrics"]),
    ("coco-wire", &[], &["tokio", "serde", "axum", "clap", "toml", "tracing", "metrics"]),
    ("coco-spool", &[], &["tokio", "serde", "axum", "clap", "toml", "tracing", "metrics"]),
    (
        "coco-router",
        &["coco-ring", "coco-spool", "coco-wire"],
        &["axum", "clap", "toml", "serde", "anyhow"],
    ),
    ("coco-server", &["coco-checks", "coco-ring", "coco-spool", "coco-wire", "coco-router"], &[]),
];

#[test]
fn dependencies_between_crates_run_downwards_only() {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();

    for (name, allowed, forbidden) in RULES {
        let package = packages.iter().find(|package| package["name"] == name);
        let package = package.unwrap_or_else(|| panic!("no package {name}"));
        let used: BTreeSet<_> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            // What only tests or the build of a crate use does not count.
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap())
            .collect();
        let upwards: Vec<_> =
            used.iter().filter(|u| u.starts_with("coco-") && !allowed.contains(u)).collect();
        assert!(upwards.is_empty(), "{name} must not use {upwards:?}");
        let wrong: Vec<_> = forbidden.iter().filter(|crate_| used.contains(*crate_)).collect();
        assert!(wrong.is_empty(), "{name} must not use {wrong:?}");
    }

    let crates = packages.iter().filter_map(|package| package["name"].as_str());
    let others = ["coco-tests", "coco-benches"];
    let unruled: Vec<_> = crates
        .filter(|name| !others.contains(name) && RULES.iter().all(|(ruled, ..)| ruled != name))
        .collect();
    assert!(unruled.is_empty(), "crates without a rule: {unruled:?}");
}
