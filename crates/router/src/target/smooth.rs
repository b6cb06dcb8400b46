//! Evens out what a UDP target gets of a backlog: what is on disk, and what came while it was not fed. A receive buffer of the usual size holds some 160 small
//! datagrams, and a record of a spool more than that: sent at once, part of it would be lost there. No clock of
//! its own.

use std::time::Duration;

use tokio::time::Instant;

/// Datagrams of a backlog that are sent at once.
pub(super) const AT_ONCE: usize = 16;

/// How much of the time that was waited too long is made up for.
const BEHIND_MAX: Duration = Duration::from_millis(5);

/// When the next part of a backlog may go.
#[derive(Debug, Default)]
struct Smooth {
    next_at: Option<Instant>,
}

impl Smooth {
    /// So many samples were sent of a backlog that may go at `rate` samples a second, 1 at least; returns until
    /// when to wait.
    fn sent(&mut self, samples: u64, rate: u64, now: Instant) -> Option<Instant> {
        let earliest = now.checked_sub(BEHIND_MAX).unwrap_or(now);
        let begun = self.next_at.map_or(now, |at| at.max(earliest));
        let nanos = u128::from(samples) * 1_000_000_000 / u128::from(rate.max(1));
        let next = begun + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.next_at = Some(next);
        (next > now).then_some(next)
    }
}

/// What came while a target was not fed goes so many times as fast as it came, and so fast at least, in samples a
/// second.
const TIMES_LIVE: u64 = 3;
const RATE_MIN: u64 = 3_000;

/// What waits for a UDP target, and how fast it may go.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Samples a second; `None`: there is no backlog, or no bound.
    rate: Option<u64>,
    /// How many it has: what comes behind them goes as it comes.
    left: u64,
    smooth: Smooth,
}

impl Backlog {
    /// The target was not fed for this time, in which so many samples came; `waiting` wait for it now.
    pub(super) fn grew(&mut self, came: u64, time: Duration, waiting: u64) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = (TIMES_LIVE * came).saturating_mul(1000) / millis;
        self.rate = (waiting > 0).then_some(rate.max(RATE_MIN));
        self.left = waiting;
    }

    /// What goes next is on disk, and may go at this rate; what waits behind it as well.
    pub(super) fn is_on_disk(&mut self, rate: Option<u64>) {
        (self.rate, self.left) = (rate, u64::MAX);
    }

    /// All of it is sent.
    pub(super) fn is_over(&mut self) {
        self.rate = None;
    }

    /// At which rate, in samples a second, it may go.
    pub(super) fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// So many were sent: waits until more may go.
    pub(super) async fn wait(&mut self, samples: u64, rate: u64) {
        self.left = self.left.saturating_sub(samples);
        if self.left == 0 {
            self.is_over();
        }
        if let Some(until) = self.smooth.sent(samples, rate, Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_goes_evenly_and_at_its_rate_also_when_waits_are_too_long() {
        let began = Instant::now();
        let (mut smooth, mut now, mut sent) = (Smooth::default(), began, 0);
        while now - began < Duration::from_secs(10) {
            let wait = smooth.sent(16, 5_000, now);
            sent += 16;
            // A timer that is a millisecond late.
            now = wait.map_or(now, |until| until + Duration::from_millis(1));
        }
        assert!((49_000..=50_100).contains(&sent), "{sent} in 10 s");
    }

    #[test]
    fn after_a_pause_no_more_than_some_milliseconds_are_made_up_for() {
        let began = Instant::now();
        let mut smooth = Smooth::default();
        assert_eq!(smooth.sent(10, 1_000, began), Some(began + Duration::from_millis(10)));
        let later = began + Duration::from_secs(60);
        assert_eq!(smooth.sent(4, 1_000, later), None);
        assert_eq!(smooth.sent(4, 1_000, later), Some(later + Duration::from_millis(3)));
        assert_eq!(smooth.sent(1, 0, later), Some(later + Duration::from_millis(1003)));
    }
}
