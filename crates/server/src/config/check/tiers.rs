//! `[tiers.NAME]`: what a tier speaks, its ring, its targets.

use std::{ops::RangeInclusive, time::Duration};

use coco_ring::{Algorithm, Members, Ring, RingError};
use coco_router::plan::{KeyRule, TargetProtocol, TierPlan};

use super::{
    listeners::Socket,
    targets::{self, Form, Target},
};
use crate::config::{
    address,
    file::{self, Node},
    findings::{self, Findings},
    keys,
    path::KeyPath,
    words::quoted,
};

/// What a tier needs to know of the rest of the file.
pub(super) struct Surroundings<'a> {
    /// Our own sockets: no target may be one of them.
    pub(super) sockets: &'a [Socket],
    /// `limits.queue`
    pub(super) queue_bytes: usize,
    /// `limits.block_timeout`
    pub(super) block_timeout: Duration,
}

/// All tiers in the order of the file; those that were refused are missing.
pub(super) fn tiers(
    node: Option<&Node<file::Tiers>>,
    at: &KeyPath,
    around: &Surroundings<'_>,
    findings: &mut Findings<'_>,
) -> Vec<TierPlan> {
    let faults_before = findings.fault_count();
    let tiers = findings.table(at, node).filter(|tiers| !tiers.is_empty());
    let Some(tiers) = tiers else {
        if findings.fault_count() == faults_before {
            findings.fault(at, "no tier; give one or more, as [tiers.short] with its targets");
        }
        return Vec::new();
    };
    if tiers.len() > TIERS_MAX {
        findings.fault(at, format!("{} tiers; there may be at most {TIERS_MAX}", tiers.len()));
        return Vec::new();
    }
    tiers
        .iter()
        .filter_map(|(name, node)| {
            let at = at.key(name);
            if !matches!(node, Node::Table(_)) && keys::keys_of::<file::Tier>().contains(&&**name) {
                findings.fault(&at, "a tier has a name; put this key under one, as [tiers.short]");
                return None;
            }
            check_name(name, &at, findings);
            let section = findings.table(&at, Some(node))?;
            tier(name, section, &at, around, findings)
        })
        .collect()
}

fn tier(
    name: &str,
    section: &file::Tier,
    at: &KeyPath,
    around: &Surroundings<'_>,
    findings: &mut Findings<'_>,
) -> Option<TierPlan> {
    let protocol = protocol(section, at, findings);
    let key = key(section, at, protocol, findings);
    let queue = section.queue.as_ref();
    let queue_bytes = findings.read(&at.key("queue"), queue, findings::size(QUEUE_BYTES));
    let timeout = section.block_timeout.as_ref();
    let block_timeout = findings.read(&at.key("block_timeout"), timeout, findings::duration);
    let datagram_bytes_max = datagram_bytes_max(section, at, protocol, findings);
    let form = match protocol {
        Some(TargetProtocol::Embedded) => Form::Name,
        Some(_) => Form::Address,
        None => Form::Either,
    };
    let faults_before = findings.fault_count();
    let targets = targets::targets(section.targets.as_ref(), &at.key("targets"), form, findings);
    let all_good = findings.fault_count() == faults_before;
    if let Some(protocol) = protocol {
        loops(&targets, at, protocol, around.sockets, findings);
    }
    let ring = ring(section, at, &targets, all_good, findings)?;
    Some(TierPlan {
        name: name.to_owned(),
        protocol: protocol?,
        key,
        ring,
        targets: targets.into_iter().map(|target| target.plan).collect(),
        queue_bytes: queue_bytes.unwrap_or(around.queue_bytes),
        block_timeout: block_timeout.unwrap_or(around.block_timeout),
        datagram_bytes_max,
    })
}

