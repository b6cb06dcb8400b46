//! Rules on the newest readings, because a change detector forgets.

use crate::rates::Rate;

/// So many of the newest intervals are looked at for errors ...
pub const ERRORS_AMONG: usize = 6;

/// ... and errors are lasting if so many of them have some: whoever tries again does so less and less.
pub const ERRORS_IN: usize = 3;

/// Shorter intervals are looked at together as well, so many seconds of them: no attempt comes later than that
/// after the one before.
const ATTEMPTS_APART: f64 = 10.0;

/// A target is silent if so many intervals say so.
pub const SILENT_FOR: usize = 3;

/// Seconds up to the newest rate without which these rules miss something.
pub const SPAN: f64 = 120.0;

/// Errors that come again and again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lasting {
    /// So many a second in the mean ...
    pub mean: f64,
    /// ... of so many of the newest intervals.
    pub intervals: usize,
}

/// The rates after a moment, as what was before may be somebody else's fault; all of them without one.
#[must_use]
pub fn after(rates: &[Rate], moment: Option<f64>) -> &[Rate] {
    let Some(moment) = moment else { return rates };
    rates.get(rates.partition_point(|rate| rate.time <= moment)..).unwrap_or_default()
}

/// The errors of the newest intervals if they last, or `None`.
#[must_use]
pub fn lasting_errors(rates: &[Rate]) -> Option<Lasting> {
    let newest = newest(rates, ERRORS_AMONG);
    let mean = |rates: &[Rate]| {
        let sum = rates.iter().map(|rate| rate.value).sum::<f64>();
        Lasting { mean: sum / crate::float(rates.len().max(1)), intervals: rates.len() }
    };
    if newest.iter().filter(|rate| rate.value > 0.0).count() >= ERRORS_IN {
        return Some(mean(newest));
    }
    let end = rates.last()?.time;
    let from = |ago: usize| {
        let start = end - crate::float(ago) * ATTEMPTS_APART;
        rates.get(rates.partition_point(|rate| rate.time <= start)..).unwrap_or_default()
    };
    let has_errors = |ago: &usize| {
        let (whole, later) = (from(ago + 1), from(*ago));
        let part = whole.get(..whole.len() - later.len()).unwrap_or_default();
        part.iter().any(|rate| rate.value > 0.0)
    };
    let with_errors = (0..ERRORS_AMONG).filter(has_errors).count();
    (with_errors >= ERRORS_IN).then(|| mean(from(ERRORS_AMONG)))
}

/// Nothing was sent while something was there to send. Both are measured at the same times.
///
/// Something need not be due in each interval: what counts is all that is since something was last sent. It
/// must have been due in [`SILENT_FOR`] intervals, as what comes at the end of one is sent in the next one;
/// or in one, and for [`SILENT_FOR`] intervals the target has been closed: since `closed_since`, its state is
/// one in which nothing is sent.
#[must_use]
pub fn is_silent(sent: &[Rate], due: &[Rate], closed_since: Option<f64>) -> bool {
    let still = sent.iter().rposition(|rate| rate.value != 0.0).map_or(0, |last| last + 1);
    let still = sent.get(still..).unwrap_or_default();
    let was_due = |rate: &&Rate| {
        let at = due.partition_point(|due| due.time < rate.time);
        due.get(at).is_some_and(|due| due.time == rate.time && due.value > 0.0)
    };
    let closed = || still.iter().filter(|rate| closed_since.is_some_and(|since| rate.time > since));
    still.iter().filter(was_due).count() >= SILENT_FOR
        || closed().count() >= SILENT_FOR && closed().any(|rate| was_due(&rate))
}

/// Which share of what was due one rate makes up after a moment; `None` if it is nothing. What was shed and
/// not due in the same time is all of it.
#[must_use]
pub fn share(part: &[Rate], due: &[Rate], moment: f64) -> Option<f64> {
    let sum = |rates: &[Rate]| {
        rates.iter().filter(|rate| rate.time > moment).map(|rate| rate.value).sum::<f64>()
    };
    let (part, due) = (sum(part), sum(due));
    (part > 0.0).then(|| if due > 0.0 { (part / due).min(1.0) } else { 1.0 })
}

/// What the ledger cannot explain, if that is so in two readings in a row.
#[must_use]
pub fn residual(readings: &[Option<f64>]) -> Option<f64> {
    match readings {
        [.., Some(before), Some(last)] if *before != 0.0 && *last != 0.0 => Some(*last),
        _ => None,
    }
}

