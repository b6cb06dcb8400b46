//! The checker: what was offered to each target, and what became of it, seen from outside.
//!
//! A copy is *offered* to a target when a shard routes the sample, by the ring in force then; *taken* when
//! the kernel has all of it; *arrived* when the receiver has read all of it; *lost* when it was taken and
//! cannot arrive any more. What is offered and never taken must have been shed with a number, or have been
//! in memory when the process was killed, or unsafe on disk when the machine crashed. Nothing is taken by a
//! target that it was not offered to, or twice but where that is stated, or out of order.

use std::collections::BTreeMap;

use coco_ring::Key;

use super::{
    plans::{KEEPS_ALL, filter_of},
    sample::Sample,
};
use crate::{
    ledger::{Ledger, TargetFates, TierFates},
    plan::TargetProtocol,
    routes::Routes,
};

/// All that is known from outside.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// By port.
    pub(super) accounts: BTreeMap<u16, Account>,
    /// Counts of the present life.
    pub(super) decoded: u64,
    pub(super) filtered: u64,
    pub(super) unroutable: u64,
    /// What went wrong.
    pub(super) faults: Vec<String>,
    /// A digest of all that happened.
    pub(super) trace: u64,
    /// What happened is printed.
    pub(super) loud: bool,
}

/// One target over all lives of the router.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) tier: String,
    pub(super) id: String,
    pub(super) protocol: TargetProtocol,
    fates: BTreeMap<Sample, Fate>,
    /// The order of what was taken for the first time.
    order: Order,
    /// Two workers may serve it at once: a reload took it out and brought it back, or changed it.
    pub(super) unordered: bool,
    /// Copies offered and taken in the present life.
    offered: u64,
    taken: u64,
    duplicates: u64,
    /// Copies that may come twice.
    may_repeat: u64,
    shed: u64,
    /// In memory when the process was killed.
    in_memory: u64,
    /// Written again after a connection broke.
    resent: u64,
    /// In the windows of connections at the end of lives.
    in_doubt: u64,
    /// More bytes are kept of what was written than a connection takes before they are read.
    pub(super) keeps_all: bool,
    /// Not safe on disk when the machine crashed.
    pub(super) unsafe_on_disk: u64,
    /// Some of what is on disk could not be synced, by this life or one before.
    pub(super) unsynced: bool,
    /// On disk when the life before ended.
    on_disk: u64,
    /// A chunk is half written, and younger ones are on disk: at a stop it goes behind them.
    pub(super) stuck: bool,
    /// Up to these numbers a key may be out of order: it was held when that happened.
    jumbled: BTreeMap<u32, u32>,
}

#[derive(Debug, Default)]
struct Fate {
    taken: u32,
    arrived: u32,
    lost: u32,
}

/// The order of samples on one connection, or over several without what is written again.
#[derive(Debug, Default)]
pub(super) struct Order(BTreeMap<u32, u32>);

impl Order {
    /// These come next; tells which one does not.
    pub(super) fn follow(&mut self, samples: &[Sample]) -> Option<String> {
        let late = |&sample: &Sample| {
            let last = self.0.insert(sample.key, sample.number);
            last.filter(|&last| last >= sample.number).map(|last| (sample, last))
        };
        let (sample, last) = samples.iter().find_map(late)?;
        Some(format!("{sample:?} comes after {last}"))
    }
}

/// How a life of the router ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// In good order.
    Stop,
    /// The process was killed.
    Kill,
    /// The machine crashed.
    Crash,
}

/// The port of a target, which stands for it everywhere.
pub(super) fn port_of(tier: &str, number: u16) -> u16 {
    let tier = u16::from(tier.as_bytes()[0] - b'a');
    1000 + tier * 100 + number
}

fn port_of_id(id: &str) -> u16 {
    let (tier, number) = id.split_once('-').unwrap();
    port_of(tier, number.parse().unwrap())
}

impl Check {
    pub(super) fn fault(&mut self, text: String) {
        if self.loud {
            println!("FAULT {text}");
        }
        self.faults.push(text);
    }

