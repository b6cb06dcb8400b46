//! What came in: what each listener read, and the fates that a sample meets once for all tiers.

use crate::tally::SampleCounters;

/// Samples by the fate that they meet once for all tiers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleFates {
    /// Value lists, lines and datapoints decoded.
    pub decoded: u64,
    /// Notifications decoded.
    pub notifications: u64,
    /// Malformed: never decoded.
    pub malformed: u64,
    /// Taken out by the blacklist.
    pub filtered: u64,
    /// No tier can carry them.
    pub unroutable: u64,
    /// collectd samples and notifications given to tiers.
    pub routed_collectd: u64,
    /// Graphite samples given to tiers.
    pub routed_lines: u64,
}

/// What one listener read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerCounts {
    /// Name of its protocol.
    pub protocol: &'static str,
    /// The bound address.
    pub address: String,
    /// A reload has taken it out.
    pub removed: bool,
    /// Datagrams, TCP lines or pickle frames read.
    pub raw: u64,
    /// Of them: all could be used.
    pub ok: u64,
    /// Some could be used.
    pub partial: u64,
    /// Nothing could be used.
    pub bad: u64,
    /// Samples decoded, notifications not among them.
    pub decoded: u64,
    /// Datagrams cut by the read buffer.
    pub truncated: u64,
    /// Probe datagrams of a Coco; they are not in `raw`.
    pub probes: u64,
    /// Datagrams dropped by the kernel.
    pub kernel_dropped: u64,
    /// Failed reads and accepts.
    pub errors: u64,
    /// Malformed input by reason.
    pub rejected: Vec<(String, u64)>,
}

impl ListenerCounts {
    pub(super) fn residual(&self) -> u64 {
        self.raw.abs_diff(self.ok + self.partial + self.bad)
    }
}

impl SampleFates {
    pub(super) fn take(counters: &SampleCounters) -> Self {
        Self {
            decoded: counters.decoded.get(),
            notifications: counters.notifications.get(),
            malformed: counters.malformed.get(),
            filtered: counters.filtered.get(),
            unroutable: counters.unroutable.get(),
            routed_collectd: counters.routed_collectd.get(),
            routed_lines: counters.routed_lines.get(),
        }
    }

    pub(super) fn residual(&self) -> u64 {
        let came = self.decoded + self.notifications;
        came.abs_diff(self.filtered + self.unroutable + self.routed())
    }

    /// Samples given to tiers.
    pub fn routed(&self) -> u64 {
        self.routed_collectd + self.routed_lines
    }
}
