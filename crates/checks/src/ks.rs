//! The two-sample Kolmogorov-Smirnov test.
//!
//! D is the largest distance between the two empirical distribution functions, taken where all equal
//! values have been stepped over. It is kept as a whole number of steps of 1/(n m), so that no rounding
//! decides whether a path touches it.

use crate::float;

/// Up to this product of the sizes, p is counted out and not approximated.
pub const EXACT_PRODUCT_MAX: usize = 10_000;

/// D of two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistic {
    steps: usize,
    n: usize,
    m: usize,
}

impl Statistic {
    /// Compares two samples; `None` if one is empty or has a value that is no number.
    #[must_use]
    pub fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        let (n, m) = (first.len(), second.len());
        if n == 0 || m == 0 || first.iter().chain(second).any(|value| value.is_nan()) {
            return None;
        }
        let (first, second) = (sorted(first), sorted(second));
        let (mut i, mut j, mut steps) = (0, 0, 0);
        while let (Some(&a), Some(&b)) = (first.get(i), second.get(j)) {
            let least = a.min(b);
            i += equal(first.get(i..), least);
            j += equal(second.get(j..), least);
            steps = steps.max((i * m).abs_diff(j * n));
        }
        Some(Self { steps, n, m })
    }

    /// The distance, 0 to 1.
    #[must_use]
    pub fn d(self) -> f64 {
        float(self.steps) / float(self.n * self.m)
    }

    /// Probability of a distance of at least this in two independent samples of one distribution.
    #[must_use]
    pub fn p(self) -> f64 {
        p(self.n, self.m, self.d(), float(self.steps))
    }

    /// The same for samples whose values follow each other with the lag-1 autocorrelation `rho`: they are
    /// worth n (1 - rho) / (1 + rho) independent values. Below 0, `rho` counts as 0.
    #[must_use]
    pub fn p_shrunk(self, rho: f64) -> f64 {
        self.p_of_distance(self.d(), rho)
    }

    /// The least probability that samples of these sizes can come to: that of the distance 1.
    #[must_use]
    pub fn least_p(self, rho: f64) -> f64 {
        self.p_of_distance(1.0, rho)
    }

    fn p_of_distance(self, d: f64, rho: f64) -> f64 {
        let rho = rho.clamp(0.0, 1.0);
        let worth = (1.0 - rho) / (1.0 + rho);
        let [n, m] = [self.n, self.m].map(|size| rounded(float(size) * worth, size));
        p(n, m, d, d * float(n * m))
    }
}

/// `steps` is `d` in steps of 1/(n m).
fn p(n: usize, m: usize, d: f64, steps: f64) -> f64 {
    if n * m <= EXACT_PRODUCT_MAX { exact(n, m, steps) } else { asymptotic(n, m, d) }
}

/// The probability that a random path from (0, 0) to (n, m) by unit steps comes to a point (i, j) with
/// |i m - j n| >= `steps`, which is that of D >= steps / (n m) without ties.
///
/// What is summed up is the paths that do, all terms positive: small probabilities come out with all
/// their digits.
#[must_use]
pub fn exact(n: usize, m: usize, steps: f64) -> f64 {
    // Where `steps` was itself rounded, a path that just reaches it does so.
    const SLACK: f64 = 1e-9;
    if steps <= SLACK {
        return 1.0;
    }
    // For the points (i, 0..=m): the share of the paths there that have been outside.
    let mut row = vec![0.0_f64; m + 1];
    for i in 0..=n {
        let mut left = 0.0;
        for (j, here) in row.iter_mut().enumerate() {
            let outside = float((i * m).abs_diff(j * n)) >= steps - SLACK;
            *here = match (outside, i + j) {
                (true, _) => 1.0,
                (false, 0) => 0.0,
                (false, way) => (float(i) * *here + float(j) * left) / float(way),
            };
            left = *here;
        }
    }
    row.last().copied().unwrap_or(1.0).min(1.0)
}

