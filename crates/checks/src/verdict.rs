//! Two halves compared, and whether what was found is worth an alarm.

use crate::{autocorrelation, float, grade::Grade, ks::Statistic, split::Halves};

/// Least number of rates in each half.
pub const HALF_MIN: usize = 20;

/// A warning is given up to so many times the probability of an alarm.
const WARNING_FACTOR: f64 = 10.0;

/// A change that cannot be judged is a warning all the same, if it is so many times the least one and no value
/// of one half reaches into the other. With one of both it is unknown.
const CLEAR_FACTOR: f64 = 3.0;

/// What counts as a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Largest probability of a false alarm in one comparison, over all series that are tested together.
    pub alpha: f64,
    /// How many series are tested together; `alpha` is shared among them.
    pub tested: usize,
    /// Least shift of the median, as a share of the first half's.
    pub min_change: f64,
    /// Least shift of the median a second.
    pub min_shift: f64,
    /// Only a rise counts: fewer errors are no trouble.
    pub only_rise: bool,
    /// How many windows in a row must show it, 1 at least.
    pub confirm: usize,
}

impl Rule {
    /// The largest probability that is an alarm for one series.
    #[must_use]
    pub fn alarm_p(&self) -> f64 {
        self.alpha / float(self.tested.max(1))
    }

    /// The largest probability that is a warning.
    #[must_use]
    pub fn warning_p(&self) -> f64 {
        self.alarm_p() * WARNING_FACTOR
    }
}

/// Two halves side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Rates in the first half.
    pub n1: usize,
    /// Rates in the second half.
    pub n2: usize,
    /// Median of the first half, a second.
    pub before: f64,
    /// Median of the second half, a second.
    pub after: f64,
    /// Largest distance of the distribution functions.
    pub d: f64,
    /// Its probability if all rates were independent.
    pub p_independent: f64,
    /// Mean lag-1 autocorrelation of the halves, 0 at least.
    pub rho: f64,
    /// The larger one of `p_independent` and that for so many fewer rates as `rho` says.
    pub p: f64,
    /// The least `p` that so few independent rates can come to, however far the halves lie apart.
    pub least_p: f64,
}

/// A half has fewer than [`HALF_MIN`] rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFew {
    /// Rates in the first half.
    pub n1: usize,
    /// Rates in the second half.
    pub n2: usize,
}

impl Comparison {
    /// Compares the halves.
    ///
    /// # Errors
    /// When they have too few rates.
    pub fn of(halves: &Halves) -> Result<Self, TooFew> {
        let Halves { before, after } = halves;
        let (n1, n2) = (before.len(), after.len());
        let too_few = TooFew { n1, n2 };
        if n1.min(n2) < HALF_MIN {
            return Err(too_few);
        }
        let statistic = Statistic::of(before, after).ok_or(too_few)?;
        let rho = autocorrelation::of_halves(before, after);
        let p_independent = statistic.p();
        Ok(Self {
            n1,
            n2,
            before: median(before),
            after: median(after),
            d: statistic.d(),
            p_independent,
            rho,
            p: p_independent.max(statistic.p_shrunk(rho)),
            least_p: statistic.least_p(rho),
        })
    }

    /// The shift of the median as a share of the first half's: -0.5 if it halved, infinite if it was 0.
    #[must_use]
    pub fn change(&self) -> f64 {
        let shift = self.after - self.before;
        if shift == 0.0 { 0.0 } else { shift / self.before.abs() }
    }

    /// What this comparison alone comes to.
    #[must_use]
    pub fn grade(&self, rule: &Rule) -> Grade {
        match self.p {
            _ if !self.is_shifted(rule, 1.0) => Grade::Ok,
            p if p <= rule.alarm_p() => Grade::Critical,
            p if p <= rule.warning_p() => Grade::Warning,
            _ if self.p_independent > rule.warning_p() || self.least_p <= rule.alarm_p() => {
                Grade::Ok
            }
            // No distance at all would have been an alarm: that there is none says nothing. But what follows
            // itself so closely swings by as much all the time: only what is beyond that is doubtful.
            _ => match (self.d >= 1.0, self.is_shifted(rule, CLEAR_FACTOR)) {
                (true, true) => Grade::Warning,
                (true, false) | (false, true) => Grade::Unknown,
                (false, false) => Grade::Ok,
            },
        }
    }

    /// It has not shifted; what is good and not steady has, but by no more than its own swings may be.
    #[must_use]
    pub fn is_steady(&self, rule: &Rule) -> bool {
        !self.is_shifted(rule, 1.0)
    }

    /// The median has shifted by so many times the least change, and in a direction that counts.
    fn is_shifted(&self, rule: &Rule, times: f64) -> bool {
        let shift = self.after - self.before;
        self.change().abs() >= rule.min_change * times
            && shift.abs() >= rule.min_shift * times
            && shift != 0.0
            && (shift > 0.0 || !rule.only_rise)
    }
}

