//! An hour of the process's own numbers, so that checks need no other store.
//!
//! One task takes a snapshot each interval, on the runtime of the API, never on the data path. Bounded
//! thrice: in snapshots, in series, in bytes.

mod columns;
mod pattern;

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;

pub(crate) use columns::Selection;
pub(crate) use pattern::Pattern;

use columns::Columns;

/// Snapshots that are kept: an hour at the default interval, and the one before it.
pub(crate) const SNAPSHOTS_MAX: usize = 361;

/// What is kept at the most, whatever the interval.
pub(crate) const SPAN: Duration = Duration::from_secs(3600);

/// Seconds that a router keeps which takes a snapshot each `interval` seconds.
pub(crate) fn kept(interval: f64) -> f64 {
    let intervals = u32::try_from(SNAPSHOTS_MAX - 1).map_or(f64::MAX, f64::from);
    (intervals * interval).min(SPAN.as_secs_f64())
}

/// The newest snapshots of the numbers under `coco` in `/debug/vars`.
#[derive(Debug)]
pub(crate) struct History {
    interval: Duration,
    columns: Mutex<Columns>,
}

impl History {
    /// None yet; one is to be recorded each `interval`.
    pub(crate) fn new(interval: Duration) -> Self {
        let intervals = SPAN.as_millis() / interval.as_millis().max(1);
        let snapshots = usize::try_from(intervals).unwrap_or(usize::MAX).saturating_add(1);
        let columns = Columns::new(snapshots.clamp(2, SNAPSHOTS_MAX));
        Self { interval, columns: Mutex::new(columns) }
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
        self.columns.lock().unwrap_or_else(PoisonError::into_inner).push(time, numbers);
    }

    /// The snapshots from this Unix time in milliseconds on, of the series that one of the patterns takes in;
    /// an error with the number of values if there are more than `values_max`.
    pub(crate) fn select(
        &self,
        from: u64,
        patterns: &[Pattern],
        values_max: usize,
    ) -> Result<Selection, usize> {
        let columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        columns.select(from, |name| patterns.iter().any(|p| p.takes(name)), values_max)
    }
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
    fn an_hour_is_kept_but_not_more_snapshots_than_that_has() {
        assert_eq!([0.1, 10.0, 60.0].map(kept), [36.0, 3600.0, 3600.0]);
        for (interval, snapshots) in [(100, 361), (10_000, 361), (60_000, 61), (86_400_000, 2)] {
            let history = History::new(Duration::from_millis(interval));
            for n in 0..1_000 {
                history.record(n * interval, &json!({ "n": n }));
            }
            let all = ["coco.n".parse().unwrap()];
            let found = history.select(0, &all, usize::MAX).unwrap();
            assert_eq!(found.times.len(), snapshots, "{interval} ms");
            let (_, values) = &found.series[0];
            assert_eq!(values.last(), Some(&Some(999)));
            assert_eq!(values.len(), snapshots);
        }
    }
}
