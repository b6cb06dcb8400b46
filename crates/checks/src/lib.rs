//! Whether a rate has changed: the statistics behind `coco ks`, without I/O and without a clock.
//!
//! Readings come in with their times, a [`Grade`] comes out. A window is halved by time and the halves are
//! compared with a two-sample Kolmogorov-Smirnov test ([`ks`]). That finds changes and forgets them: once
//! a change has left the window, both halves agree again. So there are rules on the newest readings
//! beside it ([`levels`]).

pub mod autocorrelation;
pub mod grade;
pub mod judge;
pub mod ks;
pub mod levels;
pub mod rates;
pub mod split;
pub mod verdict;

pub use grade::Grade;

/// A count as a number to reckon with: exact, as no count here comes near 2^53.
fn float(count: usize) -> f64 {
    count as f64
}
