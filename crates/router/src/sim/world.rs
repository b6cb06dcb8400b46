//! What happens to a router over several lives: a safety phase, in which all goes wrong that can, and then a
//! phase in which nothing does, and all that is held must leave.

use std::{cell::RefCell, path::Path, rc::Rc, time::Duration};

use coco_spool::disk::{Faults, SimDisk};
use tokio::{task::LocalSet, time::Instant};

use super::{
    check::{Check, End},
    feed::{COLLECTD_FEEDER, Feed},
    life::{CLIENTS, Clocks, Life, SHARDS},
    net::{Mode, SimNet},
    plans::{self, Kinds, ROOT},
    random::Random,
    rows::shown,
};
use crate::{ledger::TierFates, plan::Plan};

/// In so long all must leave, once nothing goes wrong any more: a target that has refused often is left alone for
/// a minute, and what is behind others waits for them.
const DRAIN_MAX: Duration = Duration::from_secs(300);

/// What a seed did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    /// A digest of all that happened.
    pub(super) trace: u64,
    pub(super) samples: usize,
    pub(super) reloads: u32,
    pub(super) ends: [u32; 3],
    /// Samples that went on to another target, or another address, in the last life.
    pub(super) moved: u64,
}

impl Report {
    /// Adds what another seed did.
    pub(super) fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.reloads += other.reloads;
        self.ends.iter_mut().zip(other.ends).for_each(|(all, n)| *all += n);
        self.moved += other.moved;
    }
}

struct World {
    random: Random,
    disk: SimDisk,
    net: SimNet,
    check: Rc<RefCell<Check>>,
    clocks: Rc<Clocks>,
    feed: Feed,
    report: Report,
    kinds: Kinds,
    disk_fails: bool,
}

/// Runs a seed.
pub(super) fn run(seed: u64, loud: bool) -> Result<Report, Vec<String>> {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let check = Rc::new(RefCell::new(Check { loud, ..Check::default() }));
        let random = Random::new(seed);
        let started = Instant::now();
        let unix_ms = std::cell::Cell::new(1_700_000_000_000);
        let mut world = World {
            disk: SimDisk::new(random.next(), Path::new(ROOT)),
            net: SimNet::new(random.next(), &check),
            check,
            clocks: Rc::new(Clocks { started, unix_ms }),
            feed: Feed::default(),
            report: Report::default(),
            kinds: plans::kinds(&random),
            random,
            disk_fails: false,
        };
        tokio::task::spawn_local(world.net.clone().run());
        world.live().await
    })
}

