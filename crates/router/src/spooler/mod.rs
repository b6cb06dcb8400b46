//! The spooler: one thread that moves queues to disk and back, for all targets that spool.
//!
//! A queue spools while its target is down, or when it is half full: its chunks go to disk, and the worker
//! gets back from disk what is oldest. When nothing is left there, it takes from the queue again. So the
//! order of a target's samples holds: what the worker has, what is on disk, what is in the queue. The data
//! path never waits for the disk.

mod entry;
mod leave;
mod pace;
mod reroute;
mod strangers;
mod work;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    thread::{JoinHandle, Thread},
    time::Duration,
};

use coco_spool::{Budget, OpenError, Root, disk::OsDisk};

#[cfg(test)]
pub(crate) use entry::Next;
pub(crate) use leave::Leaver;
pub(crate) use work::Work;

use crate::{plan::SpoolPlan, shared::Shared, target::Target};

/// How often the spooler looks while a queue spools, and while none does.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);
pub(crate) const PAUSE_IDLE: Duration = Duration::from_millis(100);

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
    /// The way to a spooler that goes by these orders on this thread.
    pub(crate) fn new(orders: Arc<Orders>, thread: Thread) -> Self {
        Self { orders, thread }
    }

    /// One more target that spools.
    pub(crate) fn adopt(&self, target: Arc<Target>) {
        self.orders.with(|words| words.newcomers.push(target));
        self.thread.unpark();
    }

    /// A target that nobody feeds any more.
    pub(crate) fn leave(&self, leaver: Leaver) {
        self.orders.with(|words| words.leavers.push(leaver));
        self.thread.unpark();
    }

    /// Another plan, which opens the spool alike.
    pub(crate) fn follow(&self, plan: SpoolPlan) {
        self.orders.with(|words| words.plan = Some(plan));
        self.thread.unpark();
    }
}

/// What the spooler is told by others.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    stop: AtomicBool,
    words: Mutex<Words>,
}

#[derive(Debug, Default)]
struct Words {
    newcomers: Vec<Arc<Target>>,
    leavers: Vec<Leaver>,
    plan: Option<SpoolPlan>,
}

impl Orders {
    fn with<T>(&self, change: impl FnOnce(&mut Words) -> T) -> T {
        change(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Spooler {
    /// Starts it for these targets, and waits until it has looked at what is on disk.
    pub(crate) fn start(
        folder: Folder,
        plan: SpoolPlan,
        targets: Vec<Arc<Target>>,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        let words = Words { newcomers: targets, ..Words::default() };
        let orders = Arc::new(Orders { words: Mutex::new(words), ..Orders::default() });
        let work = Work::new(None, plan, shared, Arc::clone(&orders));
        let (told, is_open) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("spooler".to_owned());
        let thread = thread.spawn(move || work.run(folder, &told))?;
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