fn newest(rates: &[Rate], count: usize) -> &[Rate] {
    rates.get(rates.len().saturating_sub(count)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(values: &[f64]) -> Vec<Rate> {
        let mut time = 0.0;
        let rate = |&value: &f64| {
            time += 10.0;
            Rate { time, value }
        };
        values.iter().map(rate).collect()
    }

    #[test]
    fn errors_last_when_they_come_again_and_again() {
        for (values, mean) in [
            (&[][..], None),
            (&[9.0, 9.0], None),
            (&[9.0, 9.0, 9.0], Some(9.0)),
            (&[9.0, 9.0, 9.0, 0.0, 0.0, 0.0], Some(4.5)),
            (&[9.0, 9.0, 9.0, 0.0, 0.0, 0.0, 0.0], None),
            (&[0.0, 3.0, 0.0, 3.0, 0.0, 3.0], Some(1.5)),
        ] {
            let found = lasting_errors(&rates(values)).map(|errors| errors.mean);
            assert_eq!(found, mean, "{values:?}");
        }
    }

    #[test]
    fn attempts_far_apart_last_too_and_a_burst_does_not() {
        // Two seconds apart; `at` are the seconds with an error before the newest one.
        let errors = |at: &[u32]| {
            let value = |k: u32| if at.contains(&(120 - 2 * k)) { 5.0 } else { 0.0 };
            let rate = |k: u32| Rate { time: f64::from(2 * k), value: value(k) };
            lasting_errors(&(0..=60).map(rate).collect::<Vec<_>>())
        };
        let lasting = Some(Lasting { mean: 0.5, intervals: 30 });
        assert_eq!(errors(&[4, 14, 24]), lasting, "one in five intervals");
        assert_eq!(errors(&[2, 18, 36]), lasting);
        assert_eq!(errors(&[4, 14, 16]), None);
        assert_eq!(errors(&[20, 22, 24, 26, 28]), None, "all within ten seconds");
        assert_eq!(errors(&[44, 64, 84]), None, "long ago");
    }

    #[test]
    fn a_target_is_silent_when_it_gets_nothing_of_what_is_due() {
        let due = rates(&[5.0; 4]);
        let is_silent = |sent: &[Rate], due: &[Rate]| is_silent(sent, due, None);
        assert!(is_silent(&rates(&[5.0, 0.0, 0.0, 0.0]), &due));
        assert!(!is_silent(&rates(&[5.0, 5.0, 0.0, 0.0]), &due));
        assert!(!is_silent(&rates(&[0.0, 0.0]), &due), "too few to tell");
        assert!(!is_silent(&rates(&[0.0; 4]), &rates(&[5.0, 5.0, 0.0, 0.0])), "sent later");
        assert!(!is_silent(&rates(&[0.0; 4]), &rates(&[0.0; 4])), "nothing is due");
        assert!(!is_silent(&rates(&[0.0; 4]), &[]));
        // What comes less often than each interval is enough.
        let seldom = rates(&[5.0, 0.0, 0.0, 5.0, 0.0, 0.0, 5.0, 0.0]);
        assert!(is_silent(&rates(&[0.0; 8]), &seldom));
        assert!(!is_silent(&rates(&[0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), &seldom));
    }

    #[test]
    fn a_closed_target_is_silent_as_soon_as_something_is_due() {
        let (sent, due) = (rates(&[5.0, 0.0, 0.0, 0.0]), rates(&[5.0, 0.0, 0.0, 5.0]));
        assert!(is_silent(&sent, &due, Some(15.0)));
        assert!(is_silent(&rates(&[0.0; 4]), &due, Some(f64::NEG_INFINITY)));
        assert!(!is_silent(&sent, &due, Some(25.0)), "not long enough");
        assert!(!is_silent(&sent, &due, None), "it is open");
        assert!(!is_silent(&sent, &rates(&[5.0, 0.0, 0.0, 0.0]), Some(15.0)), "nothing is due");
        assert!(!is_silent(&rates(&[5.0; 4]), &due, Some(15.0)), "it is sent to");
    }

    #[test]
    fn what_was_before_a_moment_counts_only_without_one() {
        let all = rates(&[1.0, 2.0, 3.0]);
        for (moment, count) in
            [(None, 3), (Some(0.0), 3), (Some(10.0), 2), (Some(29.0), 1), (Some(30.0), 0)]
        {
            assert_eq!(after(&all, moment).len(), count, "{moment:?}");
        }
    }

    #[test]
    fn a_residual_counts_when_it_is_there_twice() {
        assert_eq!(residual(&[Some(0.0), Some(3.0), Some(4.0)]), Some(4.0));
        assert_eq!(residual(&[Some(3.0), Some(0.0)]), None);
        assert_eq!(residual(&[Some(0.0), Some(3.0)]), None);
        assert_eq!(residual(&[Some(3.0), None]), None);
        assert_eq!(residual(&[Some(3.0)]), None);
    }

    #[test]
    fn a_share_is_of_what_was_due_after_a_moment() {
        let due = rates(&[100.0, 100.0, 100.0]);
        for (part, moment, wanted) in [
            (&[0.0, 0.0, 0.0][..], 0.0, None),
            (&[5.0, 0.0, 0.0], 10.0, None),
            (&[5.0, 0.0, 2.0], 10.0, Some(0.01)),
            (&[5.0, 0.0, 400.0], 10.0, Some(1.0)),
        ] {
            assert_eq!(share(&rates(part), &due, moment), wanted, "{part:?}");
        }
        assert_eq!(share(&rates(&[1.0]), &[], 0.0), Some(1.0));
    }
}
