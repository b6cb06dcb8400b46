//! Reloading: the file that was given at the start is read again and put in force.
//!
//! One task does it, at most once a second: whoever asks meanwhile waits for the next one, which reads the
//! file as it is then. A faulty file changes nothing.

mod outcome;
mod status;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coco_router::{
    Handle,
    plan::Address,
    telemetry::{self, Counter},
};
use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

pub(crate) use outcome::Outcome;
pub(crate) use status::Status;

use crate::{
    config::{Config, ConfigError},
    notify::Notifier,
};

/// The least time between the beginnings of two reloads.
const INTERVAL: Duration = Duration::from_secs(1);

/// Requests that may wait; the API serves no more connections than that at once.
const REQUESTS_MAX: usize = 64;

/// Whoever waits for a reload.
type Waiting = oneshot::Sender<Arc<Outcome>>;

/// Asks for reloads. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reloads(mpsc::Sender<Waiting>);

impl Reloads {
    /// Reads the file again, and tells what came of it; `None` when the process ends first.
    pub(crate) async fn reload(&self) -> Option<Arc<Outcome>> {
        let (waiting, outcome) = oneshot::channel();
        self.0.send(waiting).await.ok()?;
        outcome.await.ok()
    }
}

/// The one who reloads.
pub(crate) struct Reloader {
    /// The file given at the start, if there was one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) handle: Handle,
    /// Where the API listens: that stays until a restart.
    pub(crate) api: Address,
    /// And the agent.
    pub(crate) agent: Option<Address>,
    /// How often numbers are recorded: that stays as well.
    pub(crate) measure_interval: Duration,
    pub(crate) status: Arc<Status>,
    /// SIGHUP.
    pub(crate) hangup: Signal,
    pub(crate) notifier: Notifier,
}

impl Reloader {
    /// Begins to take requests.
    pub(crate) fn start(self) -> Reloads {
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        tokio::spawn(self.serve(waiting));
        Reloads(requests)
    }

    async fn serve(mut self, mut requests: mpsc::Receiver<Waiting>) {
        let counter = |metric| self.handle.registry().counter(metric, &[]);
        let (good, bad) = (counter(telemetry::RELOADS), counter(telemetry::RELOAD_FAILURES));
        let mut next = Instant::now();
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                // `None`: the signal driver is gone, with the runtime.
                Some(()) = self.hangup.recv(), if self.file.is_some() => {}
                Some(request) = requests.recv() => waiting.push(request),
                else => return,
            }
            sleep_until(next).await;
            next = Instant::now() + INTERVAL;
            // All who have asked by now get this one.
            while let Ok(request) = requests.try_recv() {
                waiting.push(request);
            }
            self.notifier.reloading();
            let outcome = Arc::new(self.reload().await);
            self.notifier.ready(match *outcome {
                Outcome::Done { .. } => "running; reloaded",
                Outcome::Faulty(_) | Outcome::Failed(_) | Outcome::NoFile => {
                    "running; the last reload changed nothing"
                }
            });
            self.account(&outcome, &good, &bad);
            for request in waiting {
                // Whoever asked may be gone.
                let _told: Result<(), _> = request.send(Arc::clone(&outcome));
            }
        }
    }

    async fn reload(&self) -> Outcome {
        let Some(file) = self.file.clone() else { return Outcome::NoFile };
        // The rings of large tiers take seconds: not on the thread that accepts clients.
        let loaded = tokio::task::spawn_blocking(move || Config::load(&file)).await;
        let config = match loaded {
            Ok(Ok(config)) => config,
            Ok(Err(error)) => return Outcome::Faulty(error),
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        let Config { plan, api, agent, drain_timeout, drain_delay, measure_interval, notes } =
            config;
        match self.handle.reload(plan, drain_timeout).await {
            Ok(mut changes) => {
                if api != self.api {
                    changes.restart.push("api.bind".to_owned());
                }
                if agent != self.agent {
                    changes.restart.push("api.agent".to_owned());
                }
                if measure_interval != self.measure_interval {
                    changes.restart.push("measure.interval".to_owned());
                }
                if self.status.set_drain_timeout(drain_timeout) {
                    changes.limits.push("drain_timeout");
                }
                if self.status.set_drain_delay(drain_delay) {
                    changes.limits.push("drain_delay");
                }
                Outcome::Done { changes: Box::new(changes), notes }
            }
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    /// Counts a reload and says in the log what came of it.
    fn account(&self, outcome: &Outcome, good: &Counter, bad: &Counter) {
        if let Outcome::Done { .. } = outcome {
            good.add(1);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.status.set_last(now.as_secs());
            tracing::info!(changes = %outcome.as_json(), "reloaded");
            return;
        }
        bad.add(1);
        match outcome {
            Outcome::Faulty(ConfigError::Faults { name, faults }) => {
                for fault in faults {
                    tracing::error!(fault = %fault.in_file(name), "not reloaded");
                }
            }
            other => tracing::error!(why = %other.message(), "not reloaded"),
        }
    }
}
