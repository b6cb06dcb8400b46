//! Files in; faults, notes or a configuration out.
//!
//! `faults.txt` holds the faulty files, each with every line that its reader sees.

mod good;
mod notes;
mod reference;

use std::{fs, path::Path};

use coco_router::plan::Address;

use super::{Config, ConfigError};

const FAULTS: &str = include_str!("faults.txt");

fn parse(text: &str) -> Config {
    Config::parse(text, "coco.toml").unwrap_or_else(|error| panic!("{error}\nin:\n{text}"))
}

fn refusal(text: &str) -> String {
    match Config::parse(text, "coco.toml") {
        Ok(config) => panic!("taken: {config:?}\nfrom:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// A file of one collectd listener and these tiers.
fn with_tiers(tiers: &str) -> String {
    format!("[listen]\nbind = \"127.0.0.1:25826\"\n{tiers}\n")
}

fn address(host: &str, port: u16) -> Address {
    Address { host: host.to_owned(), port }
}

#[test]
fn each_faulty_file_is_refused_in_these_words() {
    let cases: Vec<&str> = FAULTS.split("\n=== ").skip(1).collect();
    assert!(cases.len() >= 45, "{} cases", cases.len());
    let mut wrong = String::new();
    for case in cases {
        let (title, rest) = case.split_once('\n').unwrap();
        let (text, expected) = rest.split_once("\n---\n").unwrap();
        let seen = refusal(&format!("{text}\n"));
        if seen != expected.trim_end() {
            wrong.push_str(&format!("\n=== {title}\n{text}\n---\n{seen}\n"));
        }
    }
    assert!(wrong.is_empty(), "these differ; what was said:\n{wrong}");
}

#[test]
fn faults_carry_path_and_line_for_machines() {
    let text = with_tiers("[tiers.a]\ntargets = [\"a:0\"]");
    let Err(ConfigError::Faults { name, faults }) = Config::parse(&text, "x") else {
        panic!("port 0 is no target");
    };
    assert_eq!(name, "x");
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].path, "tiers.a.targets[0]");
    assert_eq!(faults[0].line, Some(4));
}

#[test]
fn lists_are_bounded() {
    let list = |count: usize, port: usize| {
        let items: Vec<String> = (0..count).map(|n| format!("\"h{n}:{port}\"")).collect();
        items.join(", ")
    };
    let many = with_tiers(&format!("[tiers.a]\ntargets = [{}]", list(4097, 1)));
    assert_eq!(
        refusal(&many),
        "coco.toml:4: tiers.a.targets: 4097 targets; a tier takes at most 4096"
    );
    let coco = with_tiers(&format!("[tiers.a]\nhash = \"coco\"\ntargets = [{}]", list(101, 1)));
    let refused = refusal(&coco);
    assert!(refused.starts_with("coco.toml:5: tiers.a.targets: hash \"coco\" with 101 targets"));
    let tiers: String = (0..65).map(|n| format!("[tiers.t{n}]\ntargets = [\"a:1\"]\n")).collect();
    assert_eq!(
        refusal(&with_tiers(&tiers)),
        "coco.toml:3: tiers: 65 tiers; there may be at most 64"
    );
    let binds = format!("[listen]\nbind = [{}]\n[tiers.a]\ntargets = [\"a:1\"]", list(65, 0));
    assert_eq!(refusal(&binds), "coco.toml:2: listen.bind: 65 addresses; a key takes at most 64");
}

#[test]
fn files_that_cannot_be_read_say_so() {
    let load = |path: &Path| Config::load(path).map(|config| config.notes).unwrap_err();
    let missing = load(Path::new("/nonexistent/coco.toml")).to_string();
    assert!(
        missing.starts_with("/nonexistent/coco.toml: cannot read the file: No such file"),
        "{missing}"
    );
    assert!(matches!(load(Path::new("/")), ConfigError::Read { .. }));
    assert!(load(Path::new("/dev/zero")).to_string().ends_with("it is larger than 64 MiB"));

    let path = std::env::temp_dir().join(format!("coco-config-{}.toml", std::process::id()));
    fs::write(&path, b"[listen]\nbind = \"\xff\"\n").unwrap();
    let latin = load(&path).to_string();
    fs::write(&path, with_tiers("[tiers.a]\ntargets = [\"a:1\"]")).unwrap();
    let good = Config::load(&path);
    fs::remove_file(&path).unwrap();
    assert_eq!(latin, format!("{}:2: not UTF-8 text from here on", path.display()));
    assert_eq!(good.unwrap().plan.tiers[0].targets[0].address, address("a", 1));
}

#[test]
fn byte_order_mark_and_crlf_are_taken() {
    let text = with_tiers("[tiers.a]\ntargets = [\"a:1\"]\nhash = \"x\"").replace('\n', "\r\n");
    assert!(refusal(&format!("\u{feff}{text}")).starts_with("coco.toml:5: tiers.a.hash: \"x\""));
}
