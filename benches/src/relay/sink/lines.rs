//! TCP sinks, all in one thread, so that a thousand of them are as cheap as four.

use std::{
    io::{self, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use socket2::SockRef;

use super::{Arrivals, Places, line_state::State};
use crate::relay::feed::pause;

/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;

/// Kernel buffer of a slow sink, so that its slowness is felt soon.
const SLOW_BUFFER_BYTES: usize = 64 * 1024;

/// Events of one system call.
const EVENTS: usize = 64;

/// What sinks do besides counting.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Lines carry as their value the nanoseconds since then at which they were sent: note their age.
    pub epoch: Option<Instant>,
    /// One of the sinks is slow; the ages of its lines are not noted.
    pub slow: Option<Slow>,
}

/// A sink that reads slowly.
#[derive(Debug, Clone, Copy)]
pub struct Slow {
    /// Its place among the sinks.
    pub at: usize,
    /// What it reads in a second.
    pub bytes_per_second: f64,
}

/// TCP listeners that count lines. Ends its thread when dropped.
#[derive(Debug)]
pub struct LineSinks {
    addresses: Vec<SocketAddr>,
    state: Arc<State>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl LineSinks {
    /// Opens `count` sinks on ports of the kernel's choice.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn start(count: usize, options: Options) -> io::Result<Self> {
        let open = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listeners = (0..count).map(open).collect::<io::Result<Vec<_>>>()?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let state = Arc::new(State::new(count, options.epoch));
        let reader = Reader::new(listeners, Arc::clone(&state), options.slow)?;
        Ok(Self { addresses, state, thread: Some(thread::spawn(move || reader.run())) })
    }

    /// Where they listen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Lines and bytes that arrived so far.
    pub fn arrived(&self) -> (u64, u64) {
        (self.state.lines.load(Ordering::Acquire), self.state.bytes.load(Ordering::Acquire))
    }

    /// Lines that arrived at one of them.
    pub fn arrived_at(&self, at: usize) -> u64 {
        self.state.sinks.get(at).map_or(0, |sink| sink.lines.load(Ordering::Acquire))
    }

    /// Where the first names arrived.
    pub fn places(&self) -> Places {
        self.state.places()
    }

    /// How old lines were when they arrived, in nanoseconds; what came since the last call.
    pub fn latencies(&self) -> Option<Histogram<u64>> {
        self.state.take_latencies()
    }

    /// Lets the slow sink catch up.
    pub fn hurry(&self) {
        self.state.hurry.store(true, Ordering::Release);
    }
}

impl Arrivals for LineSinks {
    fn samples(&mut self) -> io::Result<u64> {
        Ok(self.arrived().0)
    }

    fn wait(&self, _millis_max: u8) -> io::Result<()> {
        pause(Duration::from_millis(1));
        Ok(())
    }

    fn damaged(&self) -> u64 {
        0
    }
}

impl Drop for LineSinks {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Release);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// The thread's own: sockets, and which sink they belong to.
struct Reader {
    state: Arc<State>,
    epoll: Epoll,
    listeners: Vec<TcpListener>,
    /// Connections; their events are numbered from the number of listeners on.
    peers: Vec<Option<Peer>>,
    slow: Option<Slow>,
    slow_peer: Option<Peer>,
    buffer: Vec<u8>,
}

struct Peer {
    stream: TcpStream,
    at: usize,
    /// The begin of a line whose end has not come.
    kept: Vec<u8>,
}

impl Reader {
    fn new(listeners: Vec<TcpListener>, state: Arc<State>, slow: Option<Slow>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (at, listener) in listeners.iter().enumerate() {
            listener.set_nonblocking(true)?;
            if slow.is_some_and(|slow| slow.at == at) {
                SockRef::from(listener).set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
            }
            epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
        }
        let buffer = vec![0; READ_BYTES];
        Ok(Self { state, epoll, listeners, peers: Vec::new(), slow, slow_peer: None, buffer })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let timeout = EpollTimeout::from(if self.slow.is_some() { 2_u8 } else { 20 });
        let (started, mut taken) = (Instant::now(), 0.0);
        while !self.state.stop.load(Ordering::Acquire) {
            let count = match self.epoll.wait(&mut events, timeout) {
                Err(Errno::EINTR) => 0,
                other => other?,
            };
            for event in events.iter().take(count) {
                let number = usize::try_from(event.data()).unwrap_or(usize::MAX);
                match number.checked_sub(self.listeners.len()) {
                    None => self.accept(number)?,
                    Some(place) => self.read(place),
                }
            }
            if let Some(slow) = self.slow {
                taken = self
                    .read_slowly(slow.bytes_per_second * started.elapsed().as_secs_f64(), taken);
            }
        }
        Ok(())
    }

    fn accept(&mut self, at: usize) -> io::Result<()> {
        let Some(listener) = self.listeners.get(at) else { return Ok(()) };
        // None there any more.
        let Ok((stream, _)) = listener.accept() else { return Ok(()) };
        stream.set_nonblocking(true)?;
        if self.slow.is_some_and(|slow| slow.at == at) {
            self.slow_peer = Some(Peer { stream, at, kept: Vec::new() });
            return Ok(());
        }
        let number = (self.listeners.len() + self.peers.len()) as u64;
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
        self.peers.push(Some(Peer { stream, at, kept: Vec::new() }));
        Ok(())
    }

    /// Reads once; there may be more, of which the next event tells.
    fn read(&mut self, place: usize) {
        let Some(slot) = self.peers.get_mut(place) else { return };
        let Some(peer) = slot else { return };
        match peer.stream.read(&mut self.buffer) {
            Ok(len @ 1..) => {
                let bytes = self.buffer.get(..len).unwrap_or_default();
                self.state.take(peer.at, bytes);
                self.state.date(&mut peer.kept, bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => *slot = None,
        }
    }

    /// Reads up to what is `due`, of which so many bytes are `taken`; tells how many are then.
    fn read_slowly(&mut self, due: f64, taken: f64) -> f64 {
        let Some(peer) = &mut self.slow_peer else { return due };
        let hurry = self.state.hurry.load(Ordering::Acquire);
        if taken >= due && !hurry {
            return taken;
        }
        let room = if hurry { READ_BYTES } else { SLOW_BUFFER_BYTES / 4 };
        let Ok(len) = peer.stream.read(self.buffer.get_mut(..room).unwrap_or_default()) else {
            // Nothing there: what was not read in time is not made up for.
            return due;
        };
        self.state.take(peer.at, self.buffer.get(..len).unwrap_or_default());
        taken + len as f64
    }
}
