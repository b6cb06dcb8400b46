//! Faults on demand, so that checks can be tested; only in builds with the feature `faults`.
//!
//! `COCO_FAULTS` names them, joined by commas: `residual` (the ledger does not add up), `shed` (each hundredth
//! sample is shed, and counted so), `log` (an error of a kind that nobody knows, each second). Without the
//! variable such a build behaves as any other.

use std::{
    env,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    chunk::{Chunk, Format},
    shared::Shared,
    telemetry::Counter,
};

static NAMED: LazyLock<String> = LazyLock::new(|| env::var("COCO_FAULTS").unwrap_or_default());

fn is_named(fault: &str) -> bool {
    NAMED.split(',').any(|named| named.trim() == fault)
}

/// Says what this build is, and begins with the faults that need no sample.
pub(crate) fn start(shared: &Shared) {
    if NAMED.is_empty() {
        tracing::info!("this is a build for tests; COCO_FAULTS names no fault");
        return;
    }
    tracing::warn!(faults = *NAMED, "this is a build for tests, with faults");
    if is_named("residual") {
        shared.samples.decoded.add(1);
    }
    if is_named("log") {
        tokio::spawn(async {
            loop {
                tracing::error!("a line of a kind that nobody knows");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
}

/// Takes each hundredth sample out of a chunk, in whole units, and counts them; `true` if nothing is left.
pub(crate) fn shed_some(chunk: &mut Chunk, shed: &Counter) -> bool {
    /// Samples seen since as many hundreds were shed as were due.
    static SEEN: AtomicU64 = AtomicU64::new(0);
    if !is_named("shed") {
        return false;
    }
    let is_shed = |samples: u64| {
        let seen = SEEN.fetch_add(samples, Ordering::Relaxed) + samples;
        let due = seen >= 100 * samples;
        SEEN.fetch_sub(if due { 100 * samples } else { 0 }, Ordering::Relaxed);
        due
    };
    let before = std::mem::take(chunk);
    if before.format == Format::Lines {
        let lines = before.bytes.split_inclusive(|byte| *byte == b'\n');
        for line in lines.filter(|_| !is_shed(1)) {
            chunk.push_line(line.strip_suffix(b"\n").unwrap_or(line));
        }
    } else {
        let mut start = 0;
        for frame in &before.frames {
            let unit = before.bytes.get(start..frame.end).unwrap_or_default();
            start = frame.end;
            if !is_shed(frame.samples) {
                chunk.push_frame(unit, frame.samples);
            }
        }
    }
    shed.add(before.samples - chunk.samples);
    chunk.is_empty()
}
