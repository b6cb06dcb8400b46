//! A target whose connections break: each of the first ones is read up to a given byte and then closed hard,
//! with all that its kernel has taken and nobody has read.

use std::{
    io::{ErrorKind, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::port;

/// How long a read waits before it looks whether the sink is to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes that its kernel takes ahead of it, about: what is lost when it closes.
const RECEIVE_BUFFER: usize = 128 * 1024;

/// Records the bytes of one connection after the other.
#[derive(Debug)]
pub struct BreakingSink {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    control: Arc<Control>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Control {
    ending: AtomicBool,
    /// Connections that have been read as far as they are to be stay open.
    holds: AtomicBool,
}

impl BreakingSink {
    /// Listens on this port of 127.0.0.1; 0 is a free one. Connection `n` is closed after `cuts[n]` bytes;
    /// those after them are read to their end.
    pub fn start(port: u16, cuts: Vec<usize>) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("an option of sockets");
        socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("an option of sockets");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        port::bind(address, || socket.bind(&address.into()));
        socket.listen(16).expect("a bound socket can listen");
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().expect("a bound socket has an address");
        let received = Arc::new(Mutex::new(Vec::new()));
        let control = Arc::new(Control::default());
        let (kept, controlled) = (Arc::clone(&received), Arc::clone(&control));
        let reader = thread::spawn(move || {
            let mut cuts = cuts.into_iter();
            for stream in listener.incoming().map_while(Result::ok) {
                if controlled.ending.load(Ordering::Relaxed) {
                    break;
                }
                lock(&kept).push(Vec::new());
                read(stream, cuts.next(), &kept, &controlled);
            }
        });
        Self { address, received, control, reader: Some(reader) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each connection has brought so far.
    pub fn connections(&self) -> Vec<Vec<u8>> {
        lock(&self.received).clone()
    }

    /// Bytes of all connections so far.
    pub fn bytes(&self) -> usize {
        lock(&self.received).iter().map(Vec::len).sum()
    }

    /// From now on a connection that has been read up to its cut stays open, and no other is read.
    pub fn hold(&self) {
        self.control.holds.store(true, Ordering::Relaxed);
    }

    /// Closes what is held, and goes on.
    pub fn release(&self) {
        self.control.holds.store(false, Ordering::Relaxed);
    }
}

impl Drop for BreakingSink {
    fn drop(&mut self) {
        self.control.ending.store(true, Ordering::Relaxed);
        // Wakes the acceptor; if nobody can connect any more, it has ended.
        TcpStream::connect(self.address).ok();
        if let Some(reader) = self.reader.take() {
            // A reader that has panicked has said so already.
            reader.join().ok();
        }
    }
}

/// Reads one connection up to its cut or its end.
fn read(mut stream: TcpStream, cut: Option<usize>, kept: &Mutex<Vec<Vec<u8>>>, control: &Control) {
    stream.set_read_timeout(Some(LOOK_EVERY)).expect("a socket takes a read time-out");
    let mut buffer = vec![0; 64 * 1024];
    let mut left = cut.unwrap_or(usize::MAX);
    while left > 0 && !control.ending.load(Ordering::Relaxed) {
        let room = buffer.len().min(left);
        match stream.read(&mut buffer[..room]) {
            Ok(0) => return,
            Ok(bytes) => {
                left -= bytes;
                if let Some(last) = lock(kept).last_mut() {
                    last.extend_from_slice(&buffer[..bytes]);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
    while control.holds.load(Ordering::Relaxed) && !control.ending.load(Ordering::Relaxed) {
        thread::park_timeout(LOOK_EVERY);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
