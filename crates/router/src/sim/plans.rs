//! Plans that a seed draws: tiers of every protocol, with small bounds, so that they are met.

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, time::Duration};

use coco_ring::{Algorithm, Member, Members, Place, Ring, Weight};
use coco_wire::names::Names;
use regex::bytes::Regex;

use super::{
    check::{ELSEWHERE, port_of},
    random::Random,
};
use crate::plan::{
    Address, KeyRule, Limits, ListenerPlan, ListenerProtocol, OnChange, OnFull, Plan, Probe,
    Replay, ReplayRate, SpoolPlan, Sync, TargetPlan, TargetProtocol, TierPlan,
};

/// Where the simulated disk has its spools.
pub(super) const ROOT: &str = "/spool";

/// Most targets of a tier.
const TARGETS_MAX: u64 = 4;

/// What the targets of a tier speak in a world, and how many written bytes are kept for them: what is behind an
/// address does not change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    name: &'static str,
    protocol: TargetProtocol,
    resend_bytes: usize,
    /// With more than one owner of a sample, what is rerouted may come to one that has it.
    replicas_max: u64,
}

/// Of each tier.
pub(super) type Kinds = [Kind; 3];

/// More bytes than a connection takes before they are read.
pub(super) const KEEPS_ALL: usize = 100_000;

pub(super) fn kinds(random: &Random) -> Kinds {
    use TargetProtocol::{Collectd, LineTcp, LineUdp, Pickle};
    let kinds = [Collectd, Collectd, LineTcp, LineTcp, LineTcp, LineUdp, Pickle];
    let replicas_max = random.pick(&[1, 2, 2]);
    ["a", "b", "c"].map(|name| Kind {
        name,
        protocol: random.pick(&kinds),
        resend_bytes: random.pick(&[0, 500, KEEPS_ALL, KEEPS_ALL]),
        replicas_max,
    })
}

pub(super) fn plan(kinds: &Kinds, random: &Random) -> Plan {
    let mut tiers: Vec<_> =
        kinds.iter().take(1 + random.size(3)).map(|kind| tier(*kind, random)).collect();
    if random.one_in(8) {
        // All that waits waits on disk.
        tiers.iter_mut().for_each(|tier| tier.on_full = OnFull::Spool);
    }
    let spool = SpoolPlan {
        directory: PathBuf::from(ROOT),
        bytes_max: random.pick(&[20_000, 1 << 30]),
        target_bytes_max: random.pick(&[4_000, 30_000, 1 << 30]),
        max_age: random.one_in(4).then(|| Duration::from_secs(random.between(2, 60))),
        sync: match random.below(3) {
            0 => Sync::Each,
            1 => Sync::Interval(Duration::from_millis(200)),
            _ => Sync::Never,
        },
        replay_rate: replay_rate(random),
        on_change: on_change(kinds, random),
    };
    let listener = |(protocol, port)| ListenerPlan {
        protocol,
        address: address(port),
        receive_buffer: 1 << 20,
    };
    Plan {
        listeners: LISTENERS.map(listener).to_vec(),
        blacklist: None,
        tiers,
        limits: Limits { series_max: 1000, names_max: 100, ..Limits::default() },
        spool: Some(spool),
        ringless: Vec::new(),
    }
}

/// What is listened on; no socket is opened.
const LISTENERS: [(ListenerProtocol, u16); 3] = [
    (ListenerProtocol::LineUdp, 1),
    (ListenerProtocol::LineTcp, 2),
    (ListenerProtocol::Collectd, 3),
];

fn address(port: u16) -> Address {
    Address { host: "127.0.0.1".to_owned(), port }
}

fn replay_rate(random: &Random) -> ReplayRate {
    random.pick(&[ReplayRate::Unlimited, ReplayRate::TimesLive(3.0)])
}

fn on_change(kinds: &Kinds, random: &Random) -> OnChange {
    let is_exact = kinds.iter().all(|kind| kind.replicas_max == 1);
    if is_exact && !random.one_in(3) { OnChange::Reroute } else { OnChange::Keep }
}

/// Lines bear their times: they may come in any order.
fn replay(protocol: TargetProtocol, random: &Random) -> Replay {
    let may_pass = protocol.carries_lines() && random.one_in(4);
    if may_pass { Replay::LiveFirst } else { Replay::InOrder }
}