/// A name goes into URLs, counters and log lines.
fn check_name(name: &str, at: &KeyPath, findings: &mut Findings<'_>) {
    if name.is_empty() {
        findings.fault(at, "the tier's name is empty");
    } else if name.chars().any(|c| c.is_control() || c == '/') {
        findings.fault(at, "a tier's name has no \"/\" and no control character");
    } else if name.len() > NAME_BYTES_MAX {
        findings.fault(at, format!("a tier's name has at most {NAME_BYTES_MAX} bytes"));
    }
}

/// What the tier speaks; `None` when that was refused.
fn protocol(
    section: &file::Tier,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Option<TargetProtocol> {
    let protocol = match section.protocol.as_ref() {
        None => Some(TargetProtocol::Collectd),
        leaf => findings.read(&at.key("protocol"), leaf, findings::choice(&PROTOCOLS)),
    };
    let at = at.key("proto");
    let over = findings.read(&at, section.proto.as_ref(), findings::choice(&TRANSPORTS));
    if section.proto.is_some() && protocol.is_some_and(|p| p != TargetProtocol::LineTcp) {
        findings.fault(&at, "only tiers with protocol = \"graphite\" have a `proto`");
    }
    match (protocol, over) {
        (Some(TargetProtocol::LineTcp), Some(over)) => Some(over),
        (protocol, _) => protocol,
    }
}

/// What of a collectd sample is hashed.
fn key(
    section: &file::Tier,
    at: &KeyPath,
    protocol: Option<TargetProtocol>,
    findings: &mut Findings<'_>,
) -> KeyRule {
    let at = at.key("key");
    let key = findings.read(&at, section.key.as_ref(), findings::choice(&KEYS));
    let takes_collectd = match protocol {
        Some(TargetProtocol::Collectd | TargetProtocol::Embedded) | None => true,
        Some(TargetProtocol::LineTcp | TargetProtocol::LineUdp | TargetProtocol::Pickle) => false,
    };
    if section.key.is_some() && !takes_collectd {
        findings.fault(&at, "`key` is for collectd samples; a Graphite line is hashed by its name");
    }
    key.unwrap_or(KeyRule::Host)
}

/// The largest datagram, where datagrams are sent at all.
fn datagram_bytes_max(
    section: &file::Tier,
    at: &KeyPath,
    protocol: Option<TargetProtocol>,
    findings: &mut Findings<'_>,
) -> usize {
    let at = at.key("max_packet_size");
    let leaf = section.max_packet_size.as_ref();
    let read = findings.read(&at, leaf, findings::integer(DATAGRAM_BYTES));
    let over_udp = match protocol {
        Some(TargetProtocol::Collectd | TargetProtocol::LineUdp) | None => true,
        Some(TargetProtocol::LineTcp | TargetProtocol::Pickle | TargetProtocol::Embedded) => false,
    };
    if leaf.is_some() && !over_udp {
        findings.fault(&at, "only UDP targets have a largest packet; leave the key out");
    }
    read.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(DATAGRAM_BYTES_DEFAULT)
}

/// The placement function; `None` when it, or a target, was refused.
fn ring(
    section: &file::Tier,
    at: &KeyPath,
    targets: &[Target],
    all_good: bool,
    findings: &mut Findings<'_>,
) -> Option<Ring> {
    let hash = match section.hash.as_ref() {
        None => Some(Algorithm::default()),
        leaf => findings.read(&at.key("hash"), leaf, findings::choice(&HASHES)),
    };
    let replicas = match section.replicas.as_ref() {
        None => Some(1),
        leaf => findings.read(&at.key("replicas"), leaf, findings::integer(REPLICAS)),
    };
    let replicas = replicas.and_then(|replicas| usize::try_from(replicas).ok());
    let (hash, replicas) = (hash?, replicas?);
    if !all_good {
        return None;
    }
    let members = targets.iter().map(|target| target.member.clone()).collect();
    let members = match Members::try_new(members) {
        Ok(members) => members,
        Err(why) => {
            findings.fault(&at.key("targets"), why.to_string());
            return None;
        }
    };
    // A ring names its first fault only: without the replicas it may have another.
    let tries = if replicas == 1 { vec![1] } else { vec![replicas, 1] };
    for replicas in tries {
        match Ring::build(hash, &members, replicas) {
            Ok(ring) => return Some(ring),
            Err(why) => ring_fault(&why, at, targets, findings),
        }
    }
    None
}

/// Puts a ring's fault at the key that can mend it.
fn ring_fault(why: &RingError, at: &KeyPath, targets: &[Target], findings: &mut Findings<'_>) {
    let at = match why {
        RingError::NoReplicas
        | RingError::TooFewMembers { .. }
        | RingError::TooManyReplicas { .. }
        | RingError::CocoReplicas { .. } => at.key("replicas"),
        RingError::CocoTargets { .. } => at.key("targets"),
        RingError::CocoWeight { id, .. } => {
            let target = targets.iter().find(|target| target.member.id == *id);
            target.map_or_else(|| at.key("targets"), |target| target.at.key("weight"))
        }
    };
    findings.fault(&at, why.to_string());
}

/// Names the targets that are our own sockets, and notes those that may be.
fn loops(
    targets: &[Target],
    at: &KeyPath,
    protocol: TargetProtocol,
    sockets: &[Socket],
    findings: &mut Findings<'_>,
) {
    let mut local = Vec::new();
    for target in targets {
        let Target { at, plan, .. } = target;
        if let Some(socket) = sockets.iter().find(|s| s.receives(protocol, &plan.address)) {
            let label = quoted(&plan.label);
            findings.fault(at, format!("{label} is Coco itself, at {}: a loop", socket.at()));
        } else if protocol != TargetProtocol::Embedded && address::is_local(&plan.address) {
            local.push(plan.label.as_str());
        }
    }
    match local.as_slice() {
        [] => {}
        [one] => {
            findings.note(at, format!("{one} is on this machine and may loop back into coco"));
        }
        [first, rest @ ..] => findings.note(
            at,
            format!(
                "{first} and {} more are on this machine and may loop back into coco",
                rest.len()
            ),
        ),
    }
}

/// Less would shed at every hiccup; more is a typing error.
pub(super) const QUEUE_BYTES: RangeInclusive<u64> = 64 << 10..=64 << 30;

/// What collectd takes for its `MaxPacketSize`, up to the largest UDP payload over IPv4.
const DATAGRAM_BYTES: RangeInclusive<u64> = 1024..=65_507;

/// collectd's own default: an Ethernet frame less IPv6 and UDP headers.
const DATAGRAM_BYTES_DEFAULT: usize = 1452;

/// The ring has the last word on how many it gives.
const REPLICAS: RangeInclusive<u64> = 1..=16;

/// Every tier costs each sample a hash and a copy.
const TIERS_MAX: usize = 64;

const NAME_BYTES_MAX: usize = 255;

const PROTOCOLS: [(&str, TargetProtocol); 4] = [
    ("collectd", TargetProtocol::Collectd),
    ("graphite", TargetProtocol::LineTcp),
    ("graphite-pickle", TargetProtocol::Pickle),
    ("embedded", TargetProtocol::Embedded),
];

const TRANSPORTS: [(&str, TargetProtocol); 2] =
    [("tcp", TargetProtocol::LineTcp), ("udp", TargetProtocol::LineUdp)];

const KEYS: [(&str, KeyRule); 2] = [("host", KeyRule::Host), ("series", KeyRule::Series)];

const HASHES: [(&str, Algorithm); Algorithm::ALL.len()] = {
    let mut hashes = [("", Algorithm::Xxh3); Algorithm::ALL.len()];
    let mut index = 0;
    while index < hashes.len() {
        hashes[index] = (Algorithm::ALL[index].as_str(), Algorithm::ALL[index]);
        index += 1;
    }
    hashes
};
