//! Rules on the newest readings, because a change detector forgets.

use crate::rates::Rate;

/// So many of the newest intervals are looked at for errors ...
pub const ERRORS_AMONG: usize = 6;

/// ... and errors are lasting if so many of them have some: whoever tries again does so less and less.
pub const ERRORS_IN: usize = 3;

/// A target is silent if so many of the newest intervals in a row say so.
pub const SILENT_FOR: usize = 3;

/// The mean rate of errors over the newest intervals if they last, or `None`.
#[must_use]
pub fn lasting_errors(rates: &[Rate]) -> Option<f64> {
    let newest = newest(rates, ERRORS_AMONG);
    let with_errors = newest.iter().filter(|rate| rate.value > 0.0).count();
    let mean =
        newest.iter().map(|rate| rate.value).sum::<f64>() / crate::float(newest.len().max(1));
    (with_errors >= ERRORS_IN).then_some(mean)
}

/// Nothing was sent while something was there to send, in each of the newest intervals. Both are measured
/// at the same times.
#[must_use]
pub fn is_silent(sent: &[Rate], due: &[Rate]) -> bool {
    let newest = newest(sent, SILENT_FOR);
    let was_due =
        |rate: &Rate| due.iter().rev().any(|due| due.time == rate.time && due.value > 0.0);
    newest.len() == SILENT_FOR && newest.iter().all(|rate| rate.value == 0.0 && was_due(rate))
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
            assert_eq!(lasting_errors(&rates(values)), mean, "{values:?}");
        }
    }

    #[test]
    fn a_target_is_silent_when_it_gets_nothing_of_what_is_due() {
        let due = rates(&[5.0; 4]);
        assert!(is_silent(&rates(&[5.0, 0.0, 0.0, 0.0]), &due));
        assert!(!is_silent(&rates(&[5.0, 5.0, 0.0, 0.0]), &due));
        assert!(!is_silent(&rates(&[0.0, 0.0]), &due), "too few to tell");
        assert!(!is_silent(&rates(&[0.0; 4]), &rates(&[5.0, 5.0, 5.0, 0.0])), "nothing is due");
        assert!(!is_silent(&rates(&[0.0; 4]), &[]));
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
