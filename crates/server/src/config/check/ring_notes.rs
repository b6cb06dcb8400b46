//! What an operator should know about a ring that could be built, and which of its targets make no sense.

use std::collections::HashSet;

use coco_ring::{Algorithm, CarbonHash, Ring};

use super::targets::Target;
use crate::config::{findings::Findings, path::KeyPath, words::quoted};

/// What an operator should know about a ring that can be built.
pub(super) fn notes(ring: &Ring, at: &KeyPath, targets: &[Target], findings: &mut Findings<'_>) {
    let (asked, given, algorithm) = (ring.replicas_asked(), ring.replicas(), ring.algorithm());
    if given < asked {
        let message =
            format!("carbon gives each key {given} of the {asked} owners: there are no more");
        findings.note(&at.key("replicas"), format!("{message} targets on hosts of their own"));
    }
    let traits = algorithm.traits();
    for Target { at, member, hash_as, .. } in targets {
        let place = &member.place;
        if *hash_as && !traits.host && !traits.instance {
            let message = format!("{algorithm} hashes no address; `hash_as` does nothing here");
            findings.fault(&at.key("hash_as"), message);
        }
        if place.instance.is_some() && !traits.instance && !traits.id {
            let message =
                format!("{algorithm} does not look at instances: this one is a name only");
            findings.note(at, message);
        }
        if let Some(printed) = place.instance.as_deref().and_then(c_relay_number)
            && is_c_relay(algorithm)
        {
            let message = format!(
                "carbon-c-relay reads an instance of digits as a number, unless it is quoted: if its \
                 file has this one without quotes, say {printed:?} here"
            );
            findings.note(at, message);
        }
        if place.index.is_some() && !traits.index {
            let message = format!("{algorithm} does not look at an index; \"nanotube/jump\" does");
            findings.note(&at.key("index"), message);
        }
    }
    shared_instances(ring, at, targets, findings);
    idle(ring, at, targets, findings);
}

fn is_c_relay(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::CRelayCarbonCh
            | Algorithm::CRelayFnv1aCh(_)
            | Algorithm::CRelayJump(_)
            | Algorithm::CRelayAnyOf(_)
    )
}

/// What carbon-c-relay makes of an unquoted instance of digits, a C `int` printed back, where that is
/// another text.
fn c_relay_number(instance: &str) -> Option<String> {
    if !instance.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Of a larger number the low 32 bits are left.
    let low = instance
        .bytes()
        .fold(0_u32, |sum, digit| sum.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
    Some(low.cast_signed().to_string()).filter(|printed| printed != instance)
}

/// carbon's `fnv1a_ch` hashes instances alone: of targets that share one, the first gets nearly all.
fn shared_instances(ring: &Ring, at: &KeyPath, targets: &[Target], findings: &mut Findings<'_>) {
    let Algorithm::Carbon { hash: CarbonHash::Fnv1aCh, .. } = ring.algorithm() else {
        return;
    };
    let instances = targets.iter().map(|target| target.member.place.instance.as_deref());
    let later = targets.len() - instances.collect::<HashSet<_>>().len();
    if later > 0 {
        let message = format!(
            "{} hashes instances alone, and {later} of {} targets have that of one before them: they get \
             next to nothing, as there",
            ring.algorithm(),
            targets.len()
        );
        findings.note(&at.key("targets"), message);
    }
}

/// Targets that own nothing: carbon-c-relay's then have their points in common with others, which is
/// a mistake; carbon's may be as they were there.
fn idle(ring: &Ring, at: &KeyPath, targets: &[Target], findings: &mut Findings<'_>) {
    let algorithm = ring.algorithm();
    let idle = ring.idle();
    if matches!(algorithm, Algorithm::CRelayCarbonCh | Algorithm::CRelayFnv1aCh(_)) {
        for (target, other) in idle {
            let both = (targets.get(usize::from(target)), targets.get(usize::from(other)));
            let (Some(target), Some(other)) = both else { continue };
            findings.fault(
                &target.at,
                format!(
                    "{algorithm} gives it the same points as {}, which then gets all its keys, as with \
                     carbon-c-relay; give each its own instance, or leave this one out",
                    other.at
                ),
            );
        }
        return;
    }
    let ids: Vec<&str> = idle
        .iter()
        .filter_map(|(target, _)| targets.get(usize::from(*target)))
        .map(|target| target.member.id.as_str())
        .collect();
    if let [first, rest @ ..] = ids.as_slice() {
        let others = match rest.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let message = format!("{algorithm} gives {}{others} no keys, as there", quoted(first));
        findings.note(&at.key("targets"), message);
    }
}