    /// Remembers an event, so that two runs of a seed can be compared.
    pub(super) fn note(&mut self, what: u64, sample: Sample, port: u16) {
        let event = super::random::mix(sample.hash() ^ (u64::from(port) << 8) ^ what);
        self.trace = super::random::mix(self.trace ^ event);
    }

    pub(super) fn say(&self, text: impl FnOnce() -> String) {
        if self.loud {
            println!("{}", text());
        }
    }

    /// A shard routes these samples now, by these routes.
    pub(super) fn offer(&mut self, samples: &[Sample], routes: &Routes) {
        let filter = filter_of(routes.blacklist.as_ref());
        for &sample in samples {
            self.decoded += 1;
            if filter.is_some_and(|number| sample.is_filtered_by(number)) {
                self.filtered += 1;
                continue;
            }
            let mut carried = false;
            for tier in &routes.tiers {
                let carries = match sample.is_line() {
                    true => tier.protocol.carries_lines(),
                    false => tier.protocol.carries_collectd(),
                };
                if !carries {
                    continue;
                }
                carried = true;
                let key = sample.placed_by(tier.key);
                for owner in tier.ring.owners(&Key::new(key.as_bytes())) {
                    let member = tier.ring.members().iter().nth(owner.into()).unwrap();
                    let port = port_of_id(&member.id);
                    let account = self
                        .accounts
                        .entry(port)
                        .or_insert_with(|| Account::new(&tier.name, &member.id, tier.protocol));
                    account.offered += 1;
                    let target = routes.targets.iter().find(|t| t.plan.label == member.id);
                    if account.fates.is_empty() {
                        account.keeps_all = target.is_some_and(|t| t.resend_bytes() >= KEEPS_ALL);
                    }
                    account.fates.entry(sample).or_default();
                    self.note(1, sample, port);
                }
            }
            self.unroutable += u64::from(!carried);
        }
    }

    /// The kernel has taken these for the target behind a port, on a connection with this order.
    pub(super) fn taken(&mut self, port: u16, samples: &[Sample], on: &mut Order) {
        self.say(|| format!("{port} takes {}", samples_shown(samples)));
        for &sample in samples {
            self.note(2, sample, port);
            let Some(account) = self.accounts.get_mut(&port) else {
                self.fault(format!("{sample:?} was sent to port {port}, where nothing belongs"));
                continue;
            };
            if let Err(fault) = account.take(sample, on) {
                self.fault(fault);
            }
        }
    }

    pub(super) fn arrived(&mut self, port: u16, samples: &[Sample]) {
        self.count(port, samples, 3, |fate| &mut fate.arrived);
    }

    pub(super) fn lost(&mut self, port: u16, samples: &[Sample]) {
        self.count(port, samples, 4, |fate| &mut fate.lost);
    }

    fn count(
        &mut self,
        port: u16,
        samples: &[Sample],
        what: u64,
        count: impl Fn(&mut Fate) -> &mut u32,
    ) {
        for &sample in samples {
            self.note(what, sample, port);
            let account = self.accounts.get_mut(&port);
            match account.and_then(|account| account.fates.get_mut(&sample)) {
                Some(fate) => *count(fate) += 1,
                None => {
                    self.fault(format!("{sample:?} is at port {port}, where it does not belong"))
                }
            }
        }
    }

