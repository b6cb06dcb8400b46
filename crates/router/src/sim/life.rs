//! One life of the router, from its start to a stop, a kill, or a crash of the machine: all that is real in it
//! is the code of the product, between a simulated network and a simulated disk.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use coco_spool::{Budget, Now, Root, disk::SimDisk};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};

use super::{
    check::{Check, End, Served},
    client::{Client, read},
    net::SimNet,
    plans::ROOT,
    sample::{Sample, datagram},
};
use crate::{
    control::{Control, Held, Inbox},
    inlet::Inlet,
    ledger::Ledger,
    listen::{Listener, kernel::DropWatch},
    pipeline::Source,
    plan::{OnChange, Plan, Sync},
    reload::reload,
    router::{GRACE, end},
    routes::Routes,
    shard::Crew,
    shared::Shared,
    spooler::{Adopter, Next, Orders, PAUSE, PAUSE_IDLE, Work},
    target::{Target, queue::Feeder},
    telemetry::Registry,
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
    inlets: Vec<Rc<Inlet>>,
    /// Of each shard.
    pub(super) clients: Vec<Rc<Client>>,
    dry: Vec<oneshot::Receiver<()>>,
    shards: JoinSet<()>,
    spooler: JoinSet<()>,
    work: Rc<RefCell<Option<Work<SimDisk>>>>,
    check: Rc<RefCell<Check>>,
    clocks: Rc<Clocks>,
    /// What was spooled, as seen at some moments.
    spooled: Rc<RefCell<VecDeque<Spooled>>>,
}

/// Samples that were spooled for each target, until a moment.
struct Spooled {
    at: Instant,
    by_target: BTreeMap<Key, u64>,
}

/// A target by tier and id.
type Key = (String, String);

fn key(target: &Target) -> Key {
    (target.tier.clone(), target.plan.id.clone())
}

impl Life {
    /// Starts a router on what is on the disk.
    pub(super) fn begin(
        plan: Plan,
        disk: &SimDisk,
        net: &SimNet,
        check: &Rc<RefCell<Check>>,
        clocks: &Rc<Clocks>,
    ) -> Self {
        let registry = Registry::default();
        check.borrow_mut().know(&plan);
        check.borrow().say(|| format!("begin\n{}", shown(&plan)));
        let listener = |(number, plan): (usize, _)| {
            let address = format!("127.0.0.1:{}", number + 1).parse().unwrap();
            Arc::new(Listener::new(plan, address, DropWatch::default(), &registry))
        };
        let listeners: Vec<_> = plan.listeners.iter().enumerate().map(listener).collect();
        let shared = Arc::new(Shared::new(&plan, registry.clone(), &listeners, SHARDS));
        let spool = plan.spool.clone().unwrap();
        let budget = Arc::new(Budget::new(spool.bytes_max));
        let root = Root::open(disk.clone(), Path::new(ROOT), budget).unwrap();
        let orders = Arc::new(Orders::default());
        let adopter = Adopter::new(Arc::clone(&orders), std::thread::current());
        let targets = shared.routes.load_full().targets.clone();
        for target in &targets {
            net.add_host(target.plan.address.port, target.protocol);
            if target.link.is_some() {
                adopter.adopt(Arc::clone(target));
            }
        }
        let mut work = Work::new(Some(root), spool, Arc::clone(&shared), orders);
        work.take_orders(clocks.now());
        let (mut inlets, mut clients, mut inboxes, mut dry) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut shards = JoinSet::new();
        for index in 0..SHARDS {
            let mut crew = Crew::new(&shared, net.clone());
            for target in targets.iter().skip(index).step_by(SHARDS) {
                crew.serve(Arc::clone(target), target.lever.stages());
            }
            for _ in 0..CLIENTS {
                let client = Rc::new(Client::default());
                clients.push(Rc::clone(&client));
                let reading = read(client, &listeners[1], &crew.inlet, check);
                crew.readers.spawn_local(reading);
            }
            inlets.push(Rc::clone(&crew.inlet));
            let (commands, mut obeyed) = mpsc::channel(8);
            let (told, is_dry) = oneshot::channel();
            inboxes.push(Inbox { clients: mpsc::channel(1).0, commands });
            dry.push(is_dry);
            shards.spawn_local(async move { crew.run(&mut obeyed, told).await });
        }
        let held = Held {
            plan: plan.clone(),
            listeners: listeners.clone(),
            shards: inboxes,
            adopter: Some(adopter),
        };
        let mut life = Self {
            control: Arc::new(Control::new(held)),
            shared,
            plan,
            listeners,
            inlets,
            clients,
            dry,
            shards,
            spooler: JoinSet::new(),
            work: Rc::new(RefCell::new(Some(work))),
            check: Rc::clone(check),
            clocks: Rc::clone(clocks),
            spooled: Rc::default(),
        };
        life.spool();
        life
    }

