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
    handover::{AGENT, API, Predecessor, Program, ServiceSocket, SocketSet},
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
    let mut stops = Stops::new().context("cannot listen for signals")?;
    let upgrade = signal(SignalKind::user_defined2()).context("cannot listen for SIGUSR2")?;
    let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let notifier = Notifier::from_env();
    refuse_to_lose_a_ring(&plan, predecessor.as_ref())?;
    let (registry, SocketSet { listeners, services }) = (Registry::default(), sockets);
    let bound = match &predecessor {
        Some(_) => Bound::bind_behind(plan, shards, registry.clone(), listeners)?,
        None => Bound::bind_with(plan, shards, registry.clone(), listeners)?,
    };
    let mut services = Services { handed: services, opened: Vec::new() };
    let api_socket = services.open(API, &api)?;
    let agent_socket = agent.as_ref().map(|at| services.open(AGENT, at)).transpose()?;
    let Services { opened, .. } = services;
    let addresses: Vec<_> = bound.addresses().collect();
    let history = predecessor.as_mut().map(|before| std::mem::take(&mut before.past.history));
    if let Some(before) = predecessor.as_ref().filter(|before| !before.past.log.is_empty()) {
        log::ring().inherit(&before.past.log);
    }
    let (running, inheriting) = begin(bound, predecessor, &registry, &mut stops).await?;
    for (protocol, address) in addresses {
        tracing::info!(protocol, %address, "listening");
    }
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let status = Arc::new(Status::new(drain_timeout, drain_delay));
    let handle = running.handle();
    let reloader = Reloader {
        file,
        handle: handle.clone(),
        api,
        agent,
        measure_interval,
        status: Arc::clone(&status),
        hangup,
        notifier: notifier.clone(),
    };
    let reloads = reloader.start();
    let api = Api::new(handle.clone(), started, reloads, Arc::clone(&status), measure_interval);
    if let Some(history) = history.filter(|history| !history.is_empty()) {
        api.inherit_history(&history);
    }
    tokio::spawn(api::keep_history(api.clone()));
    tracing::info!(address = %api_socket.local_addr()?, "api listening");
    let (api_stop, api_stops) = watch::channel(false);
    if let Some(socket) = agent_socket {
        tracing::info!(address = %socket.local_addr()?, "agent listening");
        tokio::spawn(api::serve_agent(socket, api.clone(), api_stops.clone()));
    }
    let serving = tokio::spawn(api::serve(api_socket, api::router(api.clone()), api_stops));
    tracing::info!(version = VERSION, shards, "coco runs");
    notifier.ready("running");
    tokio::spawn(notifier.clone().watch(handle));

    let mut service = Service { running, api, api_stop, serving, status, notifier, inheriting };
    match service.wait(&mut stops, upgrade, &program, &opened).await {
        End::Stop(signal) => service.stop(signal, &mut stops).await,
        End::HandOver(successor) => service.hand_over(successor, &mut stops).await,
    }
}

/// As a reload does: a list of targets that has lost its entries must take nothing away.
fn refuse_to_lose_a_ring(plan: &Plan, predecessor: Option<&Predecessor>) -> anyhow::Result<()> {
    let rings = predecessor.map(|before| before.past.rings.as_slice()).unwrap_or_default();
    match plan.ringless.iter().find(|tier| rings.contains(&tier.name)) {
        Some(tier) => bail!(ReloadError::NoRing(tier.name.clone())),
        None => Ok(()),
    }
}

/// Starts the router, behind the process that hands over to this one, if there is one; the task that is
/// returned ends with that process.
async fn begin(
    bound: Bound,
    predecessor: Option<Predecessor>,
    registry: &Registry,
    stops: &mut Stops,
) -> anyhow::Result<(Running, Option<JoinHandle<()>>)> {
    let Some(predecessor) = predecessor else { return Ok((bound.run().await?, None)) };
    registry.counter(telemetry::UPGRADES, &[]).add(predecessor.past.upgrades);
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
    Ok((running, Some(estate.settle(inheritance).await)))
}

/// The sockets of API and agent.
struct Services {
    /// Those of systemd or of the process before this one.
    handed: Vec<ServiceSocket>,
    /// A copy of each that was opened, for the process after this one.
    opened: Vec<ServiceSocket>,
}

impl Services {
    fn open(&mut self, service: &'static str, address: &Address) -> anyhow::Result<TcpListener> {
        self.try_open(service, address)
            .with_context(|| format!("cannot listen for the {service} on {address}"))
    }

    fn try_open(
        &mut self,
        service: &'static str,
        address: &Address,
    ) -> std::io::Result<TcpListener> {
        let mut handed =
            self.handed.extract_if(.., |own| (own.service, &own.address) == (service, address));
        let socket = match handed.next() {
            Some(ServiceSocket { socket, .. }) => socket.into(),
            None => {
                let host = if address.host.is_empty() { "::" } else { address.host.as_str() };
                StdListener::bind((host, address.port))?
            }
        };
        drop(handed);
        socket.set_nonblocking(true)?;
        let copy = socket.as_fd().try_clone_to_owned()?;
        self.opened.push(ServiceSocket { service, address: address.clone(), socket: copy });
        TcpListener::from_std(socket)
    }
}
