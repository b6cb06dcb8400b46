//! A router whose sockets are open, and its start.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, thread::JoinHandle};

use coco_spool::OpenError;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::Running;
use crate::{
    control::{Control, Held, Inbox},
    handover::{HandedSocket, Inheritance},
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
