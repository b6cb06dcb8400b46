//! `hash` and what belongs to it: the placement function of one tier.

use std::ops::RangeInclusive;

use coco_ring::{Algorithm, CarbonHash, CharSign, Members, Ring, RingError};
use coco_router::plan::TargetProtocol;

use super::{ring_notes, targets::Target, tier::Written};
use crate::config::{
    file,
    findings::{self, Findings},
    path::KeyPath,
};

/// The algorithm with its parameters; `None` when something of it was refused.
pub(super) fn algorithm(tier: Written<'_>, findings: &mut Findings<'_>) -> Option<Algorithm> {
    let Written { section, at, protocol } = tier;
    let faults_before = findings.fault_count();
    let mut algorithm = match section.hash.as_ref() {
        None => Algorithm::default(),
        leaf => findings.read(&at.key("hash"), leaf, findings::choice(&HASHES))?,
    };
    wrong_kind(algorithm, &at.key("hash"), protocol, findings);
    let takes = parameters(&mut algorithm, section, at, findings);
    for (key, leaf, belongs) in [
        ("fast_hash", &section.fast_hash, "hash = \"carbon/fast\""),
        ("diverse", &section.diverse, "the hashes \"carbon/…\""),
        ("char", &section.char, "the FNV-1a hashes \"c-relay/…\""),
    ] {
        if leaf.is_some() && !takes.contains(&key) {
            findings.fault(&at.key(key), format!("`{key}` goes with {belongs}, not {algorithm}"));
        }
    }
    (findings.fault_count() == faults_before).then_some(algorithm)
}

/// Reads the keys that belong to an algorithm, and names them.
fn parameters(
    algorithm: &mut Algorithm,
    section: &file::Tier,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> &'static [&'static str] {
    match algorithm {
        Algorithm::Carbon { diverse, .. } => {
            read_diverse(diverse, section, at, findings);
            &["diverse"]
        }
        Algorithm::CarbonFast { hash, diverse } => {
            let leaf = section.fast_hash.as_ref();
            let read = findings.read(&at.key("fast_hash"), leaf, findings::choice(&FAST_HASHES));
            *hash = read.unwrap_or(*hash);
            read_diverse(diverse, section, at, findings);
            &["diverse", "fast_hash"]
        }
        Algorithm::CRelayFnv1aCh(char)
        | Algorithm::CRelayJump(char)
        | Algorithm::CRelayAnyOf(char) => {
            let leaf = section.char.as_ref();
            let read = findings.read(&at.key("char"), leaf, findings::choice(&CHARS));
            *char = read.unwrap_or(*char);
            &["char"]
        }
        Algorithm::Xxh3
        | Algorithm::Coco
        | Algorithm::CRelayCarbonCh
        | Algorithm::NanotubeJump
        | Algorithm::RelayNgV1
        | Algorithm::RelayNgV2 => &[],
    }
}

/// Rings of relays that carry Graphite alone, in a tier that carries something else.
fn wrong_kind(
    algorithm: Algorithm,
    at: &KeyPath,
    protocol: Option<TargetProtocol>,
    findings: &mut Findings<'_>,
) {
    let is_ours = matches!(algorithm, Algorithm::Xxh3 | Algorithm::Coco);
    match protocol {
        Some(TargetProtocol::Embedded) if !is_ours => findings.fault(
            at,
            format!("an embedded tier is for trying Coco: it has \"xxh3\" or \"coco\", not {algorithm}"),
        ),
        Some(TargetProtocol::Collectd) if !is_ours => findings.note(
            at,
            format!(
                "{algorithm} is the ring of a relay for Graphite, and this tier carries collectd samples by \
                 their hosts; is protocol = \"graphite\" missing?"
            ),
        ),
        Some(_) | None => {}
    }
}

fn read_diverse(
    diverse: &mut bool,
    section: &file::Tier,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) {
    let read = findings.read(&at.key("diverse"), section.diverse.as_ref(), findings::flag);
    *diverse = read.unwrap_or(*diverse);
}

/// The placement function; `None` when it, or a target, was refused.
pub(super) fn ring(
    tier: Written<'_>,
    algorithm: Option<Algorithm>,
    targets: &[Target],
    all_good: bool,
    findings: &mut Findings<'_>,
) -> Option<Ring> {
    let at = tier.at;
    let replicas = replicas(tier, findings);
    let (algorithm, replicas) = (algorithm?, replicas?);
    if !all_good {
        return None;
    }
    let members = targets.iter().map(|target| target.member.clone()).collect();
    let members = Members::try_new(members)
        .map_err(|why| findings.fault(&at.key("targets"), why.to_string()))
        .ok()?;
    let replicas_at = at.key("replicas");
    // A ring names its first fault only: without the replicas it may have another.
    let tries = if replicas == 1 { vec![1] } else { vec![replicas, 1] };
    for replicas in tries {
        match Ring::build(algorithm, &members, replicas) {
            Ok(ring) => {
                ring_notes::notes(&ring, at, targets, findings);
                return Some(ring);
            }
            Err(why) => {
                let at = place_of(&why, at, targets);
                findings.fault(&at, why.to_string());
                if at != replicas_at {
                    return None;
                }
            }
        }
    }
    None
}

/// How many owners a sample is to have.
fn replicas(tier: Written<'_>, findings: &mut Findings<'_>) -> Option<usize> {
    let replicas = match tier.section.replicas.as_ref() {
        None => 1,
        leaf => findings.read(&tier.at.key("replicas"), leaf, findings::integer(REPLICAS))?,
    };
    usize::try_from(replicas).ok()
}

/// The key that can mend a ring's fault.
fn place_of(why: &RingError, at: &KeyPath, targets: &[Target]) -> KeyPath {
    let target = why.target().and_then(|id| targets.iter().find(|t| t.member.id == id));
    let target = target.map_or_else(|| at.key("targets"), |target| target.at.clone());
    match why {
        RingError::NoReplicas
        | RingError::TooFewMembers { .. }
        | RingError::TooManyReplicas { .. }
        | RingError::OneReplica { .. }
        | RingError::TooFewOwners { .. } => at.key("replicas"),
        RingError::TooManyTargets { .. } | RingError::NoFreePoints { .. } => at.key("targets"),
        RingError::Weight { .. } => target.key("weight"),
        RingError::SameIndex { .. } | RingError::IndexBeyond { .. } => target.key("index"),
        RingError::NoHost { .. }
        | RingError::HostWithColon { .. }
        | RingError::SamePlace { .. }
        | RingError::SameHash { .. }
        | RingError::NoIndex { .. } => target,
    }
}

/// The ring has the last word on how many it gives.
const REPLICAS: RangeInclusive<u64> = 1..=16;

const FAST_HASHES: [(&str, CarbonHash); 3] = [
    ("mmh3_ch", CarbonHash::Mmh3Ch),
    ("carbon_ch", CarbonHash::CarbonCh),
    ("fnv1a_ch", CarbonHash::Fnv1aCh),
];

const CHARS: [(&str, CharSign); 2] =
    [("signed", CharSign::Signed), ("unsigned", CharSign::Unsigned)];

const HASHES: [(&str, Algorithm); Algorithm::ALL.len()] = {
    let mut hashes = [("", Algorithm::Xxh3); Algorithm::ALL.len()];
    let mut index = 0;
    while index < hashes.len() {
        hashes[index] = (Algorithm::ALL[index].as_str(), Algorithm::ALL[index]);
        index += 1;
    }
    hashes
};
