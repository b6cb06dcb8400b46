//! The router as a whole: bound, running, drained. Each step consumes the one before.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use coco_spool::{Budget, Root, disk::OsDisk};
use coco_wire::names::Names;
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{error::Elapsed, timeout_at},
};

use crate::{
    census::{Census, SlotCount},
    ledger::Ledger,
    listen::{
        accept,
        bind::{BindError, BoundListener, Sockets, bind},
    },
    plan::{KeyRule, Plan, SpoolPlan, TargetProtocol},
    routes::Routes,
    shard::{ShardPlan, Stage, Stages},
    shared::{Reports, Shared},
    spooler::Spooler,
    target::embedded::Series,
    telemetry::Registry,
};

/// Clients on their way to a shard; more wait in the kernel's backlog.
const CLIENTS_MAX: usize = 64;

/// Longest time that reading the sockets dry may take; a client that never stops sending would keep
/// it up for ever.
const DRY_MAX: Duration = Duration::from_secs(2);

/// How long after the deadline a shard may take to settle what it gives up.
const GRACE: Duration = Duration::from_secs(2);

/// The same for the spooler, which has all that is left to write.
const SPOOL_GRACE: Duration = Duration::from_secs(30);

/// How often the kernel's drop counters are read.
const DROPS_INTERVAL: Duration = Duration::from_secs(1);

/// How often trouble is summed up in the log.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);

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
        let handles = listeners.iter().map(|l| Arc::clone(&l.listener)).collect();
        let shared = Arc::new(Shared::new(&plan, registry, handles, shards));
        let (stage, stages) = watch::channel(Stage::Run);
        let stages = Stages::new(stages);
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
        let spooler = spool.zip(plan.spool).map(|(root, plan)| start_spooler(root, plan, &shared));
        let spooler = spooler.transpose()?;
        let (mut threads, mut inboxes, mut dry) = (Vec::new(), Vec::new(), Vec::new());
        for (index, udp) in udp.into_iter().enumerate() {
            let (inbox, clients) = mpsc::channel(CLIENTS_MAX);
            let (told, is_dry) = oneshot::channel();
            let (shared, stages) = (Arc::clone(&shared), stages.clone());
            let routes = shared.routes.load_full();
            let targets = routes.targets.iter().skip(index).step_by(shards).map(Arc::clone);
            let targets = targets.collect();
            let plan = ShardPlan { index, shared, udp, clients, targets, stages, dry: told };
            threads.push(spawn(plan)?);
            inboxes.push(inbox);
            dry.push(is_dry);
        }
        for (listener, socket) in tcp {
            let (shared, inboxes) = (Arc::clone(&shared), inboxes.clone());
            tokio::spawn(accept_all(socket, listener, shared, inboxes, stages.clone()));
        }
        tokio::spawn(watch_drops(Arc::clone(&shared)));
        tokio::spawn(sum_up(Arc::clone(&shared)));
        Ok(Running { shared, stage, threads, dry, spooler })
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

async fn accept_all(
    socket: std::net::TcpListener,
    listener: Arc<crate::listen::Listener>,
    shared: Arc<Shared>,
    inboxes: Vec<mpsc::Sender<accept::Client>>,
    stages: Stages,
) {
    let address = listener.address;
    if let Err(error) = accept::accept(socket, listener, shared, inboxes, stages).await {
        tracing::error!(%error, %address, "listener failed");
    }
}

async fn watch_drops(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(DROPS_INTERVAL);
    loop {
        ticks.tick().await;
        shared.listeners.iter().for_each(|listener| listener.poll_kernel_drops());
    }
}

async fn sum_up(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(SUMMARY_INTERVAL);
    let mut before = HashMap::new();
    loop {
        ticks.tick().await;
        Reports::sum_up(&shared.registry, &mut before);
    }
}

/// A router at work.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    stage: watch::Sender<Stage>,
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
        Handle(Arc::clone(&self.shared))
    }

    /// Stops: takes no new clients, reads the sockets dry, sends what is held, all within `timeout`.
    pub async fn drain(self, timeout: Duration) -> Drained {
        let Self { shared, stage, threads, dry, spooler } = self;
        let deadline = Instant::now() + timeout;
        stage.send_replace(Stage::ReadDry(deadline.min(Instant::now() + DRY_MAX)));
        for shard in dry {
            // An error means that the shard's thread is gone; past the deadline, that it is stuck.
            let _dry: Result<_, Elapsed> = timeout_at(deadline.into(), shard).await;
        }
        for target in &shared.routes.load().targets {
            // What is down need not be waited for if it can be kept on disk.
            if target.link.is_some() && !target.is_open().0 {
                target.queue.set_spooling(true);
            }
            target.queue.close();
        }
        let grace = if spooler.is_some() { GRACE + SPOOL_GRACE } else { GRACE };
        stage.send_replace(Stage::Flush(deadline));
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
        let _stuck: Result<_, Elapsed> = timeout_at(patience.into(), all_ended).await;
        Drained { ledger: Ledger::take(&shared) }
    }
}

/// What the API sees of a running router. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

