//! The documented reference: good, true about the defaults, and complete.

use super::{parse, with_tiers};
use crate::config::{Config, file, keys};

const REFERENCE: &str = include_str!("../../../../../deploy/coco.toml");

const MIGRATION: &str = include_str!("../../../../../MIGRATION.md");

#[test]
fn the_reference_is_good_and_states_the_defaults() {
    let config = parse(REFERENCE);
    assert_eq!(config.notes, Vec::<String>::new());
    let least = parse(&with_tiers("[tiers.short]\ntargets = [\"a:1\"]"));
    assert_eq!(config.plan.limits, least.plan.limits);
    assert_eq!(config.api, least.api);
    assert_eq!(config.drain_timeout, least.drain_timeout);
    assert_eq!(config.measure_interval, least.measure_interval);
    assert_eq!(config.drain_delay, least.drain_delay);
    let [tier, default] = [&config, &least].map(|config| &config.plan.tiers[0]);
    assert_eq!(tier.queue_bytes, default.queue_bytes);
    assert_eq!(tier.block_timeout, default.block_timeout);
    assert_eq!(tier.resend_bytes, default.resend_bytes);
    assert_eq!(tier.datagram_bytes_max, default.datagram_bytes_max);
    assert_eq!((tier.protocol, tier.key), (default.protocol, default.key));
    assert_eq!(tier.ring.algorithm(), default.ring.algorithm());
    assert_eq!(tier.ring.replicas(), default.ring.replicas());
    let buffer = |config: &Config| config.plan.listeners[0].receive_buffer;
    assert_eq!(buffer(&config), buffer(&least));
}

#[test]
fn the_reference_has_every_key_also_those_left_out() {
    let settings: Vec<&str> = REFERENCE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
            Some(_) | None => line,
        })
        .collect();
    let text = settings.join("\n");
    parse(&text);
    let tree: toml::Table = text.parse().unwrap();
    for section in keys::keys_of::<file::File>() {
        assert!(tree.contains_key(*section), "[{section}]");
    }
    let keys_seen = key_names(&tree);
    let must = |prefix: &str, keys: &[&str]| {
        for key in keys {
            assert!(keys_seen.contains(&format!("{prefix}.{key}")), "{prefix}.{key} is missing");
        }
    };
    must("listen", keys::keys_of::<file::Listen>());
    must("graphite", keys::keys_of::<file::Graphite>());
    must("filter", keys::keys_of::<file::Filter>());
    must("tiers.*", keys::keys_of::<file::Tier>());
    must("target", keys::keys_of::<file::Target>());
    must("api", keys::keys_of::<file::Api>());
    must("fetch", keys::keys_of::<file::Fetch>());
    must("measure", keys::keys_of::<file::Measure>());
    must("limits", keys::keys_of::<file::Limits>());
    must("spool", keys::keys_of::<file::Spool>());
    assert_eq!(keys::keys_of::<file::Tier>().len(), 19);
}

#[test]
fn every_file_of_the_migration_page_is_good_and_needs_no_note() {
    let blocks: Vec<&str> = MIGRATION.split("```toml\n").skip(1).collect();
    assert!(blocks.len() >= 5, "{} files", blocks.len());
    for block in blocks {
        let (text, _) = block.split_once("```").unwrap();
        assert_eq!(parse(text).notes, [""; 0], "{text}");
    }
}

/// Every key as `section.key`; those of all tiers as `tiers.*.key`, of all targets as `target.key`.
fn key_names(tree: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    for (section, value) in tree {
        for (key, value) in value.as_table().unwrap() {
            names.push(format!("{section}.{key}"));
            if section == "tiers" {
                names.extend(value.as_table().unwrap().keys().map(|key| format!("tiers.*.{key}")));
                let targets = value["targets"].as_array().unwrap();
                for table in targets.iter().filter_map(toml::Value::as_table) {
                    names.extend(table.keys().map(|key| format!("target.{key}")));
                }
            }
        }
    }
    names
}
