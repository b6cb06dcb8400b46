//! One faulty target of three under a steady load, and what the other two notice of it.

use std::{
    env,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    arrivals::{Arrival, Arrivals, Clock, EPOCH, Target},
    coco::{self, Coco, Stopped},
    datagram,
    namespace::Network,
    process::folder,
    proxy::Proxy,
    wait::wait_for,
};

/// The addresses of the targets; the first is the one with the fault.
pub const HOSTS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 9, 0, 3)];

/// The first of [`HOSTS`] as text.
pub const BAD: &str = "10.9.0.1";

/// From one block of samples to the next.
const STEP: Duration = Duration::from_millis(1);

/// Names of each target.
const NAMES: usize = 8;

/// Healthy targets may get this much slower in a test, which must not fail on a busy machine. The goal is
/// 1.1 times; for that the figures are printed.
const SLOWER_MAX: u32 = 3;
const LATER_MAX: Duration = Duration::from_secs(1);

/// A faulty target gets all within this: the longest pause between two attempts, and some.
const BACK_MAX: Duration = Duration::from_secs(40);

/// What targets speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// Graphite lines over TCP.
    Lines,
    /// collectd's datagrams.
    Lists,
}

impl Speech {
    /// Where the target of this host listens.
    pub fn address(self, host: Ipv4Addr) -> SocketAddr {
        let port = match self {
            Self::Lines => 2003,
            Self::Lists => 25_826,
        };
        (host, port).into()
    }
}

/// What may be lost at the faulty target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    None,
    /// Nothing, but what a connection had not brought when it broke may come twice.
    Repeated,
    /// What the net let fall, or was sent before a refusal: the ledger says `sent`.
    Taken,
}

/// A fault, and what is expected.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Its name in the figures.
    pub fault: &'static str,
    /// What the targets speak.
    pub speech: Speech,
    /// Samples to each target in a millisecond.
    pub samples: [usize; 3],
    /// At the faulty target.
    pub loss: Loss,
}

impl Plan {
    /// 2,000 samples a second to each target.
    pub const fn new(fault: &'static str, speech: Speech, loss: Loss) -> Self {
        Self { fault, speech, samples: [2; 3], loss }
    }
}

/// A running Coco with three targets, and its one client.
#[derive(Debug)]
pub struct Scene {
    speech: Speech,
    coco: Coco,
    arrivals: [Arc<Arrivals>; 3],
    targets: [Mutex<Option<Target>>; 3],
    feeder: Mutex<Feeder>,
    clock: Clock,
    _spool: TempDir,
}

/// How Coco is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setting<'a> {
    /// The folder of the spool; its own temporary one if there is none.
    pub spool: Option<&'a Path>,
    /// What it is started by: a program and its arguments, before its own.
    pub by: &'a [&'a str],
    /// More of the configuration, before the tier.
    pub config: &'a str,
}

impl Scene {
    /// All targets up, with a spool.
    pub fn start(network: &Network, speech: Speech, setting: Setting<'_>) -> Self {
        let own = folder();
        HOSTS.iter().for_each(|host| network.add(*host));
        let clock = Clock::new();
        let arrivals = HOSTS.map(|_| Arrivals::new(clock));
        let addresses = HOSTS.map(|host| speech.address(host).to_string());
        let protocol = if speech == Speech::Lines { "graphite" } else { "collectd" };
        let config = format!(
            "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n\
             [spool]\ndirectory = {:?}\n{}\n\
             [tiers.all]\nprotocol = \"{protocol}\"\nqueue = \"1MiB\"\n{}",
            setting.spool.unwrap_or(own.path()),
            setting.config,
            coco::targets(&addresses)
        );
        let coco = Coco::start_by(setting.by, &config);
        let feeder = Mutex::new(Feeder::new(&coco, speech, &addresses));
        let targets = [const { Mutex::new(None) }; 3];
        let scene = Self { speech, coco, arrivals, targets, feeder, clock, _spool: own };
        (0..HOSTS.len()).for_each(|at| scene.open(at));
        scene
    }

