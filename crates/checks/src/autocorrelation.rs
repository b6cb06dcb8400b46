//! How much a value tells about the next one.

use crate::float;

/// The lag-1 autocorrelation of a sample in the order of time; 0 if it does not vary.
#[must_use]
pub fn lag_1(sample: &[f64]) -> f64 {
    if sample.len() < 2 {
        return 0.0;
    }
    let mean = sample.iter().sum::<f64>() / float(sample.len());
    let spread: f64 = sample.iter().map(|value| (value - mean).powi(2)).sum();
    if spread <= 0.0 {
        return 0.0;
    }
    let together = |pair: &[f64]| match pair {
        [a, b] => (a - mean) * (b - mean),
        _ => 0.0,
    };
    sample.windows(2).map(together).sum::<f64>() / spread
}

/// The mean of both halves' autocorrelations, 0 at least. Not that of the whole window: a step between
/// the halves would pass for autocorrelation.
#[must_use]
pub fn of_halves(first: &[f64], second: &[f64]) -> f64 {
    f64::midpoint(lag_1(first), lag_1(second)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sequences() {
        assert_eq!(lag_1(&[]), 0.0);
        assert_eq!(lag_1(&[1.0; 30]), 0.0);
        assert_eq!(lag_1(&[1.0, 2.0, 3.0, 4.0]), 0.25);
        assert_eq!(lag_1(&[1.0, -1.0, 1.0, -1.0]), -0.75);
        assert_eq!(of_halves(&[1.0, -1.0, 1.0, -1.0], &[1.0, -1.0]), 0.0);
        assert_eq!(of_halves(&[1.0, 2.0, 3.0, 4.0], &[7.0; 9]), 0.125);
    }
}
