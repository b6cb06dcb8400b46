//! Levels for the journal: it takes that of a line from a prefix (sd-daemon(3)), so that `journalctl --priority`
//! finds warnings, and what is forwarded to syslog has its severity.

use std::{env, fmt, fs, os::unix::fs::MetadataExt};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// A line, behind its level where the journal reads it.
pub(super) struct Leveled<L> {
    pub(super) line: L,
    pub(super) is_journal: bool,
}

impl<S, N, L> FormatEvent<S, N> for Leveled<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    L: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.is_journal {
            writer.write_str(prefix(*event.metadata().level()))?;
        }
        self.line.format_event(context, writer, event)
    }
}

/// The severity of syslog, as the journal takes it.
fn prefix(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// Whether standard error goes to the journal: systemd names its device and inode (systemd.exec(5)). The name
/// alone does not tell: a program that was started with another standard error inherits it.
pub(super) fn is_journal() -> bool {
    let Ok(named) = env::var("JOURNAL_STREAM") else { return false };
    fs::metadata("/proc/self/fd/2")
        .is_ok_and(|file| named == format!("{}:{}", file.dev(), file.ino()))
}