    /// The program under test.
    pub fn coco(&self) -> &Coco {
        &self.coco
    }

    /// What came to a target so far.
    pub fn arrivals(&self, at: usize) -> &Arrivals {
        &self.arrivals[at]
    }

    /// How many samples a target should have by now.
    pub fn fed(&self, at: usize) -> u64 {
        lock(&self.feeder).fed[at]
    }

    /// A target comes up.
    pub fn open(&self, at: usize) {
        let (address, arrivals) = (self.speech.address(HOSTS[at]), &self.arrivals[at]);
        *lock(&self.targets[at]) = Some(match self.speech {
            Speech::Lines => Target::of_lines(address, arrivals),
            Speech::Lists => Target::of_lists(address, arrivals),
        });
    }

    /// A proxy takes a TCP target's place, and the target goes behind it.
    pub fn stand_before(&self, at: usize) -> Proxy {
        self.close(at);
        let address = self.speech.address(HOSTS[at]);
        let behind = (address.ip(), address.port() + 1).into();
        *lock(&self.targets[at]) = Some(Target::of_lines(behind, &self.arrivals[at]));
        Proxy::start(address, behind)
    }

    /// A target goes down: its connections and its port are closed.
    pub fn close(&self, at: usize) {
        lock(&self.targets[at]).take();
    }

    /// Does something with a target that is up.
    pub fn with(&self, at: usize, what: impl FnOnce(&Target)) {
        what(lock(&self.targets[at]).as_ref().expect("that target is up"));
    }

    /// Feeds all targets for so long; returns when that was, by the clock.
    pub fn feed(&self, samples: [usize; 3], length: Duration) -> Span {
        let began = self.clock.now();
        lock(&self.feeder).feed(self.clock, samples, length);
        Span { began, ended: self.clock.now() }
    }

    /// The latency that 99 of 100 samples to the healthy targets had at most, of those sent in this span.
    pub fn p99(&self, span: Span) -> Duration {
        let is_in = |arrival: &Arrival| (span.began..span.ended).contains(&arrival.sent_at);
        let healthy = self.arrivals[1..].iter().flat_map(|arrivals| arrivals.all());
        let mut latencies: Vec<_> = healthy.filter(is_in).map(|arrival| arrival.latency).collect();
        latencies.sort_unstable();
        let p99 = latencies.len() * 99 / 100;
        Duration::from_nanos(*latencies.get(p99).expect("samples came while they were fed"))
    }

    /// Waits until a target has all that it was fed.
    #[track_caller]
    pub fn wait_for_all(&self, at: usize) {
        let due = self.fed(at);
        wait_for(&format!("all {due} samples of target {at}"), BACK_MAX, || {
            let count = self.arrivals[at].count() as u64;
            if count >= due { Ok(()) } else { Err(format!("{count}\n{}", self.coco.ledger())) }
        });
    }

    /// Asserts that a target has got each sample once and in order, and nothing else.
    #[track_caller]
    pub fn assert_got_all(&self, at: usize) {
        self.wait_for_all(at);
        let numbers = self.arrivals[at].all().into_iter().map(|arrival| arrival.number);
        let wrong: Vec<_> = numbers.zip(0..).filter(|(got, due)| got != due).take(10).collect();
        assert!(wrong.is_empty(), "target {at} got (number, instead of) {wrong:?}");
        assert_eq!(self.arrivals[at].count() as u64, self.fed(at), "target {at}");
        assert!(self.arrivals[at].odd().is_empty(), "{:?}", self.arrivals[at].odd());
    }

    /// Waits until the faulty target has got each sample once or more.
    #[track_caller]
    pub fn wait_for_each(&self) {
        let fed = self.fed(0);
        wait_for("each sample", BACK_MAX, || match self.distinct() {
            distinct if distinct == fed => Ok(()),
            distinct => Err(format!("{distinct} of {fed}\n{}", self.coco.ledger())),
        });
        let repeated = self.arrivals[0].count() as u64 - fed;
        eprintln!("FIGURE {repeated} of {fed} came more than once");
        assert!(self.arrivals[0].odd().is_empty(), "{:?}", self.arrivals[0].odd());
    }

