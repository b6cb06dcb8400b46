//! A network that fails as its seed says: receivers that are up, slow, stuck, unreachable or not there,
//! connections that break and lose what nobody had read, datagrams that get lost or are refused late.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind, IoSlice},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    account::Order,
    check::Check,
    random::Random,
    sample::{in_datagram, take_units},
};
use crate::{
    plan::TargetProtocol,
    target::net::{Net, Socket, Stream},
};

/// What a receiver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Takes and reads all.
    Up,
    /// Reads so many bytes a tick.
    Slow(usize),
    /// Takes connections and reads nothing; datagrams wait in vain.
    Stuck,
    /// Nobody listens, and its machine says so.
    Refusing,
    /// Nothing comes back from there.
    Dark,
}

/// A machine ends a connection on which nothing moved for so long.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// How often receivers read.
const TICK: Duration = Duration::from_millis(3);

/// A machine says that nobody listens so often at most.
const REFUSALS_APART: Duration = Duration::from_secs(1);

/// The network that all lives of the router share.
#[derive(Clone)]
pub(super) struct SimNet(Rc<State>);

struct State {
    random: Random,
    check: Rc<RefCell<Check>>,
    hosts: RefCell<BTreeMap<u16, Rc<Host>>>,
    pipes: RefCell<Vec<Rc<Pipe>>>,
    sockets: RefCell<Vec<Rc<Udp>>>,
    busy: Notify,
    /// Nothing goes wrong by itself.
    calm: Cell<bool>,
}

struct Host {
    port: u16,
    protocol: TargetProtocol,
    mode: Cell<Mode>,
    changed: Notify,
    /// UDP: it is on the router's machine, which says at once that nobody listens.
    near: bool,
    /// UDP: the largest datagram that gets out.
    mtu: usize,
    /// Bytes that a connection takes before somebody reads them.
    window: usize,
    refusal_at: Cell<Option<Instant>>,
    refused_at: Cell<Option<Instant>>,
}

/// A TCP connection.
struct Pipe {
    host: Rc<Host>,
    inner: RefCell<Ends>,
    readable: Notify,
    writable: Notify,
}

struct Ends {
    /// Taken from the router, not yet read.
    buffer: VecDeque<u8>,
    /// What was taken of a unit that has not ended.
    taken: Vec<u8>,
    /// The same of what was read.
    read: Vec<u8>,
    state: PipeState,
    moved_at: Instant,
    order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PipeState {
    Open,
    /// The router has closed it; what it had sent is still read.
    Closed,
    /// The receiver has closed it; the next write meets a reset.
    Ended,
    Reset,
}

/// A UDP socket of the router.
struct Udp {
    host: Rc<Host>,
    refused: Cell<bool>,
    full: Cell<bool>,
    writable: Notify,
    open: Cell<bool>,
}

impl SimNet {
    pub(super) fn new(seed: u64, check: &Rc<RefCell<Check>>) -> Self {
        Self(Rc::new(State {
            random: Random::new(seed),
            check: Rc::clone(check),
            hosts: RefCell::default(),
            pipes: RefCell::default(),
            sockets: RefCell::default(),
            busy: Notify::new(),
            calm: Cell::new(false),
        }))
    }

    /// Puts a receiver behind a port, if there is none.
    pub(super) fn add_host(&self, port: u16, protocol: TargetProtocol) {
        let random = &self.0.random;
        self.0.hosts.borrow_mut().entry(port).or_insert_with(|| {
            Rc::new(Host {
                port,
                protocol,
                mode: Cell::new(Mode::Up),
                changed: Notify::new(),
                near: random.one_in(2),
                mtu: if random.one_in(4) { 300 } else { 1500 },
                window: random.pick(&[64, 500, 4000, 40_000]),
                refusal_at: Cell::new(None),
                refused_at: Cell::new(None),
            })
        });
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        self.0.hosts.borrow().keys().copied().collect()
    }

    pub(super) fn set_mode(&self, port: u16, mode: Mode) {
        let host = self.host(port);
        host.mode.set(mode);
        if mode == Mode::Refusing {
            // Its process has ended.
            for pipe in self.pipes_of(port) {
                self.cut(&pipe, PipeState::Reset);
            }
        }
        host.changed.notify_waiters();
        self.0.busy.notify_one();
    }

