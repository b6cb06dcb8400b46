//! The router as a whole: bound, running, drained. Each step consumes the one before.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, thread::JoinHandle, time::Duration};

use coco_spool::{Budget, Root, disk::OsDisk};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, error::Elapsed, timeout_at},
};

use crate::{
    control::{Control, Held, Inbox},
    handle::Handle,
    ledger::Ledger,
    listen::bind::{BindError, BoundListener, Sockets, bind},
    plan::{Plan, SpoolPlan},
    shard::{COMMANDS_MAX, ShardPlan},
    shared::Shared,
    spooler::Spooler,
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
    spool: Option<Root<OsDisk>>,
}

impl Bound {
    /// Opens every socket of the plan, for so many shards, and the folder of the spool.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be had, or the folder; the sockets opened before
    /// are closed.
    pub fn bind(plan: Plan, shards: NonZeroUsize, registry: Registry) -> Result<Self, BindError> {
        let shards = shards.get();
        let listeners = plan.listeners.iter().map(|listener| bind(listener, shards, &registry));
        let listeners = listeners.collect::<Result<_, _>>()?;
        let open = |spool: &SpoolPlan| {
            Root::open(OsDisk, &spool.directory, Arc::new(Budget::new(spool.bytes_max)))
        };
        let spool = plan.spool.as_ref().map(open).transpose()?;
        Ok(Self { listeners, plan, registry, shards, spool })
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
    pub fn run(self) -> Result<Running, StartError> {
        let Self { plan, registry, shards, listeners, spool } = self;
        let handles: Vec<_> = listeners.iter().map(|l| Arc::clone(&l.listener)).collect();
        let shared = Arc::new(Shared::new(&plan, registry, &handles, shards));
        let mut udp: Vec<Vec<_>> = (0..shards).map(|_| Vec::new()).collect();
        let mut tcp = Vec::new();
        for BoundListener { listener, sockets } in listeners {
            match sockets {
                Sockets::Udp(sockets) => {
                    for (shard, socket) in udp.iter_mut().zip(sockets) {
                        shard.push((Arc::clone(&listener), socket));
                    }
                }
                Sockets::Tcp(socket) => tcp.push((listener, socket)),
            }
        }
        let spooler =
            spool.zip(plan.spool.clone()).map(|(root, plan)| start_spooler(root, plan, &shared));
        let spooler = spooler.transpose()?;
        let (mut threads, mut inboxes, mut dry) = (Vec::new(), Vec::new(), Vec::new());
        for (index, udp) in udp.into_iter().enumerate() {
            let (clients, taken) = mpsc::channel(CLIENTS_MAX);
            let (commands, obeyed) = mpsc::channel(COMMANDS_MAX);
            let (told, is_dry) = oneshot::channel();
            let shared = Arc::clone(&shared);
            let routes = shared.routes.load_full();
            let targets = routes.targets.iter().skip(index).step_by(shards).map(Arc::clone);
            let targets = targets.collect();
            inboxes.push(Inbox { clients, commands });
            let (clients, commands, dry_at) = (taken, obeyed, told);
            let plan = ShardPlan { index, shared, udp, clients, commands, targets, dry: dry_at };
            threads.push(spawn(plan)?);
            dry.push(is_dry);
        }
        let adopter = spooler.as_ref().map(Spooler::adopter);
        let held = Held { plan, listeners: handles, shards: inboxes, adopter };
        for (listener, socket) in tcp {
            held.accept(listener, socket, &shared);
        }
        watch::start(&shared);
        Ok(Running { shared, control: Arc::new(Control::new(held)), threads, dry, spooler })
    }
}

fn start_spooler(
    root: Root<OsDisk>,
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
        row.listener.lever.read_dry(dry_until);
    }
    for shard in dry {
        // An error means that the shard's thread is gone; past the deadline, that it is stuck.
        let _dry: Result<_, Elapsed> = timeout_at(deadline, shard).await;
    }
    let roll = shared.roll.load_full();
    for target in roll.holders() {
        // What is down need not be waited for if it can be kept on disk.
        if target.link.is_some() && !target.is_open().0 {
            target.queue.set_spooling(true);
        }
        target.queue.close();
    }
    roll.holders().for_each(|target| target.lever.flush(deadline));
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

    /// Stops: takes no new clients, reads the sockets dry, sends what is held, all within `timeout`.
    pub async fn drain(self, timeout: Duration) -> Drained {
        let Self { shared, control, threads, dry, spooler } = self;
        let deadline = Instant::now() + timeout;
        end(&shared, &control, dry, deadline).await;
        let grace = if spooler.is_some() { GRACE + SPOOL_GRACE } else { GRACE };
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
