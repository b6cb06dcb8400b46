//! What a worker asks of the network, so that tests can put one that fails in its place.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr},
    ops::RangeInclusive,
    os::fd::AsRawFd,
    time::Duration,
};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use tokio::{
    io::Interest,
    net::{TcpStream, UdpSocket},
};

/// Datagrams sent by one system call.
pub(crate) const BATCH: usize = 64;

/// Unacknowledged bytes end a connection after this long: a black hole would swallow them for hours. Linux
/// ends by it also the connection of a target that pauses so long; the window has what that one had not read.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// The same without a window: what a target that pauses had not read would be lost.
const USER_TIMEOUT_UNKEPT: Duration = Duration::from_secs(60);

/// Our own kernel may hold so much of the window unsent, and at least and at most so many bytes: it would take
/// megabytes, beyond the window. What is under way is not bounded by this, so that it costs no speed.
const UNSENT_PART: usize = 8;
const UNSENT_BYTES: RangeInclusive<usize> = 16 * 1024..=256 * 1024;

/// How often a connection that is being ended is looked at.
const FINISH_PAUSE: Duration = Duration::from_millis(10);

/// The network. Clones are the same one.
pub(crate) trait Net: Clone + 'static {
    /// A TCP connection to a target.
    type Stream: Stream;
    /// A UDP socket that is connected to a target.
    type Socket: Socket;

    /// Connects, for a worker that keeps the last `window_bytes` of what it writes; waits for as long as the
    /// system does.
    async fn connect(&self, address: SocketAddr, window_bytes: usize) -> io::Result<Self::Stream>;

    /// Opens a connected UDP socket.
    async fn open(&self, address: SocketAddr) -> io::Result<Self::Socket>;
}

/// A TCP connection.
pub(crate) trait Stream {
    /// Returns when a write may take bytes.
    async fn writable(&self) -> io::Result<()>;

    /// Returns when a read may give bytes, or the end.
    async fn readable(&self) -> io::Result<()>;

    /// Reads without waiting; 0 is the end.
    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Its two ends, ours first.
    fn ends(&self) -> io::Result<[SocketAddr; 2]>;

    /// Writes what the kernel takes without waiting.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ends our half, and returns when the peer has ended the other one: an error if it did so before it had
    /// read all.
    async fn finish(&self) -> io::Result<()>;
}

/// A connected UDP socket.
pub(crate) trait Socket {
    /// Returns when a datagram can be sent.
    async fn writable(&self) -> io::Result<()>;

    /// Sends one datagram, and waits until that can be done.
    async fn send(&self, datagram: &[u8]) -> io::Result<()>;

    /// The same without waiting.
    fn try_send(&self, datagram: &[u8]) -> io::Result<()>;

    /// Sends up to [`BATCH`] datagrams without waiting; returns how many were taken.
    fn try_send_many(&self, datagrams: &[[IoSlice<'_>; 1]]) -> io::Result<usize>;

    /// An error that came after a datagram was sent.
    fn take_error(&self) -> io::Result<Option<io::Error>>;
}

/// The network of the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OsNet;

impl Net for OsNet {
    type Stream = TcpStream;
    type Socket = OsSocket;

    async fn connect(&self, address: SocketAddr, window_bytes: usize) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&stream);
        if window_bytes == 0 {
            socket.set_tcp_user_timeout(Some(USER_TIMEOUT_UNKEPT))?;
            return Ok(stream);
        }
        let unsent = (window_bytes / UNSENT_PART).clamp(*UNSENT_BYTES.start(), *UNSENT_BYTES.end());
        socket.set_tcp_notsent_lowat(u32::try_from(unsent).unwrap_or(u32::MAX))?;
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        Ok(stream)
    }

    async fn open(&self, address: SocketAddr) -> io::Result<OsSocket> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        Ok(OsSocket { socket, headers: RefCell::new(MultiHeaders::preallocate(BATCH, None)) })
    }
}

impl Stream for TcpStream {
    async fn writable(&self) -> io::Result<()> {
        Self::writable(self).await
    }

    async fn readable(&self) -> io::Result<()> {
        Self::readable(self).await
    }

    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        Self::try_read(self, bytes)
    }

    fn ends(&self) -> io::Result<[SocketAddr; 2]> {
        Ok([self.local_addr()?, self.peer_addr()?])
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::try_write_vectored(self, slices)
    }

    async fn finish(&self) -> io::Result<()> {
        let socket = socket2::SockRef::from(self);
        socket.shutdown(Shutdown::Write)?;
        // The kernel knows a peer until both halves have ended and are acknowledged, or the connection broke. A
        // peer that closes with something unread, or gets more, breaks it.
        while self.peer_addr().is_ok() {
            tokio::time::sleep(FINISH_PAUSE).await;
        }
        socket.take_error()?.map_or(Ok(()), Err)
    }
}

/// A UDP socket and what a system call for many datagrams needs.
pub(crate) struct OsSocket {
    socket: UdpSocket,
    headers: RefCell<MultiHeaders<SockaddrStorage>>,
}

impl Socket for OsSocket {
    async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram).await.map(drop)
    }

    fn try_send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.try_send(datagram).map(drop)
    }

    fn try_send_many(&self, datagrams: &[[IoSlice<'_>; 1]]) -> io::Result<usize> {
        let mut headers = self.headers.borrow_mut();
        let (addresses, flags) = ([None; BATCH], MsgFlags::MSG_DONTWAIT);
        self.socket.try_io(Interest::WRITABLE, || {
            let fd = self.socket.as_raw_fd();
            let sent = sendmmsg(fd, &mut *headers, datagrams, addresses, [], flags)?;
            Ok(sent.count())
        })
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    /// A connection of ours, and the other end of it.
    async fn pair() -> (TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = OsNet.connect(listener.local_addr().unwrap(), 1 << 20).await.unwrap();
        let (peer, _) = listener.accept().unwrap();
        (ours, peer)
    }

    #[tokio::test]
    async fn a_connection_is_finished_when_the_peer_has_read_all_and_closed() {
        let (ours, mut peer) = pair().await;
        ours.try_write_vectored(&[IoSlice::new(b"some bytes")]).unwrap();
        let reader = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            peer.write_all(b"an answer").unwrap();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        Stream::finish(&ours).await.unwrap();
        assert_eq!(reader.await.unwrap(), b"some bytes");
    }

    #[tokio::test]
    async fn a_peer_that_does_not_close_is_waited_for_and_one_that_has_not_read_all_is_an_error() {
        let (ours, peer) = pair().await;
        ours.try_write_vectored(&[IoSlice::new(b"some bytes")]).unwrap();
        let wait = Duration::from_millis(100);
        assert!(tokio::time::timeout(wait, Stream::finish(&ours)).await.is_err());
        drop(peer);
        assert!(Stream::finish(&ours).await.is_err());
    }

    #[tokio::test]
    async fn what_comes_to_a_peer_that_has_closed_has_not_arrived() {
        let (ours, peer) = pair().await;
        drop(peer);
        ours.readable().await.unwrap();
        ours.try_write_vectored(&[IoSlice::new(b"some bytes")]).unwrap();
        assert!(Stream::finish(&ours).await.is_err());
    }
}
