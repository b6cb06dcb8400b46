//! Targets that note when each sample came, and a load of samples that say when they were sent.
//!
//! A sample carries a number and the time of sending, in nanoseconds since a common [`Clock`]: a line as
//! `NAME NANOSECONDS TIME`, a value list as a gauge, each with a time of [`EPOCH`] and the number.

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::SockRef;

use crate::{
    datagram::{self, Record},
    port,
};

/// The time of the sample with the number 0, in seconds since 1970.
pub const EPOCH: u64 = 1_700_000_000;

/// How long a read waits before it looks whether the target is to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What times of sending are counted from.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Begins now.
    #[expect(clippy::new_without_default, reason = "it is a moment")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since it began.
    pub fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("a test is shorter than 500 years")
    }
}

/// A sample that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its number.
    pub number: u64,
    /// When it was sent, by the clock.
    pub sent_at: u64,
    /// How long it was under way, in nanoseconds.
    pub latency: u64,
}

/// What came to one target, over all its lives.
#[derive(Debug)]
pub struct Arrivals {
    clock: Clock,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    arrivals: Vec<Arrival>,
    odd: Vec<Vec<u8>>,
}

impl Arrivals {
    /// Nothing yet.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, noted: Mutex::default() })
    }

    /// All so far, in this order.
    pub fn all(&self) -> Vec<Arrival> {
        self.noted().arrivals.clone()
    }

    /// How many so far.
    pub fn count(&self) -> usize {
        self.noted().arrivals.len()
    }

    /// What came and is no whole sample.
    pub fn odd(&self) -> Vec<Vec<u8>> {
        self.noted().odd.clone()
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_lines<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) {
        let (now, mut noted) = (self.clock.now(), self.noted());
        for line in lines {
            match sample(line) {
                Some((number, sent_at)) => noted.note(now, number, sent_at),
                None => noted.odd.push(line.to_vec()),
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as it was sent")]
    fn note_lists(&self, records: &[Record]) {
        let (now, mut noted) = (self.clock.now(), self.noted());
        for record in records {
            let Record::Values { values, time, .. } = record else { panic!("{record:?}") };
            let sent_at = values.first().map(|(_, raw)| f64::from_le_bytes(*raw) as u64);
            noted.note(now, (time >> 30) - EPOCH, sent_at.expect("a value"));
        }
    }
}

impl Noted {
    fn note(&mut self, now: u64, number: u64, sent_at: u64) {
        let latency = now.saturating_sub(sent_at);
        self.arrivals.push(Arrival { number, sent_at, latency });
    }
}

/// The number and the time of sending in a line.
fn sample(line: &[u8]) -> Option<(u64, u64)> {
    let text = str::from_utf8(line).ok()?;
    let mut fields = text.split(' ');
    let (name, sent_at, time) = (fields.next()?, fields.next()?, fields.next()?);
    let time: u64 = time.parse().ok()?;
    let is_whole = name.starts_with("name") && fields.next().is_none();
    is_whole.then_some((time.checked_sub(EPOCH)?, sent_at.parse().ok()?))
}

/// One life of a target: it listens until it is dropped, which closes its connections too.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    control: Arc<Control>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Control {
    ending: AtomicBool,
    /// Bytes a second that each connection reads; 0: as many as come.
    rate: AtomicU64,
    /// Counted up: each connection that sees a new number is reset.
    resets: AtomicU64,
}

impl Target {
    /// Takes lines.
    pub fn of_lines(address: SocketAddr, arrivals: &Arc<Arrivals>) -> Self {
        let listener = port::bind(address, || TcpListener::bind(address));
        let address = listener.local_addr().expect("a bound socket has an address");
        let control = Arc::new(Control::default());
        let (noted, controlled) = (Arc::clone(arrivals), Arc::clone(&control));
        // Asked in turn, not waited for: where nobody gets through, nothing would wake it at its end.
        listener.set_nonblocking(true).expect("a socket can be asked");
        let listener = thread::spawn(move || {
            let mut readers = Vec::new();
            while !controlled.ending.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    thread::park_timeout(LOOK_EVERY / 4);
                    continue;
                };
                stream.set_nonblocking(false).expect("a socket can wait");
                let (noted, controlled) = (Arc::clone(&noted), Arc::clone(&controlled));
                readers.push(thread::spawn(move || read_lines(stream, &noted, &controlled)));
            }
            // A reader that has panicked has said so already.
            readers.into_iter().for_each(|reader| drop(reader.join()));
        });
        Self { address, control, listener: Some(listener) }
    }

    /// Takes value lists.
    pub fn of_lists(address: SocketAddr, arrivals: &Arc<Arrivals>) -> Self {
        let socket = port::bind(address, || UdpSocket::bind(address));
        let address = socket.local_addr().expect("a bound socket has an address");
        socket.set_read_timeout(Some(LOOK_EVERY)).expect("a socket takes a read time-out");
        // The kernel caps it.
        SockRef::from(&socket).set_recv_buffer_size(4 << 20).expect("a socket takes a size");
        let control = Arc::new(Control::default());
        let (noted, controlled) = (Arc::clone(arrivals), Arc::clone(&control));
        let listener = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !controlled.ending.load(Ordering::Relaxed) {
                if let Ok(bytes) = socket.recv(&mut buffer) {
                    noted.note_lists(&datagram::parse(&buffer[..bytes]));
                }
            }
        });
        Self { address, control, listener: Some(listener) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads so many bytes a second from each connection; 0: as many as come.
    pub fn read_at(&self, bytes_per_second: u64) {
        self.control.rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Resets the connections that it has, and goes on listening.
    pub fn reset(&self) {
        self.control.resets.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.control.ending.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            // One that has panicked has said so already.
            listener.join().ok();
        }
    }
}

fn read_lines(mut stream: TcpStream, arrivals: &Arrivals, control: &Control) {
    stream.set_read_timeout(Some(LOOK_EVERY)).expect("a socket takes a read time-out");
    let resets = control.resets.load(Ordering::Relaxed);
    let (mut buffer, mut held) = (vec![0; 1 << 18], Vec::new());
    while !control.ending.load(Ordering::Relaxed) {
        if control.resets.load(Ordering::Relaxed) != resets {
            // Without a linger time, closing resets the connection.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).ok();
            break;
        }
        let most = most_at_once(control.rate.load(Ordering::Relaxed), buffer.len());
        match stream.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(bytes) => held.extend_from_slice(&buffer[..bytes]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        let Some(end) = held.iter().rposition(|&byte| byte == b'\n') else { continue };
        arrivals.note_lines(held[..end].split(|&byte| byte == b'\n'));
        held.drain(..=end);
    }
    // A broken line at the end of a connection is none; the rest of it may come by the next one.
}

/// Bytes to read now; waits first when there is a rate.
fn most_at_once(rate: u64, most: usize) -> usize {
    if rate == 0 {
        return most;
    }
    let due = Instant::now() + LOOK_EVERY;
    while let Some(rest) = due.checked_duration_since(Instant::now()) {
        thread::park_timeout(rest);
    }
    let share = u64::try_from(LOOK_EVERY.as_millis()).unwrap_or_default() * rate / 1000;
    usize::try_from(share.max(1)).unwrap_or(most).min(most)
}
