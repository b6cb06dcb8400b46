//! The log: one line an event on standard error, written by a thread of its own; and the newest lines in
//! memory, for `/debug/log`.
//!
//! Whoever reads standard error may stop reading. Then lines are dropped and counted, and nothing that
//! routes waits. What is kept in memory depends neither on that nor on `COCO_LOG`.

mod journal;
mod layer;
mod ring;
mod shelf;

use std::{env, sync::OnceLock};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer as _, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use journal::{Leveled, is_journal};
use layer::RingLayer;
pub(crate) use ring::{Asked, Found, Level, Ring, unix_ms};

/// Lines that wait to be written; more are dropped.
const LINES_MAX: usize = 4096;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// The newest lines of this process.
static RING: Ring = Ring::new();

/// Starts the log; `COCO_LOG` sets the level of what is written, `info` unless it is set. What it returns is to
/// be kept until the last line: dropping it writes what waits, for at most a second.
pub(crate) fn start() -> WorkerGuard {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).lossy(true);
    let (writer, guard) = builder.thread_name("log").finish(std::io::stderr());
    // Set once: a process has one log.
    let _set: Result<(), ErrorCounter> = DROPPED.set(writer.error_counter());
    let asked = env::var("COCO_LOG").ok().map(|asked| (EnvFilter::try_new(&asked), asked));
    let (filter, bad) = match asked {
        Some((Ok(filter), _)) => (filter, None),
        Some((Err(error), asked)) => (EnvFilter::new("info"), Some((error, asked))),
        None => (EnvFilter::new("info"), None),
    };
    let line = fmt::format().with_ansi(false).with_target(false);
    let line = Leveled { line, is_journal: is_journal() };
    let written = fmt::layer().event_format(line).with_writer(writer).with_ansi(false);
    let kept = RingLayer(&RING).with_filter(LevelFilter::INFO);
    let subscriber = tracing_subscriber::registry().with(written.with_filter(filter)).with(kept);
    // Fails only if a subscriber is set already, which then stays.
    let _set: Result<(), _> = subscriber.try_init();
    if let Some((error, asked)) = bad {
        tracing::warn!(%error, asked, "COCO_LOG is not understood; info is written");
    }
    guard
}

/// Lines that were not written because standard error took none.
pub(crate) fn dropped() -> u64 {
    let dropped = DROPPED.get().map_or(0, ErrorCounter::dropped_lines);
    u64::try_from(dropped).unwrap_or(u64::MAX)
}

/// The newest lines of this process.
pub(crate) fn ring() -> &'static Ring {
    &RING
}
