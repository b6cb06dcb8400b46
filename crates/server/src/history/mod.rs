//! An hour of the process's own numbers, so that checks need no other store.
//!
//! One task takes a snapshot each interval, on the runtime of the API, never on the data path. Bounded
//! thrice: in snapshots, in series, in bytes.

mod columns;
mod pattern;

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use columns::{Column, Selection};
pub(crate) use pattern::Pattern;

use columns::Columns;

/// Snapshots that are kept: an hour at the default interval, and the one before it.
pub(crate) const SNAPSHOTS_MAX: usize = 361;

/// What is kept at the most, whatever the interval.
pub(crate) const SPAN: Duration = Duration::from_secs(3600);

/// Of what one process leaves to the next; to be raised when any of its types changes.
const FORMAT: u8 = 1;

/// Seconds that a router keeps which takes a snapshot each `interval` seconds.
pub(crate) fn span_kept(interval: f64) -> f64 {
    let intervals = u32::try_from(SNAPSHOTS_MAX - 1).map_or(f64::MAX, f64::from);
    (intervals * interval).min(SPAN.as_secs_f64())
}

/// The newest snapshots of the numbers under `coco` in `/debug/vars`.
#[derive(Debug)]
pub(crate) struct History {
    interval: Duration,
    kept: Mutex<Kept>,
}

/// What one process leaves to the next at a hand-over.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    columns: Columns,
    /// Unix milliseconds at which the numbers began anew: with each process.
    resets: VecDeque<u64>,
}

impl History {
    /// None yet; one is to be recorded each `interval`. The numbers begin at this Unix time in milliseconds.
    pub(crate) fn new(interval: Duration, began: u64) -> Self {
        let kept = Kept { columns: Columns::new(snapshots(interval)), resets: [began].into() };
        Self { interval, kept: Mutex::new(kept) }
    }

    /// All of it for the process that takes over; empty if that cannot be.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(&(FORMAT, self.interval, &*self.kept())).unwrap_or_default()
    }

    /// Begins with what the process before this one had, if that recorded as often. The numbers begin anew
    /// now, at this Unix time in milliseconds.
    pub(crate) fn inherit(&self, bytes: &[u8], now: u64) {
        let read = |bytes| postcard::from_bytes::<(u8, Duration, Kept)>(bytes).ok();
        let Some((_, interval, Kept { columns, mut resets })) =
            Some(bytes).filter(|bytes| bytes.first() == Some(&FORMAT)).and_then(read)
        else {
            tracing::warn!("the history of the process before this one cannot be read");
            return;
        };
        if interval != self.interval {
            return;
        }
        // Clocks may be set back; a number of another process must not look like one of this.
        let began = columns.newest_time().map_or(now, |newest| now.max(newest + 1));
        resets.push_back(began);
        resets.drain(..resets.len().saturating_sub(SNAPSHOTS_MAX));
        *self.kept() = Kept { columns: columns.adopt(snapshots(interval)), resets };
    }

    /// Unix milliseconds from this one on at which the numbers began anew.
    pub(crate) fn resets(&self, from: u64) -> Vec<u64> {
        self.kept().resets.iter().copied().filter(|&reset| reset >= from).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time between two snapshots.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Adds a snapshot, taken at this Unix time in milliseconds: all whole numbers in `coco`, whose names are
    /// the keys on the way to them, joined by dots.
    pub(crate) fn record(&self, time: u64, coco: &Value) {
        let mut numbers = Vec::new();
        flatten("coco", coco, &mut numbers);
        self.kept().columns.push(time, numbers);
    }

    /// The snapshots from this Unix time in milliseconds on, of the series that one of the patterns takes in;
    /// an error with the number of values if there are more than `values_max`. Where `still` is to be told
    /// apart, those that do not change count for none.
    pub(crate) fn select(
        &self,
        from: u64,
        patterns: &[Pattern],
        still: bool,
        values_max: usize,
    ) -> Result<Selection, usize> {
        let takes = |name: &str| patterns.iter().any(|pattern| pattern.takes(name));
        self.kept().columns.select(from, takes, still, values_max)
    }
}

/// As many as an hour has, and not too many.
fn snapshots(interval: Duration) -> usize {
    let intervals = SPAN.as_millis() / interval.as_millis().max(1);
    let snapshots = usize::try_from(intervals).unwrap_or(usize::MAX).saturating_add(1);
    snapshots.clamp(2, SNAPSHOTS_MAX)
}

