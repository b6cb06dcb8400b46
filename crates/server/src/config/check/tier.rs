//! One tier: what it speaks, its targets, its ring, and the keys that are its own.

use std::{ops::RangeInclusive, time::Duration};

use coco_router::plan::{KeyRule, OnFull, Replay, TargetProtocol, TierPlan};

use super::{
    listeners::Socket,
    names, probe, ring,
    targets::{self, Form, Target},
};
use crate::config::{
    address, file,
    findings::{self, Findings},
    path::KeyPath,
    words::quoted,
};

/// What a tier needs to know of the rest of the file.
pub(super) struct Surroundings<'a> {
    /// Our own sockets: no target may be one of them.
    pub(super) sockets: &'a [Socket],
    /// There is a `[spool]`.
    pub(super) has_spool: bool,
    /// `limits.queue`
    pub(super) queue_bytes: usize,
    /// `limits.block_timeout`
    pub(super) block_timeout: Duration,
}

/// A tier as it is written.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) section: &'a file::Tier,
    pub(super) at: &'a KeyPath,
    /// What it speaks; `None` when that was refused.
    pub(super) protocol: Option<TargetProtocol>,
}

impl<'a> Written<'a> {
    /// Reads what it speaks, on which nearly all that it may say depends.
    pub(super) fn read(
        section: &'a file::Tier,
        at: &'a KeyPath,
        findings: &mut Findings<'_>,
    ) -> Self {
        Self { section, at, protocol: protocol(section, at, findings) }
    }

    /// Reads the rest; `None` when what has no default was refused.
    pub(super) fn plan(
        self,
        name: &str,
        around: &Surroundings<'_>,
        findings: &mut Findings<'_>,
    ) -> Option<TierPlan> {
        let Self { section, at, protocol } = self;
        let key = self.key(findings);
        let queue = section.queue.as_ref();
        let queue_bytes = findings.read(&at.key("queue"), queue, findings::size(QUEUE_BYTES));
        let on_full = self.on_full(around, findings);
        let replay = self.replay(on_full, findings);
        let timeout = section.block_timeout.as_ref();
        let block_timeout = findings.read(&at.key("block_timeout"), timeout, findings::duration);
        let resend_bytes = self.resend_bytes(findings);
        let datagram_bytes_max = self.datagram_bytes_max(findings);
        let (targets, all_good) = self.targets(around.sockets, findings);
        let algorithm = ring::algorithm(self, findings);
        let names = names::names(self, algorithm, findings);
        let ring = ring::ring(self, algorithm, &targets, all_good, findings)?;
        Some(TierPlan {
            name: name.to_owned(),
            protocol: protocol?,
            key,
            names: names?,
            ring,
            targets: targets.into_iter().map(|target| target.plan).collect(),
            queue_bytes: queue_bytes.unwrap_or(around.queue_bytes),
            on_full,
            replay,
            block_timeout: block_timeout.unwrap_or(around.block_timeout),
            resend_bytes,
            datagram_bytes_max,
        })
    }

    /// What of a collectd sample is hashed.
    fn key(self, findings: &mut Findings<'_>) -> KeyRule {
        let at = self.at.key("key");
        let key = findings.read(&at, self.section.key.as_ref(), findings::choice(&KEYS));
        let takes_collectd = self.protocol.is_none_or(TargetProtocol::carries_collectd);
        if self.section.key.is_some() && !takes_collectd {
            findings
                .fault(&at, "`key` is for collectd samples; a Graphite line is hashed by its name");
        }
        key.unwrap_or(KeyRule::Host)
    }

    /// What happens when a queue is full: it goes on on disk, if there is a place for it.
    fn on_full(self, around: &Surroundings<'_>, findings: &mut Findings<'_>) -> OnFull {
        let at = self.at.key("on_full");
        let read = findings.read(&at, self.section.on_full.as_ref(), findings::choice(&ON_FULL));
        let embedded = self.protocol == Some(TargetProtocol::Embedded);
        if read == Some(OnFull::Spool) && embedded {
            findings.fault(&at, "embedded targets are in memory; they have nothing on disk");
        } else if read == Some(OnFull::Spool) && !around.has_spool {
            findings.fault(&at, "there is no [spool]; give one with its directory");
        }
        let default = if around.has_spool && !embedded { OnFull::Spool } else { OnFull::Block };
        read.unwrap_or(default)
    }

