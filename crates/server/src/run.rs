//! Running: start, wait for a signal, stop in order, or hand over. SIGHUP reloads (`reload/`).
//!
//! The stop order, as in ARCHITECTURE.md: 1. `/readyz` turns red, and `drain_delay` passes. 2. No new clients.
//! 3. Sockets are read dry. 4. Queues are closed and sent. 5. What is left at the deadline is shed and
//! counted. 6. The last log line carries the ledger. SIGUSR2 is another way to the end: `handover/`.

use std::{
    net::TcpListener as StdListener,
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use coco_router::{
    Bound, Running,
    plan::Address,
    telemetry::{self, Registry},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    api::{self, Api, ledger_as_json},
    config::Config,
    handover::{Predecessor, Program, SocketSet, Successor},
    listen_fds, log,
    notify::Notifier,
    reload::{Reloader, Status},
};

/// What the writer to a new process may take when all else has ended.
const LAST_PIECES_MAX: Duration = Duration::from_secs(10);

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
        None => (None, listen_fds::sockets(&config.plan.listeners, &config.api)),
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
    let Start { config, file, program, predecessor, sockets } = start;
    let Config { plan, api: api_address, drain_timeout, drain_delay, notes } = config;
    for note in notes {
        tracing::warn!("{note}");
    }
    raise_file_limit(plan.limits.connections_max);
    let shards = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut stops = Stops::new().context("cannot listen for signals")?;
    let upgrade = signal(SignalKind::user_defined2()).context("cannot listen for SIGUSR2")?;
    let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let notifier = Notifier::from_env();
    let (registry, SocketSet { listeners, api: api_handed }) = (Registry::default(), sockets);
    let bound = match &predecessor {
        Some(_) => Bound::bind_behind(plan, shards, registry.clone(), listeners)?,
        None => Bound::bind_with(plan, shards, registry.clone(), listeners)?,
    };
    let api_socket = api_socket(&api_address, api_handed)
        .with_context(|| format!("cannot listen for the API on {api_address}"))?;
    let addresses: Vec<_> = bound.addresses().collect();
    let (running, inheriting) = match predecessor {
        Some(predecessor) => {
            registry.counter(telemetry::UPGRADES, &[]).add(predecessor.upgrades);
            let (running, inheritance) = bound.run_behind()?;
            let estate = tokio::select! {
                estate = predecessor.take_over() => estate?,
                signal = stops.next() => bail!("{signal} before this process had taken over"),
            };
            (running, Some(estate.settle(inheritance).await))
        }
        None => (bound.run().await?, None),
    };
    for (protocol, address) in addresses {
        tracing::info!(protocol, %address, "listening");
    }
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let status = Arc::new(Status::new(drain_timeout, drain_delay));
    let handle = running.handle();
    let reloader = Reloader {
        file,
        handle: handle.clone(),
        api: api_address.clone(),
        status: Arc::clone(&status),
        hangup,
        notifier: notifier.clone(),
    };
    let api = Api::new(handle.clone(), started, reloader.start(), Arc::clone(&status));
    let api_copy = api_socket.as_fd().try_clone_to_owned()?;
    tracing::info!(address = %api_socket.local_addr()?, "api listening");
    let (api_stop, api_stops) = watch::channel(false);
    let serving = tokio::spawn(api::serve(api_socket, api::router(api.clone()), api_stops));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), shards, "coco runs");
    notifier.ready("running");
    tokio::spawn(notifier.clone().watch(handle));

    let api_handed = (api_address, api_copy);
    let end = wait(&mut stops, upgrade, &running, &program, &api_handed, inheriting).await;
    let service = Service { running, api, api_stop, serving, status, notifier };
    match end {
        End::Stop(signal) => service.stop(signal, &mut stops).await,
        End::HandOver(successor) => service.hand_over(successor, &mut stops).await,
    }
}