/// A tier as `/tiers` shows it.
#[derive(Debug, Clone)]
pub struct TierView {
    /// Name of the tier.
    pub name: String,
    /// What its targets speak.
    pub protocol: TargetProtocol,
    /// Which bytes of a collectd sample are hashed.
    pub key: KeyRule,
    /// What becomes of Graphite names.
    pub names: Names,
    /// The placement function and its numbers.
    pub ring: coco_ring::Ring,
    /// The digest of the ring.
    pub digest: String,
    /// Address texts of its targets, in the order of the file.
    pub labels: Vec<String>,
    /// State of each target's connection.
    pub states: Vec<&'static str>,
    /// Distinct keys of each target.
    pub keys: Vec<u64>,
    /// Distinct series of each target.
    pub series: Vec<u64>,
    /// For each target: the number of series of each of its hosts.
    pub series_per_host: Vec<Vec<u64>>,
    /// For each target: keys that are one series each.
    pub singles: Vec<u64>,
    /// Names looked up in this tier.
    pub lookups: u64,
}

/// A series by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesSeen {
    /// collectd: the host. Graphite: the name.
    pub host: Vec<u8>,
    /// collectd: plugin/instance/type/type_instance, empty parts left out. Graphite: empty.
    pub rest: Vec<u8>,
    /// collectd: the identifier, `host/plugin[-instance]/type[-instance]`, in which a slash of the host is
    /// `_`. Graphite: empty.
    pub identifier: Vec<u8>,
    /// Its owners: tier and target.
    pub owners: Vec<(String, String)>,
    /// Unix time of the last sample, to 10 s.
    pub last_seen: u64,
}

impl Handle {
    /// The routes in force.
    pub fn routes(&self) -> Arc<Routes> {
        self.0.routes.load_full()
    }

    /// Counts so many look-ups in every tier.
    pub fn count_lookups(&self, count: u64) {
        self.0.routes.load().tiers.iter().for_each(|tier| tier.lookups.add(count));
    }

    /// All fates, exact at one moment.
    pub fn ledger(&self) -> Ledger {
        Ledger::take(&self.0)
    }

    /// The registry of all counters.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Some of the numbers of distinct keys and series are estimates.
    pub fn is_estimated(&self) -> bool {
        self.0.census.is_estimated()
    }

    /// Client connections open now.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// How long ago the shard that has been silent longest was heard; a working one is heard twice a
    /// second.
    pub fn silence(&self) -> Duration {
        self.0.silence()
    }

    /// The tiers with what is known of their targets.
    pub fn tiers(&self) -> Vec<TierView> {
        let routes = self.0.routes.load();
        let (counts, per_host) = self.0.census.counts();
        let view = |tier: &crate::routes::Tier| {
            let slots = tier.all_slots();
            let targets = routes.targets.get(slots.clone()).unwrap_or_default();
            let counts: &[SlotCount] = counts.get(slots.clone()).unwrap_or_default();
            let per_host = per_host.get(slots).unwrap_or_default();
            TierView {
                name: tier.name.clone(),
                protocol: tier.protocol,
                key: tier.key,
                names: tier.names.clone(),
                ring: tier.ring.clone(),
                digest: tier.digest.clone(),
                labels: targets.iter().map(|t| t.plan.label.clone()).collect(),
                states: targets.iter().map(|t| t.state().as_str()).collect(),
                keys: counts.iter().map(|count| count.keys).collect(),
                series: counts.iter().map(|count| count.series).collect(),
                series_per_host: per_host.to_vec(),
                singles: counts.iter().map(|count| count.singles).collect(),
                lookups: tier.lookups.get(),
            }
        };
        routes.tiers.iter().map(view).collect()
    }

    /// Distinct series seen, over all targets.
    pub fn series_count(&self) -> u64 {
        self.0.census.series()
    }

    /// Number of the set of members in force, from 1.
    pub fn epoch(&self) -> u64 {
        self.0.routes.load().epoch
    }

    /// Up to `count` of the series known by name, from the one at `start` on; known are the first ones
    /// seen, as many as [`crate::plan::Limits::names_max`] allows. New series wait meanwhile.
    pub fn series(&self, start: usize, count: usize) -> Vec<SeriesSeen> {
        self.seen(&self.0.census, start, count)
    }

    /// The first series that the blacklist took out, by name.
    pub fn blacklisted(&self) -> Vec<SeriesSeen> {
        self.seen(&self.0.blacklisted, 0, usize::MAX)
    }

    fn seen(&self, census: &Census, start: usize, count: usize) -> Vec<SeriesSeen> {
        let routes = self.0.routes.load();
        let owner = |slot: &usize| {
            let target = routes.targets.get(*slot)?;
            Some((target.tier.clone(), target.plan.label.clone()))
        };
        let names = census.names(start, count).into_iter();
        names
            .map(|(name, last_seen)| SeriesSeen {
                owners: name.slots.iter().filter_map(owner).collect(),
                host: name.host.into_vec(),
                rest: name.rest.into_vec(),
                identifier: name.identifier.into_vec(),
                last_seen,
            })
            .collect()
    }

    /// What embedded targets hold of the series or host `name`: tier, target, series.
    pub fn embedded(&self, name: &[u8], limit: usize) -> Vec<(String, String, Vec<Series>)> {
        let routes = self.0.routes.load();
        let stores = routes.targets.iter().filter_map(|t| Some((t, t.store.as_ref()?)));
        stores
            .map(|(t, store)| (t.tier.clone(), t.plan.label.clone(), store.find(name, limit)))
            .filter(|(_, _, series)| !series.is_empty())
            .collect()
    }
}
