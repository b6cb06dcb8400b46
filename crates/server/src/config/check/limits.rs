//! `[limits]`: bounds of the process, and what tiers take when they say nothing.

use std::{ops::RangeInclusive, time::Duration};

use coco_router::plan::Limits;

use super::tier;
use crate::config::{
    file::{self, Leaf, Node},
    findings::{self, Findings},
    path::KeyPath,
};

/// The section, with defaults for what it does not say.
pub(super) struct Process {
    pub(super) limits: Limits,
    pub(super) drain_timeout: Duration,
    pub(super) drain_delay: Duration,
    pub(super) queue_bytes: usize,
    pub(super) block_timeout: Duration,
}

/// Reads it; there may be none.
pub(super) fn process(
    node: Option<&Node<file::Limits>>,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Process {
    let none = file::Limits::default();
    let section = findings.table(at, node).unwrap_or(&none);
    let limits = limits(section, at, findings);
    let queue = section.queue.as_ref();
    let queue_bytes = findings.read(&at.key("queue"), queue, findings::size(tier::QUEUE_BYTES));
    let delay = section.drain_delay.as_ref();
    let drain_delay = findings.read(&at.key("drain_delay"), delay, findings::duration_or_none);
    let mut time = |key, leaf: &Option<Leaf>, default| {
        findings.read(&at.key(key), leaf.as_ref(), findings::duration).unwrap_or(default)
    };
    Process {
        limits,
        drain_timeout: time("drain_timeout", &section.drain_timeout, DRAIN_TIMEOUT_DEFAULT),
        drain_delay: drain_delay.unwrap_or_default(),
        queue_bytes: queue_bytes.unwrap_or(QUEUE_BYTES_DEFAULT),
        block_timeout: time("block_timeout", &section.block_timeout, BLOCK_TIMEOUT_DEFAULT),
    }
}

/// Those that the router keeps.
fn limits(section: &file::Limits, at: &KeyPath, findings: &mut Findings<'_>) -> Limits {
    let default = Limits::default();
    let mut size = |key, leaf: &Option<Leaf>, range, default| {
        findings.read(&at.key(key), leaf.as_ref(), findings::size(range)).unwrap_or(default)
    };
    let line_bytes_max = size("line", &section.line, 64..=64 << 10, default.line_bytes_max);
    let memory_bytes_max = size("memory", &section.memory, MEMORY_BYTES, default.memory_bytes_max);
    let resend_bytes = size("resend", &section.resend, tier::RESEND_BYTES, default.resend_bytes);
    let mut count = |key, leaf: &Option<Leaf>, range, default| {
        let read = findings.read(&at.key(key), leaf.as_ref(), findings::integer(range));
        read.and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
    };
    let clients = &section.connections;
    Limits {
        line_bytes_max,
        memory_bytes_max,
        resend_bytes,
        connections_max: count("connections", clients, 1..=1_000_000, default.connections_max),
        series_max: count("series", &section.series, 1_000..=1_000_000_000, default.series_max),
        names_max: count("names", &section.names, 0..=1_000_000, default.names_max),
    }
}

/// Below this, a fleet's first second does not fit.
const MEMORY_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;

/// For each target: minutes of a small fleet, seconds of a large one.
const QUEUE_BYTES_DEFAULT: usize = 64 << 20;

/// Longer than a restart of a target, shorter than a client's patience.
const BLOCK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Well within systemd's 90 s between stop and kill.
const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
