//! The log: one line an event on standard error, written by a thread of its own.
//!
//! Whoever reads standard error may stop reading. Then lines are dropped and counted, and nothing that
//! routes waits.

use std::sync::OnceLock;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Lines that wait to be written; more are dropped.
const LINES_MAX: usize = 4096;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Starts the log; `COCO_LOG` sets the level, `info` unless it is set. What it returns is to be kept until the
/// last line: dropping it writes what waits, for at most a second.
pub(crate) fn start() -> WorkerGuard {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).lossy(true);
    let (writer, guard) = builder.thread_name("log").finish(std::io::stderr());
    // Set once: a process has one log.
    let _set: Result<(), ErrorCounter> = DROPPED.set(writer.error_counter());
    let filter = EnvFilter::try_from_env("COCO_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false)
        .with_target(false);
    // Fails only if a subscriber is set already, which then stays.
    let _set: Result<(), _> = subscriber.try_init();
    guard
}

/// Lines that were not written because standard error took none.
pub(crate) fn dropped() -> u64 {
    let dropped = DROPPED.get().map_or(0, ErrorCounter::dropped_lines);
    u64::try_from(dropped).unwrap_or(u64::MAX)
}