fn tier(kind: Kind, random: &Random) -> TierPlan {
    let Kind { name, protocol, resend_bytes, replicas_max } = kind;
    let on_full = match random.below(6) {
        0 => OnFull::Block,
        1 => OnFull::ShedOldest,
        2 => OnFull::ShedNewest,
        _ => OnFull::Spool,
    };
    let mut tier = TierPlan {
        name: name.to_owned(),
        protocol,
        key: random.pick(&[KeyRule::Host, KeyRule::Series]),
        names: Names::Sorted,
        ring: ring(name, 1, 1),
        targets: Vec::new(),
        queue_bytes: 0,
        on_full,
        block_timeout: Duration::ZERO,
        resend_bytes,
        replay: if on_full == OnFull::Spool { replay(protocol, random) } else { Replay::InOrder },
        datagram_bytes_max: 1452,
    };
    set_bounds(&mut tier, random);
    set_members(&mut tier, 1 + random.below(TARGETS_MAX), replicas_max, random);
    tier
}

pub(super) fn set_bounds(tier: &mut TierPlan, random: &Random) {
    tier.queue_bytes = random.pick(&[400, 1500, 5000, 20_000, 1 << 20]);
    tier.block_timeout = Duration::from_millis(random.pick(&[20, 200, 2000]));
}

/// Those that stay keep their addresses.
fn set_members(tier: &mut TierPlan, count: u64, replicas_max: u64, random: &Random) {
    let count = u16::try_from(count).unwrap();
    let replicas = 1 + random.below(u64::from(count).min(replicas_max));
    tier.ring = ring(&tier.name, count, usize::try_from(replicas).unwrap());
    let target = |number| {
        let id = format!("{}-{number}", tier.name);
        let address = address(port_of(&tier.name, number));
        TargetPlan { label: id.clone(), id, address, probe: Probe::None }
    };
    let known = tier.targets.iter().cloned().map(Some).chain(std::iter::repeat(None));
    tier.targets =
        (0..count).zip(known).map(|(n, known)| known.unwrap_or_else(|| target(n))).collect();
}

/// One target goes to its other address.
fn move_one(tier: &mut TierPlan, random: &Random) {
    let number = random.size(tier.targets.len());
    let target = &mut tier.targets[number];
    let first = port_of(&tier.name, u16::try_from(number).unwrap());
    (target.label, target.address.port) = match target.address.port == first {
        true => (format!("{}-moved", target.id), first + ELSEWHERE),
        false => (target.id.clone(), first),
    };
}

type Rings = BTreeMap<(String, u16, usize), Ring>;

/// Rings are built once for all worlds of a thread.
fn ring(tier: &str, count: u16, replicas: usize) -> Ring {
    thread_local! { static RINGS: RefCell<Rings> = RefCell::default(); }
    let build = || {
        let member = |number| Member {
            id: format!("{tier}-{number}"),
            weight: Weight::default(),
            zone: None,
            place: Place::default(),
        };
        let members = Members::try_new((0..count).map(member).collect()).unwrap();
        Ring::build(Algorithm::Xxh3, &members, replicas).unwrap()
    };
    RINGS.with_borrow_mut(|rings| {
        rings.entry((tier.to_owned(), count, replicas)).or_insert_with(build).clone()
    })
}

/// What a reload makes of a plan.
pub(super) fn other(plan: &Plan, kinds: &Kinds, random: &Random) -> Plan {
    let mut plan = plan.clone();
    for tier in &mut plan.tiers {
        let kind = kinds.iter().find(|kind| kind.name == tier.name).unwrap();
        match random.below(7) {
            0 => set_bounds(tier, random),
            1 | 2 => set_members(tier, 1 + random.below(TARGETS_MAX), kind.replicas_max, random),
            3 => tier.datagram_bytes_max = random.pick(&[200, 600, 1452]),
            4 => move_one(tier, random),
            5 if tier.on_full == OnFull::Spool && random.one_in(2) => {
                tier.replay = replay(tier.protocol, random);
            }
            _ => {}
        }
    }
    if let Some(spool) = &mut plan.spool
        && random.one_in(4)
    {
        (spool.replay_rate, spool.on_change) = (replay_rate(random), on_change(kinds, random));
    }
    if random.one_in(4) {
        match plan.tiers.len() {
            1 | 2 => {
                let free = |kind: &&Kind| plan.tiers.iter().all(|tier| tier.name != kind.name);
                let new = kinds.iter().find(free).map(|kind| tier(*kind, random));
                plan.tiers.extend(new);
            }
            tiers => drop(plan.tiers.remove(random.size(tiers))),
        }
    }
    if random.one_in(4) {
        plan.blacklist = random
            .one_in(2)
            .then(|| Regex::new(&format!("^(sim\\.k|h)\\d*{}(;|/|$)", random.below(10))).unwrap());
    }
    plan
}

/// The digit of the keys that are filtered.
pub(super) fn filter_of(blacklist: Option<&Regex>) -> Option<u32> {
    let text = blacklist?.as_str();
    text.split_once('*')?.1.chars().next()?.to_digit(10)
}
