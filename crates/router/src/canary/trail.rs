//! One copy of a canary from its owner's queue to its fate.
//!
//! A chunk carries no names, and nothing is added to it for this. So a fate is told from what the target has
//! counted and holds, read while the gate is shut. Its chunk was offered to the queue with the batch in which
//! the canary came. From then on:
//!
//! 1. If the target has shed anything, it may have been the canary: *shed*.
//! 2. If nothing waits in the queue, in flight or on disk, nothing was shed, and nothing has gone on to another
//!    target or process, the canary was *sent*. That needs no order.
//! 3. A target under load always holds something. So if nothing is on disk, it is marked how many samples were
//!    sent and how many wait: the canary is one of those, or was sent before. What waits in a queue goes in
//!    order, so when as many were sent as waited, the canary was *sent*. What is in open chunks does not
//!    count: it comes behind.
//! 4. Order ends where samples come in from the side or leave for the disk. If any did, the mark is void, and
//!    there is a new one when the disk is empty again. So it is where a reload has left two holders of the
//!    target's name, which count together.
//!
//! So *sent* is never said of what was not; *held* may be said too long, until somebody asks twice.

use super::{CanarySeen, TargetKey};
use crate::{roll::TargetRow, target::spool::Link};

/// What became of a copy of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanaryFate {
    /// Handed to the kernel, or stored.
    Sent,
    /// In memory, as far as is known.
    Held,
    /// Its target has samples on disk, and it is among them or behind them.
    OnDisk,
    /// Dropped on purpose; or something was that came to the same target at the same time.
    Shed,
    /// Taken out by the blacklist.
    Filtered,
    /// No tier can carry it.
    Unroutable,
    /// It could not be read.
    Malformed,
}

impl CanaryFate {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Held => "held",
            Self::OnDisk => "on_disk",
            Self::Shed => "shed",
            Self::Filtered => "filtered",
            Self::Unroutable => "unroutable",
            Self::Malformed => "malformed",
        }
    }
}

/// The owner of a copy, and what that had counted before it was offered the copy.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) tier: String,
    pub(super) target: String,
    pub(super) id: String,
    pub(super) shed: u64,
    /// Samples that went on to another target or process.
    pub(super) gone: u64,
}

/// What a target has counted and holds at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    shed: u64,
    gone: u64,
    sent: u64,
    /// Samples that came in from the side or left for the disk.
    moved: u64,
    /// Samples in the queue and in flight, not those in open chunks.
    waiting: u64,
    on_disk: u64,
    /// More than one holder of this name counts here.
    shared: bool,
}

impl Reading {
    /// The reading of a target; the gate is shut.
    pub(super) fn of(row: &TargetRow) -> Self {
        let meters = &row.meters;
        let held = row.holders.iter().map(|target| target.queue.held());
        Self {
            shed: meters.shed_in_all(),
            gone: meters.rerouted.get() + meters.handed_over.get(),
            sent: meters.sent.get(),
            moved: meters.to_disk.get()
                + meters.recovered.get()
                + meters.inherited.get()
                + meters.taken_over.get(),
            waiting: held.map(|held| held.queued + held.in_flight).sum(),
            on_disk: row.holders.iter().filter_map(|it| it.link.as_ref()).map(Link::held).sum(),
            shared: row.holders.len() > 1,
        }
    }
}

/// When so many will have been sent, all that waited at some moment are.
#[derive(Debug, Clone, Copy)]
struct Mark {
    sent: u64,
    moved: u64,
}

/// One copy of a canary.
#[derive(Debug)]
pub(super) struct Trail {
    protocol: &'static str,
    address: String,
    place: Option<Place>,
    fate: CanaryFate,
    /// The fate may still be another one.
    is_open: bool,
    mark: Option<Mark>,
}

impl Trail {
    /// A copy that came in there; its fate is open if none is given.
    pub(super) fn new(
        protocol: &'static str,
        address: String,
        place: Option<Place>,
        fate: Option<CanaryFate>,
    ) -> Self {
        let (is_open, fate) = (fate.is_none(), fate.unwrap_or(CanaryFate::Held));
        Self { protocol, address, place, fate, is_open, mark: None }
    }

    /// The target that has to be read for its fate.
    pub(super) fn follows(&self) -> Option<TargetKey> {
        let place = self.place.as_ref().filter(|_| self.is_open)?;
        Some((place.tier.clone(), place.target.clone()))
    }

