//! A few lines that are routed together, so that what the tables say of each is waited for at once.

use coco_ring::Key;
use coco_wire::line::Line;

/// Lines in a block: as many cache misses as a core can wait for at once, twice over.
const LINES_MAX: usize = 32;

/// A line on its way to its owners.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    pub(super) line: Line<'a>,
    /// Its key, unless that had to be put together from sorted tags.
    pub(super) key: Option<Key<'a>>,
    /// What the census says: how many series it stands for if it is new.
    pub(super) weight: Option<u64>,
}

/// Lines to be routed together.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pending: [Option<Pending<'a>>; LINES_MAX],
    len: usize,
}

impl Default for Block<'_> {
    fn default() -> Self {
        Self { pending: [const { None }; LINES_MAX], len: 0 }
    }
}

impl<'a> Block<'a> {
    /// Adds a line; the caller routes the block when it is full.
    #[inline]
    pub(super) fn push(&mut self, line: Line<'a>, key: Option<Key<'a>>) {
        if let Some(place) = self.pending.get_mut(self.len) {
            *place = Some(Pending { line, key, weight: None });
            self.len += 1;
        }
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.len == LINES_MAX
    }

    /// The keys that are known.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key<'a>> {
        self.pending.iter().take(self.len).flatten().filter_map(|pending| pending.key.as_ref())
    }

    /// Asks the census for each key that is known.
    pub(super) fn weigh(&mut self, mut see: impl FnMut(u64) -> Option<u64>) {
        for pending in self.pending.iter_mut().take(self.len).flatten() {
            pending.weight = pending.key.as_ref().and_then(|key| see(key.xxh3()));
        }
    }

    /// Empties the block.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Pending<'a>> {
        let len = std::mem::take(&mut self.len);
        self.pending.iter_mut().take(len).filter_map(Option::take)
    }
}
