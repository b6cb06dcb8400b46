//! Running: start, wait for a signal, stop in order. SIGHUP reloads (`reload/`).
//!
//! The stop order, as in ARCHITECTURE.md: 1. `/readyz` turns red. 2. No new clients. 3. Sockets are
//! read dry. 4. Queues are closed and sent. 5. What is left at the deadline is shed and counted.
//! 6. The last log line carries the ledger.

use std::{
    net::TcpListener as StdListener,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use coco_router::{Bound, plan::Address, telemetry::Registry};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    api::{self, Api, ledger_as_json},
    config::Config,
    log,
    reload::{Reloader, Status},
};

/// Runs until SIGTERM or SIGINT, and then drains. `file` is what a reload reads again.
///
/// # Errors
/// When an address cannot be had, or the system refuses threads or signals.
pub fn run(config: Config, file: Option<PathBuf>) -> anyhow::Result<()> {
    let _log = log::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(config, file));
    // What still runs then has nothing to say any more; a hanging resolver must not hold up the end.
    runtime.shutdown_background();
    result
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

async fn serve(config: Config, file: Option<PathBuf>) -> anyhow::Result<()> {
    let Config { plan, api: api_address, drain_timeout, notes, .. } = config;
    for note in notes {
        tracing::warn!("{note}");
    }
    raise_file_limit(plan.limits.connections_max);
    let shards = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut stops = Stops::new().context("cannot listen for signals")?;
    let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let bound = Bound::bind(plan, shards, Registry::default())?;
    let api_socket = bind_api(&api_address)
        .with_context(|| format!("cannot listen for the API on {api_address}"))?;
    for (protocol, address) in bound.addresses() {
        tracing::info!(protocol, %address, "listening");
    }
    let running = bound.run()?;
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let status = Arc::new(Status::new(drain_timeout));
    let (handle, api) = (running.handle(), api_address);
    let reloader = Reloader { file, handle, api, status: Arc::clone(&status), hangup };
    let api = Api::new(running.handle(), started, reloader.start(), Arc::clone(&status));
    tracing::info!(address = %api_socket.local_addr()?, "api listening");
    let serving = tokio::spawn(api::serve(api_socket, api::router(api.clone())));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), shards, "coco runs");

    let signal = stops.next().await;
    api.set_draining();
    let drain_timeout = status.drain_timeout();
    tracing::info!(signal, timeout = ?drain_timeout, "stopping: reading dry and sending what is held");
    let drained = tokio::select! {
        drained = running.drain(drain_timeout) => drained,
        signal = stops.next() => anyhow::bail!("{signal} while stopping: what was held is lost"),
    };
    serving.abort();
    let ledger = ledger_as_json(&drained.ledger);
    tracing::info!(residual = drained.ledger.residual(), %ledger, "stopped");
    Ok(())
}

fn bind_api(address: &Address) -> std::io::Result<TcpListener> {
    let host = if address.host.is_empty() { "::" } else { address.host.as_str() };
    let socket = StdListener::bind((host, address.port))?;
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