    /// Holds the ledger of the present life against what was seen.
    pub(super) fn live(&mut self, ledger: &Ledger) {
        let mut faults = Vec::new();
        if ledger.residual() != 0 {
            faults.push(format!("residual {}:\n{}", ledger.residual(), shown(ledger)));
        }
        let samples = ledger.samples;
        let counted = (samples.decoded, samples.filtered, samples.unroutable);
        if counted != (self.decoded, self.filtered, self.unroutable) {
            let seen = (self.decoded, self.filtered, self.unroutable);
            faults.push(format!("decoded, filtered, unroutable: {counted:?}, but {seen:?}"));
        }
        for account in self.accounts.values() {
            let row = row(ledger, account);
            faults.extend(row.map_or_else(|| account.absent(), |row| account.holds(row)));
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    /// A life ends; `ledger` is its last one.
    pub(super) fn end_life(&mut self, ledger: &Ledger, end: End) {
        let mut faults = Vec::new();
        for account in self.accounts.values_mut() {
            if let Some(row) = row(ledger, account) {
                let held = row.queued + row.in_flight;
                if end == End::Stop && held > 0 {
                    faults.push(format!("held behind the end:\n{}", target_shown(row)));
                }
                account.shed += row.shed();
                account.may_repeat += row.resent;
                account.resent += row.resent;
                account.in_doubt += row.in_doubt;
                account.in_memory += held;
                account.on_disk = row.spooled;
                if std::mem::take(&mut account.stuck) && end == End::Stop {
                    account.jumbled = account.fates.keys().map(|s| (s.key, s.number)).collect();
                }
                if end != End::Stop {
                    // Of a chunk that was half written.
                    let unsettled = account.taken.saturating_sub(row.sent + row.resent);
                    account.may_repeat += unsettled;
                    account.in_doubt += unsettled;
                }
            }
            (account.offered, account.taken) = (0, 0);
        }
        (self.decoded, self.filtered, self.unroutable) = (0, 0, 0);
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    /// A life begins, on what the one before left on a disk that works.
    pub(super) fn begin_life(&mut self, ledger: &Ledger, before: Option<End>) {
        let mut faults = Vec::new();
        for account in self.accounts.values_mut() {
            // What a target of the past left stays on disk until it is one of the present again.
            let Some(found) = row(ledger, account).map(|row| row.recovered) else { continue };
            let more = found.saturating_sub(account.on_disk);
            let fewer = account.on_disk.saturating_sub(found);
            account.may_repeat += if before == Some(End::Crash) { found } else { more };
            let may_fail = if before == Some(End::Crash) { account.unsafe_on_disk } else { 0 };
            if fewer > may_fail {
                faults.push(format!(
                    "{}: {} were on disk at the end ({before:?}), {found} are there, and {may_fail} may be lost",
                    account.id, account.on_disk
                ));
            }
            if more > 0 || before != Some(End::Stop) {
                account.order = Order::default();
            }
            account.on_disk = 0;
            // What a crash leaves is safe.
            account.unsynced &= before != Some(End::Crash);
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    /// Nothing is held any more, anywhere.
    pub(super) fn settle(&mut self, violent: bool) {
        let faults: Vec<_> =
            self.accounts.values().flat_map(|account| account.settle(violent)).collect();
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    pub(super) fn samples(&self) -> usize {
        self.accounts.values().map(|account| account.fates.len()).sum()
    }

    pub(super) fn account(&mut self, label: &str) -> Option<&mut Account> {
        self.accounts.values_mut().find(|account| account.id == label)
    }
}

fn samples_shown(samples: &[Sample]) -> String {
    let shown = samples.iter().map(|sample| format!("{}:{}", sample.key, sample.number));
    shown.collect::<Vec<_>>().join(" ")
}

/// The rows of a ledger, a line each.
pub(super) fn shown(ledger: &Ledger) -> String {
    let tier = |tier: &TierFates| {
        let targets = tier.targets.iter().map(target_shown).collect::<Vec<_>>();
        let (offered, due) = (tier.offered(), tier.due);
        format!("{}: due {due}, offered {offered}\n{}", tier.name, targets.join("\n"))
    };
    ledger.tiers.iter().map(tier).collect::<Vec<_>>().join("\n")
}

fn target_shown(row: &TargetFates) -> String {
    let shed = row.shed.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
    let TargetFates { label, state, offered, sent, queued, in_flight, spooled, recovered, .. } =
        row;
    let TargetFates { resent, in_doubt, .. } = row;
    format!(
        "  {label} {state}: offered {offered} + recovered {recovered} = sent {sent} + queued {queued} \
         + in flight {in_flight} + spooled {spooled} + shed {shed:?}; resent {resent}, in doubt {in_doubt}"
    )
}

/// The row of a target.
fn row<'a>(ledger: &'a Ledger, account: &Account) -> Option<&'a TargetFates> {
    let tier: &TierFates = ledger.tiers.iter().find(|tier| tier.name == account.tier)?;
    tier.targets.iter().find(|target| target.id == account.id)
}

impl Account {
    fn new(tier: &str, id: &str, protocol: TargetProtocol) -> Self {
        Self {
            tier: tier.to_owned(),
            id: id.to_owned(),
            protocol,
            fates: BTreeMap::new(),
            order: Order::default(),
            unordered: false,
            offered: 0,
            taken: 0,
            duplicates: 0,
            may_repeat: 0,
            shed: 0,
            in_memory: 0,
            resent: 0,
            in_doubt: 0,
            keeps_all: false,
            unsafe_on_disk: 0,
            unsynced: false,
            on_disk: 0,
            stuck: false,
            jumbled: BTreeMap::new(),
        }
    }

    fn take(&mut self, sample: Sample, on: &mut Order) -> Result<(), String> {
        self.taken += 1;
        let Some(fate) = self.fates.get_mut(&sample) else {
            return Err(format!("{}: {sample:?} was never offered to it", self.id));
        };
        fate.taken += 1;
        let is_first = fate.taken == 1;
        self.duplicates += u64::from(!is_first);
        if self.jumbled.get(&sample.key).is_some_and(|&number| sample.number <= number) {
            return Ok(());
        }
        let fault = on.follow(&[sample]).or_else(|| match is_first && !self.unordered {
            true => self.order.follow(&[sample]),
            false => None,
        });
        fault.map_or(Ok(()), |fault| Err(format!("{}: {fault}", self.id)))
    }

    fn absent(&self) -> Option<String> {
        (self.offered > 0).then(|| format!("{}: offered {}, but no row", self.id, self.offered))
    }

    fn holds(&self, row: &TargetFates) -> Option<String> {
        let is_stream = matches!(self.protocol, TargetProtocol::LineTcp | TargetProtocol::Pickle);
        // What a connection took in the middle of a chunk is settled with the chunk.
        let unsettled = if is_stream { row.in_flight + row.spooled } else { 0 };
        let sent = row.sent + row.resent;
        let good = row.offered == self.offered && (sent..=sent + unsettled).contains(&self.taken);
        let (offered, taken) = (self.offered, self.taken);
        (!good).then(|| {
            format!("{}: offered {offered}, taken {taken}, but\n{}", self.id, target_shown(row))
        })
    }

    fn settle(&self, violent: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let id = &self.id;
        for (sample, fate) in &self.fates {
            if fate.taken != fate.arrived + fate.lost {
                faults.push(format!("{id}: {sample:?} is not where it should be: {fate:?}"));
            }
        }
        let missing = self.fates.values().filter(|fate| fate.taken == 0).count() as u64;
        // What is on disk at the end is for a target of the past.
        let most = self.shed + self.in_memory + self.unsafe_on_disk + self.on_disk;
        let least = match violent {
            true => 0,
            false => self.on_disk + self.shed.saturating_sub(self.may_repeat - self.resent),
        };
        if !(least..=most).contains(&missing) {
            faults.push(format!("{id}: {missing} are missing, not {least} to {most}"));
        }
        let gone = self.fates.values().filter(|fate| fate.taken > 0 && fate.arrived == 0).count();
        if self.keeps_all && !self.unordered && gone as u64 > self.in_doubt {
            faults.push(format!(
                "{id}: {gone} got lost with connections, at most {} may",
                self.in_doubt
            ));
        }
        if self.duplicates > self.may_repeat {
            let (came, may) = (self.duplicates, self.may_repeat);
            faults.push(format!("{id}: {came} came twice, but at most {may} may"));
        }
        faults
    }
}
