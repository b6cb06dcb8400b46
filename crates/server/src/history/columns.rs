//! Snapshots of many numbers in little memory.
//!
//! A snapshot is kept as what differs from the one before: how many series to skip, and the difference, both
//! as varints. What stands still costs nothing. The state before the oldest snapshot is kept whole, and so
//! is the newest one.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

/// Series kept at most, those of some 2,000 targets; later ones are counted and left out.
pub(super) const SERIES_MAX: usize = 50_000;

/// Bytes of all snapshots together; beyond that the oldest go.
const BYTES_MAX: usize = 32 << 20;

/// For each series its number plus one, or 0 while it is not there.
type State = Vec<u64>;

/// The snapshots.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Columns {
    snapshots_max: usize,
    #[serde(skip)]
    index: HashMap<String, usize>,
    names: Vec<String>,
    before: State,
    newest: State,
    rows: VecDeque<Row>,
    bytes: usize,
    left_out: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    time: u64,
    changes: Box<[u8]>,
}

/// Some series over some time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Unix milliseconds of the snapshots.
    pub(crate) times: Vec<u64>,
    /// Name and a value for each time, in the order in which they appeared.
    pub(crate) series: Vec<(String, Column)>,
    /// Name and value of those that have one value at all times, if they are to be told apart.
    pub(crate) still: Vec<(String, u64)>,
    /// Series of the newest snapshot that had no place.
    pub(crate) left_out: usize,
}

/// The values of one series: many answers are large, and this is half the size of a list of options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Column(State);

impl Column {
    /// In the order of the times; none while the series was not there.
    pub(crate) fn values(&self) -> impl Iterator<Item = Option<u64>> {
        self.0.iter().map(|code| code.checked_sub(1))
    }
}

impl Serialize for Column {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.values())
    }
}

impl Columns {
    /// None yet, and so many at most.
    pub(super) fn new(snapshots_max: usize) -> Self {
        Self {
            snapshots_max,
            index: HashMap::new(),
            names: Vec::new(),
            before: State::new(),
            newest: State::new(),
            rows: VecDeque::new(),
            bytes: 0,
            left_out: 0,
        }
    }

    /// These snapshots, as another process had them, with the bounds of this one; without the series that are in
    /// none of them, so that names which are gone do not take the places of new ones.
    pub(super) fn adopt(self, snapshots_max: usize) -> Self {
        let Self { before, mut names, rows, .. } = self;
        names.truncate(SERIES_MAX);
        let mut is_there = vec![false; names.len()];
        let mut state = before.clone();
        for row in &rows {
            apply(&row.changes, &mut state);
            is_there.iter_mut().zip(&state).for_each(|(there, code)| *there |= *code > 0);
        }
        let mut adopted = Self::new(snapshots_max);
        let kept = names.into_iter().zip(&is_there).filter(|(_, there)| **there);
        adopted.names = kept.map(|(name, _)| name).collect();
        adopted.index = adopted.names.iter().cloned().zip(0..).collect();
        let mut state = before;
        for Row { time, changes } in rows {
            apply(&changes, &mut state);
            state.resize(is_there.len(), 0);
            let kept = state.iter().zip(&is_there).filter(|(_, there)| **there);
            adopted.push_state(time, kept.map(|(code, _)| *code).collect());
        }
        adopted
    }

    /// Every series that has a place.
    #[cfg(test)]
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// When the newest one was taken.
    pub(super) fn newest_time(&self) -> Option<u64> {
        self.rows.back().map(|row| row.time)
    }

    /// Adds a snapshot taken at `time`.
    pub(super) fn push(&mut self, time: u64, numbers: Vec<(String, u64)>) {
        let mut state = vec![0; self.names.len()];
        self.left_out = 0;
        for (name, number) in numbers {
            let code = number.saturating_add(1);
            if let Some(place) = self.index.get(&name).and_then(|&at| state.get_mut(at)) {
                *place = code;
            } else if self.names.len() < SERIES_MAX {
                self.index.insert(name.clone(), self.names.len());
                self.names.push(name);
                state.push(code);
            } else {
                self.left_out += 1;
            }
        }
        self.push_state(time, state);
    }

