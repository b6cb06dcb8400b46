//! How a target stands: what its worker sees of the connection, what the prober judges, whether what it is
//! sent comes back to us.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::health::Verdict;

/// What is known of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not connected yet, or trying again.
    Connecting,
    /// TCP: connected. Embedded: there. With a probe: it answers.
    Up,
    /// UDP: a socket is open, and nobody can know who reads.
    Unknown,
    /// It has refused, or a probe has failed; more probes will tell.
    Suspect,
    /// Refused, or deaf to its probe: what falls to it is held.
    Down,
    /// What it is sent comes back to this process: it is switched off.
    Loop,
}

impl State {
    /// The state as the API shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Unknown => "unknown",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Loop => "loop",
        }
    }
}

/// Why a target is not to be fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Halt {
    /// It is.
    #[default]
    No,
    /// Its probe says that it is down.
    Down,
    /// It is this process.
    Loop,
}

/// How one target stands.
#[derive(Debug)]
pub(crate) struct Standing {
    inner: Mutex<Inner>,
    halt: watch::Sender<Halt>,
    lost: Notify,
    pardoned: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Inner {
    /// What the worker sees.
    link: State,
    /// What the prober judges; unknown without one.
    verdict: Verdict,
    looped: bool,
    /// Since when the state is as it is, and since when it takes samples, or does not.
    since: Instant,
    open_since: Instant,
}

impl Default for Standing {
    fn default() -> Self {
        let (link, verdict) = (State::Connecting, Verdict::Unknown);
        let now = Instant::now();
        let inner = Inner { link, verdict, looped: false, since: now, open_since: now };
        Self {
            inner: Mutex::new(inner),
            halt: watch::Sender::default(),
            lost: Notify::new(),
            pardoned: AtomicBool::new(false),
        }
    }
}

impl Standing {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        let before = *inner;
        change(&mut inner);
        if inner.state() != before.state() {
            inner.since = Instant::now();
        }
        if inner.is_open() != before.is_open() {
            inner.open_since = Instant::now();
        }
        // With the lock held, so that a later change is told later. Who waits takes no lock.
        let halt = inner.halt();
        self.halt.send_if_modified(|present| std::mem::replace(present, halt) != halt);
    }

    pub(crate) fn state(&self) -> State {
        self.lock().state()
    }

    /// The worker sees this.
    pub(crate) fn set_link(&self, link: State) {
        let was = self.lock().link;
        self.change(|inner| inner.link = link);
        if was == State::Up && link == State::Connecting {
            self.lost.notify_one();
        }
    }

    /// The prober judges so.
    pub(crate) fn judge(&self, verdict: Verdict) {
        self.change(|inner| inner.verdict = verdict);
    }

    /// What it is sent comes back to us; `true` if that is news.
    pub(crate) fn set_loop(&self) -> bool {
        let mut was = true;
        self.change(|inner| was = std::mem::replace(&mut inner.looped, true));
        !was
    }

    /// It may have ended that what it is sent comes back.
    pub(crate) fn clear_loop(&self) {
        self.change(|inner| inner.looped = false);
    }

    /// It takes samples, as far as can be known; and how long that has been so, or not. One that is
    /// switched off takes them as well: they are shed.
    pub(crate) fn is_open(&self) -> (bool, Duration) {
        let inner = self.lock();
        (inner.is_open(), inner.open_since.elapsed())
    }

    /// How long the state has been as it is.
    pub(crate) fn since(&self) -> Duration {
        self.lock().since.elapsed()
    }

    /// Returns when it is not to be fed.
    pub(crate) async fn halted(&self) -> Halt {
        self.halt
            .subscribe()
            .wait_for(|halt| *halt != Halt::No)
            .await
            .map_or(Halt::No, |halt| *halt)
    }

    /// Returns when it is not halted for this reason any more.
    pub(crate) async fn resumed(&self, why: Halt) {
        // An error means that the target is gone, which is borrowed here.
        drop(self.halt.subscribe().wait_for(|halt| *halt != why).await);
    }

    /// Returns when a connection has ended since the last call.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// While most of its tier is down, that is not held against it.
    pub(crate) fn set_pardoned(&self, pardoned: bool) {
        self.pardoned.store(pardoned, Ordering::Relaxed);
    }

    pub(crate) fn is_pardoned(&self) -> bool {
        self.pardoned.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn halt(&self) -> Halt {
        match self.verdict {
            _ if self.looped => Halt::Loop,
            Verdict::Down => Halt::Down,
            Verdict::Unknown | Verdict::Up | Verdict::Suspect => Halt::No,
        }
    }

    fn is_open(&self) -> bool {
        match self.halt() {
            Halt::No => matches!(self.link, State::Up | State::Unknown),
            Halt::Down => false,
            Halt::Loop => true,
        }
    }

    fn state(&self) -> State {
        match (self.halt(), self.link, self.verdict) {
            (Halt::Loop, ..) => State::Loop,
            (Halt::Down, ..) => State::Down,
            (Halt::No, State::Up | State::Unknown, Verdict::Suspect) => State::Suspect,
            (Halt::No, State::Unknown, Verdict::Up) => State::Up,
            (Halt::No, link, _) => link,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_of_both_shows_and_decides() {
        for (link, verdict, state, open) in [
            (State::Connecting, Verdict::Up, State::Connecting, false),
            (State::Unknown, Verdict::Unknown, State::Unknown, true),
            (State::Unknown, Verdict::Up, State::Up, true),
            (State::Unknown, Verdict::Suspect, State::Suspect, true),
            (State::Suspect, Verdict::Up, State::Suspect, false),
            (State::Down, Verdict::Up, State::Down, false),
            (State::Up, Verdict::Unknown, State::Up, true),
            (State::Up, Verdict::Down, State::Down, false),
        ] {
            let standing = Standing::default();
            standing.set_link(link);
            standing.judge(verdict);
            let seen = (standing.state(), standing.is_open().0);
            assert_eq!(seen, (state, open), "{link:?} and {verdict:?}");
            assert!(standing.set_loop() && !standing.set_loop());
            assert_eq!((standing.state(), standing.is_open().0), (State::Loop, true));
        }
    }

    #[test]
    fn a_verdict_upon_a_suspicion_does_not_begin_the_outage_anew() {
        let standing = Standing::default();
        standing.set_link(State::Unknown);
        standing.set_link(State::Suspect);
        let outage = standing.lock().open_since;
        standing.set_link(State::Down);
        assert_eq!(standing.lock().open_since, outage);
        standing.set_link(State::Unknown);
        assert!(standing.lock().open_since > outage);
    }

    #[tokio::test]
    async fn a_halt_is_told_and_its_end() {
        let standing = Standing::default();
        standing.judge(Verdict::Down);
        assert_eq!(standing.halted().await, Halt::Down);
        standing.set_loop();
        standing.resumed(Halt::Down).await;
        assert_eq!(standing.halted().await, Halt::Loop);
        standing.judge(Verdict::Up);
        standing.clear_loop();
        standing.resumed(Halt::Loop).await;
    }
}
