//! The explanation as one JSON object.
//!
//! ```json
//! {"name": "a..b", "filtered": false, "filter": null, "epoch": 1,
//!  "tiers": [{"tier": "archive", "protocol": "graphite", "taken_as": "Graphite name", "names": "c-relay, …",
//!    "ring": {"hash": "c-relay/carbon_ch", "targets": 5, "replicas": 1, "digest": "0123456789abcdef"},
//!    "name": "a.b", "key": "a.b", "hash": "0xe32b629f658481c8", "hash_function": "MD5, first 64 bits", "position": 58155,
//!    "spot": "ring point 58431",
//!    "owners": [{"target": "10.0.0.1:2003", "id": "…", "address": "10.0.0.1:2003", "weight": 1, "zone": null,
//!      "state": "up", "held": 0, "queued_bytes": 0}]}]}
//! ```
//!
//! `tiers_without_ring` lists the tiers that have no targets, and shed the name. `epoch`, `state`, `held` and `queued_bytes` are there only if a running process was asked. A tier
//! that would not take the name has `"refused": true` and no owners. Bytes that are not UTF-8 become
//! U+FFFD.

use coco_router::{Explained, Owner, PlacedName, TierExplained};
use serde_json::{Map, Value, json};

use super::{Origin, hash_text, names_text, taken_as};
use crate::api::protocol_name;

/// All of it.
pub(crate) fn json(name: &[u8], explained: &Explained<'_>, origin: Origin) -> Value {
    let tiers = explained.tiers.iter().map(|tier| tier_json(tier, origin));
    let mut object = json!({
        "name": String::from_utf8_lossy(name),
        "filtered": explained.filtered_by.is_some(),
        "filter": explained.filtered_by,
        "tiers": tiers.collect::<Vec<_>>(),
        "tiers_without_ring": explained.ringless,
    });
    if let (Origin::Running, Some(object)) = (origin, object.as_object_mut()) {
        object.insert("epoch".to_owned(), explained.epoch.into());
    }
    object
}

fn tier_json(tier: &TierExplained<'_>, origin: Origin) -> Value {
    let mut object = json!({
        "tier": tier.tier,
        "protocol": protocol_name(tier.protocol),
        "taken_as": taken_as(tier.taken_as),
        "names": names_text(tier.names),
        "ring": {
            "hash": tier.ring.algorithm().as_str(),
            "targets": tier.ring.members().len(),
            "replicas": tier.ring.replicas(),
            "digest": tier.digest,
        },
        "refused": tier.placed.is_none(),
    });
    if let (Some(placed), Some(object)) = (&tier.placed, object.as_object_mut()) {
        object.append(&mut placed_json(placed, origin));
    }
    object
}

fn placed_json(placed: &PlacedName<'_>, origin: Origin) -> Map<String, Value> {
    let at = &placed.located;
    let owners = placed.owners.iter().map(|owner| owner_json(owner, origin));
    let pairs = [
        ("name", String::from_utf8_lossy(&placed.name).into()),
        ("key", String::from_utf8_lossy(&placed.key).into()),
        ("hash", hash_text(at).into()),
        ("hash_function", at.space.as_str().into()),
        ("position", json!(at.shown_position())),
        ("spot", at.spot.to_string().into()),
        ("owners", owners.collect()),
    ];
    pairs.map(|(name, value): (&str, Value)| (name.to_owned(), value)).into_iter().collect()
}

fn owner_json(owner: &Owner<'_>, origin: Origin) -> Value {
    let mut object = json!({
        "target": owner.label,
        "id": owner.member.id,
        "address": owner.address.to_string(),
        "weight": owner.member.weight.get(),
        "zone": owner.member.zone,
    });
    if let (Origin::Running, Some(object)) = (origin, object.as_object_mut()) {
        object.insert("state".to_owned(), owner.state.into());
        object.insert("held".to_owned(), owner.held.into());
        object.insert("queued_bytes".to_owned(), owner.queued_bytes.into());
    }
    object
}