/// Lists the numbers level by level, so that sums come before the rows of targets: when there are more than
/// are kept, those that stand deepest go without.
fn flatten(root: &str, value: &Value, numbers: &mut Vec<(String, u64)>) {
    let mut next = VecDeque::from([(root.to_owned(), value)]);
    while let Some((name, value)) = next.pop_front() {
        match value {
            Value::Object(map) => {
                next.extend(map.iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            Value::Number(number) => {
                numbers.extend(number.as_u64().map(|number| (name, number)));
            }
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_the_keys_on_the_way() {
        let coco = json!({
            "ledger": { "short": { "10.0.0.1:25826": { "offered": 7 } } },
            "errors": { "send.write": 2 },
            "ledger.residual": 0,
            "process": { "heartbeat_age": 0.5 },
        });
        let mut numbers = Vec::new();
        flatten("coco", &coco, &mut numbers);
        let numbers: Vec<_> = numbers.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(
            numbers,
            [
                ("coco.ledger.residual", 0),
                ("coco.errors.send.write", 2),
                ("coco.ledger.short.10.0.0.1:25826.offered", 7),
            ]
        );
    }

    #[test]
    fn the_next_process_goes_on_with_it() {
        let (second, from_start) = (Duration::from_secs(1), ["coco.*".parse().unwrap()]);
        let old = History::new(second, 500);
        (1..=400).for_each(|n| old.record(n * 1000, &json!({ "n": n, "old": 1 })));
        let new = History::new(second, 400_200);
        // What an older build does not know stands behind it.
        new.inherit(&[&old.to_bytes()[..], b"more"].concat(), 400_900);
        new.record(401_000, &json!({ "n": 0, "new": 2 }));
        assert_eq!(new.resets(0), [500, 400_900]);
        assert_eq!(new.resets(1_000), [400_900]);
        let found = new.select(0, &from_start, false, usize::MAX).unwrap();
        assert_eq!((found.times.len(), found.times[0]), (SNAPSHOTS_MAX, 41_000));
        let last = |name: &str| {
            let (_, values) = found.series.iter().find(|(found, _)| found == name).unwrap();
            values.values().skip(359).collect::<Vec<_>>()
        };
        assert_eq!(last("coco.n"), [Some(400), Some(0)]);
        assert_eq!(last("coco.old"), [Some(1), None]);
        assert_eq!(last("coco.new"), [None, Some(2)]);

        // What is in no snapshot any more takes no place.
        (402..=800).for_each(|n| new.record(n * 1000, &json!({ "n": n })));
        let third = History::new(second, 0);
        third.inherit(&new.to_bytes(), 800_500);
        let found = third.select(0, &from_start, false, usize::MAX).unwrap();
        assert_eq!((found.times.len(), found.series.len()), (SNAPSHOTS_MAX, 1));
        assert_eq!(found.series[0].1.values().last(), Some(Some(800)));
        assert_eq!(third.kept().columns.names(), ["coco.n"]);

        let other = History::new(Duration::from_secs(2), 0);
        other.inherit(&old.to_bytes(), 1);
        other.inherit(b"what", 2);
        assert!(other.select(0, &from_start, false, usize::MAX).unwrap().times.is_empty());
        assert_eq!(other.resets(0), [0]);
    }

    #[test]
    fn an_hour_is_kept_but_not_more_snapshots_than_that_has() {
        assert_eq!([0.1, 10.0, 60.0].map(span_kept), [36.0, 3600.0, 3600.0]);
        for (interval, snapshots) in [(100, 361), (10_000, 361), (60_000, 61), (86_400_000, 2)] {
            let history = History::new(Duration::from_millis(interval), 0);
            for n in 0..1_000 {
                history.record(n * interval, &json!({ "n": n }));
            }
            let all = ["coco.n".parse().unwrap()];
            let found = history.select(0, &all, false, usize::MAX).unwrap();
            assert_eq!(found.times.len(), snapshots, "{interval} ms");
            let (_, values) = &found.series[0];
            assert_eq!(values.values().last(), Some(Some(999)));
            assert_eq!(values.values().count(), snapshots);
        }
    }
}
