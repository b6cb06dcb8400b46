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
fn a_tier_without_targets_is_taken_and_noted() {
    let config = parse("[listen]\nbind = \":25826\"\n[tiers.a]\nkey = \"host\"\ntargets = []");
    assert_eq!(
        config.notes,
        [
            "coco.toml:5: tiers.a.targets: no targets, so the tier has no ring: what falls to it is shed, and \
             /readyz and /lookup say 503"
        ]
    );
    assert_eq!(config.plan.tiers.len(), 0);
    assert_eq!(config.plan.ringless[0].name, "a");
}

#[test]
fn an_empty_blacklist_filters_nothing_and_is_noted() {
    let config = parse(&with_tiers("[filter]\nblacklist = \"\"\n[tiers.a]\ntargets = [\"a:1\"]"));
    assert!(config.plan.blacklist.is_none());
    let note = "coco.toml:4: filter.blacklist: the blacklist is empty, so nothing is filtered";
    assert!(config.notes.iter().any(|seen| seen == note), "{:?}", config.notes);
}

/// What is noted of a Graphite tier with these lines.
fn tier_notes(lines: &str) -> Vec<String> {
    let sections = "[graphite]\nbind = \":2003\"\n[tiers.a]\nprotocol = \"graphite\"\n";
    parse(&format!("{sections}{lines}")).notes
}

#[test]
fn carbon_gives_fewer_copies_where_there_are_not_so_many_hosts() {
    let hosts =
        "hash = \"carbon/carbon_ch\"\nreplicas = 2\ntargets = [\"10.0.0.1:1:a\", \"10.0.0.1:2:b\"]";
    assert_eq!(
        tier_notes(hosts),
        [
            "coco.toml:6: tiers.a.replicas: carbon gives each key 1 of the 2 owners: there are no more targets on hosts of their own"
        ]
    );
    assert_eq!(tier_notes(&format!("diverse = false\n{hosts}")), [""; 0]);
}

#[test]
fn what_a_ring_does_not_look_at_is_noted() {
    let targets = "targets = [{ address = \"10.0.0.1:1:x\", index = 0 }]";
    let noted = |hash: &str| tier_notes(&format!("hash = \"{hash}\"\n{targets}"));
    assert_eq!(
        noted("nanotube/jump"),
        [
            "coco.toml:6: tiers.a.targets[0]: nanotube/jump does not look at instances: this one is a name only"
        ]
    );
    assert_eq!(
        noted("c-relay/fnv1a_ch"),
        [
            "coco.toml:6: tiers.a.targets[0].index: c-relay/fnv1a_ch does not look at an index; \"nanotube/jump\" does"
        ]
    );
    assert_eq!(noted("c-relay/any_of").len(), 2);
}

#[test]
fn targets_that_get_next_to_nothing_under_carbon_are_noted() {
    let notes = |hash: &str, count: usize| {
        let list: Vec<_> =
            (1..=count).map(|n| format!("\"10.0.{}.{}:1\"", n / 250, n % 250)).collect();
        tier_notes(&format!("hash = \"{hash}\"\ntargets = [{}]", list.join(", ")))
    };
    assert_eq!(
        notes("carbon/fnv1a_ch", 4),
        [
            "coco.toml:6: tiers.a.targets: carbon/fnv1a_ch hashes instances alone, and 3 of 4 targets have that of one before them: they get next to nothing, as there"
        ]
    );
    assert_eq!(notes("carbon/carbon_ch", 4), [""; 0]);
    let crowded = notes("carbon/carbon_ch", 700);
    assert!(crowded.len() == 1 && crowded[0].ends_with("more no keys, as there"), "{crowded:?}");
}

#[test]
fn an_instance_of_digits_may_be_another_to_carbon_c_relay() {
    let noted = |instance: &str| {
        tier_notes(&format!("hash = \"c-relay/carbon_ch\"\ntargets = [\"10.0.0.1:1:{instance}\"]"))
    };
    for (instance, printed) in
        [("007", "7"), ("4294967297", "1"), ("2147483648", "-2147483648"), ("00", "0")]
    {
        let notes = noted(instance);
        assert!(notes[0].ends_with(&format!("say \"{printed}\" here")), "{notes:?}");
    }
    for same in ["0", "7", "2147483647", "7a", "a"] {
        assert_eq!(noted(same), [""; 0], "{same}");
    }
}

#[test]
fn a_graphite_ring_for_collectd_samples_is_noted() {
    let notes =
        parse(&with_tiers("[tiers.a]\nhash = \"c-relay/any_of\"\ntargets = [\"a:1\"]")).notes;
    assert!(notes[0].ends_with("is protocol = \"graphite\" missing?"), "{notes:?}");
}