    /// What goes first to a target that comes back. RRD refuses what is older than what it has.
    fn replay(self, on_full: OnFull, findings: &mut Findings<'_>) -> Replay {
        let at = self.at.key("replay");
        let read = findings.read(&at, self.section.replay.as_ref(), findings::choice(&REPLAYS));
        let takes_any_order = match self.protocol {
            Some(TargetProtocol::LineTcp | TargetProtocol::LineUdp | TargetProtocol::Pickle) => {
                true
            }
            Some(TargetProtocol::Collectd | TargetProtocol::Embedded) => false,
            None => true,
        };
        if read == Some(Replay::LiveFirst) && !takes_any_order {
            findings.fault(&at, "only Graphite targets take older samples behind newer ones");
        } else if self.section.replay.is_some() && on_full != OnFull::Spool {
            findings.fault(
                &at,
                "nothing of this tier is on disk; on_full = \"spool\" is what `replay` is for",
            );
        }
        read.unwrap_or(Replay::InOrder)
    }

    /// The largest datagram, where datagrams are sent at all.
    fn datagram_bytes_max(self, findings: &mut Findings<'_>) -> usize {
        let at = self.at.key("max_packet_size");
        let leaf = self.section.max_packet_size.as_ref();
        let read = findings.read(&at, leaf, findings::integer(DATAGRAM_BYTES));
        let over_udp = match self.protocol {
            Some(TargetProtocol::Collectd | TargetProtocol::LineUdp) | None => true,
            Some(TargetProtocol::LineTcp | TargetProtocol::Pickle | TargetProtocol::Embedded) => {
                false
            }
        };
        if leaf.is_some() && !over_udp {
            findings.fault(&at, "only UDP targets have a largest packet; leave the key out");
        }
        read.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(DATAGRAM_BYTES_DEFAULT)
    }

    /// How much is kept of what was written, where that can be known to be lost.
    fn resend_bytes(self, findings: &mut Findings<'_>) -> usize {
        let at = self.at.key("resend");
        let leaf = self.section.resend.as_ref();
        let read = findings.read(&at, leaf, findings::size(RESEND_BYTES));
        if leaf.is_some() && self.protocol.is_some_and(|protocol| !protocol.has_connections()) {
            findings.fault(
                &at,
                "only TCP targets are sent again what a connection lost; leave the key out",
            );
        }
        read.unwrap_or(RESEND_BYTES_DEFAULT)
    }

    /// Its targets with their probes, and whether each of them could be read.
    fn targets(self, sockets: &[Socket], findings: &mut Findings<'_>) -> (Vec<Target>, bool) {
        let Self { section, at, protocol } = self;
        let form = match protocol {
            Some(TargetProtocol::Embedded) => Form::Name,
            Some(_) => Form::Address,
            None => Form::Either,
        };
        let faults_before = findings.fault_count();
        let mut targets =
            targets::targets(section.targets.as_ref(), &at.key("targets"), form, findings);
        let all_good = findings.fault_count() == faults_before;
        let probe_at = at.key("probe");
        let probe = findings.read(&probe_at, section.probe.as_ref(), probe::probe);
        if let Some(protocol) = protocol {
            probe::give(&mut targets, (&probe_at, probe.as_ref()), protocol, findings);
            loops(&targets, at, protocol, sockets, findings);
        }
        (targets, all_good)
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

/// 0 keeps nothing; more than the largest queue is a typing error.
pub(super) const RESEND_BYTES: RangeInclusive<u64> = 0..=64 << 30;

/// What a target that was killed had not read, on a machine with Linux' usual buffers.
const RESEND_BYTES_DEFAULT: usize = 1 << 20;

/// What collectd takes for its `MaxPacketSize`, up to the largest UDP payload over IPv4.
const DATAGRAM_BYTES: RangeInclusive<u64> = 1024..=65_507;

/// collectd's own default: an Ethernet frame less IPv6 and UDP headers.
const DATAGRAM_BYTES_DEFAULT: usize = 1452;

const PROTOCOLS: [(&str, TargetProtocol); 4] = [
    ("collectd", TargetProtocol::Collectd),
    ("graphite", TargetProtocol::LineTcp),
    ("graphite-pickle", TargetProtocol::Pickle),
    ("embedded", TargetProtocol::Embedded),
];

const TRANSPORTS: [(&str, TargetProtocol); 2] =
    [("tcp", TargetProtocol::LineTcp), ("udp", TargetProtocol::LineUdp)];

const ON_FULL: [(&str, OnFull); 4] = [
    ("spool", OnFull::Spool),
    ("block", OnFull::Block),
    ("shed_oldest", OnFull::ShedOldest),
    ("shed_newest", OnFull::ShedNewest),
];

const REPLAYS: [(&str, Replay); 2] =
    [("in_order", Replay::InOrder), ("live_first", Replay::LiveFirst)];

const KEYS: [(&str, KeyRule); 2] = [("host", KeyRule::Host), ("series", KeyRule::Series)];