    /// The same with a place for each name.
    fn push_state(&mut self, time: u64, state: State) {
        self.newest.resize(state.len(), 0);
        let changes = encode(&self.newest, &state);
        self.newest = state;
        self.bytes += changes.len();
        self.rows.push_back(Row { time, changes });
        while self.rows.len() > self.snapshots_max || self.bytes > BYTES_MAX {
            let Some(oldest) = self.rows.pop_front() else { break };
            self.bytes -= oldest.changes.len();
            apply(&oldest.changes, &mut self.before);
        }
    }

    /// The snapshots from `from` on of the series that `takes` names; the number of values if there are
    /// more than `values_max`. Where `still` is to be told apart, a series that does not change has no values.
    pub(super) fn select(
        &self,
        from: u64,
        takes: impl Fn(&str) -> bool,
        still: bool,
        values_max: usize,
    ) -> Result<Selection, usize> {
        let taken = self.names.iter().enumerate().filter(|(_, name)| takes(name));
        let count = self.rows.iter().filter(|row| row.time >= from).count();
        let changes =
            if still && count > 0 { self.changing(from) } else { vec![true; self.names.len()] };
        let (moving, resting): (Vec<_>, Vec<_>) =
            taken.partition(|(place, _)| changes.get(*place) == Some(&true));
        let values = count.saturating_mul(moving.len());
        if values > values_max {
            return Err(values);
        }
        let mut columns = vec![Vec::with_capacity(count); moving.len()];
        let (mut state, mut times) = (self.before.clone(), Vec::with_capacity(count));
        for row in &self.rows {
            apply(&row.changes, &mut state);
            if row.time < from {
                continue;
            }
            times.push(row.time);
            for (column, (place, _)) in columns.iter_mut().zip(&moving) {
                column.push(state.get(*place).copied().unwrap_or_default());
            }
        }
        let names = moving.iter().map(|(_, name)| (*name).clone());
        // A series of which nothing is left is none.
        let series = names.zip(columns.into_iter().map(Column));
        let series = series.filter(|(_, column)| column.values().any(|value| value.is_some()));
        let value = |place: usize| state.get(place)?.checked_sub(1);
        let still = resting.into_iter().filter_map(|(at, name)| Some((name.clone(), value(at)?)));
        Ok(Selection {
            times,
            series: series.collect(),
            still: still.collect(),
            left_out: self.left_out,
        })
    }

    /// For each series, whether it changes after the first snapshot from `from` on.
    fn changing(&self, from: u64) -> Vec<bool> {
        let mut changes = vec![false; self.names.len()];
        for row in self.rows.iter().filter(|row| row.time >= from).skip(1) {
            each_change(&row.changes, |place, _| {
                if let Some(changes) = changes.get_mut(place) {
                    *changes = true;
                }
            });
        }
        changes
    }
}

/// What makes `next` of `last`, which is not longer.
fn encode(last: &[u64], next: &[u64]) -> Box<[u8]> {
    let (mut changes, mut skipped) = (Vec::new(), 0);
    for (&before, &after) in last.iter().zip(next) {
        if before == after {
            skipped += 1;
            continue;
        }
        put(skipped, &mut changes);
        put(zigzag(after.wrapping_sub(before)), &mut changes);
        skipped = 0;
    }
    changes.into_boxed_slice()
}

fn apply(changes: &[u8], state: &mut State) {
    each_change(changes, |place, difference| {
        if state.len() <= place {
            state.resize(place + 1, 0);
        }
        if let Some(code) = state.get_mut(place) {
            *code = code.wrapping_add(difference);
        }
    });
}

/// Each place that changes, and what is to be added there.
fn each_change(changes: &[u8], mut change: impl FnMut(usize, u64)) {
    let (mut rest, mut place) = (changes, 0_usize);
    while let Some((skipped, difference)) = take(&mut rest).zip(take(&mut rest)) {
        place =
            usize::try_from(skipped).map_or(usize::MAX, |skipped| place.saturating_add(skipped));
        if place >= SERIES_MAX {
            // Of another build, or damaged.
            return;
        }
        change(place, unzigzag(difference));
        place += 1;
    }
}

