//! The router as a whole: bound, running, drained. Each step consumes the one before.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, thread::JoinHandle, time::Duration};

use coco_spool::OpenError;
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, error::Elapsed, timeout_at},
};

use crate::{
    control::{Control, Held, Inbox},
    handle::Handle,
    handover::{self, HandedSocket, Holding, Inheritance, Piece},
    ledger::Ledger,
    listen::{
        bind::{BindError, BoundListener, bind, take_over},
        protocol_name,
    },
    plan::{ListenerPlan, Plan, SpoolPlan},
    shard::{COMMANDS_MAX, ShardPlan},
    shared::Shared,
    spooler::{self, Folder, Spooler},
    target::Target,
    telemetry::Registry,
    watch,
};

/// Clients on their way to a shard; more wait in the kernel's backlog.
const CLIENTS_MAX: usize = 64;

/// Longest time that reading the sockets dry may take; a client that never stops sending would keep
/// it up for ever.
pub(crate) const DRY_MAX: Duration = Duration::from_secs(2);

/// How long after the deadline a shard may take to settle what it gives up.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// The same for the spooler, which has all that is left to write.
const SPOOL_GRACE: Duration = Duration::from_secs(30);

/// The same for the next process, which has to take what the targets did not.
const HEIR_GRACE: Duration = Duration::from_secs(10);

/// A thread could not be started; nothing runs.
#[derive(Debug, Error)]
#[error("cannot start the thread {thread}: {cause}")]
pub struct StartError {
    /// What it is for.
    pub thread: String,
    /// What the system said.
    pub cause: io::Error,
}

/// A router whose sockets are open and which does not read yet.
#[derive(Debug)]
pub struct Bound {
    plan: Plan,
    registry: Registry,
    shards: usize,
    listeners: Vec<BoundListener>,
    spool: Option<Folder>,
}

impl Bound {
    /// Opens every socket of the plan, for so many shards, and the folder of the spool.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be had, or the folder; the sockets opened before
    /// are closed.
    pub fn bind(plan: Plan, shards: NonZeroUsize, registry: Registry) -> Result<Self, BindError> {
        Self::bind_with(plan, shards, registry, Vec::new())
    }

    /// The same, with sockets that are bound already for the listeners of their protocol and address. Those
    /// for which there is none are closed.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(
        plan: Plan,
        shards: NonZeroUsize,
        registry: Registry,
        sockets: Vec<HandedSocket>,
    ) -> Result<Self, BindError> {
        let listeners = open_listeners(&plan, shards.get(), &registry, sockets)?;
        let open = |plan: &SpoolPlan| spooler::open(plan).map(Folder::Open);
        let spool = plan.spool.as_ref().map(open).transpose()?;
        Ok(Self { listeners, plan, registry, shards: shards.get(), spool })
    }

    /// The same behind a process that still works: its spool is opened when it has let go of it.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), but that the folder may be locked.
    pub fn bind_behind(
        plan: Plan,
        shards: NonZeroUsize,
        registry: Registry,
        sockets: Vec<HandedSocket>,
    ) -> Result<Self, BindError> {
        let listeners = open_listeners(&plan, shards.get(), &registry, sockets)?;
        let spool = plan.spool.as_ref().map(await_folder).transpose()?;
        Ok(Self { listeners, plan, registry, shards: shards.get(), spool })
    }

    /// What is spoken where: the protocol's name and the bound address, in the order of the plan.
    pub fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.listeners.iter().map(|l| (l.listener.protocol_name(), l.listener.address))
    }

    /// Starts the shards' threads, and on the calling runtime the tasks that accept and watch.
    ///
    /// # Errors
    /// [`StartError`] if the system gives no thread.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn run(self) -> Result<Running, StartError> {
        let (running, listeners) = self.start(|_| {})?;
        let held = running.control.held().await;
        if let Some(held) = &*held {
            for bound in listeners {
                held.open(bound, &running.shared).await;
            }
        }
        drop(held);
        Ok(running)
    }

    /// The same behind another process: sockets are read and targets fed only when [`Inheritance`] says so.
    ///
    /// # Errors
    /// [`StartError`] if the system gives no thread.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn run_behind(self) -> Result<(Running, Inheritance), StartError> {
        let (running, listeners) = self.start(Target::wait_for_predecessor)?;
        let inheritance = Inheritance::new(&running, listeners);
        Ok((running, inheritance))
    }

    /// Starts all but the listeners; `prepare` is called for each target before its worker begins.
    fn start(self, prepare: impl Fn(&Target)) -> Result<(Running, Vec<BoundListener>), StartError> {
        let Self { plan, registry, shards, listeners, spool } = self;
        let handles: Vec<_> = listeners.iter().map(|l| Arc::clone(&l.listener)).collect();
        let shared = Arc::new(Shared::new(&plan, registry, &handles, shards));
        shared.routes.load().targets.iter().for_each(|target| prepare(target));
        let spooler =
            spool.zip(plan.spool.clone()).map(|(root, plan)| start_spooler(root, plan, &shared));
        let spooler = spooler.transpose()?;
        let (mut threads, mut inboxes, mut dry) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..shards {
            let (clients, taken) = mpsc::channel(CLIENTS_MAX);
            let (commands, obeyed) = mpsc::channel(COMMANDS_MAX);
            let (told, is_dry) = oneshot::channel();
            let shared = Arc::clone(&shared);
            let routes = shared.routes.load_full();
            let targets = routes.targets.iter().skip(index).step_by(shards).map(Arc::clone);
            let targets = targets.collect();
            inboxes.push(Inbox { clients, commands });
            let (clients, commands, dry_at) = (taken, obeyed, told);
            let plan = ShardPlan { index, shared, clients, commands, targets, dry: dry_at };
            threads.push(spawn(plan)?);
            dry.push(is_dry);
        }
        let adopter = spooler.as_ref().map(Spooler::adopter);
        let held = Held { plan, listeners: handles, shards: inboxes, adopter };
        watch::start(&shared);
        let control = Arc::new(Control::new(held));
        Ok((Running { shared, control, threads, dry, spooler }, listeners))
    }
}

