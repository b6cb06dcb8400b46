//! What the readers of one listener, or the worker of one target, are to do: go on, or come to an end.
//!
//! Each listener and each target has a [`Lever`] of its own, so that one can end while all others run. A
//! stop of the process pulls them all.

use tokio::sync::watch;
use tokio::time::Instant;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Read, route, send.
    Run,
    /// Read what the sockets still hold, at most until then; take no new clients.
    ReadDry(Instant),
    /// Read no more: hand clients over to the new process, at most until then.
    HandOver(Instant),
    /// Send what the queue still holds, at most until then.
    Flush(Instant),
}

/// Moves those who hold its [`Stages`] to a later stage, never back.
#[derive(Debug)]
pub(crate) struct Lever(watch::Sender<Stage>);

impl Default for Lever {
    fn default() -> Self {
        Self(watch::Sender::new(Stage::Run))
    }
}

impl Lever {
    /// The present stage and word of the next ones, for one reader or worker.
    pub(crate) fn stages(&self) -> Stages {
        Stages(self.0.subscribe())
    }

    /// Nothing new is taken; what is there is read, at most until then.
    pub(crate) fn read_dry(&self, until: Instant) {
        self.leave_run(Stage::ReadDry(until));
    }

    fn leave_run(&self, next: Stage) {
        self.0.send_if_modified(|stage| {
            let runs = *stage == Stage::Run;
            if runs {
                *stage = next;
            }
            runs
        });
    }

    /// Nothing more is read; clients are handed over, at most until then. What comes to its end already goes
    /// on with that.
    pub(crate) fn hand_over(&self, until: Instant) {
        self.leave_run(Stage::HandOver(until));
    }

    /// What is held is sent, at most until then; an earlier end that was set before stands.
    pub(crate) fn flush(&self, until: Instant) {
        self.0.send_if_modified(|stage| {
            let stands = matches!(stage, Stage::Flush(before) if *before <= until);
            if !stands {
                *stage = Stage::Flush(until);
            }
            !stands
        });
    }

    /// Returns when nobody holds its [`Stages`] any more: all readers or the worker have ended.
    pub(crate) async fn let_go(&self) {
        self.0.closed().await;
    }
}

/// The present stage, and word of the next one.
#[derive(Debug, Clone)]
pub(crate) struct Stages(watch::Receiver<Stage>);

impl Stages {
    pub(crate) fn now(&self) -> Stage {
        *self.0.borrow()
    }

    /// Returns when there is another stage than before.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The router is gone; nothing will change any more.
            std::future::pending().await
        }
    }

    /// Nothing more is to be read.
    pub(crate) fn is_overdue(&self) -> bool {
        match self.now() {
            Stage::Run => false,
            Stage::ReadDry(until) => Instant::now() >= until,
            Stage::HandOver(_) | Stage::Flush(_) => true,
        }
    }

    /// Returns when the time for sending what is held is over.
    pub(crate) async fn flush_deadline(&mut self) {
        loop {
            match self.now() {
                // A stop of the process may set an earlier one.
                Stage::Flush(until) => tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(until) => return,
                    () = self.changed() => {}
                },
                Stage::Run | Stage::ReadDry(_) | Stage::HandOver(_) => self.changed().await,
            }
        }
    }
}