    /// From now on nothing goes wrong.
    pub(super) fn heal(&self) {
        self.0.calm.set(true);
        for port in self.ports() {
            self.set_mode(port, Mode::Up);
        }
    }

    /// Ends one connection of a receiver, in one way or the other.
    pub(super) fn cut_one(&self, port: u16) {
        let state = self.0.random.pick(&[PipeState::Reset, PipeState::Ended]);
        if let Some(pipe) = self.pipes_of(port).first() {
            self.cut(pipe, state);
        }
    }

    /// The machine of the router is gone, with all that it had not sent.
    pub(super) fn cut_all(&self) {
        for pipe in self.0.pipes.borrow().iter() {
            self.cut(pipe, PipeState::Reset);
        }
    }

    /// Nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.0.pipes.borrow().iter().all(|pipe| pipe.inner.borrow().buffer.is_empty())
    }

    /// Lets receivers read, for ever.
    pub(super) async fn run(self) {
        loop {
            while self.tick() {
                tokio::time::sleep(TICK).await;
            }
            self.0.busy.notified().await;
        }
    }

    /// One round of all receivers; `true` if there may be more to do.
    fn tick(&self) -> bool {
        let now = Instant::now();
        let mut busy = false;
        let pipes = self.0.pipes.borrow().clone();
        for pipe in &pipes {
            busy |= self.read(pipe, now);
        }
        self.0.pipes.borrow_mut().retain(|pipe| {
            let ends = pipe.inner.borrow();
            // Who holds it still may ask how it ended.
            match ends.state {
                PipeState::Open => true,
                PipeState::Closed => !ends.buffer.is_empty(),
                PipeState::Ended | PipeState::Reset => false,
            }
        });
        let sockets = self.0.sockets.borrow().clone();
        for socket in &sockets {
            if socket.host.refusal_at.get().is_some() {
                busy = true;
            }
            if socket.full.get() && !self.0.random.one_in(3) {
                socket.full.set(false);
                socket.writable.notify_one();
            }
            busy |= socket.full.get();
        }
        for host in self.0.hosts.borrow().values() {
            if host.refusal_at.get().is_some_and(|at| at <= now) {
                host.refusal_at.set(None);
                sockets
                    .iter()
                    .filter(|s| s.host.port == host.port)
                    .for_each(|s| s.refused.set(true));
            }
        }
        self.0.sockets.borrow_mut().retain(|socket| socket.open.get());
        busy
    }

    fn read(&self, pipe: &Rc<Pipe>, now: Instant) -> bool {
        if !self.0.calm.get() && self.0.random.one_in(3000) {
            let state = self.0.random.pick(&[PipeState::Reset, PipeState::Ended]);
            self.cut(pipe, state);
        }
        let mut ends = pipe.inner.borrow_mut();
        if ends.buffer.is_empty() || !matches!(ends.state, PipeState::Open | PipeState::Closed) {
            ends.moved_at = now;
            return false;
        }
        let count = match pipe.host.mode.get() {
            Mode::Up => ends.buffer.len(),
            Mode::Slow(bytes) => bytes.min(ends.buffer.len()),
            Mode::Stuck | Mode::Refusing | Mode::Dark => 0,
        };
        if count > 0 {
            ends.moved_at = now;
            let Ends { buffer, read, .. } = &mut *ends;
            read.extend(buffer.drain(..count));
            let units = take_units(read, pipe.host.protocol);
            drop(ends);
            let mut check = self.0.check.borrow_mut();
            match units {
                Ok(samples) => check.arrived(pipe.host.port, &samples),
                Err(fault) => check.fault(fault),
            }
            pipe.writable.notify_one();
            return true;
        }
        let timed_out = now - ends.moved_at >= USER_TIMEOUT;
        drop(ends);
        if timed_out {
            self.cut(pipe, PipeState::Reset);
        }
        true
    }