impl World {
    async fn live(&mut self) -> Result<Report, Vec<String>> {
        let mut plan = plans::plan(&self.kinds, &self.random);
        let mut violent = false;
        for _ in 0..1 + self.random.below(4) {
            let (after, end) = self.life(plan).await?;
            plan = after;
            violent |= end != End::Stop;
            self.report.ends[end as usize] += 1;
        }
        let mut life = self.begin(plan)?;
        for _ in 0..self.random.below(20) {
            self.step(&mut life).await?;
        }
        self.heal().await;
        self.drain(&life).await?;
        self.check.borrow_mut().calm = true;
        let tiers = life.ledger().tiers;
        self.report.moved = tiers.iter().flat_map(|tier| &tier.targets).map(|t| t.rerouted).sum();
        life.stop(Duration::from_secs(10), false).await;
        while !self.net.is_idle() {
            // Windows that were written again meanwhile.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.check.borrow_mut().settle(violent);
        self.judge()?;
        let check = self.check.borrow();
        Ok(Report { trace: check.trace, samples: check.samples(), ..self.report })
    }

    /// One life of the router; gives the plan that it had at its end.
    async fn life(&mut self, plan: Plan) -> Result<(Plan, End), Vec<String>> {
        let mut life = self.begin(plan)?;
        for _ in 0..self.random.between(5, 60) {
            self.step(&mut life).await?;
        }
        let plan = life.plan.clone();
        let end = self.random.pick(&[End::Stop, End::Stop, End::Kill, End::Crash]);
        self.check.borrow().say(|| format!("{end:?}"));
        match end {
            End::Stop => {
                let timeout = self.random.pick(&[0, 100, 1000, 5000]);
                life.stop(Duration::from_millis(timeout), self.disk_fails).await;
            }
            End::Kill => life.kill(end).await,
            End::Crash => {
                life.kill(end).await;
                self.net.cut_all();
                self.disk.crash();
            }
        }
        self.judge()?;
        Ok((plan, end))
    }

    fn begin(&mut self, plan: Plan) -> Result<Life, Vec<String>> {
        // What it finds on a disk that works is what was left there.
        self.mend_disk();
        let life = Life::begin(plan, &self.disk, &self.net, &self.check, &self.clocks);
        self.hold(&life)?;
        Ok(life)
    }

    async fn step(&mut self, life: &mut Life) -> Result<(), Vec<String>> {
        self.act(life).await;
        let pause = match self.random.below(40) {
            0 => self.random.between(1000, 20_000),
            1..4 => self.random.between(50, 1000),
            4..20 => self.random.below(50),
            _ => self.random.below(3),
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        self.hold(life)
    }

    /// The ledger adds up, and says what was seen.
    fn hold(&self, life: &Life) -> Result<(), Vec<String>> {
        let ledger = life.ledger();
        self.check.borrow_mut().live(&ledger, &life.served());
        self.judge()
    }

    fn judge(&self) -> Result<(), Vec<String>> {
        let faults = &self.check.borrow().faults;
        if faults.is_empty() { Ok(()) } else { Err(faults.clone()) }
    }

    /// One thing happens.
    async fn act(&mut self, life: &mut Life) {
        let shard = self.random.size(SHARDS);
        let more = self.random.one_in(4);
        match self.random.below(24) {
            0..6 => {
                let datagrams = self.feed.batch(&self.random, shard);
                life.lines(shard, &datagrams, more);
            }
            6..11 => {
                let datagrams = self.feed.batch(&self.random, COLLECTD_FEEDER + shard);
                life.lists(shard, &datagrams, more);
            }
            11..17 => self.send_stream(life),
            17..19 => self.change_mode(),
            19 => self.net.cut_one(self.random.pick(&self.net.ports())),
            20 => self.change_disk(),
            21 => {
                let hour = 3_600_000;
                let now = self.clocks.unix_ms.get();
                self.clocks.unix_ms.set(now - hour + self.random.below(2 * hour));
            }
            _ => {
                let plan = plans::other(&life.plan, &self.kinds, &self.random);
                let within = Duration::from_millis(self.random.pick(&[0, 100, 3000]));
                let done = life.reload(plan, &self.net, within).await;
                self.check.borrow().say(|| format!("reload {done}"));
                self.report.reloads += u32::from(done);
            }
        }
    }

    /// A TCP client sends, unless nobody has read what it sent before.
    fn send_stream(&mut self, life: &Life) {
        let number = self.random.size(life.crews.clients.len());
        debug_assert_eq!(life.crews.clients.len(), SHARDS * CLIENTS);
        if life.crews.clients[number].unread() > 20_000 {
            return;
        }
        let most = self.random.pick(&[3, 30, 200]);
        let text: String = self
            .feed
            .samples(&self.random, SHARDS + number, most)
            .iter()
            .map(|s| s.line())
            .collect();
        life.crews.clients[number].send(text.as_bytes());
    }

    fn change_mode(&self) {
        let port = self.random.pick(&self.net.ports());
        let slow = Mode::Slow(self.random.pick(&[3, 50, 1000]));
        let mode = self.random.pick(&[
            Mode::Up,
            Mode::Up,
            slow,
            Mode::Stuck,
            Mode::Refusing,
            Mode::Refusing,
            Mode::Dark,
        ]);
        self.check.borrow().say(|| format!("{port} is {mode:?}"));
        self.net.set_mode(port, mode);
    }

    fn change_disk(&mut self) {
        if self.disk_fails {
            return self.mend_disk();
        }
        self.disk_fails = true;
        if self.random.one_in(2) {
            let free = self.random.below(10_000);
            self.disk.set_capacity(self.disk.used() + free);
        } else {
            let rate = |random: &Random| random.pick(&[0, 0, 50, 500]);
            let random = &self.random;
            // Reads that fail count as damage in the end.
            let faults = Faults {
                read: 0,
                write: rate(random),
                short_write: rate(random),
                sync: rate(random),
                names: rate(random),
            };
            self.check.borrow().say(|| format!("{faults:?}"));
            self.disk.set_faults(faults);
        }
    }

    fn mend_disk(&mut self) {
        self.disk_fails = false;
        self.disk.set_faults(Faults::default());
        self.disk.set_capacity(u64::MAX);
    }

    async fn heal(&mut self) {
        self.check.borrow().say(|| "heal".to_owned());
        self.mend_disk();
        self.net.heal();
    }

    /// Waits until nothing is held, which must not take long.
    async fn drain(&self, life: &Life) -> Result<(), Vec<String>> {
        let until = Instant::now() + DRAIN_MAX;
        let mut quiet = 0;
        loop {
            self.hold(life)?;
            let ledger = life.ledger();
            let held: u64 = ledger.tiers.iter().map(|tier| self.held(tier)).sum();
            let unread: usize = life.crews.clients.iter().map(|client| client.unread()).sum();
            let targets = || ledger.tiers.iter().flat_map(|tier| &tier.targets);
            // A connection that is to come brings what the one before it may have lost.
            let writes_again = targets().any(|t| t.in_doubt > 0 && t.state == "connecting")
                || life.shared.roll.load().holders().any(|t| t.is_retired() && t.in_doubt() > 0);
            let is_quiet = held == 0 && unread == 0 && self.net.is_idle() && !writes_again;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet > 1 {
                return Ok(());
            }
            if Instant::now() > until {
                let text = format!("{held} are held, {unread} bytes not read:\n{}", shown(&ledger));
                self.check.borrow_mut().fault(text);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the targets of a tier hold and must get.
    fn held(&self, tier: &TierFates) -> u64 {
        // What was to go on to others stays on disk when its tier is gone.
        let stays = tier.removed && self.check.borrow().pooled.contains(&tier.name);
        let spooled = |spooled: u64| if stays { 0 } else { spooled };
        tier.targets.iter().map(|t| t.queued + t.in_flight + spooled(t.spooled)).sum()
    }
}