    /// Lets the spooler work.
    fn spool(&mut self) {
        let (work, clocks) = (Rc::clone(&self.work), Rc::clone(&self.clocks));
        let spooled = Rc::clone(&self.spooled);
        self.spooler.spawn_local(async move {
            loop {
                let next = match work.borrow_mut().as_mut() {
                    Some(work) => {
                        let next = work.round(clocks.now());
                        remember(&mut spooled.borrow_mut(), work);
                        next
                    }
                    None => return,
                };
                match next {
                    Next::AtOnce => tokio::task::yield_now().await,
                    Next::Soon => tokio::time::sleep(PAUSE).await,
                    Next::Idle => tokio::time::sleep(PAUSE_IDLE).await,
                }
            }
        });
    }

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
        self.inlets[shard].route(|pipeline| {
            let from = Source { listener, peer: None };
            for (bytes, samples) in datagrams {
                self.check.borrow_mut().offer(samples, &routes);
                let unit = pipeline.tally().begin_unit();
                if listener.plan.protocol == crate::plan::ListenerProtocol::LineUdp {
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
        let mut check = self.check.borrow_mut();
        match done {
            Ok(_) => {
                check.say(|| format!("reload\n{}", shown(&plan)));
                self.plan = plan;
                let only_in = |a: &Routes, b: &Routes| {
                    let gone = |t: &&Arc<Target>| !b.targets.iter().any(|o| Arc::ptr_eq(o, t));
                    a.targets.iter().filter(gone).map(Arc::clone).collect::<Vec<_>>()
                };
                let reroutes =
                    self.plan.spool.as_ref().is_some_and(|s| s.on_change == OnChange::Reroute);
                for target in only_in(&before, &now) {
                    if reroutes && target.link.is_some() {
                        check.pooled.insert(target.tier.clone());
                    }
                    if let Some(account) = check.account(&target) {
                        // What is in doubt at its end is told by nobody.
                        account.keeps_all = false;
                        if target.link.is_some() {
                            account.jumble();
                        }
                    }
                }
                for target in only_in(&now, &before) {
                    if let Some(account) = check.account(&target) {
                        account.unordered = true;
                        account.jumbles |= target.live_first;
                    }
                }
                true
            }
            Err(error) => {
                check.fault(format!("a reload fails: {error}"));
                false
            }
        }
    }

    /// Stops in good order, as `Running::drain` does.
    pub(super) async fn stop(mut self, timeout: Duration, disk_fails: bool) {
        let deadline = Instant::now() + timeout;
        self.look_for_stuck();
        end(&self.shared, &self.control, std::mem::take(&mut self.dry), deadline).await;
        while !self.shards.is_empty() {
            if Instant::now() > deadline + GRACE {
                self.check.borrow_mut().fault("a shard does not end".to_owned());
                break;
            }
            if Instant::now() < deadline {
                self.look_for_stuck();
            }
            let pause = Duration::from_millis(1);
            // Both an end and the time over are looked at above.
            drop(tokio::time::timeout(pause, self.shards.join_next()).await);
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
    pub(super) async fn kill(mut self, how: End) {
        let roll = self.shared.roll.load_full();
        self.shards.abort_all();
        self.spooler.abort_all();
        while self.shards.join_next().await.is_some() {}
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
        let risk = |(target, counts): (&Target, coco_spool::Counts)| {
            let recent = match sync {
                Sync::Each | Sync::Never => 0,
                Sync::Interval(interval) => {
                    let safe = Instant::now() - interval - 2 * PAUSE_IDLE;
                    self.spooled_since(&key(target), safe, counts.spooled)
                }
            };
            (key(target), recent)
        };
        work.iter().flat_map(Work::counts).map(risk).collect()
    }

    /// What was spooled for a target since a moment. Its spool may have been closed and opened again.
    fn spooled_since(&self, key: &Key, moment: Instant, now: u64) -> u64 {
        let spooled = self.spooled.borrow();
        let first = spooled.iter().rposition(|spooled| spooled.at <= moment);
        let seen = spooled.iter().skip(first.unwrap_or(0));
        let mut counts =
            seen.map(|spooled| spooled.by_target.get(key).copied().unwrap_or(0)).chain([now]);
        let mut before = first.map_or(0, |_| counts.next().unwrap_or(0));
        let grown = |count| match std::mem::replace(&mut before, count) {
            before if count >= before => count - before,
            _ => count,
        };
        counts.map(grown).sum()
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

fn remember(spooled: &mut VecDeque<Spooled>, work: &Work<SimDisk>) {
    let by_target = work.counts().map(|(target, counts)| (key(target), counts.spooled));
    spooled.push_back(Spooled { at: Instant::now(), by_target: by_target.collect() });
    if spooled.len() > 1000 {
        spooled.pop_front();
    }
}
