//! One life of the router, from its start to a stop, a kill, or a crash of the machine: all that is real in it
//! is the code of the product, between a simulated network and a simulated disk.

mod begin;
mod crews;
mod end;
mod spooled;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use coco_spool::{Now, disk::SimDisk};
use crews::Crews;
use spooled::Spooled;
use tokio::{task::JoinSet, time::Instant};

use super::{
    check::{Check, Served},
    net::SimNet,
    sample::{Sample, datagram},
};
use crate::{
    control::Control,
    ledger::Ledger,
    listen::Listener,
    pipeline::Source,
    plan::{ListenerProtocol, OnChange, Plan},
    reload::reload,
    routes::Routes,
    shared::Shared,
    spooler::Work,
    target::{Target, queue::Feeder},
};

/// Threads of the router, and TCP clients of each.
pub(super) const SHARDS: usize = 2;
pub(super) const CLIENTS: usize = 2;

/// The world's clocks.
#[derive(Debug)]
pub(super) struct Clocks {
    pub(super) started: Instant,
    /// The wall clock, less what has passed since.
    pub(super) unix_ms: Cell<u64>,
}

impl Clocks {
    fn now(&self) -> Now {
        let monotonic = self.started.elapsed();
        let passed = u64::try_from(monotonic.as_millis()).unwrap();
        Now { unix_ms: self.unix_ms.get() + passed, monotonic }
    }
}

/// A router at work.
pub(super) struct Life {
    pub(super) shared: Arc<Shared>,
    pub(super) plan: Plan,
    control: Arc<Control>,
    listeners: Vec<Arc<Listener>>,
    pub(super) crews: Crews,
    spooler: JoinSet<()>,
    work: Rc<RefCell<Option<Work<SimDisk>>>>,
    check: Rc<RefCell<Check>>,
    clocks: Rc<Clocks>,
    spooled: Rc<RefCell<Spooled>>,
}

/// A target by tier and id.
type Key = (String, String);

fn key(target: &Target) -> Key {
    (target.tier.clone(), target.plan.id.clone())
}

impl Life {
    pub(super) fn ledger(&self) -> Ledger {
        Ledger::take(&self.shared)
    }

    /// The targets that the spooler works for.
    pub(super) fn served(&self) -> Served {
        let work = self.work.borrow();
        work.iter().flat_map(Work::counts).map(|(target, _)| key(target)).collect()
    }

    /// A read batch of datagrams of lines.
    pub(super) fn lines(&self, shard: usize, datagrams: &[Vec<Sample>], more: bool) {
        let datagrams: Vec<(Vec<u8>, &Vec<Sample>)> = datagrams
            .iter()
            .map(|samples| (samples.iter().map(|s| s.line()).collect::<String>().into(), samples))
            .collect();
        self.route(shard, 0, &datagrams, more);
    }

    /// A read batch of datagrams of collectd.
    pub(super) fn lists(&self, shard: usize, datagrams: &[Vec<Sample>], more: bool) {
        let datagrams: Vec<_> =
            datagrams.iter().map(|samples| (datagram(samples), samples)).collect();
        self.route(shard, 2, &datagrams, more);
    }

    /// As `listen::udp` does.
    fn route(
        &self,
        shard: usize,
        listener: usize,
        datagrams: &[(Vec<u8>, &Vec<Sample>)],
        more: bool,
    ) {
        let listener = &*self.listeners[listener];
        let routes = self.shared.routes.load_full();
        self.crews.inlets[shard].route(|pipeline| {
            let from = Source { listener, peer: None };
            for (bytes, samples) in datagrams {
                self.check.borrow_mut().offer(samples, &routes);
                let unit = pipeline.tally().begin_unit();
                if listener.plan.protocol == ListenerProtocol::LineUdp {
                    pipeline.lines(bytes, &from);
                } else {
                    pipeline.datagram(bytes, &from);
                }
                pipeline.tally().end_unit(&unit);
            }
            pipeline.publish(listener, Feeder::Datagram, more, &mut Vec::new());
        });
    }

    /// Puts another plan in force; `false` if it was refused.
    pub(super) async fn reload(
        &mut self,
        plan: Plan,
        net: &SimNet,
        retire_within: Duration,
    ) -> bool {
        for tier in &plan.tiers {
            tier.targets.iter().for_each(|t| net.add_host(t.address.port, tier.protocol));
        }
        self.check.borrow_mut().know(&plan);
        let before = self.shared.routes.load_full();
        // Between the publication of the routes and the return nothing is offered.
        let done = reload(&self.shared, &self.control, plan.clone(), retire_within).await;
        let now = self.shared.routes.load_full();
        match done {
            Ok(_) => {
                self.check.borrow().say(|| format!("reload\n{}", shown(&plan)));
                self.plan = plan;
                self.tell_change(&before, &now);
                true
            }
            Err(error) => {
                self.check.borrow_mut().fault(format!("a reload fails: {error}"));
                false
            }
        }
    }

    /// Tells the checker which targets have come and gone.
    fn tell_change(&self, before: &Routes, now: &Routes) {
        let mut check = self.check.borrow_mut();
        let only_in = |a: &Routes, b: &Routes| {
            let gone = |t: &&Arc<Target>| !b.targets.iter().any(|o| Arc::ptr_eq(o, t));
            a.targets.iter().filter(gone).map(Arc::clone).collect::<Vec<_>>()
        };
        let reroutes = self.plan.spool.as_ref().is_some_and(|s| s.on_change == OnChange::Reroute);
        for target in only_in(before, now) {
            if reroutes && target.link.is_some() {
                check.pooled.insert(target.tier.clone());
            }
            if let Some(account) = check.account(&target).filter(|_| target.link.is_some()) {
                account.jumble();
            }
        }
        for target in only_in(now, before) {
            if let Some(account) = check.account(&target) {
                account.unordered = true;
                account.jumbles |= target.live_first;
            }
        }
    }
}

fn shown(plan: &Plan) -> String {
    let tier = |tier: &crate::plan::TierPlan| {
        let (targets, replicas) = (tier.targets.len(), tier.ring.replicas());
        format!(
            "  {} {:?}: {targets} targets, {replicas} replicas, {:?}, {:?}, {} bytes, {:?}, datagrams of {}",
            tier.name,
            tier.protocol,
            tier.on_full,
            tier.replay,
            tier.queue_bytes,
            tier.block_timeout,
            tier.datagram_bytes_max
        )
    };
    let tiers = plan.tiers.iter().map(tier).collect::<Vec<_>>().join("\n");
    let how = plan.spool.as_ref().map(|spool| (spool.on_change, spool.replay_rate, spool.sync));
    format!("{tiers}\n  {how:?}")
}
