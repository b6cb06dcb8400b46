//! The checker: what was offered to each target, and what became of it, seen from outside.
//!
//! A copy is *offered* to a target when a shard routes the sample, by the ring in force then; *taken* when
//! the kernel has all of it; *arrived* when the receiver has read all of it; *lost* when it was taken and
//! cannot arrive any more. What is offered and never taken must have been shed with a number, or have been
//! in memory when the process was killed, or unsafe on disk when the machine crashed. Nothing is taken by a
//! target that it was not offered to, or twice but where that is stated, or out of order. Where reloads reroute,
//! that is so for a tier as a whole.

use std::collections::{BTreeMap, BTreeSet};

use coco_ring::Key;

use super::{
    account::{Account, Fate, Order, Sums},
    plans::{KEEPS_ALL, filter_of},
    rows::{row, shown, target_shown},
    sample::Sample,
};
use crate::{ledger::Ledger, plan::Plan, routes::Routes, target::Target};

/// All that is known from outside.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// By the first port of a target.
    pub(super) accounts: BTreeMap<u16, Account>,
    /// Tiers in which one target's samples may have gone on to another.
    pub(super) pooled: BTreeSet<String>,
    /// All has arrived that can, and nothing goes wrong any more.
    pub(super) calm: bool,
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

/// How a life of the router ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// In good order.
    Stop,
    /// The process was killed.
    Kill,
    /// The machine crashed.
    Crash,
}

/// What is missing of the samples of one target, or of several.
#[derive(Debug, Default)]
struct Pool {
    missing: u64,
    lost: u64,
    /// Not all is kept of what a connection may lose.
    forgets: bool,
    sums: Sums,
}

impl Pool {
    fn add(&mut self, account: &Account) {
        self.missing += account.missing();
        self.lost += account.lost();
        self.forgets |= !account.keeps_all && account.lost() > 0;
        self.sums = self.sums.plus(account.sums());
    }

    fn settle(self, name: &str, violent: bool) -> Vec<String> {
        let mut faults = self.sums.settle(name, self.missing, violent);
        if !self.forgets {
            faults.extend(self.sums.settle_lost(name, self.lost));
        }
        faults
    }
}

/// The targets that the spooler works for, by tier and id.
pub(super) type Served = BTreeSet<(String, String)>;

/// A target's second address is so far from its first one.
pub(super) const ELSEWHERE: u16 = 50;

/// The first port of a target, which stands for it everywhere.
pub(super) fn port_of(tier: &str, number: u16) -> u16 {
    let tier = u16::from(tier.as_bytes()[0] - b'a');
    1000 + tier * 100 + number
}

/// The first port of the target behind a port.
fn first_port(port: u16) -> u16 {
    port - port / ELSEWHERE % 2 * ELSEWHERE
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

    /// These targets are, or will be, in force.
    pub(super) fn know(&mut self, plan: &Plan) {
        for tier in &plan.tiers {
            for target in &tier.targets {
                let new = || Account::new(&tier.name, &target.id, tier.protocol);
                self.accounts.entry(port_of_id(&target.id)).or_insert_with(new);
            }
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
                    let account = self.accounts.get_mut(&port).unwrap();
                    account.offered += 1;
                    if account.fates.is_empty() {
                        let mut targets = routes.targets.iter();
                        let target = targets.find(|t| t.plan.id == member.id);
                        account.keeps_all = target.is_some_and(|t| t.resend_bytes() >= KEEPS_ALL);
                        account.jumbles |= target.is_some_and(|t| t.live_first);
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
            let Some(account) = self.accounts.get_mut(&first_port(port)) else {
                self.fault(format!("{sample:?} was sent to port {port}, where nothing belongs"));
                continue;
            };
            account.taken += 1;
            let Some(account) = self.owner(port, sample) else { continue };
            if let Err(fault) = account.take(sample, on) {
                self.fault(fault);
            }
        }
    }

    /// Who was given a sample that is sent to a port: the target there, or one that it may have come from.
    fn owner(&mut self, port: u16, sample: Sample) -> Option<&mut Account> {
        let port = first_port(port);
        let account = self.accounts.get(&port)?;
        let (has_it, is_pooled) =
            (account.fates.contains_key(&sample), self.pooled.contains(&account.tier));
        if has_it || !is_pooled {
            return self.accounts.get_mut(&port);
        }
        let tier = account.tier.clone();
        let mut others = self.accounts.values_mut().filter(|other| other.tier == tier);
        others.find(|other| other.fates.contains_key(&sample))
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
            let account = self.owner(port, sample);
            match account.and_then(|account| account.fates.get_mut(&sample)) {
                Some(fate) => *count(fate) += 1,
                None => {
                    self.fault(format!("{sample:?} is at port {port}, where it does not belong"))
                }
            }
        }
    }

    /// Holds the ledger of the present life against what was seen.
    pub(super) fn live(&mut self, ledger: &Ledger, served: &Served) {
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
        for account in self.accounts.values_mut() {
            let row = row(ledger, account);
            let serves = served.contains(&(account.tier.clone(), account.id.clone()));
            faults.extend(account.holds(row.as_ref()));
            faults.extend(account.find(row.as_ref(), serves));
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    /// A life ends; `ledger` is its last one, and so much on disk is not safe, by tier and id.
    pub(super) fn end_life(
        &mut self,
        ledger: &Ledger,
        end: End,
        at_risk: &BTreeMap<(String, String), u64>,
    ) {
        let mut faults = Vec::new();
        for account in self.accounts.values_mut() {
            if let Some(row) = row(ledger, account) {
                if end == End::Stop && row.queued + row.in_flight > 0 {
                    faults.push(format!("held behind the end:\n{}", target_shown(&row)));
                }
                let at_risk = at_risk.get(&(account.tier.clone(), account.id.clone()));
                account.end(&row, end, at_risk.copied().unwrap_or(0), self.calm);
            }
            account.over(end);
        }
        (self.decoded, self.filtered, self.unroutable) = (0, 0, 0);
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    /// Nothing is held any more, anywhere.
    pub(super) fn settle(&mut self, violent: bool) {
        let mut faults = Vec::new();
        let mut pools: BTreeMap<&str, Pool> = BTreeMap::new();
        for account in self.accounts.values() {
            faults.extend(account.misplaced());
            let is_pooled = self.pooled.contains(&account.tier);
            let name = if is_pooled { &account.tier } else { &account.id };
            pools.entry(name).or_default().add(account);
        }
        faults.extend(pools.into_iter().flat_map(|(name, pool)| pool.settle(name, violent)));
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    pub(super) fn samples(&self) -> usize {
        self.accounts.values().map(|account| account.fates.len()).sum()
    }

    pub(super) fn account(&mut self, target: &Target) -> Option<&mut Account> {
        self.accounts.values_mut().find(|account| account.id == target.plan.id)
    }
}

fn samples_shown(samples: &[Sample]) -> String {
    let shown = samples.iter().map(|sample| format!("{}:{}", sample.key, sample.number));
    shown.collect::<Vec<_>>().join(" ")
}
