//! Recovery: what a folder holds becomes a spool.
//!
//! Invariant: no segment of an earlier life is written again, so a torn end is never in the middle of a
//! file. Only heads and the last segment are read, whatever the folder holds. Damage is not an error.

use std::{collections::VecDeque, io, path::PathBuf, sync::Arc};

use super::{Reader, Segment, Spool, Times};
use crate::{
    Budget, Config, Counts, Name, Now, Sync,
    disk::{Disk, DiskFile},
    position::{Mark, Tally},
    scan::Window,
    segment::file_of,
    survey::{Found, Survey, survey, tail},
};

impl<D: Disk> Spool<D> {
    pub(crate) fn recover(
        disk: D,
        lock: Arc<D::Lock>,
        budget: Arc<Budget>,
        folder: PathBuf,
        name: &Name,
        config: Config,
        now: Now,
    ) -> io::Result<Self> {
        let (digest, begun) = (name.digest(), now.monotonic);
        let found = survey(&disk, &folder, digest)?;
        let mut spool = Self {
            disk,
            _lock: lock,
            budget,
            folder,
            name: name.clone(),
            digest,
            config,
            segments: VecDeque::new(),
            active: None,
            next_number: 0,
            bytes: 0,
            end: Tally::default(),
            acked: Mark::default(),
            saved: found.position,
            synced: Tally::default(),
            cursor: Mark::default(),
            skips: VecDeque::new(),
            unacked: VecDeque::new(),
            oldest: None,
            reader: Reader { open: None, window: Window::default(), failures: 0 },
            scratch: Vec::new(),
            ends: Vec::new(),
            counts: Counts { foreign: found.foreign, ..Counts::default() },
            times: Times { synced: begun, saved: begun, appended: begun, retry: None },
        };
        spool.take(found)?;
        Ok(spool)
    }

    fn take(&mut self, found: Survey) -> io::Result<()> {
        let position = found.position.unwrap_or_default();
        // The life before may have renamed the position and ended, or failed, before it synced that. What
        // is unlinked below must not be gone while the position is the old one after a crash.
        self.disk.sync_folder(&self.folder)?;
        // Above all that was ever given: the position may be ahead of the files.
        self.next_number = found.highest.max(position.segment).saturating_add(1);
        for torn in &found.torn {
            self.counts.torn_bytes += torn.bytes;
            // One that stays is found again at the next start.
            self.unlink_segment(torn.number).ok();
        }
        let mut rest = found.segments.into_iter().peekable();
        while let Some(old) = rest.next_if(|segment| segment.number < position.segment) {
            // Acknowledged before the crash took back the unlink. One that stays is found again.
            self.unlink_segment(old.number).ok();
        }
        let rest: Vec<Found> = rest.collect();
        self.acked = start(&rest, position);
        self.end = self.acked.tally;
        if let Some((last, closed)) = rest.split_last() {
            closed.iter().for_each(|found| self.hold(found, found.bytes, found.bytes));
            self.take_last(last)?;
        }
        self.cursor = self.acked;
        self.synced = self.end;
        self.counts.recovered = self.end.sample.saturating_sub(self.acked.tally.sample);
        Ok(())
    }

    /// Scans the last segment, cuts off what follows its last intact record, and syncs it.
    fn take_last(&mut self, last: &Found) -> io::Result<()> {
        let from = if self.acked.segment == last.number { self.acked } else { last.start };
        let scanned = tail(&self.disk, &self.folder, self.digest, last, from)?;
        self.end = self.end.max(scanned.end.tally);
        let end = scanned.end.offset.max(from.offset);
        let file = self.disk.open(&self.folder.join(file_of(last.number)), true);
        let mut bytes = last.bytes;
        // If it cannot be cut, its length is remembered; the next start sees it as damage.
        if end < bytes && file.as_ref().is_ok_and(|file| file.truncate(end).is_ok()) {
            self.counts.torn_bytes += bytes - end;
            self.counts.torn_samples += scanned.torn_samples;
            bytes = end;
        }
        // The life that wrote it may have ended before it synced.
        if self.config.sync != Sync::Never && file.and_then(|file| file.sync_data()).is_err() {
            self.counts.sync_errors += 1;
            self.counts.unsynced += self.end.sample.saturating_sub(from.tally.sample);
        }
        self.hold(last, end, bytes);
        Ok(())
    }

    fn hold(&mut self, found: &Found, end: u64, bytes: u64) {
        self.bytes += bytes;
        // Given back when the spool is dropped, also if opening fails after this.
        self.budget.add(bytes);
        self.segments.push_back(Segment { number: found.number, start: found.start, end, bytes });
    }
}

/// Where reading goes on: at the saved position, or what is left of it.
fn start(segments: &[Found], position: Mark) -> Mark {
    match segments.first() {
        Some(first) if first.number == position.segment => {
            let offset =
                position.offset.clamp(first.start.offset, first.bytes.max(first.start.offset));
            Mark { offset, tally: position.tally.max(first.start.tally), ..position }
        }
        // What lies between was acknowledged, or taken away by others: it was never recovered.
        Some(first) => Mark { tally: first.start.tally.max(position.tally), ..first.start },
        None => position,
    }
}