    /// Breaks a connection: what nobody had read is lost.
    fn cut(&self, pipe: &Pipe, state: PipeState) {
        let mut ends = pipe.inner.borrow_mut();
        if matches!(ends.state, PipeState::Reset | PipeState::Ended) {
            return;
        }
        ends.state = state;
        let Ends { buffer, read, .. } = &mut *ends;
        read.extend(buffer.drain(..));
        let units = take_units(read, pipe.host.protocol);
        drop(ends);
        pipe.readable.notify_one();
        pipe.writable.notify_one();
        let mut check = self.0.check.borrow_mut();
        match units {
            Ok(samples) => check.lost(pipe.host.port, &samples),
            Err(fault) => check.fault(fault),
        }
    }

    fn host(&self, port: u16) -> Rc<Host> {
        Rc::clone(&self.0.hosts.borrow()[&port])
    }

    fn pipes_of(&self, port: u16) -> Vec<Rc<Pipe>> {
        let pipes = self.0.pipes.borrow();
        pipes.iter().filter(|pipe| pipe.host.port == port).map(Rc::clone).collect()
    }
}

impl Net for SimNet {
    type Stream = SimStream;
    type Socket = SimSocket;

    async fn connect(&self, address: SocketAddr, _: usize) -> io::Result<SimStream> {
        let host = self.host(address.port());
        tokio::time::sleep(Duration::from_micros(self.0.random.below(5000))).await;
        loop {
            let changed = host.changed.notified();
            match host.mode.get() {
                Mode::Refusing => return Err(ErrorKind::ConnectionRefused.into()),
                Mode::Dark => changed.await,
                Mode::Up | Mode::Slow(_) | Mode::Stuck => break,
            }
        }
        let ends = Ends {
            buffer: VecDeque::new(),
            taken: Vec::new(),
            read: Vec::new(),
            state: PipeState::Open,
            moved_at: Instant::now(),
            order: Order::default(),
        };
        let pipe = Rc::new(Pipe {
            host,
            inner: RefCell::new(ends),
            readable: Notify::new(),
            writable: Notify::new(),
        });
        self.0.pipes.borrow_mut().push(Rc::clone(&pipe));
        Ok(SimStream { pipe, net: self.clone() })
    }

    async fn open(&self, address: SocketAddr) -> io::Result<SimSocket> {
        if !self.0.calm.get() && self.0.random.one_in(20) {
            return Err(ErrorKind::NetworkUnreachable.into());
        }
        let udp = Rc::new(Udp {
            host: self.host(address.port()),
            refused: Cell::new(false),
            full: Cell::new(false),
            writable: Notify::new(),
            open: Cell::new(true),
        });
        self.0.sockets.borrow_mut().push(Rc::clone(&udp));
        Ok(SimSocket { udp, net: self.clone() })
    }
}

/// The router's end of a connection.
pub(super) struct SimStream {
    pipe: Rc<Pipe>,
    net: SimNet,
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut ends = self.pipe.inner.borrow_mut();
        if ends.state == PipeState::Open {
            ends.state = PipeState::Closed;
        }
        self.net.0.busy.notify_one();
    }
}

impl SimStream {
    /// Takes bytes from the router, of which `lost` arrive nowhere.
    fn take(&self, ends: &mut Ends, bytes: &[u8], lost: bool) {
        let port = self.pipe.host.port;
        ends.taken.extend_from_slice(bytes);
        let mut check = self.net.0.check.borrow_mut();
        match take_units(&mut ends.taken, self.pipe.host.protocol) {
            Ok(samples) => {
                check.taken(port, &samples, &mut ends.order);
                if lost {
                    check.lost(port, &samples);
                }
            }
            Err(fault) => check.fault(fault),
        }
        if !lost {
            ends.buffer.extend(bytes);
        }
    }
}

impl Stream for SimStream {
    async fn writable(&self) -> io::Result<()> {
        loop {
            let notified = self.pipe.writable.notified();
            {
                let ends = self.pipe.inner.borrow();
                if ends.state != PipeState::Open || ends.buffer.len() < self.pipe.host.window {
                    return Ok(());
                }
            }
            notified.await;
        }
    }

    async fn readable(&self) -> io::Result<()> {
        loop {
            let notified = self.pipe.readable.notified();
            if self.pipe.inner.borrow().state != PipeState::Open {
                return Ok(());
            }
            notified.await;
        }
    }

