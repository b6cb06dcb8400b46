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
        mpsc::{SyncSender, TrySendError},
    },
    thread::{JoinHandle, Thread},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coco_spool::{
    AtBound, Budget, Config, Name, Now, OpenError, Root, SEGMENT_BYTES, Spool, disk::OsDisk,
};
use tokio::time::Instant;

use entry::{Entry, Next, shed_rest};

use crate::{plan::SpoolPlan, shared::Shared, target::Target};

/// How often the spooler looks while a queue spools, and while none does.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_IDLE: Duration = Duration::from_millis(100);

/// How often a folder that another process has is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A process that has ended has let go of its folder after so long.
const LET_GO_MAX: Duration = Duration::from_secs(2);

/// The folder of all spools.
#[derive(Debug)]
pub(crate) enum Folder {
    /// Ours.
    Open(Root<OsDisk>),
    /// The process before this one still has it, and lets go of it when it ends.
    Awaited,
}

/// Opens and locks the folder.
pub(crate) fn open(plan: &SpoolPlan) -> Result<Root<OsDisk>, OpenError> {
    Root::open(OsDisk, &plan.directory, Arc::new(Budget::new(plan.bytes_max)))
}

/// Nobody waits for the word any more only when the process ends, or when it was told before.
fn tell(open: &SyncSender<()>) {
    let _told: Result<(), TrySendError<()>> = open.try_send(());
}

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
        folder: Folder,
        plan: SpoolPlan,
        targets: Vec<Arc<Target>>,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        let orders = Arc::new(Orders { newcomers: Mutex::new(targets), ..Orders::default() });
        let work = Work {
            root: None,
            plan,
            shared,
            orders: Arc::clone(&orders),
            entries: Vec::new(),
            orphans: Vec::new(),
            started: Instant::now(),
        };
        let (told, is_open) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("spooler".to_owned());
        let thread = thread.spawn(move || work.run(folder, &told))?;
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
    root: Option<Root<OsDisk>>,
    plan: SpoolPlan,
    shared: Arc<Shared>,
    orders: Arc<Orders>,
    entries: Vec<Entry<OsDisk>>,
    /// Targets whose spool could not be opened.
    orphans: Vec<Arc<Target>>,
    started: Instant,
}

impl Work {
    fn run(mut self, folder: Folder, open: &SyncSender<()>) {
        match folder {
            Folder::Open(root) => {
                self.root = Some(root);
                self.take_newcomers();
            }
            Folder::Awaited => {
                tell(open);
                self.await_folder();
            }
        }
        tell(open);
        self.serve();
    }

    /// Opens the folder as soon as the process before this one has let go of it.
    fn await_folder(&mut self) {
        let mut due: Option<Instant> = None;
        loop {
            // Asked before the attempt: who was gone by then has let go of it.
            let ends = self.orders.stop.load(Ordering::Acquire);
            if ends || self.shared.is_predecessor_gone() {
                due.get_or_insert_with(|| Instant::now() + LET_GO_MAX);
            }
            match open(&self.plan) {
                Ok(root) => return self.root = Some(root),
                Err(OpenError::Locked(_)) if due.is_none_or(|due| Instant::now() < due) => {}
                Err(error) => {
                    tracing::error!(%error, "no spool after the upgrade");
                    return;
                }
            }
            std::thread::park_timeout(LOCK_PAUSE);
        }
    }

    fn serve(mut self) {
        loop {
            let stop = self.orders.stop.load(Ordering::Acquire);
            self.take_newcomers();
            if stop {
                return self.finish();
            }
            let now = self.now();
            let mut next = Next::Idle;
            for entry in &mut self.entries {
                next = next.max(entry.step(now, &self.shared));
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
        let root = self.root.as_ref().ok_or("the spool is not open")?;
        root.spool(&name, config, now).map_err(|error| error.to_string())
    }
}
