//! The spooler: one thread that moves queues to disk and back, for all targets that spool.
//!
//! A queue spools while its target is down, or when it is half full: its chunks go to disk, and the worker
//! gets back from disk what is oldest. When nothing is left there, it takes from the queue again. So the
//! order of a target's samples holds: what the worker has, what is on disk, what is in the queue. The data
//! path never waits for the disk.

mod entry;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    thread::{JoinHandle, Thread},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coco_spool::{
    AtBound, Config, Name, Now, Root, SEGMENT_BYTES, Spool,
    disk::{Disk, OsDisk},
};
use tokio::time::Instant;

pub(crate) use entry::Next;
use entry::{Entry, shed_rest};

use crate::{plan::SpoolPlan, shared::Shared, target::Target};

/// How often the spooler looks while a queue spools, and while none does.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);
pub(crate) const PAUSE_IDLE: Duration = Duration::from_millis(100);

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
    /// The way to a spooler that goes by these orders on this thread.
    pub(crate) fn new(orders: Arc<Orders>, thread: Thread) -> Self {
        Self { orders, thread }
    }

    /// One more target that spools.
    pub(crate) fn adopt(&self, target: Arc<Target>) {
        self.orders.newcomers.lock().unwrap_or_else(PoisonError::into_inner).push(target);
        self.thread.unpark();
    }
}

/// What the spooler is told by others.
#[derive(Debug, Default)]
pub(crate) struct Orders {
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
        let work = Work::new(root, plan, shared, Arc::clone(&orders));
        let (told, is_open) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("spooler".to_owned());
        let thread = thread.spawn(move || work.run(&told))?;
        // It tells, or has ended with the process.
        let _open: Result<(), std::sync::mpsc::RecvError> = is_open.recv();
        Ok(Self { thread, orders })
    }

    /// For those who have new targets later.
    pub(crate) fn adopter(&self) -> Adopter {
        Adopter::new(Arc::clone(&self.orders), self.thread.thread().clone())
    }

    /// Puts on disk all that is still held, and ends. The shards have ended before.
    pub(crate) fn finish(self) {
        self.orders.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // A panic has ended the process already.
        drop(self.thread.join());
    }
}

/// What the spooler works with.
pub(crate) struct Work<D: Disk> {
    root: Root<D>,
    plan: SpoolPlan,
    shared: Arc<Shared>,
    orders: Arc<Orders>,
    entries: Vec<Entry<D>>,
    /// Targets whose spool could not be opened.
    orphans: Vec<Arc<Target>>,
}

impl Work<OsDisk> {
    fn run(mut self, open: &SyncSender<()>) {
        let started = Instant::now();
        let now = || {
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let unix_ms = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
            Now { unix_ms, monotonic: started.elapsed() }
        };
        self.take_newcomers(now());
        // Nobody waits for it any more only when the process ends.
        let _told: Result<(), std::sync::mpsc::SendError<()>> = open.send(());
        loop {
            let stop = self.orders.stop.load(Ordering::Acquire);
            if stop {
                return self.finish(now);
            }
            match self.round(now()) {
                Next::AtOnce => {}
                Next::Soon => std::thread::park_timeout(PAUSE),
                Next::Idle => std::thread::park_timeout(PAUSE_IDLE),
            }
        }
    }
}

impl<D: Disk> Work<D> {
    pub(crate) fn new(
        root: Root<D>,
        plan: SpoolPlan,
        shared: Arc<Shared>,
        orders: Arc<Orders>,
    ) -> Self {
        Self { root, plan, shared, orders, entries: Vec::new(), orphans: Vec::new() }
    }

    /// Does for each target what is to be done now, and tells when to look again.
    pub(crate) fn round(&mut self, now: Now) -> Next {
        self.take_newcomers(now);
        let mut next = Next::Idle;
        for entry in &mut self.entries {
            next = next.max(entry.step(now, &self.shared));
        }
        next
    }

    /// The targets that have a spool, and what became of its samples.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&Target, coco_spool::Counts)> {
        self.entries.iter().map(Entry::counts)
    }

    /// Puts on disk all that is still held.
    pub(crate) fn finish(mut self, now: impl Fn() -> Now) {
        self.take_newcomers(now());
        for entry in std::mem::take(&mut self.entries) {
            entry.finish(&now, &self.shared);
        }
        for target in &self.orphans {
            shed_rest(target, &self.shared);
        }
    }

    /// Opens the spools of new targets; one that cannot be opened goes without.
    pub(crate) fn take_newcomers(&mut self, now: Now) {
        let newcomers = std::mem::take(
            &mut *self.orders.newcomers.lock().unwrap_or_else(PoisonError::into_inner),
        );
        for target in newcomers {
            match self.open(&target, now) {
                Ok(spool) => self.entries.push(Entry::new(target, spool, &self.shared)),
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

    fn open(&self, target: &Target, now: Now) -> Result<Spool<D>, String> {
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