    fn try_read(&self, _: &mut [u8]) -> io::Result<usize> {
        match self.pipe.inner.borrow().state {
            PipeState::Open => Err(ErrorKind::WouldBlock.into()),
            PipeState::Ended => Ok(0),
            PipeState::Closed | PipeState::Reset => Err(ErrorKind::ConnectionReset.into()),
        }
    }

    fn ends(&self) -> io::Result<[SocketAddr; 2]> {
        Err(ErrorKind::Unsupported.into())
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut ends = self.pipe.inner.borrow_mut();
        let random = &self.net.0.random;
        let room = match ends.state {
            PipeState::Open => self.pipe.host.window.saturating_sub(ends.buffer.len()),
            // The kernel does not know yet that nobody reads any more.
            PipeState::Ended => {
                ends.state = PipeState::Reset;
                self.pipe.host.window
            }
            PipeState::Closed | PipeState::Reset => return Err(ErrorKind::BrokenPipe.into()),
        };
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        bytes.truncate(room);
        if random.one_in(8) {
            bytes.truncate(1 + random.size(bytes.len().max(1)));
        }
        let lost = ends.state == PipeState::Reset;
        self.take(&mut ends, &bytes, lost);
        self.net.0.busy.notify_one();
        Ok(bytes.len())
    }
}

/// The router's UDP socket.
pub(super) struct SimSocket {
    udp: Rc<Udp>,
    net: SimNet,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.udp.open.set(false);
    }
}

impl SimSocket {
    /// The kernel takes one datagram, unless it has a word on an earlier one.
    fn send_one(&self, datagram: &[u8]) -> io::Result<()> {
        let (udp, random) = (&self.udp, &self.net.0.random);
        if udp.refused.take() {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        if datagram.len() > udp.host.mtu {
            return Err(io::Error::from_raw_os_error(nix::errno::Errno::EMSGSIZE as i32));
        }
        if udp.host.mode.get() == Mode::Refusing {
            self.refuse();
        }
        let samples = match in_datagram(datagram, udp.host.protocol) {
            Ok(samples) => samples,
            Err(fault) => {
                self.net.0.check.borrow_mut().fault(fault);
                return Ok(());
            }
        };
        let arrives = matches!(udp.host.mode.get(), Mode::Up | Mode::Slow(_))
            && (self.net.0.calm.get() || !random.one_in(30));
        let mut check = self.net.0.check.borrow_mut();
        check.taken(udp.host.port, &samples, &mut Order::default());
        if arrives {
            check.arrived(udp.host.port, &samples);
        } else {
            check.lost(udp.host.port, &samples);
        }
        Ok(())
    }

    fn refuse(&self) {
        let host = &self.udp.host;
        let now = Instant::now();
        let due = host.refused_at.get().is_none_or(|at| now - at >= REFUSALS_APART);
        if host.near {
            self.udp.refused.set(true);
        } else if due {
            let late = Duration::from_millis(self.net.0.random.between(1, 150));
            host.refused_at.set(Some(now));
            host.refusal_at.set(Some(now + late));
            self.net.0.busy.notify_one();
        }
    }
}

impl Socket for SimSocket {
    async fn writable(&self) -> io::Result<()> {
        loop {
            let notified = self.udp.writable.notified();
            if !self.udp.full.get() {
                return Ok(());
            }
            notified.await;
        }
    }

    async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.send_one(datagram)
    }

    fn try_send(&self, datagram: &[u8]) -> io::Result<()> {
        self.send_one(datagram)
    }

    fn try_send_many(&self, datagrams: &[[IoSlice<'_>; 1]]) -> io::Result<usize> {
        let random = &self.net.0.random;
        if !self.net.0.calm.get() && random.one_in(10) {
            self.udp.full.set(true);
            self.net.0.busy.notify_one();
            return Err(ErrorKind::WouldBlock.into());
        }
        let most =
            if random.one_in(8) { 1 + random.size(datagrams.len()) } else { datagrams.len() };
        for (count, [datagram]) in datagrams.iter().take(most).enumerate() {
            if let Err(error) = self.send_one(datagram) {
                // Behind the first one an error is forgotten.
                return if count == 0 { Err(error) } else { Ok(count) };
            }
        }
        Ok(most)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.udp.refused.take().then(|| ErrorKind::ConnectionRefused.into()))
    }
}
