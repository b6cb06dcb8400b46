//! Canaries on the data path, while they are looked for.
//!
//! What may be one is routed by itself, and what the data path then counts and appends tells what became of
//! it. So the proof is of the very code that routes, and that code knows nothing of canaries.

use coco_wire::{
    collectd::Decoder,
    line::{self, Line},
};
use memchr::{memchr, memmem, memrchr};

use super::{Pipeline, Source, collectd::identity};
use crate::canary::{CanaryFate, Found, HOST, NAME};

/// Copies of canaries that are followed in one batch: whoever floods with them slows nothing down.
const COPIES_IN_BATCH_MAX: usize = 64;

/// What the data path had counted.
struct Before {
    malformed: u64,
    filtered: u64,
    unroutable: u64,
    unsendable: usize,
    /// Samples in the open chunk of each slot.
    open: Vec<u64>,
}

impl Pipeline {
    /// Routes a batch of lines, each canary among them by itself.
    #[cold]
    pub(super) fn watched_lines(&mut self, batch: &[u8], from: &Source<'_>) {
        let mut rest = batch;
        let mut searched = 0;
        while self.work.canaries.len() < COPIES_IN_BATCH_MAX
            && let Some(at) = find(rest.get(searched..).unwrap_or_default(), NAME)
        {
            let at = searched + at;
            let start = rest.get(..at).and_then(|before| memrchr(b'\n', before));
            let start = start.map_or(0, |end| end + 1);
            let end = rest.get(at..).and_then(|behind| memchr(b'\n', behind));
            let end = end.map_or(rest.len(), |end| at + end + 1);
            let line = rest.get(start..end).unwrap_or_default();
            if is_canary(line) {
                self.all_lines(rest.get(..start).unwrap_or_default(), from);
                self.watch(|pipeline| pipeline.all_lines(line, from));
                rest = rest.get(end..).unwrap_or_default();
                searched = 0;
            } else {
                searched = end;
            }
        }
        self.all_lines(rest, from);
    }

    /// Routes a datagram; it is a canary if all of it is of its host, or if nothing of it can be read and it
    /// has the name of its host.
    #[cold]
    pub(super) fn watched_datagram(&mut self, datagram: &[u8], from: &Source<'_>) {
        if find(datagram, HOST).is_none() {
            return self.any_datagram(datagram, from);
        }
        let items = Decoder::new(datagram);
        let is_ours = items
            .into_iter()
            .all(|item| identity(&item).map_or(true, |identity| identity.host == HOST.as_bytes()));
        if is_ours {
            self.watch(|pipeline| pipeline.any_datagram(datagram, from));
        } else {
            self.any_datagram(datagram, from);
        }
    }

    /// Notes a canary of which the pickle frame is malformed; those that can be read are lines.
    #[cold]
    pub(super) fn watch_pickle(&mut self, frame: &[u8], route: impl FnOnce(&mut Self)) {
        let (malformed, found) = (self.work.tally.malformed(), self.work.canaries.len());
        route(self);
        let is_new = self.work.tally.malformed() > malformed;
        if is_new && self.work.canaries.len() == found && find(frame, NAME).is_some() {
            self.work.canaries.push(Found::Nowhere(CanaryFate::Malformed));
        }
    }

    /// Routes one canary, and notes what became of it.
    fn watch(&mut self, route: impl FnOnce(&mut Self)) {
        let before = self.before();
        route(self);
        let work = &mut self.work;
        let found = &mut work.canaries;
        let first = found.len();
        let more =
            (0..).zip(before.open).map(|(slot, open)| (slot, work.outlet.samples(slot) - open));
        let appended = more.filter(|(_, samples)| *samples > 0);
        found.extend(appended.map(|(slot, samples)| Found::Appended(slot, samples)));
        let unsendable = work.unsendable.get(before.unsendable..).unwrap_or_default();
        found.extend(unsendable.iter().map(|(slot, _)| Found::Unsendable(*slot)));
        if found.len() > first {
            return;
        }
        let tally = &work.tally;
        let fate = if tally.filtered > before.filtered {
            CanaryFate::Filtered
        } else if tally.unroutable > before.unroutable {
            CanaryFate::Unroutable
        } else if tally.malformed() > before.malformed {
            CanaryFate::Malformed
        } else {
            return;
        };
        found.push(Found::Nowhere(fate));
    }

    fn before(&self) -> Before {
        let work = &self.work;
        Before {
            malformed: work.tally.malformed(),
            filtered: work.tally.filtered,
            unroutable: work.tally.unroutable,
            unsendable: work.unsendable.len(),
            open: (0..self.routes.targets.len()).map(|slot| work.outlet.samples(slot)).collect(),
        }
    }
}

fn find(bytes: &[u8], name: &str) -> Option<usize> {
    memmem::find(bytes, name.as_bytes())
}

/// Whether a line, with its end, has the name of a canary; or is none, and begins with it.
fn is_canary(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    match line::parse(text) {
        Ok(Line { name, .. }) => name == NAME.as_bytes(),
        Err(_) => {
            let behind = text.trim_ascii_start().strip_prefix(NAME.as_bytes());
            behind.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
        }
    }
}
