//! A network that fails as its seed says: receivers that are up, slow, stuck, unreachable or not there,
//! connections that break and lose what nobody had read, datagrams that get lost or are refused late.

mod pipe;
mod udp;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use pipe::{Pipe, PipeState, SimStream};
use tokio::{sync::Notify, time::Instant};
use udp::{SimSocket, Udp};

use super::{check::Check, random::Random};
use crate::{plan::TargetProtocol, target::net::Net};

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

/// How often receivers read.
const TICK: Duration = Duration::from_millis(3);

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
                pipe.cut(&self.0, PipeState::Reset);
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
            pipe.cut(&self.0, state);
        }
    }

    /// The machine of the router is gone, with all that it had not sent.
    pub(super) fn cut_all(&self) {
        for pipe in self.0.pipes.borrow().iter() {
            pipe.cut(&self.0, PipeState::Reset);
        }
    }

    /// Nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.0.pipes.borrow().iter().all(|pipe| pipe.is_idle())
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
            busy |= pipe.read(&self.0, now);
        }
        self.0.pipes.borrow_mut().retain(|pipe| !pipe.is_over());
        let sockets = self.0.sockets.borrow().clone();
        for socket in &sockets {
            busy |= socket.drain(&self.0);
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
        let pipe = Rc::new(Pipe::new(host));
        self.0.pipes.borrow_mut().push(Rc::clone(&pipe));
        Ok(SimStream { pipe, net: self.clone() })
    }

    async fn open(&self, address: SocketAddr) -> io::Result<SimSocket> {
        if !self.0.calm.get() && self.0.random.one_in(20) {
            return Err(ErrorKind::NetworkUnreachable.into());
        }
        let udp = Rc::new(Udp::new(self.host(address.port())));
        self.0.sockets.borrow_mut().push(Rc::clone(&udp));
        Ok(SimSocket { udp, net: self.clone() })
    }
}
