//! A router at work, and the ways in which it ends.

use std::{io, sync::Arc, thread::JoinHandle, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, error::Elapsed, timeout_at},
};

use crate::{
    control::Control,
    handle::Handle,
    handover::{self, Holding, Piece},
    ledger::Ledger,
    shared::Shared,
    spooler::Spooler,
};

/// Longest time that reading the sockets dry may take; a client that never stops sending would keep
/// it up for ever.
pub(crate) const DRY_MAX: Duration = Duration::from_secs(2);

/// How long after the deadline a shard may take to settle what it gives up.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// The same for the spooler, which has all that is left to write.
const SPOOL_GRACE: Duration = Duration::from_secs(30);

/// The same for the next process, which has to take what the targets did not.
const HEIR_GRACE: Duration = Duration::from_secs(10);

/// A router at work.
#[derive(Debug)]
pub struct Running {
    pub(super) shared: Arc<Shared>,
    pub(super) control: Arc<Control>,
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) dry: Vec<oneshot::Receiver<()>>,
    pub(super) spooler: Option<Spooler>,
}

/// A router that has stopped, with its last account.
#[derive(Debug)]
pub struct Drained {
    /// Every fate; what was shed because the time was over has the reason `shutdown`.
    pub ledger: Ledger,
}

impl Running {
    /// The view of the API.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared), Arc::clone(&self.control))
    }

    /// What an [`Inheritance`](handover::Inheritance) works with.
    pub(crate) fn parts(&self) -> (Arc<Shared>, Arc<Control>) {
        (Arc::clone(&self.shared), Arc::clone(&self.control))
    }

    /// The listening sockets, for the next process. Reloads wait while this is held.
    ///
    /// # Errors
    /// If the system has no file descriptors left.
    pub async fn hold(&self) -> io::Result<Holding<'_>> {
        self.control.hold(&self.shared).await
    }

    /// Stops: takes no new clients, reads the sockets dry, sends what is held, all within `timeout`.
    pub async fn drain(mut self, timeout: Duration) -> Drained {
        let deadline = Instant::now() + timeout;
        end(&self.shared, &self.control, std::mem::take(&mut self.dry), deadline).await;
        self.finish(deadline).await
    }

    /// Hands over to another process, which reads the same sockets from now on: stops reading, gives it the
    /// clients, sends what its targets take at once, and gives it what else they should get, all by way of
    /// `heir`. What spools goes to disk.
    pub async fn hand_over(mut self, heir: mpsc::Sender<Piece>) -> Drained {
        self.shared.set_heir(Some(heir.clone()));
        drop(self.control.held().await.take());
        let until = handover::within(handover::CLIENTS_MAX);
        let roll = self.shared.roll.load_full();
        // The new process waits for word that it may read: that comes first.
        let (datagrams, streams): (Vec<_>, Vec<_>) =
            roll.listeners.iter().map(|row| &row.listener).partition(|listener| listener.is_udp());
        datagrams.iter().for_each(|listener| listener.lever.hand_over(until));
        let (mut drops, stuck_at) = (Vec::new(), handover::within(DRY_MAX));
        for listener in datagrams {
            // Stuck is only who is stuck for good; the new process reads all the same.
            let _stuck: Result<(), Elapsed> = timeout_at(stuck_at, listener.lever.let_go()).await;
            drops.extend(listener.hand_drops_over());
        }
        // A new process that is gone takes nothing: what it should have got is shed or cut, and counted.
        let _gone: Result<(), mpsc::error::SendError<Piece>> =
            heir.send(Piece::Sockets(drops)).await;
        streams.iter().for_each(|listener| listener.lever.hand_over(until));
        handover::tell_done(&self.shared, &heir);
        drop(heir);
        let shared = Arc::clone(&self.shared);
        let dry = std::mem::take(&mut self.dry);
        let deadline = flush(&shared, dry, until, || handover::within(handover::FLUSH_MAX)).await;
        let drained = self.finish(deadline).await;
        shared.set_heir(None);
        drained
    }

    /// Waits for the end of all threads, and a little longer than the deadline at most.
    async fn finish(self, deadline: Instant) -> Drained {
        let Self { shared, threads, spooler, .. } = self;
        let mut grace = if spooler.is_some() { GRACE + SPOOL_GRACE } else { GRACE };
        if shared.heir().is_some() {
            grace += HEIR_GRACE;
        }
        let (ended, all_ended) = oneshot::channel();
        // Not on the runtime's own threads: its end would wait for them.
        std::thread::spawn(move || {
            // A panic has ended the process already.
            threads.into_iter().for_each(|thread| drop(thread.join()));
            if let Some(spooler) = spooler {
                spooler.finish();
            }
            let _told: Result<(), ()> = ended.send(());
        });
        let patience = deadline + grace;
        let _stuck: Result<_, Elapsed> = timeout_at(patience, all_ended).await;
        Drained { ledger: Ledger::take(&shared) }
    }
}

/// Has the sockets read dry, then what the targets hold sent until the deadline; does not wait for that.
pub(crate) async fn end(
    shared: &Shared,
    control: &Control,
    dry: Vec<oneshot::Receiver<()>>,
    deadline: Instant,
) {
    // From here on nothing is reloaded. With their inboxes the shards learn that no clients will come.
    drop(control.held().await.take());
    let dry_until = deadline.min(Instant::now() + DRY_MAX);
    for row in &shared.roll.load().listeners {
        row.listener.forget_sockets();
        row.listener.lever.read_dry(dry_until);
    }
    flush(shared, dry, deadline, || deadline).await;
}

/// Waits until the shards read no more, until `dry_until` at most; has what is held sent until the time that
/// `deadline` gives then, and returns that.
async fn flush(
    shared: &Shared,
    dry: Vec<oneshot::Receiver<()>>,
    dry_until: Instant,
    deadline: impl FnOnce() -> Instant,
) -> Instant {
    for shard in dry {
        // An error means that the shard's thread is gone; past the deadline, that it is stuck.
        let _dry: Result<_, Elapsed> = timeout_at(dry_until, shard).await;
    }
    let deadline = deadline();
    let roll = shared.roll.load_full();
    for target in roll.holders() {
        // What is down need not be waited for if it can be kept on disk.
        let spools = target.link.as_ref().is_some_and(|link| !link.is_without());
        if spools && !target.is_open().0 {
            target.queue.set_spooling(true);
        }
        target.queue.close();
    }
    for target in roll.holders() {
        // Nor whether one that was taken out has read all.
        let is_sent = target.queue.is_finished() && target.held().in_flight == 0;
        let is_unsure_only = target.is_retired() && is_sent;
        target.lever.flush(if is_unsure_only { Instant::now() } else { deadline });
    }
    deadline
}