    /// Different samples that the faulty target has got.
    fn distinct(&self) -> u64 {
        let all = self.arrivals[0].all();
        let mut numbers: Vec<_> = all.iter().map(|arrival| arrival.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() as u64
    }

    /// Waits until nothing is held for the faulty target; gives how many samples it never got.
    #[track_caller]
    pub fn lost(&self) -> u64 {
        let bad = self.speech.address(HOSTS[0]).to_string();
        self.coco.wait_for_ledger("the faulty target to get all", BACK_MAX, |ledger| {
            let count = |counter| ledger.sent("all", &bad, counter);
            match count("queued") + count("in_flight") + count("spooled") {
                0 => Ok(()),
                held => Err(format!("{held} held")),
            }
        });
        let (fed, mut before) = (self.fed(0), None);
        // What was sent last is on its way: until no more come, or all have.
        let distinct = wait_for("the last samples", BACK_MAX, || {
            let now = (self.distinct(), Instant::now());
            let (count, since) = *before.get_or_insert(now);
            if count != now.0 {
                before = Some(now);
            }
            let is_over = count == fed || since.elapsed() > Duration::from_secs(1);
            if is_over { Ok(now.0) } else { Err(format!("{} of {fed}", now.0)) }
        });
        fed - distinct
    }

    /// Ends Coco; its targets stay until then.
    #[track_caller]
    pub fn stop(self) -> Stopped {
        self.coco.stop()
    }
}

/// From when to when, in nanoseconds by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    began: u64,
    ended: u64,
}

/// The client.
#[derive(Debug)]
struct Feeder {
    names: [Vec<String>; 3],
    fed: [u64; 3],
    wire: Wire,
}

#[derive(Debug)]
enum Wire {
    Stream(TcpStream),
    Socket(UdpSocket),
}

impl Feeder {
    fn new(coco: &Coco, speech: Speech, addresses: &[String; 3]) -> Self {
        let mut names = [const { Vec::new() }; 3];
        for name in (0..10_000).map(|number| format!("name{number}")) {
            let owner = coco.owner("all", name.as_bytes());
            let at = addresses.iter().position(|address| *address == owner).expect("a target");
            if names[at].len() < NAMES {
                names[at].push(name);
            }
            if names.iter().all(|names| names.len() == NAMES) {
                break;
            }
        }
        let wire = match speech {
            Speech::Lines => TcpStream::connect(coco.listener("line-tcp")).and_then(|stream| {
                stream.set_nodelay(true)?;
                Ok(Wire::Stream(stream))
            }),
            Speech::Lists => UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
                socket.connect(coco.listener("collectd"))?;
                Ok(Wire::Socket(socket))
            }),
        };
        Self { names, fed: [0; 3], wire: wire.expect("Coco listens") }
    }

    fn feed(&mut self, clock: Clock, samples: [usize; 3], length: Duration) {
        let began = Instant::now();
        let mut due = began;
        let mut block = Vec::new();
        while began.elapsed() < length {
            while let Some(rest) = due.checked_duration_since(Instant::now()) {
                thread::park_timeout(rest);
            }
            due += STEP;
            let now = clock.now();
            block.clear();
            for (at, &count) in samples.iter().enumerate() {
                for _ in 0..count {
                    self.put(at, now, &mut block);
                }
            }
            if let Wire::Stream(stream) = &mut self.wire {
                stream.write_all(&block).expect("Coco reads");
            }
        }
    }

    /// One sample: into the block, or at once.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a test are below 2^53")]
    fn put(&mut self, at: usize, now: u64, block: &mut Vec<u8>) {
        let number = self.fed[at];
        self.fed[at] += 1;
        let turn = usize::try_from(number).unwrap_or_default() % NAMES;
        let (name, time) = (&self.names[at][turn], EPOCH + number);
        match &self.wire {
            Wire::Stream(_) => {
                writeln!(block, "{name} {now} {time}").expect("memory can be written")
            }
            Wire::Socket(socket) => {
                let list = datagram::gauge(name, "fault", "a", time, now as f64);
                socket.send(&list).expect("a datagram can be sent");
            }
        }
    }
}