/// Why a process ends.
enum End {
    Stop(&'static str),
    HandOver(Successor),
}

/// Waits for the end, and starts new processes until one is ready to take over.
async fn wait(
    stops: &mut Stops,
    mut upgrade: Signal,
    running: &Running,
    program: &Program,
    (api_address, api_socket): &(Address, OwnedFd),
    mut inheriting: Option<JoinHandle<()>>,
) -> End {
    let handle = running.handle();
    let count = |metric| handle.registry().counter(metric, &[]);
    let failed = |why: &str| {
        count(telemetry::UPGRADE_FAILURES).add(1);
        tracing::error!("not upgraded, and nothing has changed: {why}");
    };
    loop {
        tokio::select! {
            signal = stops.next() => return End::Stop(signal),
            _ = upgrade.recv() => {}
        }
        if let Some(task) = inheriting.take() {
            // One at a time: what this process is still given must not be in its way.
            tokio::select! {
                ended = task => drop(ended),
                signal = stops.next() => return End::Stop(signal),
            }
        }
        tracing::info!("upgrading: starting the program anew");
        let attempt = async {
            let mut held = running.hold().await.map_err(|error| error.to_string())?;
            let api = api_socket.try_clone().map_err(|error| error.to_string())?;
            let api = Some((api_address.clone(), api));
            let set = SocketSet { listeners: std::mem::take(&mut held.sockets), api };
            let upgrades = count(telemetry::UPGRADES).get();
            // Nothing is reloaded while `held` lives: what the new process was told stays true.
            program.clone().start(set, upgrades).await
        };
        tokio::pin!(attempt);
        let result = loop {
            tokio::select! {
                signal = stops.next() => return End::Stop(signal),
                _ = upgrade.recv() => {
                    tracing::warn!("SIGUSR2 is ignored: an upgrade is under way");
                }
                result = &mut attempt => break result,
            }
        };
        match result {
            Ok(successor) => return End::HandOver(successor),
            Err(why) => failed(&why),
        }
    }
}

/// A process at work, to be ended.
struct Service {
    running: Running,
    api: Api,
    api_stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    status: Arc<Status>,
    notifier: Notifier,
}

impl Service {
    async fn stop(self, signal: &'static str, stops: &mut Stops) -> anyhow::Result<()> {
        let Self { running, api, api_stop: _api_stop, serving, status, notifier } = self;
        api.set_draining();
        notifier.stopping("sending what is held");
        let drain_delay = status.drain_delay();
        // Who presses Ctrl-C has no balancer that must see `/readyz` first.
        if signal == "SIGTERM" && !drain_delay.is_zero() {
            tracing::info!(signal, delay = ?drain_delay, "not ready any more; reading on for the delay");
            if let Ok(signal) = timeout(drain_delay, stops.next()).await {
                tracing::info!(signal, "the rest of the delay is skipped");
            }
        }
        let drain_timeout = status.drain_timeout();
        tracing::info!(signal, timeout = ?drain_timeout, "stopping: reading dry and sending what is held");
        let drained = tokio::select! {
            drained = running.drain(drain_timeout) => drained,
            signal = stops.next() => bail!("{signal} while stopping: what was held is lost"),
        };
        serving.abort();
        let ledger = ledger_as_json(&drained.ledger);
        tracing::info!(residual = drained.ledger.residual(), %ledger, "stopped");
        Ok(())
    }

    async fn hand_over(self, successor: Successor, stops: &mut Stops) -> anyhow::Result<()> {
        let Self { running, api: _api, api_stop, serving, status: _status, notifier } = self;
        let id = successor.id();
        tracing::info!(process = id, "handing over");
        // The new process has the API's socket: what comes to it waits there.
        api_stop.send_replace(true);
        notifier.main_is(id);
        let (heir, all_sent) = successor.feed();
        let drained = tokio::select! {
            drained = running.hand_over(heir) => drained,
            signal = stops.next() => bail!("{signal} while handing over: what was held is lost"),
        };
        if timeout(LAST_PIECES_MAX, all_sent).await.is_err() {
            tracing::error!("the new process does not take what is left");
        }
        // It has ended within its own bound; an error would be a panic, which has ended the process.
        drop(serving.await);
        let ledger = ledger_as_json(&drained.ledger);
        tracing::info!(residual = drained.ledger.residual(), %ledger, "handed over to process {id}");
        Ok(())
    }
}

fn api_socket(
    address: &Address,
    handed: Option<(Address, OwnedFd)>,
) -> std::io::Result<TcpListener> {
    let socket = match handed.filter(|(handed, _)| handed == address) {
        Some((_, socket)) => socket.into(),
        None => {
            let host = if address.host.is_empty() { "::" } else { address.host.as_str() };
            StdListener::bind((host, address.port))?
        }
    };
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// The signals that stop the process.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
