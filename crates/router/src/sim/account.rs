//! What the checker knows of one target over all lives of the router.

use std::collections::BTreeMap;

use super::{check::End, rows::target_shown, sample::Sample};
use crate::{ledger::TargetFates, plan::TargetProtocol};

/// One target over all lives of the router, whatever its address.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) tier: String,
    pub(super) id: String,
    pub(super) protocol: TargetProtocol,
    /// Of the samples that a shard gave it, wherever they went from there.
    pub(super) fates: BTreeMap<Sample, Fate>,
    /// The order of what was taken for the first time.
    order: Order,
    /// Two workers may serve it at once: a reload took it out and brought it back, or changed it.
    pub(super) unordered: bool,
    /// Not even on one connection is there an order: what comes now goes first, or others' samples came to it.
    pub(super) jumbles: bool,
    /// Copies offered and taken in the present life.
    pub(super) offered: u64,
    pub(super) taken: u64,
    /// What the ledger of the present life has said that it found on disk.
    found: u64,
    /// More bytes are kept of what was written than a connection takes before they are read.
    pub(super) keeps_all: bool,
    /// Some of what is on disk could not be synced, by this life or one before.
    pub(super) unsynced: bool,
    /// What earlier lives left on disk, and nobody has found since.
    left: Left,
    /// A chunk is half written, and younger ones are on disk: at a stop it goes behind them.
    pub(super) stuck: bool,
    /// Up to these numbers a key may be out of order: it was held when that happened.
    jumbled: BTreeMap<u32, u32>,
    /// What may be missing, or have come twice, and why.
    pub(super) sums: Sums,
}

/// What became of a sample.
#[derive(Debug, Default)]
pub(super) struct Fate {
    pub(super) taken: u32,
    pub(super) arrived: u32,
    pub(super) lost: u32,
}

/// What lies on disk between two lives, or longer: a target may be in no plan meanwhile.
#[derive(Debug, Default)]
struct Left {
    samples: u64,
    /// Of them a crash of the machine may take so many.
    at_risk: u64,
    /// Of them a crash may have taken so many.
    gone: u64,
    /// The worst end since anybody looked.
    end: Option<End>,
}

/// What may be missing, or have come twice, and why.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sums {
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
    /// Sent, in doubt, and held again.
    held_again: u64,
    /// Not safe on disk when the machine crashed.
    unsafe_on_disk: u64,
    /// On disk still.
    left: u64,
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

impl Account {
    pub(super) fn new(tier: &str, id: &str, protocol: TargetProtocol) -> Self {
        Self {
            tier: tier.to_owned(),
            id: id.to_owned(),
            protocol,
            fates: BTreeMap::new(),
            order: Order::default(),
            unordered: false,
            jumbles: false,
            offered: 0,
            taken: 0,
            found: 0,
            keeps_all: false,
            unsynced: false,
            left: Left::default(),
            stuck: false,
            jumbled: BTreeMap::new(),
            sums: Sums::default(),
        }
    }

    /// A sample that was given to it is taken, by it or by an owner that it went on to.
    pub(super) fn take(&mut self, sample: Sample, on: &mut Order) -> Result<(), String> {
        let Some(fate) = self.fates.get_mut(&sample) else {
            return Err(format!("{}: {sample:?} was never offered to it", self.id));
        };
        fate.taken += 1;
        let is_first = fate.taken == 1;
        self.sums.duplicates += u64::from(!is_first);
        let is_old = self.jumbled.get(&sample.key).is_some_and(|&number| sample.number <= number);
        if is_old || self.jumbles {
            return Ok(());
        }
        let fault = on.follow(&[sample]).or_else(|| match is_first && !self.unordered {
            true => self.order.follow(&[sample]),
            false => None,
        });
        fault.map_or(Ok(()), |fault| Err(format!("{}: {fault}", self.id)))
    }

    /// Its row in the ledger says what was seen.
    pub(super) fn holds(&self, row: Option<&TargetFates>) -> Option<String> {
        let (offered, taken, id) = (self.offered, self.taken, &self.id);
        let Some(row) = row else {
            return (offered > 0).then(|| format!("{id}: offered {offered}, but no row"));
        };
        let is_stream = matches!(self.protocol, TargetProtocol::LineTcp | TargetProtocol::Pickle);
        // What a connection took in the middle of a chunk is settled with the chunk.
        let unsettled = if is_stream { row.in_flight + row.spooled } else { 0 };
        let sent = row.sent + row.resent;
        let good = row.offered == offered && (sent..=sent + unsettled).contains(&taken);
        (!good)
            .then(|| format!("{id}: offered {offered}, taken {taken}, but\n{}", target_shown(row)))
    }

