//! Running: start, wait for a signal, stop in order, or hand over (`ending.rs`). SIGHUP reloads (`reload/`).
//!
//! The stop order, as in ARCHITECTURE.md: 1. `/readyz` turns red, and `drain_delay` passes. 2. No new clients.
//! 3. Sockets are read dry. 4. Queues are closed and sent. 5. What is left at the deadline is shed and
//! counted. 6. The last log line carries the ledger. SIGUSR2 is another way to the end: `handover/`.

use std::{
    net::TcpListener as StdListener,
    num::NonZeroUsize,
    os::fd::AsFd,
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use coco_router::{
    Bound, ReloadError, Running,
    handover::HandedSocket,
    plan::{Address, Plan},
    telemetry::{self, Registry},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    VERSION,
    api::{self, Api},
    config::Config,
    ending::{End, Service, Stops},
    handover::{AGENT, API, Past, Predecessor, Program, ServiceSocket, SocketSet},
    listen_fds, log,
    notify::Notifier,
    reload::{Reloader, Status},
};

/// Runs until SIGTERM or SIGINT, and then drains; or until another process has taken over. `file` is what a
/// reload reads again.
///
/// # Errors
/// When an address cannot be had, or the system refuses threads or signals.
pub fn run(config: Config, file: Option<PathBuf>) -> anyhow::Result<()> {
    let _log = log::start();
    let program = Program::of_this_process().context("cannot tell which program this is")?;
    let (predecessor, sockets) = match Predecessor::meet()? {
        Some((predecessor, sockets)) => (Some(predecessor), sockets),
        // No other thread looks at the environment yet; that of the log does not.
        None => {
            let services = [Some((API, &config.api)), config.agent.as_ref().map(|at| (AGENT, at))];
            let services: Vec<_> = services.into_iter().flatten().collect();
            (None, listen_fds::sockets(&config.plan.listeners, &services))
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let start = Start { config, file, program, predecessor, sockets };
    let result = runtime.block_on(serve(start));
    // What still runs then has nothing to say any more; a hanging resolver must not hold up the end.
    runtime.shutdown_background();
    result
}

/// What a process begins with.
struct Start {
    config: Config,
    file: Option<PathBuf>,
    program: Program,
    predecessor: Option<Predecessor>,
    sockets: SocketSet,
}

/// Asks for as many open files as the system allows, and says so if that is too few.
fn raise_file_limit(connections_max: usize) {
    // Listeners, targets, the API and a reserve.
    const OTHERS: u64 = 512;
    let wanted = u64::try_from(connections_max).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let limit = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match limit {
        Ok(limit) if limit >= wanted => {}
        Ok(limit) => tracing::warn!(limit, wanted, "too few open files for `limits.connections`"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

async fn serve(start: Start) -> anyhow::Result<()> {
    let Start { config, file, program, mut predecessor, sockets } = start;
    let Config { plan, api, agent, drain_timeout, drain_delay, measure_interval, notes } = config;
    for note in notes {
        tracing::warn!(%note, "worth knowing about the configuration");
    }
    raise_file_limit(plan.limits.connections_max);
    let shards = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut stops = Stops::new(file.is_none()).context("cannot listen for signals")?;
    let upgrade = signal(SignalKind::user_defined2()).context("cannot listen for SIGUSR2")?;
    let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let notifier = Notifier::from_env();
    if let Some(predecessor) = &predecessor {
        refuse_to_lose(&plan, &predecessor.past)?;
    }
    let registry = Registry::default();
    let bound = bind(plan, shards, &registry, sockets.listeners, predecessor.is_some())?;
    let services = Services::open(sockets.services, &api, agent.as_ref())?;
    let history = predecessor.as_mut().map(|before| std::mem::take(&mut before.past.history));
    if let Some(before) = predecessor.as_ref().filter(|before| !before.past.log.is_empty()) {
        log::ring().inherit(&before.past.log);
    }
    let (running, inheriting) = begin(bound, predecessor, &registry, &mut stops).await?;
    let status = Arc::new(Status::new(drain_timeout, drain_delay));
    let reloader = Reloader {
        file,
        handle: running.handle(),
        api,
        agent,
        measure_interval,
        status: Arc::clone(&status),
        hangup,
        notifier: notifier.clone(),
    };
    let api = begin_api(reloader, &history.unwrap_or_default());
    let Serving { opened, api_stop, serving } = services.serve(&api)?;
    tracing::info!(version = VERSION, shards, "coco runs");
    notifier.ready("running");
    tokio::spawn(notifier.clone().watch(running.handle()));
    let mut service = Service { running, api, api_stop, serving, status, notifier, inheriting };
    match service.wait(&mut stops, upgrade, &program, &opened).await {
        End::Stop(signal) => service.stop(signal, &mut stops).await,
        End::HandOver(successor) => service.hand_over(successor, &mut stops).await,
    }
}

/// Opens the sockets of the router.
fn bind(
    plan: Plan,
    shards: NonZeroUsize,
    registry: &Registry,
    handed: Vec<HandedSocket>,
    is_behind: bool,
) -> anyhow::Result<Bound> {
    Ok(match is_behind {
        true => Bound::bind_behind(plan, shards, registry.clone(), handed)?,
        false => Bound::bind_with(plan, shards, registry.clone(), handed)?,
    })
}

/// As a reload does: a list of targets that has lost its entries must take nothing away, and what is on disk
/// must not stay there for good.
fn refuse_to_lose(plan: &Plan, past: &Past) -> anyhow::Result<()> {
    if let Some(tier) = plan.ringless.iter().find(|tier| past.rings.contains(&tier.name)) {
        bail!(ReloadError::NoRing(tier.name.clone()));
    }
    if let Some(kept) = &past.kept {
        kept.goes_on_with(plan)?;
    }
    Ok(())
}

/// Starts the router and says where it listens; the task that is returned ends with the process before.
async fn begin(
    bound: Bound,
    predecessor: Option<Predecessor>,
    registry: &Registry,
    stops: &mut Stops,
) -> anyhow::Result<(Running, Option<JoinHandle<()>>)> {
    let addresses: Vec<_> = bound.addresses().collect();
    let begun = match predecessor {
        Some(predecessor) => {
            registry.counter(telemetry::UPGRADES, &[]).add(predecessor.past.upgrades);
            let (running, inheriting) = begin_behind(bound, predecessor, stops).await?;
            (running, Some(inheriting))
        }
        None => (bound.run().await?, None),
    };
    for (protocol, address) in addresses {
        tracing::info!(protocol, %address, "listening");
    }
    Ok(begun)
}

/// Starts the router behind the process that hands over to this one.
async fn begin_behind(
    bound: Bound,
    predecessor: Predecessor,
    stops: &mut Stops,
) -> anyhow::Result<(Running, JoinHandle<()>)> {
    let (running, inheritance) = bound.run_behind()?;
    let take_over = predecessor.take_over();
    tokio::pin!(take_over);
    let estate = tokio::select! {
        estate = &mut take_over => estate?,
        signal = stops.next() => {
            // The other one may be handing over already: what it holds must not get lost.
            let estate = tokio::select! {
                estate = &mut take_over => estate?,
                signal = stops.next() => bail!("{signal} before this process had taken over"),
            };
            stops.put_back(signal);
            estate
        }
    };
    Ok((running, estate.settle(inheritance).await))
}

/// Begins to take requests to reload, and to keep a history: behind that of the process before, if there is any.
fn begin_api(reloader: Reloader, history: &[u8]) -> Api {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (handle, status) = (reloader.handle.clone(), Arc::clone(&reloader.status));
    let interval = reloader.measure_interval;
    let api = Api::new(handle, started, reloader.start(), status, interval);
    if !history.is_empty() {
        api.inherit_history(history);
    }
    tokio::spawn(api::keep_history(api.clone()));
    api
}

/// The sockets of API and agent.
struct Services {
    api: TcpListener,
    agent: Option<TcpListener>,
    /// A copy of each, for the process after this one.
    opened: Vec<ServiceSocket>,
}

/// What answers at the sockets of API and agent.
struct Serving {
    opened: Vec<ServiceSocket>,
    /// Ends both.
    api_stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Services {
    /// Those of systemd or of the process before this one are among the `handed`.
    fn open(
        mut handed: Vec<ServiceSocket>,
        api: &Address,
        agent: Option<&Address>,
    ) -> anyhow::Result<Self> {
        let mut opened = Vec::new();
        let mut open = |service: &'static str, address: &Address| {
            let (listener, copy) = open(&mut handed, service, address)
                .with_context(|| format!("cannot listen for the {service} on {address}"))?;
            opened.push(copy);
            anyhow::Ok(listener)
        };
        let api = open(API, api)?;
        let agent = agent.map(|at| open(AGENT, at)).transpose()?;
        Ok(Self { api, agent, opened })
    }

    /// Begins to answer.
    fn serve(self, api: &Api) -> anyhow::Result<Serving> {
        tracing::info!(address = %self.api.local_addr()?, "api listening");
        let (api_stop, api_stops) = watch::channel(false);
        if let Some(agent) = self.agent {
            tracing::info!(address = %agent.local_addr()?, "agent listening");
            tokio::spawn(api::serve_agent(agent, api.clone(), api_stops.clone()));
        }
        let serving = tokio::spawn(api::serve(self.api, api::router(api.clone()), api_stops));
        Ok(Serving { opened: self.opened, api_stop, serving })
    }
}

/// The socket of a service, and a copy of it.
fn open(
    handed: &mut Vec<ServiceSocket>,
    service: &'static str,
    address: &Address,
) -> std::io::Result<(TcpListener, ServiceSocket)> {
    let mut own = handed.extract_if(.., |own| (own.service, &own.address) == (service, address));
    let socket = match own.next() {
        Some(ServiceSocket { socket, .. }) => socket.into(),
        None => {
            let host = if address.host.is_empty() { "::" } else { address.host.as_str() };
            StdListener::bind((host, address.port))?
        }
    };
    drop(own);
    socket.set_nonblocking(true)?;
    let copy = socket.as_fd().try_clone_to_owned()?;
    let copy = ServiceSocket { service, address: address.clone(), socket: copy };
    Ok((TcpListener::from_std(socket)?, copy))
}
