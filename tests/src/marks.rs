//! Targets that count how often each sample came, by its number: for floods, where [`crate::sink`] would
//! keep too much.

use std::{
    io::{BufRead, BufReader, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    coco::targets,
    datagram::{self, Record},
};

/// How long a read waits before it looks whether the sinks are to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Some targets and what came to any of them. Their threads end soon after it is dropped.
#[derive(Debug)]
pub struct Marks {
    marked: Arc<Marked>,
    addresses: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Marked {
    /// How often each sample has come.
    seen: Vec<AtomicU8>,
    arrived: AtomicUsize,
    ending: AtomicBool,
}

impl Marks {
    /// So many TCP targets for lines `NAME NUMBER TIME`, with numbers below `limit`.
    pub fn of_lines(targets: usize, limit: usize) -> Self {
        Self::start(targets, limit, |marked| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
            let address = listener.local_addr().expect("a bound socket has an address");
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if marked.ending.load(Ordering::Relaxed) {
                        break;
                    }
                    let marked = Arc::clone(&marked);
                    thread::spawn(move || read_lines(stream, &marked));
                }
            });
            address
        })
    }

    /// So many UDP targets for value lists with a gauge of their number, below `limit`.
    pub fn of_lists(targets: usize, limit: usize) -> Self {
        Self::start(targets, limit, |marked| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
            let address = socket.local_addr().expect("a bound socket has an address");
            thread::spawn(move || read_lists(&socket, &marked));
            address
        })
    }

    fn start(targets: usize, limit: usize, target: impl Fn(Arc<Marked>) -> SocketAddr) -> Self {
        let seen = (0..limit).map(|_| AtomicU8::new(0)).collect();
        let (arrived, ending) = (AtomicUsize::new(0), AtomicBool::new(false));
        let marked = Arc::new(Marked { seen, arrived, ending });
        let addresses = (0..targets).map(|_| target(Arc::clone(&marked))).collect();
        Self { marked, addresses }
    }

    /// Where the targets listen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The line of the configuration that names them.
    pub fn as_targets(&self) -> String {
        targets(&self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    /// One more than the largest number that they know.
    pub fn limit(&self) -> usize {
        self.marked.seen.len()
    }

    /// How many samples have come to any of them.
    pub fn arrived(&self) -> usize {
        self.marked.arrived.load(Ordering::Relaxed)
    }

    /// Asserts that the first `sent` numbers have come once each, and nothing else.
    #[track_caller]
    pub fn assert_once_each(&self, sent: usize) {
        let times = self.marked.seen.iter().map(|seen| seen.load(Ordering::Relaxed)).enumerate();
        let wrong = times.filter(|(number, times)| *times != u8::from(*number < sent));
        let wrong: Vec<_> = wrong.take(20).collect();
        assert!(wrong.is_empty(), "of {sent}, numbers that came so often: {wrong:?}");
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        self.marked.ending.store(true, Ordering::Relaxed);
        // Wakes those that accept; UDP readers look by themselves.
        self.addresses.iter().for_each(|address| drop(TcpStream::connect(address)));
    }
}

impl Marked {
    fn mark(&self, number: usize) {
        let seen = self.seen.get(number).expect("a number that was sent");
        seen.fetch_add(1, Ordering::Relaxed);
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }
}

fn read_lines(stream: TcpStream, marked: &Marked) {
    stream.set_read_timeout(Some(LOOK_EVERY)).expect("a socket takes a read time-out");
    let mut lines = BufReader::with_capacity(1 << 18, stream);
    let mut line = Vec::new();
    while !marked.ending.load(Ordering::Relaxed) {
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => break,
            // Canaries are Coco's own.
            Ok(_) if line.starts_with(b"coco.canary.") => line.clear(),
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                let number = text.split(' ').nth(1).and_then(|text| text.parse().ok());
                marked.mark(number.unwrap_or_else(|| panic!("a line {text:?}")));
                line.clear();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number as a double")]
fn read_lists(socket: &UdpSocket, marked: &Marked) {
    socket.set_read_timeout(Some(LOOK_EVERY)).expect("a socket takes a read time-out");
    let mut buffer = vec![0; 65_536];
    while !marked.ending.load(Ordering::Relaxed) {
        let Ok(bytes) = socket.recv(&mut buffer) else { continue };
        for record in datagram::parse(&buffer[..bytes]) {
            let Record::Values { values, .. } = record else { panic!("{record:?}") };
            let number = values.first().map(|(_, raw)| f64::from_le_bytes(*raw));
            marked.mark(number.expect("a value") as usize);
        }
    }
}
