//! A set of series, asked by all shards at once: fingerprints, each with the tick when it was last seen.
//!
//! Asking takes no lock; adding does. The set begins small and doubles when it is half full, so that what
//! few series need stays in a core's cache. A larger table begins empty: series come over as they are seen
//! again, and until then the older tables know them.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Entries of the first table: 128 KiB.
const ENTRIES_MIN: usize = 1 << 14;

const TICK_BITS: u32 = 24;
const TICK_MASK: u64 = (1 << TICK_BITS) - 1;

/// What a set says of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Before,
    /// From now on it is in the set.
    New,
    /// It is not, and there is no room for it.
    Full,
}

/// An insert-only set of up to `len_max` series.
#[derive(Debug)]
pub(super) struct SeenSet {
    /// Each twice as large as the one before.
    tables: Vec<OnceLock<Table>>,
    /// Position of the one in use, the largest that there is.
    newest: AtomicUsize,
    len: AtomicUsize,
    /// Of them in the newest table.
    newest_len: AtomicUsize,
    len_max: usize,
    adding: Mutex<()>,
}

impl SeenSet {
    pub(super) fn new(len_max: usize) -> Self {
        let entries_max = (2 * len_max).next_power_of_two();
        let first = entries_max.min(ENTRIES_MIN);
        let count = (entries_max / first).trailing_zeros() as usize + 1;
        let tables: Vec<_> = (0..count).map(|_| OnceLock::new()).collect();
        if let Some(table) = tables.first() {
            table.get_or_init(|| Table::new(first));
        }
        let [newest, len, newest_len] = [const { AtomicUsize::new(0) }; 3];
        Self { tables, newest, len, newest_len, len_max, adding: Mutex::new(()) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.len.load(Ordering::Relaxed) >= self.len_max
    }

    /// Series in the set.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.len.load(Ordering::Relaxed)).unwrap_or(u64::MAX)
    }

    /// Marks a series as seen, and adds it if it is new and there is room.
    #[inline]
    pub(super) fn see(&self, hash: u64, tick: u64) -> Seen {
        let newest = self.tables.get(self.newest.load(Ordering::Acquire));
        match newest.and_then(OnceLock::get) {
            Some(table) if table.mark(hash, tick) => Seen::Before,
            _ if self.is_full() && !self.is_in_older(hash) => Seen::Full,
            _ => self.add(hash, tick),
        }
    }

    /// Only an older table knows the series.
    fn is_in_older(&self, hash: u64) -> bool {
        let all_in_newest =
            self.newest_len.load(Ordering::Relaxed) == self.len.load(Ordering::Relaxed);
        !all_in_newest && self.made().rev().skip(1).any(|older| older.find(hash).is_some())
    }

    /// When a series was last seen.
    pub(super) fn tick_of(&self, hash: u64) -> Option<u64> {
        let found = |table: &Table| table.find(hash).map(|entry| entry.load(Ordering::Relaxed));
        // The newest that knows it was asked last.
        self.made().rev().find_map(found).map(|entry| entry & TICK_MASK)
    }

    /// The tables that there are, the smallest first.
    fn made(&self) -> impl DoubleEndedIterator<Item = &Table> {
        self.tables.iter().filter_map(OnceLock::get)
    }

    #[cold]
    fn add(&self, hash: u64, tick: u64) -> Seen {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(table) = self.made().next_back() else { return Seen::Full };
        if table.mark(hash, tick) {
            return Seen::Before;
        }
        let known = self.is_in_older(hash);
        if !known {
            if self.is_full() {
                return Seen::Full;
            }
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        table.add(hash, tick);
        self.newest_len.fetch_add(1, Ordering::Relaxed);
        if 2 * self.len.load(Ordering::Relaxed) > table.0.len() {
            self.grow(2 * table.0.len());
        }
        if known { Seen::Before } else { Seen::New }
    }

    /// Begins a table of so many entries; the last one is large enough for all.
    fn grow(&self, entries: usize) {
        let next = self.newest.load(Ordering::Relaxed) + 1;
        if let Some(table) = self.tables.get(next) {
            table.get_or_init(|| Table::new(entries));
            self.newest_len.store(0, Ordering::Relaxed);
            self.newest.store(next, Ordering::Release);
        }
    }
}

/// An open-addressing table, at most half full, so that a probe ends after one or two entries.
///
/// An entry is 40 bits of the hash and a 24-bit tick; the position gives more bits of the hash.
#[derive(Debug)]
struct Table(Box<[AtomicU64]>);

impl Table {
    fn new(entries: usize) -> Self {
        // `vec![0; n]` asks for zeroed pages: memory is taken as it is used.
        Self(vec![0; entries].into_iter().map(AtomicU64::new).collect())
    }

