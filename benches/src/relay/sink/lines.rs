//! TCP sinks, one thread each.

use std::{
    io::{self, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use memchr::{memchr, memchr_iter};

use super::Places;

/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;

/// Bytes that each sink keeps of what comes first, to see which names came.
const HEAD_BYTES: usize = 512 * 1024;

/// TCP listeners that count lines. Ends its threads when dropped.
#[derive(Debug)]
pub struct LineSinks {
    sinks: Vec<Sink>,
}

#[derive(Debug)]
struct Sink {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    lines: AtomicU64,
    bytes: AtomicU64,
    head: Mutex<Vec<u8>>,
    stop: AtomicBool,
}

impl LineSinks {
    /// Opens `count` sinks on ports of the kernel's choice.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn start(count: usize) -> io::Result<Self> {
        let sinks = (0..count).map(|_| Sink::start()).collect::<io::Result<_>>()?;
        Ok(Self { sinks })
    }

    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sinks.iter().map(|sink| sink.address).collect()
    }

    /// Lines and bytes that arrived so far.
    pub fn arrived(&self) -> (u64, u64) {
        let sum = |count: fn(&State) -> &AtomicU64| {
            self.sinks.iter().map(|sink| count(&sink.state).load(Ordering::Acquire)).sum()
        };
        (sum(|state| &state.lines), sum(|state| &state.bytes))
    }

    /// Where the first names arrived.
    pub fn places(&self) -> Places {
        let mut places = Places::default();
        for (at, sink) in self.sinks.iter().enumerate() {
            let head = sink.state.head.lock().unwrap_or_else(PoisonError::into_inner);
            for line in head.split_inclusive(|&byte| byte == b'\n') {
                // The last one may be cut.
                if line.ends_with(b"\n")
                    && let Some(end) = memchr(b' ', line)
                {
                    places.note(line.get(..end).unwrap_or_default(), at);
                }
            }
        }
        places
    }
}

impl Sink {
    fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, state) = (listener.local_addr()?, Arc::new(State::default()));
        let theirs = Arc::clone(&state);
        let thread = Some(thread::spawn(move || theirs.serve(&listener)));
        Ok(Self { address, state, thread })
    }
}

impl State {
    /// Reads one connection after the other.
    fn serve(&self, listener: &TcpListener) {
        let mut buffer = vec![0; READ_BYTES];
        while !self.stop.load(Ordering::Acquire) {
            let Ok((mut stream, _)) = listener.accept() else { return };
            while let Ok(len @ 1..) = stream.read(&mut buffer) {
                self.take(buffer.get(..len).unwrap_or_default());
            }
        }
    }

    fn take(&self, bytes: &[u8]) {
        let lines = memchr_iter(b'\n', bytes).fold(0, |count, _| count + 1);
        self.lines.fetch_add(lines, Ordering::Release);
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Release);
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let room = HEAD_BYTES.saturating_sub(head.len());
        head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

impl Drop for LineSinks {
    fn drop(&mut self) {
        for sink in &mut self.sinks {
            sink.state.stop.store(true, Ordering::Release);
            // Wakes the thread, if it waits for a connection: it ends when its present one does.
            drop(TcpStream::connect(sink.address));
            drop(sink.thread.take().map(JoinHandle::join));
        }
    }
}
