//! The control task's hold on the shards: their inboxes, the plan in force, and the order of changes.
//!
//! One reload at a time; a stop comes between the steps of a reload and is the last change.

use std::{net::TcpListener, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard, mpsc, oneshot},
    time::{Instant, error::Elapsed, timeout_at},
};

use crate::{
    listen::{
        Listener,
        accept::{self, Client},
        bind::{BoundListener, Sockets},
    },
    plan::Plan,
    shard::Command,
    shared::Shared,
    spooler::Adopter,
    stage::Stages,
    target::Target,
};

/// How long the shards may take to go by new routes. A shard that takes longer is stuck; what it offers
/// afterwards is still accounted for.
const TURN_MAX: Duration = Duration::from_secs(5);

/// What a reload and the stop work with.
#[derive(Debug)]
pub(crate) struct Control {
    /// Held by the reload that is under way.
    reloading: Mutex<()>,
    /// `None` once the stop has begun.
    held: Mutex<Option<Held>>,
}

/// The plan in force and the shards that carry it out.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) plan: Plan,
    /// In the order of the plan.
    pub(crate) listeners: Vec<Arc<Listener>>,
    pub(crate) shards: Vec<Inbox>,
    /// Takes new targets that spool.
    pub(crate) adopter: Option<Adopter>,
}

/// The way to one shard.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    pub(crate) clients: mpsc::Sender<Client>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Control {
    pub(crate) fn new(held: Held) -> Self {
        Self { reloading: Mutex::new(()), held: Mutex::new(Some(held)) }
    }

    /// Waits until no other reload is under way.
    pub(crate) async fn begin(&self) -> MutexGuard<'_, ()> {
        self.reloading.lock().await
    }

    /// What there is to work with; `None` inside once the stop has begun, which waits meanwhile.
    pub(crate) async fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().await
    }
}

impl Held {
    /// Starts the worker of a new target, on the shard that its position gives.
    pub(crate) async fn serve(&self, slot: usize, target: &Arc<Target>) {
        if let (Some(adopter), Some(_)) = (&self.adopter, &target.link) {
            adopter.adopt(Arc::clone(target));
        }
        let command = Command::Serve(Arc::clone(target), target.lever.stages());
        if let Some(inbox) = self.shards.get(slot % self.shards.len().max(1)) {
            inbox.tell(command).await;
        }
    }

    /// Starts reading a listener.
    pub(crate) async fn open(&self, bound: BoundListener, shared: &Arc<Shared>) {
        let BoundListener { listener, sockets } = bound;
        match sockets {
            Sockets::Udp(sockets) => {
                // There may be more sockets than shards: another process had more of these.
                for (inbox, socket) in self.shards.iter().cycle().zip(sockets) {
                    let stages = listener.lever.stages();
                    inbox.tell(Command::Read(Arc::clone(&listener), socket, stages)).await;
                }
            }
            Sockets::Tcp(socket) => self.accept(listener, socket, shared),
        }
    }

    /// Starts accepting clients.
    pub(crate) fn accept(
        &self,
        listener: Arc<Listener>,
        socket: TcpListener,
        shared: &Arc<Shared>,
    ) {
        let inboxes = self.shards.iter().map(|inbox| inbox.clients.clone()).collect();
        let stages = listener.lever.stages();
        tokio::spawn(accept_all(socket, listener, Arc::clone(shared), inboxes, stages));
    }

    /// Returns when every shard goes by the routes in force, so that nobody feeds a target that is not in
    /// them.
    pub(crate) async fn turn(&self) {
        let deadline = Instant::now() + TURN_MAX;
        let mut turns = Vec::with_capacity(self.shards.len());
        for inbox in &self.shards {
            let (done, is_done) = oneshot::channel();
            inbox.tell(Command::Turn(done)).await;
            turns.push(is_done);
        }
        for (shard, turn) in turns.into_iter().enumerate() {
            let turned: Result<_, Elapsed> = timeout_at(deadline, turn).await;
            if turned.is_err() {
                tracing::error!(shard, "it does not answer, and may go by old routes");
            }
        }
    }
}

impl Inbox {
    /// A shard that does not take its commands is stuck, and is not waited for.
    async fn tell(&self, command: Command) {
        let deadline = Instant::now() + TURN_MAX;
        let told: Result<_, Elapsed> = timeout_at(deadline, self.commands.send(command)).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::error!("a shard takes no commands");
        }
    }
}

async fn accept_all(
    socket: TcpListener,
    listener: Arc<Listener>,
    shared: Arc<Shared>,
    inboxes: Vec<mpsc::Sender<Client>>,
    stages: Stages,
) {
    let address = listener.address;
    if let Err(error) = accept::accept(socket, listener, shared, inboxes, stages).await {
        tracing::error!(%error, %address, "listener failed");
    }
}
