//! Files in, faults or a configuration out.
//!
//! `tests/faults.txt` holds the faulty files, each with every line that its reader sees.

use super::{Config, ConfigError};

const FAULTS: &str = include_str!("tests/faults.txt");
const REFERENCE: &str = include_str!("../../../../deploy/coco.toml");

/// Every faulty file: its title, its text, and what is said about it.
fn faulty_files() -> Vec<(&'static str, String, String)> {
    let cases = FAULTS.split("\n=== ").skip(1);
    let split = |case: &'static str| {
        let (title, rest) = case.split_once('\n').unwrap();
        let (text, faults) = rest.split_once("\n---\n").unwrap();
        (title, format!("{text}\n"), faults.trim_end().to_owned())
    };
    cases.map(split).collect()
}

fn refuse(text: &str) -> ConfigError {
    Config::parse(text, "coco.toml").map(|config| config.notes).unwrap_err()
}

/// A file of one collectd listener and one tier with these keys.
fn tier(keys: &str) -> Config {
    let text = format!("[listen]\nbind = \"127.0.0.1:0\"\n[tiers.t]\n{keys}\n");
    Config::parse(&text, "coco.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn notes(text: &str) -> Vec<String> {
    Config::parse(text, "coco.toml").unwrap_or_else(|error| panic!("{error}")).notes
}

#[test]
fn each_faulty_file_is_refused_in_these_words() {
    let cases = faulty_files();
    assert!(cases.len() >= 45, "{} cases", cases.len());
    let mut wrong = String::new();
    for (title, text, expected) in cases {
        let seen = refuse(&text).to_string();
        if seen != expected {
            wrong.push_str(&format!("\n=== {title}\n{text}---\n{seen}\n"));
        }
    }
    assert!(wrong.is_empty(), "these differ; what was said:\n{wrong}");
}
