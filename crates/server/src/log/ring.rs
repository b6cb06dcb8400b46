//! The newest lines of the log in bounded memory, one shelf for each level, so that what is only worth knowing
//! pushes out nothing that is wrong.
//!
//! Its lock is held for a copy at the longest. Events are rare: none comes with each sample.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use super::shelf::{Kind, Left, Line, Shelf};

/// What is kept, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Worth knowing.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something is wrong.
    Error,
}

impl Level {
    /// Every level, the worst last.
    pub(crate) const ALL: [Self; 3] = [Self::Info, Self::Warn, Self::Error];

    /// The level of an event; `None` for those that are not kept.
    pub(super) fn of(level: tracing::Level) -> Option<Self> {
        match level {
            tracing::Level::ERROR => Some(Self::Error),
            tracing::Level::WARN => Some(Self::Warn),
            tracing::Level::INFO => Some(Self::Info),
            _ => None,
        }
    }

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What somebody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// This level and those that are worse.
    pub(crate) level: Level,
    /// From this time on, in milliseconds since the Unix epoch; what this process has logged if `None`.
    pub(crate) since: Option<u64>,
}

/// What the ring knows of it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// When the first of the processes began whose lines these are; `None` if it was this one.
    pub(crate) began: Option<u64>,
    /// Lines that are kept of these levels, of any time.
    pub(crate) kept: usize,
    /// From this time on none of their lines is missing; `None` if none is kept.
    pub(crate) oldest: Option<u64>,
    /// Lines of these levels that were overwritten.
    pub(crate) overwritten: u64,
    /// Kinds since then.
    pub(crate) kinds: Vec<(Level, Kind)>,
    /// Lines since then, in the order of time.
    pub(crate) lines: Vec<Line>,
}

/// Of what one process leaves to the next; to be raised when any of its types changes.
const FORMAT: u8 = 1;

/// The newest lines of the log.
#[derive(Debug)]
pub(crate) struct Ring(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    shelves: [Shelf; Level::ALL.len()],
    past: Option<Past>,
}

/// When what is kept began, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
struct Past {
    /// With the first of the processes that have handed over.
    began: u64,
    /// With this process.
    own: u64,
}

impl Ring {
    /// An empty ring.
    pub(super) const fn new() -> Self {
        let shelves = [Shelf::new(Level::Info), Shelf::new(Level::Warn), Shelf::new(Level::Error)];
        Self(Mutex::new(Kept { shelves, past: None }))
    }

    /// Adds a line that was logged at this Unix time in milliseconds.
    pub(super) fn push(&self, level: Level, time: u64, kind: &str, text: &str) {
        for shelf in self.kept().shelves.iter_mut().filter(|shelf| shelf.level == level) {
            shelf.push(time, kind, text);
        }
    }

    /// Lines logged so far at each level.
    pub(crate) fn counts(&self) -> [(Level, u64); Level::ALL.len()] {
        self.kept().shelves.each_ref().map(|shelf| (shelf.level, shelf.count()))
    }

    /// What was asked for.
    pub(crate) fn find(&self, asked: Asked) -> Found {
        let kept = self.kept();
        let mut found = Found { began: kept.past.map(|past| past.began), ..Found::default() };
        let since = asked.since.or(kept.past.map(|past| past.own)).unwrap_or_default();
        // Where lines are missing, what is complete begins with the first that is left.
        let (mut complete, mut oldest) = (None, None);
        for shelf in kept.shelves.iter().filter(|shelf| shelf.level >= asked.level) {
            found.kept += shelf.len();
            found.overwritten += shelf.overwritten();
            found.lines.extend(shelf.lines_since(since));
            found.kinds.extend(shelf.kinds_since(since).map(|kind| (shelf.level, kind)));
            oldest = oldest.into_iter().chain(shelf.oldest()).min();
            if shelf.overwritten() > 0 {
                complete = complete.max(shelf.oldest());
            }
        }
        drop(kept);
        found.oldest = complete.or(oldest);
        found.lines.sort_by_key(|line| line.time);
        found
    }

    /// All of it for the process that takes over; `started` is when this one began, in milliseconds since the
    /// Unix epoch. Empty if that cannot be.
    pub(crate) fn to_bytes(&self, started: u64) -> Vec<u8> {
        let kept = self.kept();
        let began = kept.past.map_or(started, |past| past.began);
        let shelves = kept.shelves.each_ref().map(Shelf::leave);
        postcard::to_stdvec(&(FORMAT, began, shelves)).unwrap_or_default()
    }