    /// Looks whether what was left on disk has been found: it is, if somebody `serves` it.
    pub(super) fn find(&mut self, row: Option<&TargetFates>, serves: bool) -> Option<String> {
        let all = row.map_or(0, |row| row.recovered);
        let found = all - std::mem::replace(&mut self.found, all);
        if found == 0 && !(serves && (self.left.samples > 0 || self.left.end.is_some())) {
            return None;
        }
        let Left { samples, gone, end, .. } = std::mem::take(&mut self.left);
        // How far it was sent is not safe on disk at once; and what has left in part is read again.
        let more = found.saturating_sub(samples);
        self.sums.may_repeat += if end == Some(End::Crash) { found } else { more };
        if more > 0 || end.is_some_and(|end| end != End::Stop) {
            self.order = Order::default();
        }
        (samples > found + gone).then(|| {
            let id = &self.id;
            format!("{id}: {samples} left on disk ({end:?}), {found} found, {gone} may be gone")
        })
    }

    /// A life ends, and this is its last row; of what is on disk so much is not safe.
    pub(super) fn end(&mut self, row: &TargetFates, end: End, at_risk: u64, calm: bool) {
        let sums = &mut self.sums;
        sums.shed += row.shed();
        sums.may_repeat += row.resent;
        sums.resent += row.resent;
        // Once nothing goes wrong any more, all windows have arrived.
        sums.in_doubt += if calm { row.left_in_doubt } else { row.in_doubt };
        sums.held_again += row.inherited;
        sums.in_memory += row.queued + row.in_flight;
        if end != End::Stop {
            // Of a chunk that was half written.
            let unsettled = self.taken.saturating_sub(row.sent + row.resent);
            sums.may_repeat += unsettled;
            sums.in_doubt += unsettled;
        }
        if std::mem::take(&mut self.stuck) && end == End::Stop {
            self.jumble();
        }
        self.left.samples += row.spooled;
        self.left.at_risk += if self.unsynced { row.spooled } else { at_risk };
        self.left.end = self.left.end.max(Some(end));
    }

    /// Its worker ends before it has sent all: what it has begun to write goes behind what is on disk.
    pub(super) fn jumble(&mut self) {
        self.jumbled = self.fates.keys().map(|s| (s.key, s.number)).collect();
    }

    /// The router is no more, with or without its machine.
    pub(super) fn over(&mut self, end: End) {
        (self.offered, self.taken, self.found) = (0, 0, 0);
        if end == End::Crash {
            let gone = std::mem::take(&mut self.left.at_risk);
            self.left.gone += gone;
            self.left.end = Some(end);
            self.sums.unsafe_on_disk += gone;
            // What is there now is safe.
            self.unsynced = false;
        }
    }

    /// Nothing is held any more: all has its place. Tells the samples that are nowhere.
    pub(super) fn misplaced(&self) -> Option<String> {
        let is_off = |fate: &Fate| fate.taken != fate.arrived + fate.lost;
        let mut off = self.fates.iter().filter(|(_, fate)| is_off(fate));
        let (sample, fate) = off.next()?;
        Some(format!("{}: {sample:?} and {} more are nowhere: {fate:?}", self.id, off.count()))
    }

    /// Samples that were taken, and did not arrive.
    pub(super) fn lost(&self) -> u64 {
        let is_lost = |fate: &&Fate| fate.taken > 0 && fate.arrived == 0;
        self.fates.values().filter(is_lost).count() as u64
    }

    pub(super) fn missing(&self) -> u64 {
        self.fates.values().filter(|fate| fate.taken == 0).count() as u64
    }

    pub(super) fn sums(&self) -> Sums {
        Sums { left: self.left.samples, ..self.sums }
    }
}

impl Sums {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            duplicates: self.duplicates + other.duplicates,
            may_repeat: self.may_repeat + other.may_repeat,
            shed: self.shed + other.shed,
            in_memory: self.in_memory + other.in_memory,
            resent: self.resent + other.resent,
            in_doubt: self.in_doubt + other.in_doubt,
            held_again: self.held_again + other.held_again,
            unsafe_on_disk: self.unsafe_on_disk + other.unsafe_on_disk,
            left: self.left + other.left,
        }
    }

    /// What the router has given up, or holds.
    fn not_sent(&self) -> u64 {
        self.shed + self.in_memory + self.unsafe_on_disk + self.left
    }

    /// What got lost with connections must have been in doubt.
    pub(super) fn settle_lost(&self, id: &str, lost: u64) -> Option<String> {
        // What is held again is not in doubt any more, but it may not get away either.
        let may = self.in_doubt + self.held_again.min(self.not_sent());
        (lost > may)
            .then(|| format!("{id}: {lost} got lost with connections, at most {may} may; {self:?}"))
    }

    /// So many `missing` samples are explained, and so are those that came twice.
    pub(super) fn settle(&self, id: &str, missing: u64, violent: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let most = self.not_sent();
        let least = match violent {
            true => 0,
            // What is on disk or shed may have been sent before.
            false => (self.left + self.shed).saturating_sub(self.may_repeat - self.resent),
        };
        if !(least..=most).contains(&missing) {
            faults.push(format!("{id}: {missing} are missing, not {least} to {most}; {self:?}"));
        }
        if self.duplicates > self.may_repeat {
            let (came, may) = (self.duplicates, self.may_repeat);
            faults.push(format!("{id}: {came} came twice, but at most {may} may; {self:?}"));
        }
        faults
    }
}