/// The middle value, or the mean of both middle ones.
fn median(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    f64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        Rule {
            alpha: 0.001,
            tested: 1,
            min_change: 0.1,
            min_shift: 0.0,
            only_rise: false,
            confirm: 1,
        }
    }

    /// Rates around these means that never repeat.
    fn halves(before: f64, after: f64) -> Halves {
        let noise = |mean: f64| {
            (0..30).map(|k| mean * (1.0 + 0.01 * f64::from((k * 7) % 11 - 5))).collect()
        };
        Halves { before: noise(before), after: noise(after) }
    }

    fn grade(before: f64, after: f64, rule: &Rule) -> Grade {
        Comparison::of(&halves(before, after)).unwrap().grade(rule)
    }

    #[test]
    fn a_change_is_an_alarm_when_it_is_large_enough() {
        assert_eq!(grade(200.0, 100.0, &rule()), Grade::Critical);
        assert_eq!(grade(200.0, 230.0, &rule()), Grade::Critical);
        assert_eq!(grade(200.0, 200.0, &rule()), Grade::Ok);
        assert_eq!(grade(200.0, 215.0, &rule()), Grade::Ok, "certain, but small");
        assert_eq!(grade(0.0, 5.0, &rule()), Grade::Critical);
        assert_eq!(grade(5.0, 0.0, &rule()), Grade::Critical);
        assert_eq!(grade(0.0, 0.0, &rule()), Grade::Ok);
    }

    #[test]
    fn errors_must_rise_and_by_so_much_a_second() {
        let errors = Rule { min_shift: 0.1, only_rise: true, ..rule() };
        assert_eq!(grade(0.0, 0.05, &errors), Grade::Ok);
        assert_eq!(grade(0.0, 0.2, &errors), Grade::Critical);
        assert_eq!(grade(5.0, 0.0, &errors), Grade::Ok);
    }

    #[test]
    fn many_series_share_one_alpha() {
        let comparison = Comparison { p: 4e-4, ..Comparison::of(&halves(9.0, 5.0)).unwrap() };
        assert_eq!(comparison.grade(&rule()), Grade::Critical);
        assert_eq!(comparison.grade(&Rule { tested: 10, ..rule() }), Grade::Warning);
        assert_eq!(comparison.grade(&Rule { tested: 100, ..rule() }), Grade::Ok);
    }

    #[test]
    fn too_few_rates_are_not_compared() {
        let halves = Halves { before: vec![1.0; 30], after: vec![1.0; 19] };
        assert_eq!(Comparison::of(&halves), Err(TooFew { n1: 30, n2: 19 }));
    }

    /// A line from one level to another, which follows itself as closely as can be.
    fn ramp(from: f64, to: f64) -> Comparison {
        let all: Vec<_> = (0..60).map(|k| from + (to - from) * f64::from(k) / 59.0).collect();
        let (before, after) = all.split_at(30);
        Comparison::of(&Halves { before: before.to_vec(), after: after.to_vec() }).unwrap()
    }

    #[test]
    fn what_no_distance_could_have_alarmed_is_not_called_good() {
        let to_nothing = ramp(1_000.0, 0.0);
        assert!(to_nothing.d == 1.0 && to_nothing.p > 0.3 && to_nothing.least_p == to_nothing.p);
        assert_eq!(to_nothing.grade(&rule()), Grade::Warning);
        assert_eq!(ramp(0.0, 1_000.0).grade(&rule()), Grade::Warning);
        assert_eq!(ramp(1_000.0, 700.0).grade(&rule()), Grade::Unknown);
        assert_eq!(ramp(1_000.0, 900.0).grade(&rule()), Grade::Ok, "less than the least change");
        let only_rise = Rule { only_rise: true, ..rule() };
        assert_eq!(to_nothing.grade(&only_rise), Grade::Ok);
        assert_eq!(ramp(2_450.0, 5_450.0).grade(&rule()), Grade::Warning);
        // Halves that reach into each other: by so much it may swing, unless it is very much.
        let overlap = |from, to| Comparison { d: 0.9, ..ramp(from, to) };
        assert_eq!(overlap(1_000.0, 0.0).grade(&rule()), Grade::Unknown);
        assert_eq!(overlap(1_000.0, 700.0).grade(&rule()), Grade::Ok);
        assert!(!overlap(1_000.0, 700.0).is_steady(&rule()));
        assert!(ramp(1_000.0, 900.0).is_steady(&rule()));
        // Where independent rates would be no evidence either, nothing is missed.
        let near = Comparison { d: 0.3, p_independent: 0.1, ..ramp(1_000.0, 700.0) };
        assert_eq!(near.grade(&rule()), Grade::Ok);
        // Enough independent rates, and no alarm by them: that is an answer.
        let judged = Comparison { least_p: 1e-5, ..ramp(1_000.0, 700.0) };
        assert_eq!(judged.grade(&rule()), Grade::Ok);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Comparison::of(&halves(9.0, 5.0)).unwrap().before, 9.0);
        assert_eq!(median(&[1.0, 4.0, 2.0, 3.0]), 2.5);
    }
}