    /// Begins with what the process before this one has logged.
    pub(crate) fn inherit(&self, bytes: &[u8]) {
        let read = |bytes| postcard::from_bytes::<(u8, u64, [Left; Level::ALL.len()])>(bytes).ok();
        let Some((_, began, left)) =
            Some(bytes).filter(|bytes| bytes.first() == Some(&FORMAT)).and_then(read)
        else {
            tracing::warn!("the log of the process before this one cannot be read");
            return;
        };
        let mut kept = self.kept();
        let own = kept.shelves.iter().filter_map(Shelf::oldest).min().unwrap_or_else(unix_ms);
        kept.past = Some(Past { began, own });
        kept.shelves.iter_mut().zip(left).for_each(|(shelf, left)| shelf.inherit(left));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time now, in milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{
        super::shelf::{KINDS_MAX, LINES_MAX, OTHER},
        *,
    };

    fn asked(level: Level, since: u64) -> Asked {
        Asked { level, since: Some(since) }
    }

    #[test]
    fn the_next_process_goes_on_with_it() {
        let old = Ring::new();
        (0..2_000).for_each(|time| old.push(Level::Warn, time, "flood", "flood"));
        old.push(Level::Error, 2_500, "refused", "refused why=x");
        let new = Ring::new();
        new.push(Level::Error, 3_000, "refused", "refused why=y");
        new.inherit(&old.to_bytes(7));
        new.push(Level::Error, 4_000, "lost", "lost");
        let found = new.find(asked(Level::Error, 2_000));
        assert_eq!(found.began, Some(7));
        let texts: Vec<_> = found.lines.iter().map(|line| &*line.text).collect();
        assert_eq!(texts, ["refused why=x", "refused why=y", "lost"]);
        let kinds: Vec<_> = found.kinds.iter().map(|(_, k)| (&*k.name, k.count, k.first)).collect();
        assert_eq!(kinds, [("refused", 2, 2_500), ("lost", 1, 4_000)]);
        // Of its own, it has logged two.
        assert_eq!(new.counts().map(|(_, count)| count), [0, 0, 2]);
        let own = new.find(Asked { level: Level::Warn, since: None });
        assert_eq!((own.lines.len(), own.kinds.len(), own.overwritten), (2, 2, 2_000 - 1_024));

        let third = Ring::new();
        third.inherit(&new.to_bytes(2_900));
        let found = third.find(asked(Level::Error, 0));
        assert_eq!((found.began, found.lines.len()), (Some(7), 3));
        assert_eq!(third.find(Asked { level: Level::Info, since: None }).lines.len(), 0);
        let none = Ring::new();
        for bad in [&b"what"[..], b"", &[FORMAT, 1, 2]] {
            none.inherit(bad);
        }
        assert_eq!(none.find(asked(Level::Info, 0)).began, None);
    }

    #[test]
    fn what_is_only_worth_knowing_pushes_out_no_error() {
        let ring = Ring::new();
        ring.push(Level::Error, 5, "broken", "broken a=1");
        for time in 10..5_000 {
            ring.push(Level::Info, time, "fine", "fine");
        }
        let found = ring.find(asked(Level::Warn, 0));
        assert_eq!((found.kept, found.overwritten, found.oldest), (1, 0, Some(5)));
        assert_eq!(&*found.lines[0].text, "broken a=1");
        let found = ring.find(asked(Level::Info, 0));
        assert_eq!(found.kept, LINES_MAX + 1);
        assert_eq!(found.overwritten, 4_990 - 1_024);
        // Before it some lines are missing, though an older one is there.
        assert_eq!(found.oldest, Some(5_000 - 1_024));
        assert_eq!(ring.counts().map(|(_, count)| count), [4_990, 0, 1]);
    }

    #[test]
    fn a_flood_of_kinds_keeps_its_bounds() {
        let ring = Ring::new();
        for number in 0..10_000 {
            ring.push(Level::Warn, number, &format!("kind {number}"), "text");
        }
        let found = ring.find(asked(Level::Warn, 0));
        assert_eq!(found.lines.len(), LINES_MAX);
        assert_eq!(found.kinds.len(), KINDS_MAX + 1);
        let (_, other) = found.kinds.last().unwrap();
        assert_eq!(&*other.name, OTHER);
        assert_eq!(other.count + u64::try_from(KINDS_MAX).unwrap(), 10_000);
        assert_eq!((other.first, other.last), (u64::try_from(KINDS_MAX).unwrap(), 9_999));
    }

    #[test]
    fn kinds_are_counted_since_then_as_far_as_is_known() {
        let ring = Ring::new();
        for time in [10, 20, 30] {
            ring.push(Level::Warn, time, "again", "again");
        }
        ring.push(Level::Warn, 25, "once", "once");
        let kinds = |since| -> Vec<_> {
            let found = ring.find(asked(Level::Warn, since));
            let kind = |(_, k): &(Level, Kind)| (k.name.to_string(), k.count, k.first, k.last);
            found.kinds.iter().map(kind).collect()
        };
        let of = |name: &str, count, first, last| (name.to_owned(), count, first, last);
        assert_eq!(kinds(0), [of("again", 3, 10, 30), of("once", 1, 25, 25)]);
        assert_eq!(kinds(20), [of("again", 2, 20, 30), of("once", 1, 25, 25)]);
        assert_eq!(kinds(26), [of("again", 1, 30, 30)]);
        assert_eq!(kinds(31), []);
        // Their lines are overwritten, and the kinds still known.
        for time in 40..2_000 {
            ring.push(Level::Warn, time, "flood", "flood");
        }
        assert_eq!(kinds(20)[0], of("again", 1, 30, 30));
        assert_eq!(kinds(5)[0], of("again", 3, 10, 30));
    }
}
