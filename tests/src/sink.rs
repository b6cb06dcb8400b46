//! Targets that record what they are sent, and that can be slow.

use std::{
    io::{BufRead, BufReader, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    datagram::{self, Record},
    port,
};

/// How long a read waits before it looks whether the sink is to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Records datagrams.
#[derive(Debug)]
pub struct UdpSink {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    ending: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl UdpSink {
    /// Listens on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::start_on(0)
    }

    /// Listens on this port of 127.0.0.1.
    pub fn start_on(port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = port::bind(address, || UdpSocket::bind(address));
        socket.set_read_timeout(Some(LOOK_EVERY)).expect("a socket takes a read time-out");
        let address = socket.local_addr().expect("a bound socket has an address");
        let received = Arc::new(Mutex::new(Vec::new()));
        let ending = Arc::new(AtomicBool::new(false));
        let (kept, end) = (Arc::clone(&received), Arc::clone(&ending));
        let reader = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !end.load(Ordering::Relaxed) {
                if let Ok(bytes) = socket.recv(&mut buffer) {
                    lock(&kept).push(buffer[..bytes].to_vec());
                }
            }
        });
        Self { address, received, ending, reader: Some(reader) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The datagrams so far, in the order of arrival.
    pub fn datagrams(&self) -> Vec<Vec<u8>> {
        lock(&self.received).clone()
    }

    /// Everything that the datagrams so far carry.
    pub fn records(&self) -> Vec<Record> {
        lock(&self.received).iter().flat_map(|datagram| datagram::parse(datagram)).collect()
    }
}

impl Drop for UdpSink {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            // A reader that has panicked has said so already.
            reader.join().ok();
        }
    }
}

/// Records lines from any number of TCP connections.
#[derive(Debug)]
pub struct LineSink {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    control: Arc<Control>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Control {
    ending: AtomicBool,
    paused: AtomicBool,
}

impl LineSink {
    /// Listens on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, 0)
    }

    /// Listens on this port of 127.0.0.1.
    pub fn start_on(port: u16) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, port)
    }

    /// Listens on this port of one of the addresses 127.0.0.0/8, all of which are this machine; 0 is a
    /// free one.
    pub fn start_at(host: Ipv4Addr, port: u16) -> Self {
        let address = SocketAddr::from((host, port));
        let listener = port::bind(address, || TcpListener::bind(address));
        let address = listener.local_addr().expect("a bound socket has an address");
        let received = Arc::new(Mutex::new(Vec::new()));
        let control = Arc::new(Control::default());
        let (kept, controlled) = (Arc::clone(&received), Arc::clone(&control));
        let acceptor = thread::spawn(move || {
            let mut readers = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if controlled.ending.load(Ordering::Relaxed) {
                    break;
                }
                let (kept, controlled) = (Arc::clone(&kept), Arc::clone(&controlled));
                readers.push(thread::spawn(move || record(stream, &kept, &controlled)));
            }
            for reader in readers {
                // A reader that has panicked has said so already.
                reader.join().ok();
            }
        });
        Self { address, received, control, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The lines so far without their line ends, in the order of arrival.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        lock(&self.received).clone()
    }

    /// The values of the lines of one name, whole numbers, in the order of arrival.
    #[track_caller]
    pub fn values(&self, name: &str) -> Vec<usize> {
        let value = |line: &Vec<u8>| {
            let line = String::from_utf8_lossy(line);
            let mut fields = line.split(' ');
            let is_its = fields.next() == Some(name);
            is_its.then(|| fields.next().unwrap_or_default().parse().expect("a whole number"))
        };
        lock(&self.received).iter().filter_map(value).collect()
    }

    /// How many lines there are so far.
    pub fn count(&self) -> usize {
        lock(&self.received).len()
    }

    /// Stops reading; connections stay open, and new ones are still taken.
    pub fn pause(&self) {
        self.control.paused.store(true, Ordering::Relaxed);
    }

    /// Reads on.
    pub fn resume(&self) {
        self.control.paused.store(false, Ordering::Relaxed);
    }
}

impl Drop for LineSink {
    fn drop(&mut self) {
        self.control.ending.store(true, Ordering::Relaxed);
        // Wakes the acceptor; if nobody can connect any more, it has ended.
        TcpStream::connect(self.address).ok();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

fn record(stream: TcpStream, kept: &Mutex<Vec<Vec<u8>>>, control: &Control) {
    stream.set_read_timeout(Some(LOOK_EVERY)).expect("a socket takes a read time-out");
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while !control.ending.load(Ordering::Relaxed) {
        if control.paused.load(Ordering::Relaxed) {
            thread::park_timeout(LOOK_EVERY);
            continue;
        }
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) if line.ends_with(b"\n") => {
                line.pop();
                lock(kept).push(std::mem::take(&mut line));
            }
            // The end of the stream in the middle of a line: a broken line counts as one.
            Ok(_) => lock(kept).push(std::mem::take(&mut line)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
