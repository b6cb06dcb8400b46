//! SIGINT and SIGTERM as an error, so that what was started is ended and its files go.
//!
//! Programs that are started meanwhile do not get them either: they are killed with their handles.

use anyhow::bail;
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

/// Holds both signals back from this thread, and from the threads that it starts, until it is dropped.
#[derive(Debug)]
pub(super) struct Interrupt {
    signals: SigSet,
    held: SignalFd,
}

impl Interrupt {
    /// Begins to hold them back.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub(super) fn hold() -> anyhow::Result<Self> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        signals.thread_block()?;
        let held = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { signals, held })
    }

    /// Goes on unless one came.
    ///
    /// # Errors
    /// One came.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.held.read_signal()? {
            Some(_) => bail!("interrupted"),
            None => Ok(()),
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        let _set_is_good: nix::Result<()> = self.signals.thread_unblock();
    }
}
