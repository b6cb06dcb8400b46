//! A window in two halves, by time: by index, a gap would move the border.

use crate::rates::Rate;

/// Rates before and after the middle of a window, in the order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Halves {
    /// The first half.
    pub before: Vec<f64>,
    /// The second half.
    pub after: Vec<f64>,
}

/// Halves the `window` seconds that end at `end`.
#[must_use]
pub fn split(rates: &[Rate], end: f64, window: f64) -> Halves {
    let (start, middle) = (end - window, end - window / 2.0);
    let inside = rates.iter().filter(|rate| rate.time > start && rate.time <= end);
    let (before, after): (Vec<Rate>, Vec<Rate>) = inside.partition(|rate| rate.time <= middle);
    let values = |rates: Vec<Rate>| rates.iter().map(|rate| rate.value).collect();
    Halves { before: values(before), after: values(after) }
}

/// Halves all rates at a moment: those up to it, and those after it.
#[must_use]
pub fn split_at(rates: &[Rate], moment: f64) -> Halves {
    let (before, after): (Vec<Rate>, Vec<Rate>) =
        rates.iter().partition(|rate| rate.time <= moment);
    let values = |rates: Vec<Rate>| rates.iter().map(|rate| rate.value).collect();
    Halves { before: values(before), after: values(after) }
}

/// The `length` seconds up to a moment, and what is after it, of which at most the `length` seconds up to
/// `end` count.
#[must_use]
pub fn around(rates: &[Rate], moment: f64, end: f64, length: f64) -> Halves {
    let counts = |rate: &&Rate| match rate.time <= moment {
        true => rate.time > moment - length,
        false => rate.time > end - length && rate.time <= end,
    };
    split_at(&rates.iter().filter(counts).copied().collect::<Vec<_>>(), moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(times: impl Iterator<Item = u32>) -> Vec<Rate> {
        times.map(|time| Rate { time: f64::from(time), value: f64::from(time) }).collect()
    }

    #[test]
    fn a_full_window_has_halves_of_one_size() {
        let sixty = rates((1..=60).map(|k| k * 10));
        let halves = split(&sixty, 600.0, 600.0);
        assert_eq!((halves.before.len(), halves.after.len()), (30, 30));
        let middles = rates((0..60).map(|k| k * 10 + 5));
        let halves = split(&middles, 600.0, 600.0);
        assert_eq!((halves.before.len(), halves.after.len()), (30, 30));
    }

    #[test]
    fn a_gap_does_not_move_the_border() {
        let gap = rates((1..=60).map(|k| k * 10).filter(|time| !(100..300).contains(time)));
        let halves = split(&gap, 600.0, 600.0);
        assert_eq!((halves.before.len(), halves.after.len()), (10, 30));
        let halves = split_at(&gap, 50.0);
        assert_eq!((halves.before.len(), halves.after.len()), (5, 35));
    }

    #[test]
    fn around_a_moment_both_sides_are_of_one_length_at_most() {
        let all = rates((0..100).map(|k| k * 10));
        let halves = around(&all, 500.0, 990.0, 30.0);
        assert_eq!(
            (halves.before, halves.after),
            (vec![480.0, 490.0, 500.0], vec![970.0, 980.0, 990.0])
        );
        let halves = around(&all, 980.0, 990.0, 30.0);
        assert_eq!((halves.before.len(), halves.after), (3, vec![990.0]));
    }

    #[test]
    fn what_is_outside_is_left_out() {
        let all = rates((0..100).map(|k| k * 10));
        let halves = split(&all, 600.0, 100.0);
        assert_eq!(halves.before, [510.0, 520.0, 530.0, 540.0, 550.0]);
        assert_eq!(halves.after, [560.0, 570.0, 580.0, 590.0, 600.0]);
    }
}