    /// Learns what its target has counted and holds.
    pub(super) fn judge(&mut self, now: &Reading) {
        let Some(place) = self.place.as_ref().filter(|_| self.is_open) else { return };
        let has_gone = now.gone != place.gone;
        let is_valid = |mark: &Mark| mark.moved == now.moved && !now.shared;
        let mark = self.mark.filter(is_valid);
        self.fate = if now.shed != place.shed {
            CanaryFate::Shed
        } else if has_gone {
            CanaryFate::Held
        } else if now.waiting + now.on_disk == 0 || mark.is_some_and(|mark| now.sent >= mark.sent) {
            CanaryFate::Sent
        } else if now.on_disk > 0 {
            CanaryFate::OnDisk
        } else {
            CanaryFate::Held
        };
        self.is_open = matches!(self.fate, CanaryFate::Held | CanaryFate::OnDisk);
        let can_mark = now.on_disk == 0 && !now.shared;
        self.mark = mark.or_else(|| {
            can_mark.then_some(Mark { sent: now.sent + now.waiting, moved: now.moved })
        });
    }

    /// What is known of it.
    pub(super) fn seen(&self) -> CanarySeen {
        let owner = self.place.as_ref();
        CanarySeen {
            protocol: self.protocol,
            address: self.address.clone(),
            owner: owner.map(|it| (it.tier.clone(), it.target.clone(), it.id.clone())),
            fate: self.fate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail() -> Trail {
        let [tier, target, id] = ["t", "a:1", "a"].map(str::to_owned);
        let place = Place { tier, target, id, shed: 3, gone: 0 };
        Trail::new("line-tcp", "127.0.0.1:1".to_owned(), Some(place), None)
    }

    const NOW: Reading =
        Reading { shed: 3, gone: 0, sent: 100, moved: 0, waiting: 10, on_disk: 0, shared: false };

    /// The fate after each of the readings.
    fn fates<const N: usize>(readings: [Reading; N]) -> [CanaryFate; N] {
        let mut trail = trail();
        readings.map(|reading| {
            trail.judge(&reading);
            trail.fate
        })
    }

    use CanaryFate::{Held, OnDisk, Sent, Shed};

    #[test]
    fn it_is_sent_when_nothing_waits_or_as_many_were_sent_as_waited() {
        assert_eq!(fates([Reading { waiting: 0, ..NOW }]), [Sent]);
        let busy = [100, 109, 110].map(|sent| Reading { sent, ..NOW });
        assert_eq!(fates(busy), [Held, Held, Sent]);
    }

    #[test]
    fn a_fate_stays() {
        let shed = Reading { shed: 4, ..NOW };
        assert_eq!(fates([Reading { waiting: 0, ..NOW }, shed]), [Sent, Sent]);
        assert_eq!(fates([shed, Reading { waiting: 0, ..NOW }]), [Shed, Shed]);
        assert_eq!(fates([Reading { waiting: 0, ..shed }]), [Shed], "it may have been this one");
    }

    #[test]
    fn what_went_to_disk_is_sent_when_all_is_or_by_a_new_mark() {
        let on_disk = Reading { waiting: 2, moved: 8, on_disk: 8, ..NOW };
        let most_sent = Reading { sent: 150, on_disk: 3, ..on_disk };
        let all_read = Reading { sent: 153, on_disk: 0, ..on_disk };
        let later = Reading { sent: 155, ..all_read };
        let readings = [NOW, on_disk, most_sent, all_read, later];
        assert_eq!(fates(readings), [Held, OnDisk, OnDisk, Held, Sent]);
        let back_again = Reading { moved: 9, ..later };
        assert_eq!(fates([NOW, all_read, back_again]), [Held, Held, Held]);
    }

    #[test]
    fn what_has_gone_on_is_not_sent() {
        let gone = Reading { gone: 1, waiting: 0, ..NOW };
        assert_eq!(fates([NOW, gone, Reading { sent: 500, ..gone }]), [Held, Held, Held]);
    }

    #[test]
    fn two_holders_of_a_name_count_together() {
        let both = Reading { shared: true, ..NOW };
        let alone = Reading { sent: 200, ..NOW };
        assert_eq!(
            fates([both, Reading { sent: 200, ..both }, alone, Reading { sent: 210, ..NOW }]),
            [Held, Held, Held, Sent]
        );
        assert_eq!(fates([both, Reading { waiting: 0, ..both }]), [Held, Sent]);
    }
}
