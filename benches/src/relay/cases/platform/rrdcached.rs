//! What a running rrdcached says of itself.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::Context as _;

/// An answer takes no longer on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// The answer to STATS, in part (rrdcached 1.7, "Performance values").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stats {
    /// UPDATE commands received, those that were refused too.
    pub(super) updates: u64,
    /// Files that are waiting to be written.
    pub(super) queued: u64,
    /// Values written to files.
    pub(super) written: u64,
}

impl Stats {
    /// Asks the daemon that listens on this socket.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) fn ask(socket: &Path) -> anyhow::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(b"STATS\n")?;
        Self::read(BufReader::new(stream))
    }

    /// `N Statistics follow`, then N lines `NAME: NUMBER`.
    fn read(answer: impl BufRead) -> anyhow::Result<Self> {
        let mut lines = answer.lines();
        let head = lines.next().context("rrdcached closed the connection")??;
        let count = head.split(' ').next().and_then(|count| count.parse().ok());
        let count = count.with_context(|| format!("rrdcached says {head:?}"))?;
        let mut stats = Self::default();
        for line in lines.take(count) {
            let line = line?;
            let Some((name, number)) = line.split_once(": ") else { continue };
            let field = match name {
                "UpdatesReceived" => &mut stats.updates,
                "QueueLength" => &mut stats.queued,
                "DataSetsWritten" => &mut stats.written,
                _ => continue,
            };
            *field = number.trim().parse().with_context(|| line.clone())?;
        }
        Ok(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::Stats;

    #[test]
    fn no_more_is_read_than_was_announced() {
        let answer = "3 Statistics follow\nQueueLength: 1\nUpdatesReceived: 30\n\
                      DataSetsWritten: 390\nUpdatesReceived: 7\n";
        let want = Stats { updates: 30, queued: 1, written: 390 };
        assert_eq!(Stats::read(answer.as_bytes()).unwrap(), want);
        assert!(Stats::read(&b"-1 no\n"[..]).is_err());
        assert!(Stats::read(&b""[..]).is_err());
    }
}
