//! What two routers compare to know that they place keys alike.
//!
//! Invariant: one text for all rings that place alike by their parameters, another one for all others; no value can
//! pass for the end of a field, because texts have their length in front. `testdata/README.md` gives the format.

use super::Ring;
use crate::{Algorithm, CharSign, Member, TargetIdx, c_relay};
use twox_hash::XxHash3_64;

/// XXH3-64 with seed 0 of the text, in 16 hexadecimal digits.
pub(super) fn digest(ring: &Ring) -> String {
    format!("{:016x}", XxHash3_64::oneshot(text(ring).as_bytes()))
}

/// The text: a line each for version, algorithm, replicas and every member.
pub(super) fn text(ring: &Ring) -> String {
    let algorithm = ring.algorithm();
    let mut text = format!(
        "coco ring 1\nhash {algorithm}{}\nreplicas {}\n",
        parameters(algorithm),
        ring.replicas()
    );
    for (target, member) in in_order(ring) {
        text += &line(algorithm, member);
        match rank(ring, target) {
            0 => text.push('\n'),
            rank => text += &format!(" rank {rank}\n"),
        }
    }
    text
}

/// The members in an order that is one for all rings that place alike: by bucket where instances decide about those.
fn in_order(ring: &Ring) -> Vec<(TargetIdx, &Member)> {
    let mut members: Vec<_> = TargetIdx::each(ring.members()).collect();
    match (ring.algorithm(), ring.jump_order()) {
        (Algorithm::CRelayJump(_), Some(order)) => {
            order.iter().map(|&at| members[usize::from(at)]).collect()
        }
        (algorithm, _) => {
            if !algorithm.traits().order {
                members.sort_by_key(|(_, member)| member.id.as_bytes());
            }
            members
        }
    }
}

/// What a name of an algorithm does not say.
fn parameters(algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::Carbon { diverse, .. } => format!(" diverse {diverse}"),
        Algorithm::CarbonFast { hash, diverse } => format!(" {} diverse {diverse}", hash.as_str()),
        Algorithm::CRelayFnv1aCh(sign)
        | Algorithm::CRelayJump(sign)
        | Algorithm::CRelayAnyOf(sign) => match sign {
            CharSign::Signed => " char signed".to_owned(),
            CharSign::Unsigned => " char unsigned".to_owned(),
        },
        _ => String::new(),
    }
}

fn line(algorithm: Algorithm, member: &Member) -> String {
    let traits = algorithm.traits();
    let place = &member.place;
    let fields = [
        Some(format!("id {}", quoted(&member.id))),
        traits.weights.then(|| format!("weight {}", member.weight.get())),
        traits.weights.then(|| format!("zone {}", quoted_or_none(member.zone.as_deref()))),
        traits.host.then(|| format!("host {}", quoted(&place.host))),
        traits.port.then(|| format!("port {}", place.port)),
        traits.instance.then(|| format!("instance {}", quoted_or_none(place.instance.as_deref()))),
        traits.index.then(|| format!("index {}", place.index.unwrap_or_default())),
    ];
    fields.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A text with its length in bytes in front.
fn quoted(text: &str) -> String {
    format!("{}:{text}", text.len())
}

fn quoted_or_none(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), quoted)
}

/// Where the order of two targets counts though that of others does not.
fn rank(ring: &Ring, target: TargetIdx) -> usize {
    match ring.algorithm() {
        Algorithm::CRelayCarbonCh => c_relay::rank(ring.members(), target, c_relay::Tie::Instance),
        Algorithm::CRelayFnv1aCh(_) => c_relay::rank(ring.members(), target, c_relay::Tie::Port),
        _ => 0,
    }
}