    /// Sets the tick of a series, if it is there.
    #[inline]
    fn mark(&self, hash: u64, tick: u64) -> bool {
        let Some(entry) = self.find(hash) else { return false };
        let wanted = entry_of(hash, tick);
        // A store makes the other shards fetch the line again.
        if entry.load(Ordering::Relaxed) != wanted {
            entry.store(wanted, Ordering::Relaxed);
        }
        true
    }

    /// The entry of a series, if it is there.
    #[inline]
    fn find(&self, hash: u64) -> Option<&AtomicU64> {
        let is_it = |entry: u64| entry & !TICK_MASK == entry_of(hash, 0);
        // Nearly always in its own place.
        let own = self.0.get(self.place(hash))?;
        match own.load(Ordering::Relaxed) {
            entry if is_it(entry) => Some(own),
            0 => None,
            _ => {
                let taken = |entry: &&AtomicU64| entry.load(Ordering::Relaxed) != 0;
                self.probe(hash)
                    .take_while(taken)
                    .find(|entry| is_it(entry.load(Ordering::Relaxed)))
            }
        }
    }

    /// Adds a series that is not there. The caller sees to it that nobody else does.
    fn add(&self, hash: u64, tick: u64) {
        let free = self.probe(hash).find(|entry| entry.load(Ordering::Relaxed) == 0);
        if let Some(entry) = free {
            entry.store(entry_of(hash, tick), Ordering::Relaxed);
        }
    }

    /// A hash's own place; it stands there, or behind it where that was taken.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        usize::try_from(hash & 0xffff_ffff).unwrap_or(0) & (self.0.len() - 1)
    }

    /// The entries a hash may stand in, from its own place on.
    fn probe(&self, hash: u64) -> impl Iterator<Item = &AtomicU64> {
        let (before, behind) = self.0.split_at(self.place(hash));
        behind.iter().chain(before)
    }
}

/// A fingerprint and a tick; never 0, which is a free entry.
#[inline]
fn entry_of(hash: u64, tick: u64) -> u64 {
    (hash & !TICK_MASK).max(1 << TICK_BITS) | (tick & TICK_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u64 {
        twox_hash::XxHash3_64::oneshot(&n.to_le_bytes())
    }

    #[test]
    fn a_series_is_new_once_however_the_set_grows() {
        let set = SeenSet::new(100_000);
        for n in 0..60_000 {
            assert_eq!(set.see(hash(n), 1), Seen::New, "{n}");
            // Now and then an old one, which may be known to an older table only.
            assert_eq!(set.see(hash(n / 7), 2), Seen::Before, "{n}");
        }
        assert_eq!(set.made().count(), 4, "16 Ki entries and three doublings");
        assert_eq!((set.tick_of(hash(59_999)), set.tick_of(hash(3))), (Some(1), Some(2)));
        assert!((0..60_000).all(|n| set.see(hash(n), 3) == Seen::Before));
        assert_eq!((set.len(), set.is_full()), (60_000, false));
    }

    #[test]
    fn many_shards_add_each_series_once() {
        let set = SeenSet::new(100_000);
        let new = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for shard in 0..4 {
                let (set, new) = (&set, &new);
                scope.spawn(move || {
                    for n in (0..50_000).map(|n| (n + shard * 10_000) % 50_000) {
                        new.fetch_add(
                            usize::from(set.see(hash(n), 1) == Seen::New),
                            Ordering::Relaxed,
                        );
                    }
                });
            }
        });
        assert_eq!((new.into_inner(), set.len()), (50_000, 50_000));
    }
}