/// The load beside which a fault goes on.
#[derive(Debug)]
pub struct Load {
    is_over: AtomicBool,
    length: Duration,
    began: Instant,
}

impl Load {
    /// Lets so much of the load go by; `false` when it is over.
    pub fn goes_on_for(&self, time: Duration) -> bool {
        let due = Instant::now() + time;
        while let Some(rest) = due.checked_duration_since(Instant::now()) {
            if self.is_over.load(Ordering::Relaxed) {
                return false;
            }
            thread::park_timeout(rest.min(Duration::from_millis(20)));
        }
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Lets all of it go by but its last fifth.
    pub fn most_goes_by(&self) {
        let most = self.length * 4 / 5;
        self.goes_on_for(most.saturating_sub(self.began.elapsed()));
    }

    /// Lets all of it go by.
    pub fn goes_by(&self) {
        while self.goes_on_for(self.length) {}
    }
}

impl Scene {
    /// Feeds without and with `fault`, which is over when its function returns; prints both latencies of the
    /// healthy targets, and asserts that the second is not far from the first. Gives what `fault` gave.
    pub fn compare<T: Send>(&self, plan: Plan, fault: impl FnOnce(&Load) -> T + Send) -> T {
        let scale =
            env::var("COCO_TEST_FAULT_SCALE").map_or(1.0, |text| text.parse().expect("a number"));
        let seconds = |seconds: f64| Duration::from_secs_f64(seconds * scale);
        // Connections are made, names are seen.
        self.feed(plan.samples, seconds(0.3));
        let without = self.feed(plan.samples, seconds(2.0));
        let length = seconds(4.0);
        let load = Load { is_over: AtomicBool::new(false), length, began: Instant::now() };
        let (with, kept) = thread::scope(|scope| {
            let fault = scope.spawn(|| fault(&load));
            let with = self.feed(plan.samples, length);
            load.is_over.store(true, Ordering::Relaxed);
            (with, fault.join().expect("the fault goes on to its end"))
        });
        self.feed(plan.samples, seconds(0.5));
        (1..HOSTS.len()).for_each(|at| self.wait_for_all(at));
        let [without, with] = [without, with].map(|span| self.p99(span));
        let ratio = with.as_secs_f64() / without.as_secs_f64();
        eprintln!(
            "FIGURE {}: p99 of the others {:.2} ms without, {:.2} ms with: {ratio:.2}",
            plan.fault,
            without.as_secs_f64() * 1e3,
            with.as_secs_f64() * 1e3
        );
        let most = (without * SLOWER_MAX).max(without + LATER_MAX);
        assert!(with <= most, "{}: {with:?} instead of {without:?}", plan.fault);
        kept
    }
}

/// A whole test of one fault: [`Scene::compare`], then that the healthy targets have got each sample once and
/// in order, that nothing was shed, what the faulty one lost, and that the ledger adds up.
#[track_caller]
pub fn isolated<T: Send>(
    network: &Network,
    plan: Plan,
    fault: impl FnOnce(&Scene, &Load) -> T + Send,
) {
    let scene = Scene::start(network, plan.speech, Setting::default());
    // What it gave stays until all is there.
    let _kept = scene.compare(plan, |load| fault(&scene, load));
    (1..HOSTS.len()).for_each(|at| scene.assert_got_all(at));
    match plan.loss {
        Loss::None => scene.assert_got_all(0),
        Loss::Repeated => scene.wait_for_each(),
        Loss::Taken => {}
    }
    let lost = scene.lost();
    eprintln!("FIGURE {}: {lost} of {} lost at the faulty target", plan.fault, scene.fed(0));
    let stopped = scene.stop();
    assert_eq!(stopped.ledger.shed_in_all(), 0, "{}", stopped.ledger);
    assert_eq!(stopped.ledger.kernel_dropped(), 0, "{}", stopped.ledger);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
