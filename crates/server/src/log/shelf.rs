//! The newest lines of one level, and how often each kind came.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::ring::Level;

/// Lines that are kept of a level, each of 400 bytes at most.
pub(super) const LINES_MAX: usize = 1_024;

/// Kinds that are told apart.
pub(super) const KINDS_MAX: usize = 128;

/// What stands for all further kinds.
pub(super) const OTHER: &str = "other";

/// One line. Times are Unix times in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) time: u64,
    pub(crate) level: Level,
    pub(crate) kind: Arc<str>,
    pub(crate) text: Arc<str>,
}

/// One kind of line.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) name: Arc<str>,
    pub(crate) count: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// The newest lines of one level.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) level: Level,
    lines: VecDeque<Line>,
    overwritten: u64,
    kinds: Vec<Kind>,
    /// Lines of the processes before this one.
    inherited: u64,
}

/// What one process leaves of a level to the next.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Left {
    overwritten: u64,
    /// Name, count, first and last time.
    kinds: Vec<(String, u64, u64, u64)>,
    /// Time, place of its kind, text.
    lines: Vec<(u64, usize, String)>,
}

impl Shelf {
    pub(super) const fn new(level: Level) -> Self {
        Self { level, lines: VecDeque::new(), overwritten: 0, kinds: Vec::new(), inherited: 0 }
    }

    pub(super) fn push(&mut self, time: u64, kind: &str, text: &str) {
        let kind = self.count_kind(time, kind);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.overwritten += 1;
        }
        self.lines.push_back(Line { time, level: self.level, kind, text: text.into() });
    }

    /// Counts a line of this kind, and gives the name under which it is counted.
    fn count_kind(&mut self, time: u64, name: &str) -> Arc<str> {
        let known = |kinds: &[Kind], name: &str| kinds.iter().position(|kind| *kind.name == *name);
        let is_full = self.kinds.len() >= KINDS_MAX;
        let at = known(&self.kinds, name)
            .or_else(|| if is_full { known(&self.kinds, OTHER) } else { None });
        match at.and_then(|at| self.kinds.get_mut(at)) {
            Some(kind) => {
                kind.count += 1;
                kind.first = kind.first.min(time);
                kind.last = kind.last.max(time);
                Arc::clone(&kind.name)
            }
            None => {
                let name: Arc<str> = if is_full { OTHER.into() } else { name.into() };
                self.kinds.push(Kind {
                    name: Arc::clone(&name),
                    count: 1,
                    first: time,
                    last: time,
                });
                name
            }
        }
    }

    /// All of it, for the next process.
    pub(super) fn leave(&self) -> Left {
        let kinds = self.kinds.iter();
        let place = |line: &Line| self.kinds.iter().position(|k| Arc::ptr_eq(&k.name, &line.kind));
        let lines = self.lines.iter();
        Left {
            overwritten: self.overwritten,
            kinds: kinds.map(|k| (k.name.to_string(), k.count, k.first, k.last)).collect(),
            lines: lines.filter_map(|l| Some((l.time, place(l)?, l.text.to_string()))).collect(),
        }
    }

    /// Puts what the process before this one has left before the lines of this one.
    pub(super) fn inherit(&mut self, left: Left) {
        let own = std::mem::replace(self, Self::new(self.level));
        let kind = |(name, count, first, last): (String, _, _, _)| {
            let name = name.into();
            Kind { name, count, first, last }
        };
        // One more: that stands for all others.
        self.kinds = left.kinds.into_iter().take(KINDS_MAX + 1).map(kind).collect();
        self.inherited = self.count();
        self.overwritten = left.overwritten;
        for (time, at, text) in left.lines.into_iter().take(LINES_MAX) {
            let Some(kind) = self.kinds.get(at) else { continue };
            let (level, kind) = (self.level, Arc::clone(&kind.name));
            self.lines.push_back(Line { time, level, kind, text: text.into() });
        }
        own.lines.iter().for_each(|line| self.push(line.time, &line.kind, &line.text));
    }

    /// Lines that this process has logged so far.
    pub(super) fn count(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.count).sum::<u64>().saturating_sub(self.inherited)
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.lines.front().map(|line| line.time)
    }

    pub(super) fn overwritten(&self) -> u64 {
        self.overwritten
    }

    pub(super) fn lines_since(&self, since: u64) -> impl Iterator<Item = Line> {
        self.lines.iter().filter(move |line| line.time >= since).cloned()
    }

    /// The kinds that came since then. One that came before, too, is counted by the lines that are left, and
    /// at least once.
    pub(super) fn kinds_since(&self, since: u64) -> impl Iterator<Item = Kind> {
        let part = move |kind: &Kind| {
            let lines = self.lines.iter().filter(|line| line.time >= since);
            let times =
                lines.filter(|line| Arc::ptr_eq(&line.kind, &kind.name)).map(|line| line.time);
            let (count, first) =
                times.fold((0, kind.last), |(count, first), time| (count + 1, first.min(time)));
            Kind { count: count.max(1), first, ..kind.clone() }
        };
        let kinds = self.kinds.iter().filter(move |kind| kind.last >= since);
        kinds.map(move |kind| if kind.first >= since { kind.clone() } else { part(kind) })
    }
}
