//! Something between Coco and a TCP target that delays, cuts and swallows what goes through it.
//!
//! Only what goes to the target counts: a target of Coco answers nothing.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::port;

/// How long a read waits before it looks what else is to be done.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What goes through it at once, in bytes.
const BLOCK: usize = 1 << 16;

/// A running proxy; its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: Arc<Control>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Control {
    ending: AtomicBool,
    /// Milliseconds.
    delay: AtomicU64,
    swallows: AtomicBool,
    /// Of the next connection; 0: none.
    cut_after: AtomicUsize,
    cuts: AtomicUsize,
}

impl Proxy {
    /// From one address (its port may be 0) to another.
    pub fn start(at: SocketAddr, to: SocketAddr) -> Self {
        let listener = port::bind(at, || TcpListener::bind(at));
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("a socket can be asked");
        let control = Arc::new(Control::default());
        let controlled = Arc::clone(&control);
        let acceptor = thread::spawn(move || {
            let mut carriers = Vec::new();
            while !controlled.ending.load(Ordering::Relaxed) {
                let Ok((from, _)) = listener.accept() else {
                    thread::park_timeout(LOOK_EVERY);
                    continue;
                };
                let controlled = Arc::clone(&controlled);
                carriers.push(thread::spawn(move || {
                    from.set_nonblocking(false).expect("a socket can wait");
                    // Nobody behind it: closed at once, as a proxy does.
                    TcpStream::connect(to).map(|to| carry(from, to, &controlled)).ok();
                }));
            }
            carriers.into_iter().for_each(|carrier| drop(carrier.join()));
        });
        Self { address, control, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything takes so much longer from now on.
    pub fn delay(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).expect("a delay is short");
        self.control.delay.store(millis, Ordering::Relaxed);
    }

    /// Connections stay and are not read any more, or are again.
    pub fn swallow(&self, does: bool) {
        self.control.swallows.store(does, Ordering::Relaxed);
    }

    /// The next connection is closed on both sides after it has carried so many bytes.
    pub fn cut_next_after(&self, bytes: usize) {
        self.control.cut_after.store(bytes, Ordering::Relaxed);
    }

    /// Connections that were cut.
    pub fn cuts(&self) -> usize {
        self.control.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.control.ending.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            // One that has panicked has said so already.
            acceptor.join().ok();
        }
    }
}

/// Blocks on their way, and when each is due.
type UnderWay = VecDeque<(Instant, Vec<u8>)>;

fn carry(mut from: TcpStream, mut to: TcpStream, control: &Control) {
    from.set_read_timeout(Some(LOOK_EVERY)).expect("a socket takes a read time-out");
    // A connection that brings nothing, as probes make, is none that is cut.
    while matches!(from.peek(&mut [0]), Err(error) if is_for_later(&error)) {
        if control.ending.load(Ordering::Relaxed) {
            return;
        }
    }
    let mut left = match from.peek(&mut [0]) {
        Ok(1) => control.cut_after.swap(0, Ordering::Relaxed),
        _ => 0,
    };
    if left == 0 {
        left = usize::MAX;
    }
    let (mut under_way, mut buffer) = (UnderWay::new(), vec![0; BLOCK]);
    let mut is_open = true;
    while (is_open || !under_way.is_empty()) && !control.ending.load(Ordering::Relaxed) {
        let is_read = is_open && left > 0 && !control.swallows.load(Ordering::Relaxed);
        if is_read {
            let most = left.min(BLOCK);
            match from.read(&mut buffer[..most]) {
                Ok(0) => is_open = false,
                Ok(bytes) => {
                    left -= bytes;
                    let delay = Duration::from_millis(control.delay.load(Ordering::Relaxed));
                    under_way.push_back((Instant::now() + delay, buffer[..bytes].to_vec()));
                }
                Err(error) if is_for_later(&error) => {}
                Err(_) => return,
            }
        } else {
            thread::park_timeout(LOOK_EVERY);
        }
        while under_way.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let (_, block) = under_way.pop_front().expect("there is a first one");
            if to.write_all(&block).is_err() {
                return;
            }
        }
        if left == 0 && under_way.is_empty() {
            control.cuts.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
}

fn is_for_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
