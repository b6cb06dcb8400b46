//! How a life ends, and what that may cost.

use std::{cell::Cell, collections::BTreeMap, time::Duration};

use coco_spool::{Counts, Now};
use tokio::time::Instant;

use super::{Key, Life, key};
use crate::{
    plan::Sync,
    router::{GRACE, end},
    sim::check::{End, Served},
    spooler::{PAUSE_IDLE, Work},
    target::Target,
};

impl Life {
    /// Stops in good order, as `Running::drain` does.
    pub(in crate::sim) async fn stop(mut self, timeout: Duration, disk_fails: bool) {
        let deadline = Instant::now() + timeout;
        self.look_for_stuck();
        end(&self.shared, &self.control, std::mem::take(&mut self.crews.dry), deadline).await;
        while !self.crews.tasks.is_empty() {
            if Instant::now() > deadline + GRACE {
                self.check.borrow_mut().fault("a shard does not end".to_owned());
                break;
            }
            if Instant::now() < deadline {
                self.look_for_stuck();
            }
            let pause = Duration::from_millis(1);
            // Both an end and the time over are looked at above.
            drop(tokio::time::timeout(pause, self.crews.tasks.join_next()).await);
        }
        self.spooler.abort_all();
        while self.spooler.join_next().await.is_some() {}
        self.tell_unsynced(disk_fails);
        if let Some(work) = self.work.take() {
            let late = Cell::new(Duration::ZERO);
            work.finish(|| {
                // It would wait in real time.
                std::thread::current().unpark();
                late.set(late.get() + Duration::from_millis(50));
                let now = self.clocks.now();
                Now { monotonic: now.monotonic + late.get(), ..now }
            });
        }
        let ledger = self.ledger();
        let mut check = self.check.borrow_mut();
        check.live(&ledger, &Served::new());
        check.end_life(&ledger, End::Stop, &BTreeMap::new());
    }

    /// Tells the checker of targets whose worker has a chunk in hand that is older than what is on disk, or will
    /// be: if the time is over then, it goes behind.
    fn look_for_stuck(&self) {
        let mut check = self.check.borrow_mut();
        check.accounts.values_mut().for_each(|account| account.stuck = false);
        for target in self.shared.roll.load().holders() {
            if let (Some(link), Some(account)) = (&target.link, check.account(target)) {
                let held = target.queue.held();
                account.stuck |= held.in_flight > 0 && (held.queued > 0 || link.held() > 0);
            }
        }
    }

    /// Ends at once. What has an end of its own does not: connections are closed by the system.
    pub(in crate::sim) async fn kill(mut self, how: End) {
        let roll = self.shared.roll.load_full();
        self.crews.tasks.abort_all();
        self.spooler.abort_all();
        while self.crews.tasks.join_next().await.is_some() {}
        while self.spooler.join_next().await.is_some() {}
        // Workers and clients are dropped one after the other; what they did until then is counted.
        for target in roll.holders() {
            target.lever.let_go().await;
        }
        self.listeners[1].lever.let_go().await;
        // A retired target whose worker was killed is not one that has ended.
        self.shared.roll.store(roll);
        let ledger = self.ledger();
        self.check.borrow_mut().live(&ledger, &self.served());
        self.tell_unsynced(false);
        self.check.borrow_mut().end_life(&ledger, how, &self.at_risk());
        drop(self.work.take());
    }

    /// Tells the checker of spools that could not sync, or may not be able to at their end.
    fn tell_unsynced(&self, disk_fails: bool) {
        let work = self.work.borrow();
        let never = self.plan.spool.as_ref().is_some_and(|spool| spool.sync == Sync::Never);
        for (target, counts) in work.iter().flat_map(Work::counts) {
            if let Some(account) = self.check.borrow_mut().account(target) {
                account.unsynced |= never || disk_fails || counts.sync_errors > 0;
            }
        }
    }

    /// What a crash of the machine may take from the disk, if all could be synced so far.
    fn at_risk(&self) -> BTreeMap<Key, u64> {
        let work = self.work.borrow();
        let sync = self.plan.spool.as_ref().unwrap().sync;
        let risk = |(target, counts): (&Target, Counts)| {
            let recent = match sync {
                Sync::Each | Sync::Never => 0,
                Sync::Interval(interval) => {
                    let safe = Instant::now() - interval - 2 * PAUSE_IDLE;
                    self.spooled.borrow().since(&key(target), safe, counts.spooled)
                }
            };
            (key(target), recent)
        };
        work.iter().flat_map(Work::counts).map(risk).collect()
    }
}
