//! The spooler: one thread that moves queues to disk and back, for all targets that spool.
//!
//! A queue spools while its target is down, or when it is half full: its chunks go to disk, and the worker
//! gets back from disk what is oldest. When nothing is left there, it takes from the queue again. So the
//! order of a target's samples holds: what the worker has, what is on disk, what is in the queue. The data
//! path never waits for the disk.

mod entry;
mod pace;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    thread::{JoinHandle, Thread},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coco_spool::{AtBound, Config, Name, Now, Root, SEGMENT_BYTES, Spool, disk::OsDisk};
use tokio::time::Instant;

use entry::{Entry, Next, shed_rest};

use crate::{plan::SpoolPlan, shared::Shared, target::Target};

/// How often the spooler looks while a queue spools, and while none does.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_IDLE: Duration = Duration::from_millis(100);

/// The running spooler.
#[derive(Debug)]
pub(crate) struct Spooler {
    thread: JoinHandle<()>,
    orders: Arc<Orders>,
}

/// The way to give the spooler more targets.
#[derive(Debug)]
pub(crate) struct Adopter {
    orders: Arc<Orders>,
    thread: Thread,
}

impl Adopter {
    /// One more target that spools.
    pub(crate) fn adopt(&self, target: Arc<Target>) {
        self.orders.newcomers.lock().unwrap_or_else(PoisonError::into_inner).push(target);
        self.thread.unpark();
    }
}

/// What the spooler is told by others.
#[derive(Debug, Default)]
struct Orders {
    stop: AtomicBool,
    newcomers: Mutex<Vec<Arc<Target>>>,
}

impl Spooler {
    /// Starts it for these targets, and waits until it has looked at what is on disk.
    pub(crate) fn start(
        root: Root<OsDisk>,
        plan: SpoolPlan,
        targets: Vec<Arc<Target>>,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        let orders = Arc::new(Orders { newcomers: Mutex::new(targets), ..Orders::default() });
        let work = Work {
            root,
            plan,
            shared,
            orders: Arc::clone(&orders),
            entries: Vec::new(),
            orphans: Vec::new(),
            started: Instant::now(),
        };
        let (told, is_open) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("spooler".to_owned());
        let thread = thread.spawn(move || work.run(&told))?;
        // It tells, or has ended with the process.
        let _open: Result<(), std::sync::mpsc::RecvError> = is_open.recv();
        Ok(Self { thread, orders })
    }

    /// For those who have new targets later.
    pub(crate) fn adopter(&self) -> Adopter {
        Adopter { orders: Arc::clone(&self.orders), thread: self.thread.thread().clone() }
    }

    /// Puts on disk all that is still held, and ends. The shards have ended before.
    pub(crate) fn finish(self) {
        self.orders.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // A panic has ended the process already.
        drop(self.thread.join());
    }
}

struct Work {
    root: Root<OsDisk>,
    plan: SpoolPlan,
    shared: Arc<Shared>,
    orders: Arc<Orders>,
    entries: Vec<Entry<OsDisk>>,
    /// Targets whose spool could not be opened.
    orphans: Vec<Arc<Target>>,
    started: Instant,
}

impl Work {
    fn run(mut self, open: &SyncSender<()>) {
        self.take_newcomers();
        // Nobody waits for it any more only when the process ends.
        let _told: Result<(), std::sync::mpsc::SendError<()>> = open.send(());
        loop {
            let stop = self.orders.stop.load(Ordering::Acquire);
            self.take_newcomers();
            if stop {
                return self.finish();
            }
            let now = self.now();
            let mut next = Next::Idle;
            for entry in &mut self.entries {
                next = next.max(entry.step(now, self.plan.replay_rate, &self.shared));
            }
            match next {
                Next::AtOnce => {}
                Next::Soon => std::thread::park_timeout(PAUSE),
                Next::Idle => std::thread::park_timeout(PAUSE_IDLE),
            }
        }
    }

    fn finish(mut self) {
        for entry in std::mem::take(&mut self.entries) {
            entry.finish(|| self.now(), &self.shared);
        }
        for target in &self.orphans {
            shed_rest(target, &self.shared);
        }
    }

    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        Now { unix_ms, monotonic: self.started.elapsed() }
    }

    /// Opens the spools of new targets; one that cannot be opened goes without.
    fn take_newcomers(&mut self) {
        let newcomers = std::mem::take(
            &mut *self.orders.newcomers.lock().unwrap_or_else(PoisonError::into_inner),
        );
        let now = self.now();
        for target in newcomers {
            match self.open(&target, now) {
                Ok(spool) => self.entries.push(Entry::new(now, target, spool, &self.shared)),
                Err(error) => {
                    target.queue.set_spooling(false);
                    tracing::error!(
                        tier = target.tier, target = target.plan.label, %error,
                        "its queue is kept in memory only"
                    );
                    self.orphans.push(target);
                }
            }
        }
    }

    fn open(&self, target: &Target, now: Now) -> Result<Spool<OsDisk>, String> {
        let name = Name::new(&target.tier, &target.plan.id).map_err(|error| error.to_string())?;
        let config = Config {
            sync: self.plan.sync,
            segment_bytes: SEGMENT_BYTES,
            bytes_max: self.plan.target_bytes_max,
            max_age: self.plan.max_age,
            // A full spool fills the queue, whose bound then rules.
            at_bound: AtBound::Refuse,
        };
        self.root.spool(&name, config, now).map_err(|error| error.to_string())
    }
}