/// The folder, which the process before this one probably has.
fn await_folder(plan: &SpoolPlan) -> Result<Folder, OpenError> {
    match spooler::open(plan) {
        Ok(root) => Ok(Folder::Open(root)),
        Err(OpenError::Locked(_)) => Ok(Folder::Awaited),
        Err(error) => Err(error),
    }
}

/// Opens the sockets of the plan, but for those that were handed over.
fn open_listeners(
    plan: &Plan,
    shards: usize,
    registry: &Registry,
    mut handed: Vec<HandedSocket>,
) -> Result<Vec<BoundListener>, BindError> {
    let mut open = |plan: &ListenerPlan| {
        let is_its = |socket: &mut HandedSocket| {
            (socket.protocol, &socket.address) == (plan.protocol, &plan.address)
        };
        let sockets: Vec<_> = handed.extract_if(.., is_its).map(|handed| handed.socket).collect();
        if sockets.is_empty() {
            return bind(plan, shards, registry);
        }
        let (protocol, address) = (protocol_name(plan.protocol), plan.address.to_string());
        let failed = |cause| BindError::Handed { protocol, address, cause };
        take_over(plan, sockets, registry).map_err(failed)
    };
    plan.listeners.iter().map(&mut open).collect()
}

fn start_spooler(
    root: Folder,
    plan: SpoolPlan,
    shared: &Arc<Shared>,
) -> Result<Spooler, StartError> {
    let routes = shared.routes.load();
    let targets = routes.targets.iter().filter(|target| target.link.is_some()).map(Arc::clone);
    Spooler::start(root, plan, targets.collect(), Arc::clone(shared))
        .map_err(|cause| StartError { thread: "spooler".to_owned(), cause })
}

/// Starts a shard's thread and waits until its sockets are registered.
fn spawn(plan: ShardPlan) -> Result<JoinHandle<()>, StartError> {
    let index = plan.index;
    let name = format!("shard-{index}");
    let failed = |cause| StartError { thread: name.clone(), cause };
    let (started, is_started) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || plan.run(&started))
        .map_err(failed)?;
    let ended = |_| io::Error::other("it ended at once");
    is_started.recv().map_err(ended).flatten().map_err(failed)?;
    Ok(thread)
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
        if target.link.is_some() && !target.is_open().0 {
            target.queue.set_spooling(true);
        }
        target.queue.close();
    }
    roll.holders().for_each(|target| target.lever.flush(deadline));
    deadline
}

/// A router at work.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
    dry: Vec<oneshot::Receiver<()>>,
    spooler: Option<Spooler>,
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

    /// What an [`Inheritance`] works with.
    pub(crate) fn parts(&self) -> (Arc<Shared>, Arc<Control>) {
        (Arc::clone(&self.shared), Arc::clone(&self.control))
    }

    /// The listening sockets, for the next process. Reloads wait while this is held.
    ///
    /// # Errors
    /// If the system has no file descriptors left.
    pub async fn hold(&self) -> io::Result<Holding<'_>> {
        self.control.hold().await
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