/// The same for large samples: Kolmogorov's distribution, with Stephens' correction of its argument.
#[must_use]
pub fn asymptotic(n: usize, m: usize, d: f64) -> f64 {
    let root = (float(n) * float(m) / float(n + m)).sqrt();
    kolmogorov((root + 0.12 + 0.11 / root) * d)
}

/// The upper tail of Kolmogorov's distribution.
#[must_use]
pub fn kolmogorov(lambda: f64) -> f64 {
    use std::f64::consts::PI;
    if lambda <= 0.0 {
        return 1.0;
    }
    if lambda < 1.0 {
        // Jacobi's transform of the other series, which converges slowly here.
        let term = |k: i32| (-(f64::from(2 * k - 1) * PI / lambda).powi(2) / 8.0).exp();
        let below: f64 = (1..=4).map(term).sum::<f64>() * (2.0 * PI).sqrt() / lambda;
        return (1.0 - below).clamp(0.0, 1.0);
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * (-2.0 * f64::from(k).powi(2) * lambda.powi(2)).exp()
    };
    (1..=8).map(term).sum::<f64>().clamp(0.0, 1.0)
}

fn sorted(sample: &[f64]) -> Vec<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// How many values at the beginning are this one.
fn equal(rest: Option<&[f64]>, value: f64) -> usize {
    rest.unwrap_or_default().iter().take_while(|v| **v == value).count()
}

