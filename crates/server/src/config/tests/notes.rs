//! What is said about files that are good.

use super::{parse, with_tiers};

#[test]
fn any_newer_key_silences_the_note_on_the_new_ring() {
    let said = |text: &str| parse(text).notes.iter().any(|note| note.contains("the new ring"));
    assert!(said(&with_tiers("[tiers.a]\ntargets = [\"a:1\"]")));
    for newer in ["hash = \"coco\"", "replicas = 1", "key = \"host\"", "hash = \"xxh3\""] {
        assert!(!said(&with_tiers(&format!("[tiers.a]\n{newer}\ntargets = [\"a:1\"]"))), "{newer}");
    }
    assert!(!said(&with_tiers("[tiers.a]\ntargets = [{ address = \"a:1\" }]")));
    assert!(!said(&with_tiers("[tiers.a]\ntargets = [\"a:1\"]\n[limits]")));
}

#[test]
fn what_no_tier_takes_is_noted() {
    let notes = |sections: &str| parse(sections).notes;
    let both = "[listen]\nbind = \":25826\"\n[graphite]\nbind = \":2003\"\n";
    assert_eq!(
        notes(&format!("{both}[tiers.a]\nprotocol = \"graphite\"\ntargets = [\"a:1\"]")),
        ["coco.toml:1: listen: no tier takes collectd samples; they will be counted as unroutable"]
    );
    assert_eq!(
        notes(&format!("{both}[tiers.a]\ntargets = [\"a:1\"]")),
        ["coco.toml:3: graphite: no tier takes Graphite lines; they will be counted as unroutable"]
    );
    assert!(
        notes(&format!("{both}[tiers.a]\nprotocol = \"embedded\"\ntargets = [\"a\"]")).is_empty()
    );
    assert_eq!(
        notes(
            "[graphite]\npickle = \":2004\"\n[tiers.a]\nprotocol = \"graphite\"\ntargets = [\"a:1\"]\n[tiers.b]\ntargets = [\"a:1\"]"
        ),
        ["coco.toml:6: tiers.b: no listener takes what this tier carries; it will get no samples"]
    );
}

#[test]
fn an_empty_blacklist_filters_nothing_and_is_noted() {
    let config = parse(&with_tiers("[filter]\nblacklist = \"\"\n[tiers.a]\ntargets = [\"a:1\"]"));
    assert!(config.plan.blacklist.is_none());
    let note = "coco.toml:4: filter.blacklist: the blacklist is empty, so nothing is filtered";
    assert!(config.notes.iter().any(|seen| seen == note), "{:?}", config.notes);
}
