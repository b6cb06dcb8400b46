//! Evens out what a UDP target gets of a backlog. A receive buffer of the usual size holds some 160 small
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
pub(super) struct Smooth {
    next_at: Option<Instant>,
}

impl Smooth {
    /// So many samples were sent of a backlog that may go at `rate` samples a second, 1 at least; returns until
    /// when to wait.
    pub(super) fn sent(&mut self, samples: u64, rate: u64, now: Instant) -> Option<Instant> {
        let earliest = now.checked_sub(BEHIND_MAX).unwrap_or(now);
        let begun = self.next_at.map_or(now, |at| at.max(earliest));
        let nanos = u128::from(samples) * 1_000_000_000 / u128::from(rate.max(1));
        let next = begun + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.next_at = Some(next);
        (next > now).then_some(next)
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
