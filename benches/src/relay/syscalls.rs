//! Counting a process's system calls with strace, which slows it: never while time is measured.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::NamedTempFile;

use super::machine::first_line;

/// A running strace. Killed when dropped.
#[derive(Debug)]
pub struct Trace {
    strace: Child,
    summary: NamedTempFile,
}

/// strace is installed.
pub fn is_there() -> bool {
    first_line("strace", &["--version"]).is_some()
}

impl Trace {
    /// Begins to count; `None` if strace is not installed.
    ///
    /// # Errors
    /// It cannot attach to the process.
    pub fn start(pid: u32) -> anyhow::Result<Option<Self>> {
        if !is_there() {
            return Ok(None);
        }
        let summary = NamedTempFile::new()?;
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-p", &pid.to_string(), "-o"]).arg(summary.path());
        let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = strace.stderr.take().context("no standard error")?;
        let trace = Self { strace, summary };
        // It says so when it has attached, or why it cannot.
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line)?;
        ensure!(line.contains("attached"), "strace says: {line}");
        Ok(Some(trace))
    }

    /// Ends it, and tells how many calls there were.
    ///
    /// # Errors
    /// It has not told.
    pub fn finish(mut self) -> anyhow::Result<f64> {
        kill(Pid::from_raw(self.strace.id().cast_signed()), Signal::SIGINT)?;
        self.strace.wait()?;
        let summary = std::fs::read_to_string(self.summary.path())?;
        total(&summary).with_context(|| format!("strace tells no total:\n{summary}"))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop((self.strace.kill(), self.strace.wait()));
    }
}

/// The calls in the last line: `100.00 SECONDS [USECS] CALLS [ERRORS] total`.
fn total(summary: &str) -> Option<f64> {
    let line = summary.lines().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_ascii_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_total_of_calls_is_read() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n\
                       ------ ----------- ----------- --------- --------- ----------------\n\
                       \x2099.94    1.002003           7    138211        12 write\n\
                       ------ ----------- ----------- --------- --------- ----------------\n\
                       100.00    1.002003           7    138217        12 total\n";
        assert_eq!(super::total(summary), Some(138_217.0));
    }
}
