//! What is known of reloads, for the API and for the stop.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What reloads leave behind.
#[derive(Debug)]
pub(crate) struct Status {
    /// Unix second of the last good reload; 0: there was none.
    last: AtomicU64,
    drain_timeout_ms: AtomicU64,
    drain_delay_ms: AtomicU64,
}

impl Status {
    /// Before the first reload.
    pub(crate) fn new(drain_timeout: Duration, drain_delay: Duration) -> Self {
        Self {
            last: AtomicU64::new(0),
            drain_timeout_ms: AtomicU64::new(millis(drain_timeout)),
            drain_delay_ms: AtomicU64::new(millis(drain_delay)),
        }
    }

    /// Unix second of the last good reload.
    pub(crate) fn last(&self) -> Option<u64> {
        Some(self.last.load(Ordering::Relaxed)).filter(|&second| second > 0)
    }

    pub(super) fn set_last(&self, unix_second: u64) {
        self.last.store(unix_second, Ordering::Relaxed);
    }

    /// How long a stop may take, by the configuration in force.
    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms.load(Ordering::Relaxed))
    }

    /// How long a stop waits before it begins.
    pub(crate) fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms.load(Ordering::Relaxed))
    }

    /// Sets it, to the millisecond; `true` if it was another.
    pub(super) fn set_drain_delay(&self, delay: Duration) -> bool {
        self.drain_delay_ms.swap(millis(delay), Ordering::Relaxed) != millis(delay)
    }

    /// Sets it, to the millisecond; `true` if it was another.
    pub(super) fn set_drain_timeout(&self, timeout: Duration) -> bool {
        self.drain_timeout_ms.swap(millis(timeout), Ordering::Relaxed) != millis(timeout)
    }
}

/// No setting is longer than a day.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
