//! The explanation as lines for a person.

use std::fmt::Write as _;

use coco_ring::{Located, Member, Spot};
use coco_router::{Explained, Owner, PlacedName, TierExplained};

use super::{Origin, hash_text, names_text, shown, taken_as};
use crate::api::protocol_name;

/// The way of `name`, step by step.
pub(crate) fn text(name: &[u8], explained: &Explained<'_>, origin: Origin) -> String {
    let mut out = String::new();
    row(&mut out, 0, "name", &shown(name));
    let filter = match (explained.filtered_by, explained.has_filter) {
        (Some(rule), _) => format!("taken out by the blacklist {rule:?}: it goes to no tier"),
        (None, true) if !name.contains(&b'/') => {
            "the blacklist lets it pass; of a collectd host it judges each identifier".to_owned()
        }
        (None, true) => "the blacklist lets it pass".to_owned(),
        (None, false) => "none".to_owned(),
    };
    row(&mut out, 0, "filter", &filter);
    if origin == Origin::Running {
        row(&mut out, 0, "epoch", &explained.epoch.to_string());
    }
    for tier in &explained.tiers {
        tier_text(&mut out, name, tier, origin);
    }
    for tier in &explained.ringless {
        out.push('\n');
        row(&mut out, 0, "tier", &format!("{tier} has no targets: what falls to it is shed"));
    }
    out
}

fn tier_text(out: &mut String, name: &[u8], tier: &TierExplained<'_>, origin: Origin) {
    out.push('\n');
    row(out, 0, "tier", &format!("{} ({})", tier.tier, protocol_name(tier.protocol)));
    row(out, 2, "taken as", taken_as(tier.taken_as));
    let Some(placed) = &tier.placed else {
        let why = format!("refused: no name under names = {}", names_text(tier.names));
        return row(out, 2, "name", &why);
    };
    if tier.taken_as == coco_router::TakenAs::GraphiteName {
        let change = if placed.name == name { "unchanged" } else { "changed" };
        row(out, 2, "names", &names_text(tier.names));
        row(out, 2, "goes on as", &format!("{} ({change})", shown(&placed.name)));
    }
    place_text(out, tier, placed);
    for (rank, owner) in (1_usize..).zip(&placed.owners) {
        row(out, 2, &format!("owner {rank}"), &owner_text(owner, origin));
    }
}

fn place_text(out: &mut String, tier: &TierExplained<'_>, placed: &PlacedName<'_>) {
    let at = &placed.located;
    row(out, 2, "key", &shown(&placed.key));
    row(out, 2, "hash", &format!("{} ({})", hash_text(at), at.space.as_str()));
    row(out, 2, "falls to", &spot_text(at));
    let (targets, replicas) = (tier.ring.members().len(), tier.ring.replicas());
    let ring = format!(
        "{}, {targets} targets, replicas {replicas}, digest {}",
        tier.ring.algorithm(),
        tier.digest
    );
    row(out, 2, "ring", &ring);
}

/// The position too, where the hash does not show it and the spot is another number.
fn spot_text(at: &Located<'_>) -> String {
    match at.spot {
        Spot::Point(_) => {
            let positions = 1_u128 << at.space.bits();
            format!("{}, from position {} of {positions}", at.spot, at.shown_position())
        }
        Spot::Slot { .. } | Spot::Bucket { .. } => at.spot.to_string(),
    }
}

fn owner_text(owner: &Owner<'_>, origin: Origin) -> String {
    let Member { id, weight, zone, .. } = owner.member;
    let mut text = owner.label.to_owned();
    if id != owner.label {
        let _written: std::fmt::Result = write!(text, ", id {id}");
    }
    let _written: std::fmt::Result = write!(text, ", weight {}", weight.get());
    if let Some(zone) = zone {
        let _written: std::fmt::Result = write!(text, ", zone {zone}");
    }
    if origin == Origin::Running {
        let Owner { state, held, queued_bytes, .. } = owner;
        let _written: std::fmt::Result =
            write!(text, ", {state}, holds {held} samples ({queued_bytes} bytes queued)");
    }
    text
}

/// One fact; writing to a string does not fail.
fn row(out: &mut String, indent: usize, label: &str, fact: &str) {
    let width = LABEL_COLUMNS.saturating_sub(indent);
    let _written: std::fmt::Result = writeln!(out, "{:indent$}{label:<width$} {fact}", "");
}

const LABEL_COLUMNS: usize = 12;
