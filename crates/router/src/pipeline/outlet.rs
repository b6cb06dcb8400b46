//! The open chunks of a shard, one for each target, and when each is handed over.
//!
//! To hand a chunk over costs as much as to route dozens of lines, so it should hold many: it leaves when it
//! is full; when its target was last fed a while ago, which is at once on a quiet target; and, as long as
//! there is always more to read, only after a longer while. What stays open is counted as held by its target.

use std::{sync::Arc, time::Duration};

use crate::{
    chunk::OpenChunk,
    plan::TargetProtocol,
    routes::Routes,
    target::{Target, queue::Feeder},
};
use tokio::time::Instant;

/// A chunk of so many bytes is full.
const FULL_BYTES: usize = 16 * 1024;

/// A target is fed so often at most by one shard, but for full chunks.
pub(crate) const LINGER: Duration = Duration::from_millis(1);

/// The same where many targets are fed at once, for each of them: to hand a chunk over and send it takes 4 to
/// 5 microseconds, a quarter of the time at most.
const LINGER_EACH: Duration = Duration::from_micros(20);

/// The same at most.
const LINGER_MANY: Duration = Duration::from_millis(20);

/// The same while each read finds as much as it may take: what comes is late already.
const LINGER_BUSY: Duration = Duration::from_millis(50);

/// The open chunks of a shard.
#[derive(Debug)]
pub(super) struct Outlet {
    /// One for each slot.
    places: Vec<Place>,
    /// Slots whose chunk is not empty.
    filling: Vec<usize>,
    /// When a batch last ended that had read as much as it could.
    busy_at: Option<Instant>,
}

/// A target's open chunk.
#[derive(Debug)]
struct Place {
    open: OpenChunk,
    /// Samples in it that its target knows of.
    counted: u64,
    /// It stands in `filling`.
    listed: bool,
    /// Never waits: its target takes both lines and datagrams, which cannot stand in one chunk.
    at_once: bool,
    /// Who fed it; a stream, if one did.
    feeder: Feeder,
    /// When the target was last fed.
    fed_at: Option<Instant>,
}

impl Outlet {
    pub(super) fn new(targets: &[Arc<Target>]) -> Self {
        let place = |target: &Arc<Target>| Place {
            open: OpenChunk::new(target.datagram_bytes_max),
            counted: 0,
            listed: false,
            at_once: target.protocol == TargetProtocol::Embedded,
            feeder: Feeder::Datagram,
            fed_at: None,
        };
        let places = targets.iter().map(place).collect();
        Self { places, filling: Vec::with_capacity(targets.len()), busy_at: None }
    }

    /// The open chunk of a slot, to append to.
    #[inline]
    pub(super) fn chunk(&mut self, slot: usize) -> Option<&mut OpenChunk> {
        let place = self.places.get_mut(slot)?;
        if !place.listed {
            place.listed = true;
            self.filling.push(slot);
        }
        Some(&mut place.open)
    }

    /// Samples in the open chunk of a slot.
    pub(super) fn samples(&self, slot: usize) -> u64 {
        self.places.get(slot).map_or(0, |place| place.open.samples())
    }

    /// Nothing waits to be handed over.
    pub(super) fn is_empty(&self) -> bool {
        self.filling.is_empty()
    }

    /// Ends a batch: tells each target what is new for it, and hands over what is due. The caller holds the
    /// gate.
    ///
    /// `more`: the read took as much as it could. `full` gets the slots that the batch has fed and whose queue
    /// is full, if a stream can wait for them.
    pub(super) fn end_batch(
        &mut self,
        routes: &Routes,
        feeder: Feeder,
        more: bool,
        full: &mut Vec<usize>,
    ) {
        let now = Instant::now();
        self.busy_at = more.then_some(now);
        let linger = self.linger(more);
        self.visit(routes, |slot, place, target| {
            let new = place.count(target, feeder);
            let is_full = if place.is_due(now, linger) {
                place.hand_over(target, now)
            } else {
                target.queue.holds_back()
            };
            if is_full && new > 0 && feeder == Feeder::Stream {
                full.push(slot);
            }
        });
    }

    /// Hands over what has waited long enough, when no batch may come for a while. The caller holds the gate.
    pub(super) fn hand_over_due(&mut self, routes: &Routes) {
        let now = Instant::now();
        let busy = self.busy_at.is_some_and(|at| now - at < LINGER);
        let linger = self.linger(busy);
        self.visit(routes, |_, place, target| {
            if place.is_due(now, linger) {
                place.hand_over(target, now);
            }
        });
    }

    /// How long ago a target must have been fed to be fed again.
    fn linger(&self, busy: bool) -> Duration {
        let targets = u32::try_from(self.filling.len()).unwrap_or(u32::MAX);
        if busy {
            LINGER_BUSY
        } else {
            LINGER_EACH.saturating_mul(targets).clamp(LINGER, LINGER_MANY)
        }
    }

    /// Hands over everything. The caller holds the gate.
    pub(super) fn hand_over_all(&mut self, routes: &Routes) {
        let now = Instant::now();
        self.visit(routes, |_, place, target| _ = place.hand_over(target, now));
    }

    /// Calls `visit` for each chunk that is open, and forgets those that are empty afterwards.
    fn visit(&mut self, routes: &Routes, mut visit: impl FnMut(usize, &mut Place, &Target)) {
        let Self { places, filling, .. } = self;
        filling.retain(|&slot| {
            let (Some(place), Some(target)) = (places.get_mut(slot), routes.targets.get(slot))
            else {
                return false;
            };
            visit(slot, place, target);
            place.listed = !place.open.is_empty();
            place.listed
        });
    }
}

impl Place {
    /// Tells the target of the samples that came since it was told last, and returns their number.
    fn count(&mut self, target: &Target, feeder: Feeder) -> u64 {
        let new = self.open.samples() - self.counted;
        self.counted += new;
        target.fill(new);
        if new > 0 && feeder == Feeder::Stream {
            self.feeder = feeder;
        }
        new
    }

    fn is_due(&self, now: Instant, linger: Duration) -> bool {
        self.at_once
            || self.open.chunk.bytes.len() >= FULL_BYTES
            || self.fed_at.is_none_or(|at| now - at >= linger)
    }

    /// Gives the target all that is in the chunk; `true` if its queue is full and a stream should wait.
    fn hand_over(&mut self, target: &Target, now: Instant) -> bool {
        self.open.finish();
        let feeder = std::mem::replace(&mut self.feeder, Feeder::Datagram);
        (self.counted, self.fed_at) = (0, Some(now));
        !self.open.chunk.is_empty() && target.offer(&mut self.open.chunk, feeder)
    }
}