/// A small number for a small difference, up or down.
fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ (difference >> 63).wrapping_neg()
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// Seven bits a byte, the lowest first; all but the last have the top bit.
fn put(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, byte) in rest.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *rest = rest.get(at + 1..)?;
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(numbers: &[(u8, u64)]) -> Vec<(String, u64)> {
        numbers.iter().map(|(name, number)| (format!("s{name}"), *number)).collect()
    }

    #[test]
    fn what_stands_still_costs_nothing() {
        let mut columns = Columns::new(361);
        for time in 0..361_u64 {
            let quiet = (0..1_000).map(|n| (format!("quiet{n}"), n));
            columns.push(time, quiet.chain([("busy".to_owned(), time * 1_000)]).collect());
        }
        assert!(columns.bytes < 8_000, "{} bytes", columns.bytes);
        let found = columns.select(0, |name| name == "busy", false, 361).unwrap();
        assert_eq!(found.series[0].1.values().nth(360), Some(Some(360_000)));
        assert_eq!(columns.select(0, |_| true, false, 1_000), Err(361 * 1_001));
        let found = columns.select(0, |_| true, true, 1_000).unwrap();
        assert_eq!((found.series.len(), found.still.len()), (1, 1_000));
    }

    #[test]
    fn series_and_bytes_are_bounded() {
        let mut columns = Columns::new(361);
        let mut rng = proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        );
        for time in 0..90 {
            let number = |n: usize| (format!("s{n}"), rng.next_u64() >> 1);
            columns.push(time, (0..SERIES_MAX + 7).map(number).collect());
        }
        assert!(columns.bytes <= BYTES_MAX);
        let names = [SERIES_MAX - 1, SERIES_MAX].map(|n| format!("s{n}"));
        let found =
            columns.select(0, |name| names.iter().any(|n| n == name), false, 1_000).unwrap();
        assert_eq!(found.series.len(), 1);
        assert_eq!(found.left_out, 7);
        assert!((40..90).contains(&found.times.len()), "{}", found.times.len());
        assert_eq!(found.times.last(), Some(&89));
    }

    #[test]
    fn what_another_process_has_written_wrongly_harms_nothing() {
        let mut columns = Columns::new(5);
        columns.push(1, named(&[(1, 7), (2, 8)]));
        // Far beyond all series, and bytes that are none of these rows.
        let mut changes = Vec::new();
        put(1 << 50, &mut changes);
        put(2, &mut changes);
        columns.rows.push_back(Row { time: 2, changes: changes.into_boxed_slice() });
        columns.bytes = 1;
        let adopted = columns.adopt(5);
        let found = adopted.select(0, |_| true, false, 100).unwrap();
        assert_eq!(found.series.len(), 2);
        assert!(found.series[0].1.values().eq([Some(7), Some(7)]));
    }

    proptest! {
        /// Against rows that are kept as they are.
        #[test]
        fn what_goes_in_comes_out(
            rows in prop::collection::vec(
                prop::collection::btree_map(0_u8..12, prop_oneof![0..5_u64, any::<u64>()], 0..12),
                0..40,
            ),
            kept in 2_usize..20,
            from in 0_u64..40,
        ) {
            let mut columns = Columns::new(kept);
            for (time, row) in (0_u64..).zip(&rows) {
                let row: Vec<_> = row.iter().map(|(name, n)| (*name, *n)).collect();
                columns.push(time, named(&row));
            }
            let found = columns.select(from, |_| true, false, usize::MAX).unwrap();
            let first = rows.len().saturating_sub(kept).max(usize::try_from(from).unwrap());
            let due = rows.get(first..).unwrap_or_default();
            prop_assert_eq!(found.times.len(), due.len());
            for (name, values) in &found.series {
                let name: u8 = name[1..].parse().unwrap();
                // The largest number has no code of its own.
                let wanted: Vec<_> =
                    due.iter().map(|row| row.get(&name).map(|n| (*n).min(u64::MAX - 1))).collect();
                prop_assert_eq!(values.values().collect::<Vec<_>>(), wanted);
            }
            let names: std::collections::BTreeSet<_> = due.iter().flat_map(|row| row.keys()).collect();
            prop_assert_eq!(found.series.len(), names.len());

            let told_apart = columns.select(from, |_| true, true, usize::MAX).unwrap();
            let (still, moving): (Vec<_>, Vec<_>) = found.series.into_iter().partition(|(_, column)| {
                let first = column.values().next();
                column.values().all(|value| Some(value) == first)
            });
            prop_assert_eq!(told_apart.series, moving);
            let still: Vec<_> = still
                .into_iter()
                .map(|(name, column)| (name, column.values().next().flatten().unwrap()))
                .collect();
            prop_assert_eq!(told_apart.still, still);
        }
    }
}
