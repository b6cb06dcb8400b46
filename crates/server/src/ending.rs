//! The end of a process: it waits for a signal, and then stops in order, or hands over to a new process.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use coco_router::{Running, telemetry};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    api::{Api, ledger_as_json},
    handover::{Past, Program, ServiceSocket, SocketSet, Successor},
    notify::Notifier,
    reload::Status,
};

/// What the writer to a new process may take when all else has ended.
const LAST_PIECES_MAX: Duration = Duration::from_secs(10);

/// What the process before this one may take to let go of everything when this one is to stop.
const INHERITANCE_MAX: Duration = Duration::from_secs(10);

/// Why a process ends.
pub(crate) enum End {
    /// This signal.
    Stop(&'static str),
    /// A new process is ready to take over.
    HandOver(Successor),
}

/// A process at work, to be ended.
pub(crate) struct Service {
    pub(crate) running: Running,
    pub(crate) api: Api,
    /// Ends `serving`.
    pub(crate) api_stop: watch::Sender<bool>,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) status: Arc<Status>,
    pub(crate) notifier: Notifier,
    /// Ends when the process before this one has given all that it held.
    pub(crate) inheriting: Option<JoinHandle<()>>,
}

impl Service {
    /// Waits for the end, and starts new processes until one is ready to take over; `own` are the sockets of the
    /// process itself.
    pub(crate) async fn wait(
        &mut self,
        stops: &mut Stops,
        mut upgrade: Signal,
        program: &Program,
        own: &[ServiceSocket],
    ) -> End {
        loop {
            tokio::select! {
                signal = stops.next() => return End::Stop(signal),
                _ = upgrade.recv() => {}
            }
            if let Some(task) = self.inheriting.as_mut() {
                // One at a time: what this process is still given must not be in its way.
                tokio::select! {
                    ended = task => drop(ended),
                    signal = stops.next() => return End::Stop(signal),
                }
                self.inheriting = None;
            }
            let attempt = self.start_heir(program.clone(), own);
            tokio::pin!(attempt);
            let started = loop {
                tokio::select! {
                    signal = stops.next() => return End::Stop(signal),
                    _ = upgrade.recv() => {
                        tracing::warn!("SIGUSR2 is ignored: an upgrade is under way");
                    }
                    started = &mut attempt => break started,
                }
            };
            match started {
                Ok(successor) => return End::HandOver(successor),
                Err(why) => self.not_upgraded(&why),
            }
        }
    }

    /// Starts the program anew; the new process when it is ready, or why it is not.
    async fn start_heir(
        &self,
        program: Program,
        own: &[ServiceSocket],
    ) -> Result<Successor, String> {
        if std::process::id() == 1 {
            let why = "this is process 1, whose end ends all others: start a new container instead";
            return Err(why.to_owned());
        }
        tracing::info!("upgrading: starting the program anew");
        let failed = |error: std::io::Error| error.to_string();
        let mut held = self.running.hold().await.map_err(failed)?;
        let services = own.iter().map(ServiceSocket::try_clone).collect::<Result<_, _>>();
        let services = services.map_err(failed)?;
        let set = SocketSet { listeners: std::mem::take(&mut held.sockets), services };
        let handle = self.running.handle();
        let upgrades = handle.registry().counter(telemetry::UPGRADES, &[]).get();
        let rings = handle.tiers().iter().map(|tier| tier.name.clone()).collect();
        let (kept, history) = (held.kept.take(), self.api.history());
        let past = Past { upgrades, rings, kept, history, log: self.api.log() };
        // Nothing is reloaded while `held` lives: what the new process was told stays true.
        program.start(set, past).await
    }

    fn not_upgraded(&self, why: &str) {
        let failures = self.running.handle().registry().counter(telemetry::UPGRADE_FAILURES, &[]);
        failures.add(1);
        self.notifier.not_upgraded(failures.get(), why);
        tracing::error!(%why, "not upgraded, and nothing has changed");
    }

    /// Stops in order.
    pub(crate) async fn stop(self, signal: &'static str, stops: &mut Stops) -> anyhow::Result<()> {
        let Self { running, api, api_stop: _api_stop, serving, status, notifier, inheriting } =
            self;
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
        if let Some(task) = inheriting.filter(|task| !task.is_finished()) {
            tracing::info!(signal, "waiting for what the process before this one still holds");
            tokio::select! {
                ended = timeout(INHERITANCE_MAX, task) => drop(ended),
                signal = stops.next() => tracing::info!(signal, "not waiting any longer"),
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

    /// Hands over to a new process.
    pub(crate) async fn hand_over(
        self,
        successor: Successor,
        stops: &mut Stops,
    ) -> anyhow::Result<()> {
        let Self { running, api_stop, serving, notifier, .. } = self;
        let id = successor.id();
        tracing::info!(process = id, "handing over");
        // The new process has the sockets of API and agent: what comes to them waits there.
        api_stop.send_replace(true);
        notifier.main_is(id);
        let (heir, all_sent) = successor.feed();
        let hand_over = running.hand_over(heir);
        tokio::pin!(hand_over);
        // A hand-over is bounded, and a service manager stops both processes at once: the first signal waits.
        let drained = tokio::select! {
            drained = &mut hand_over => drained,
            signal = stops.next() => {
                tracing::warn!(signal, "handing over first, which takes some seconds; once more ends at once");
                tokio::select! {
                    drained = &mut hand_over => drained,
                    signal = stops.next() => {
                        bail!("{signal} while handing over: what was held is lost")
                    }
                }
            }
        };
        let taken = timeout(LAST_PIECES_MAX, all_sent).await;
        // It has ended within its own bound; an error would be a panic, which has ended the process.
        drop(serving.await);
        let ledger = ledger_as_json(&drained.ledger);
        tracing::info!(process = id, residual = drained.ledger.residual(), %ledger, "handed over");
        match taken {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => {
                bail!("process {id} took no more, and some was on its way: {error}")
            }
            Ok(Err(_)) | Err(_) => bail!("process {id} does not take what is left"),
        }
    }
}

/// The signals that stop the process.
pub(crate) struct Stops {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
    /// Came already.
    pending: Option<&'static str>,
}

impl Stops {
    /// With SIGHUP among them for a process that has no file to read again: its terminal was closed. Not by
    /// nohup(1), which has it ignored.
    pub(crate) fn new(with_hangup: bool) -> std::io::Result<Self> {
        let is_meant = with_hangup && !is_hangup_ignored();
        let hangup = is_meant.then(|| signal(SignalKind::hangup())).transpose()?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())?, hangup, pending: None })
    }

    /// Lets one come again, for whoever can do what it asks.
    pub(crate) fn put_back(&mut self, signal: &'static str) {
        self.pending = Some(signal);
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        if let Some(signal) = self.pending.take() {
            return signal;
        }
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            Some(()) = recv(&mut self.hangup) => "SIGHUP",
        }
    }
}

async fn recv(signal: &mut Option<Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}

/// Whether SIGHUP was ignored when this process began: to be asked before anything listens for it.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is signal 1, and that is the lowest bit.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
