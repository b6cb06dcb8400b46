//! Feeding a subject, never faster than it delivers, and waiting for the last sample.

mod clients;
mod datagrams;

use std::time::{Duration, Instant};

use super::sink::Arrivals;

pub use clients::{Ahead, Clients};
pub use datagrams::{DatagramFeeder, Pace};

/// Nothing has arrived for so long: nothing more will.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Waits until `due` samples have arrived in all, or no more do; tells how many have.
///
/// # Errors
/// Whatever the sinks say.
pub fn settle<S: Arrivals>(sinks: &mut S, due: u64) -> anyhow::Result<u64> {
    let mut arrived = sinks.samples()?;
    let mut since = Instant::now();
    while arrived < due && since.elapsed() < SILENCE_MAX {
        sinks.wait(100)?;
        let now = sinks.samples()?;
        if now != arrived {
            (arrived, since) = (now, Instant::now());
        }
    }
    Ok(arrived)
}

/// Sleeps, for a condition that is polled or a moment that is due.
#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