/// `size` as a whole number from 1 to `most`.
fn rounded(size: f64, most: usize) -> usize {
    (1..=most).rev().find(|whole| float(*whole) <= size + 0.5).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The smallest distance between samples of these sizes that has a probability of at most `alpha`; `None`
    /// if none has.
    fn critical(n: usize, m: usize, alpha: f64) -> Option<f64> {
        let product = n * m;
        let p_of = |steps: usize| p(n, m, float(steps) / float(product), float(steps));
        if product == 0 || p_of(product) > alpha {
            return None;
        }
        let (mut too_small, mut enough) = (0, product);
        while enough - too_small > 1 {
            let middle = too_small.midpoint(enough);
            if p_of(middle) <= alpha {
                enough = middle;
            } else {
                too_small = middle;
            }
        }
        // Between two distances that occur, p is that of the larger one: go up to it.
        let occurs = |steps: usize| steps.is_multiple_of(gcd(n, m));
        let steps = (enough..=product).find(|steps| occurs(*steps))?;
        Some(float(steps) / float(product))
    }

    fn gcd(a: usize, b: usize) -> usize {
        if b == 0 { a } else { gcd(b, a % b) }
    }

    #[test]
    fn equal_values_are_stepped_over_together() {
        let d = |a: &[f64], b: &[f64]| Statistic::of(a, b).unwrap().d();
        assert_eq!(d(&[1.0, 1.0, 2.0], &[1.0, 1.0, 2.0]), 0.0);
        assert_eq!(d(&[0.0; 30], &[0.0; 30]), 0.0);
        assert_eq!(d(&[0.0; 30], &[1.0; 30]), 1.0);
        assert_eq!(d(&[1.0, 2.0], &[1.0, 3.0]), 0.5);
        assert_eq!(d(&[-0.0], &[0.0]), 0.0);
        assert_eq!(Statistic::of(&[], &[1.0]), None);
        assert_eq!(Statistic::of(&[f64::NAN], &[1.0]), None);
    }

    #[test]
    fn no_distance_is_no_evidence() {
        let same = Statistic::of(&[3.0; 30], &[3.0; 30]).unwrap();
        assert_eq!((same.p(), same.p_shrunk(0.5)), (1.0, 1.0));
        let large = Statistic::of(&[3.0; 300], &[3.0; 300]).unwrap();
        assert_eq!(large.p(), 1.0);
    }

    #[test]
    fn the_smallest_p_that_a_size_can_reach() {
        for (n, least) in [(5, 0.0079), (7, 0.00058), (10, 1.1e-5)] {
            let p = exact(n, n, float(n * n));
            assert!((p / least - 1.0).abs() < 0.02, "n = {n}: {p}");
        }
        // 2 / C(14, 7): the two paths along the edges.
        assert!((exact(7, 7, 49.0) * 3432.0 - 2.0).abs() < 1e-12);
        assert_eq!(critical(6, 6, 0.001), None);
        assert_eq!(critical(7, 7, 0.001), Some(1.0));
    }

    #[test]
    fn critical_distances() {
        for (n, of_05, of_01, of_001) in [(10, 7, 8, 9), (30, 11, 13, 15), (60, 15, 18, 22)] {
            let found = [0.05, 0.01, 0.001].map(|alpha| critical(n, n, alpha).unwrap());
            assert_eq!(found, [of_05, of_01, of_001].map(|k| float(k) / float(n)), "n = {n}");
        }
    }

    #[test]
    fn both_series_of_kolmogorov_agree_where_they_meet() {
        let (below, above) = (kolmogorov(1.0 - 1e-12), kolmogorov(1.0));
        assert!((below - above).abs() < 1e-11, "{below} {above}");
        assert_eq!(kolmogorov(0.0), 1.0);
        assert_eq!(kolmogorov(0.02), 1.0);
        assert!(kolmogorov(40.0) < 1e-300);
    }

    #[test]
    fn values_that_follow_each_other_are_worth_less() {
        let (a, b): (Vec<f64>, Vec<f64>) =
            (0..30).map(|k| (f64::from(k), f64::from(k + 15))).unzip();
        let statistic = Statistic::of(&a, &b).unwrap();
        let p = [-0.5, 0.0, 0.3, 0.8, 1.0, 2.0].map(|rho| statistic.p_shrunk(rho));
        assert_eq!(p[0], statistic.p());
        assert_eq!(p[1], statistic.p());
        assert!(p.windows(2).all(|pair| pair[0] <= pair[1]), "{p:?}");
        assert_eq!(p[5], 1.0);
        let least = [0.0, 0.8, 1.0].map(|rho| statistic.least_p(rho));
        assert!(least[0] < 1e-16 && (least[1] - 0.1).abs() < 1e-12 && least[2] == 1.0, "{least:?}");
    }

    proptest! {
        /// Against a definition that takes no short cut.
        #[test]
        fn d_is_the_largest_distance(
            a in prop::collection::vec(0_u8..20, 1..40),
            b in prop::collection::vec(0_u8..20, 1..40),
        ) {
            let [a, b] = [a, b].map(|s| s.into_iter().map(f64::from).collect::<Vec<_>>());
            let share = |sample: &[f64], x: f64| {
                float(sample.iter().filter(|v| **v <= x).count()) / float(sample.len())
            };
            let distance = |x: &f64| (share(&a, *x) - share(&b, *x)).abs();
            let wanted = a.iter().chain(&b).map(distance).fold(0.0, f64::max);
            let found = Statistic::of(&a, &b).unwrap();
            prop_assert!((found.d() - wanted).abs() < 1e-12);
            prop_assert!((0.0..=1.0).contains(&found.p()));
            let other = Statistic::of(&b, &a).unwrap();
            prop_assert_eq!(found.d(), other.d());
            prop_assert!((found.p() - other.p()).abs() < 1e-12);
        }

        #[test]
        fn a_critical_distance_is_just_enough(n in 1_usize..40, m in 1_usize..40, exponent in 1_i32..5) {
            let alpha = 10_f64.powi(-exponent);
            if let Some(d) = critical(n, m, alpha) {
                let steps = d * float(n * m);
                prop_assert!(exact(n, m, steps) <= alpha);
                prop_assert!(exact(n, m, steps - float(gcd(n, m))) > alpha);
            }
        }
    }
}
