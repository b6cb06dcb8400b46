//! From readings of a counter to rates.
//!
//! Invariant: an interval whose rate is not known is dropped, never taken as zero.

/// A reading of a counter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Unix time in seconds.
    pub time: f64,
    /// The count; `None` if it was not read.
    pub value: Option<f64>,
    /// Which life of the process counted, such as the second of its start; 0 if that is not known.
    pub incarnation: u64,
}

/// How fast a counter grew between two readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Unix time in seconds, in the middle between the readings.
    pub time: f64,
    /// A second.
    pub value: f64,
}

/// The rates of a counter, and what was dropped on the way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rates {
    /// In the order of time.
    pub rates: Vec<Rate>,
    /// Times of the readings at which the counter had begun anew.
    pub resets: Vec<f64>,
    /// Intervals that were too long, or in which time did not go forward.
    pub gaps: usize,
}

/// An interval that is longer than so many usual ones says nothing about any of them.
const GAP_INTERVALS: f64 = 3.0;

/// Takes the difference of each two neighbours by their real distance. A counter has 64 bits: one that
/// went back has begun anew, and has not wrapped.
#[must_use]
pub fn rates(readings: &[Reading], interval: f64) -> Rates {
    let mut result = Rates::default();
    let known = readings.iter().filter_map(|reading| Some((reading, reading.value?)));
    let mut before: Option<(&Reading, f64)> = None;
    for (reading, value) in known.filter(|(_, value)| value.is_finite()) {
        if let Some((last, last_value)) = before {
            let (elapsed, grown) = (reading.time - last.time, value - last_value);
            if grown < 0.0 || reading.incarnation != last.incarnation {
                result.resets.push(reading.time);
            } else if elapsed > 0.0 && elapsed <= GAP_INTERVALS * interval {
                let time = f64::midpoint(last.time, reading.time);
                result.rates.push(Rate { time, value: grown / elapsed });
            } else {
                result.gaps += 1;
            }
        }
        before = Some((reading, value));
    }
    result
}

/// Readings that are rates already: what is no number is left out.
#[must_use]
pub fn given(readings: &[Reading]) -> Rates {
    let rate = |reading: &Reading| {
        let value = reading.value.filter(|value| value.is_finite())?;
        Some(Rate { time: reading.time, value })
    };
    Rates { rates: readings.iter().filter_map(rate).collect(), ..Rates::default() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn readings(rows: &[(f64, f64, u64)]) -> Vec<Reading> {
        let reading =
            |&(time, value, incarnation): &_| Reading { time, value: Some(value), incarnation };
        rows.iter().map(reading).collect()
    }

    fn values(rates: &Rates) -> Vec<f64> {
        rates.rates.iter().map(|rate| rate.value).collect()
    }

    #[test]
    fn a_rate_is_by_the_real_time_between() {
        let found = rates(&readings(&[(0.0, 0.0, 1), (10.0, 50.0, 1), (25.0, 50.0, 1)]), 10.0);
        assert_eq!(found.rates, [Rate { time: 5.0, value: 5.0 }, Rate { time: 17.5, value: 0.0 }]);
        assert_eq!((found.resets.len(), found.gaps), (0, 0));
    }

    #[test]
    fn what_is_not_known_is_dropped_and_not_zero() {
        // Back; another life, even where the count is higher; no time between; too long; time back.
        for (next, resets, gaps) in [
            ((10.0, 99.0, 1), 1, 0),
            ((10.0, 200.0, 2), 1, 0),
            ((0.0, 200.0, 1), 0, 1),
            ((30.1, 200.0, 1), 0, 1),
            ((-5.0, 200.0, 1), 0, 1),
        ] {
            let found = rates(&readings(&[(0.0, 100.0, 1), next]), 10.0);
            assert_eq!(values(&found), [0.0; 0], "{next:?}");
            assert_eq!((found.resets.len(), found.gaps), (resets, gaps), "{next:?}");
        }
        let mut missing = readings(&[(0.0, 0.0, 1), (10.0, 0.0, 1), (20.0, 40.0, 1)]);
        missing[1].value = None;
        assert_eq!(values(&rates(&missing, 10.0)), [2.0]);
        missing[1].value = Some(f64::NAN);
        assert_eq!(values(&rates(&missing, 10.0)), [2.0]);
    }

    #[test]
    fn what_is_a_rate_stays_one() {
        let mut given_rates = readings(&[(0.0, 4.0, 0), (10.0, 2.0, 0), (20.0, 3.0, 0)]);
        given_rates[1].value = None;
        let found = given(&given_rates);
        assert_eq!(found.rates, [Rate { time: 0.0, value: 4.0 }, Rate { time: 20.0, value: 3.0 }]);
    }

    proptest! {
        #[test]
        fn rates_are_never_negative_and_nothing_is_lost_track_of(
            rows in prop::collection::vec((-5.0_f64..40.0, 0.0_f64..1e6, 0_u64..3), 0..50),
        ) {
            let found = rates(&readings(&rows), 10.0);
            prop_assert!(found.rates.iter().all(|rate| rate.value >= 0.0));
            let intervals = found.rates.len() + found.resets.len() + found.gaps;
            prop_assert_eq!(intervals, rows.len().saturating_sub(1));
        }
    }
}
