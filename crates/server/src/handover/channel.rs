//! The channel between two processes at a hand-over: messages in order over a Unix socket, each with at most
//! one socket beside its bytes.
//!
//! A message is the lengths of its head and its body (32 bits each, little-endian), one byte that tells
//! whether a socket comes with it, the head as JSON, and the body. [`VERSION`] names this form.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use rustix::{
    io::retry_on_intr,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use serde::{Deserialize, Serialize};

use super::KeptWord;

/// What both sides must speak; a new process that speaks another one does not start.
pub(super) const VERSION: &str = "1";

/// Bytes of the lengths and the byte behind them.
const PREFIX_BYTES: usize = 9;

/// Longest message: far more than a started frame or a record has.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Read at once.
const READ_BYTES: usize = 64 << 10;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum Word {
    /// A listening socket, with the address as configured.
    Socket { protocol: String, host: String, port: u16 },
    /// There are no more of these. So many processes have handed over before, these tiers have a ring, and that is on
    /// disk; the body is what the old process has recorded of its numbers, and so many bytes of what it has logged. (A
    /// build that knows less goes by what it knows.)
    Prepare {
        upgrades: u64,
        #[serde(default)]
        rings: Vec<String>,
        #[serde(default)]
        kept: Option<KeptWord>,
        #[serde(default)]
        log: usize,
    },
    /// From the new process: it waits for nothing else.
    Ready,
    /// The sockets are read no more; drops of each so far, by inode.
    Sockets { drops: Vec<(u64, u32)> },
    /// A client, with what was read of it.
    Client { protocol: String, host: String, port: u16, skipping: bool, begun: bool },
    /// Samples that a target did not take.
    Record { tier: String, id: String, format: u8, samples: u32 },
    /// A target gets nothing more.
    Done { tier: String, id: String },
}

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) word: Word,
    pub(super) body: Vec<u8>,
    /// Missing also when this process may open no more files.
    pub(super) socket: Option<OwnedFd>,
}

/// One end of the channel.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    /// Read, and not taken from `start` on.
    bytes: Vec<u8>,
    start: usize,
    sockets: VecDeque<OwnedFd>,
}

impl Channel {
    /// A channel on which no single read or write takes longer than `patience`.
    pub(super) fn new(stream: UnixStream, patience: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(patience))?;
        let channel = Self { stream, bytes: Vec::new(), start: 0, sockets: VecDeque::new() };
        channel.set_patience(Some(patience))?;
        Ok(channel)
    }

    /// How long a read may take; for ever with `None`.
    pub(super) fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(patience)
    }

    /// Sends a message, all of it.
    pub(super) fn send(
        &mut self,
        word: &Word,
        body: &[u8],
        socket: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let head = serde_json::to_vec(word)?;
        let mut message = Vec::with_capacity(PREFIX_BYTES + head.len() + body.len());
        message.extend_from_slice(&le32(head.len())?);
        message.extend_from_slice(&le32(body.len())?);
        message.push(u8::from(socket.is_some()));
        message.extend_from_slice(&head);
        message.extend_from_slice(body);
        let sent = match &socket {
            // It goes with the first bytes.
            Some(socket) => self.send_with(&message, *socket)?,
            None => 0,
        };
        self.stream.write_all(message.get(sent..).unwrap_or_default())
    }

    fn send_with(&self, bytes: &[u8], socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let sockets = [socket];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&sockets));
        let slices = [IoSlice::new(bytes)];
        let send = || sendmsg(&self.stream, &slices, &mut control, SendFlags::NOSIGNAL);
        Ok(retry_on_intr(send)?)
    }

    /// The next message; `None` when the other process has closed its end.
    pub(super) fn receive(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    /// A message that was read whole.
    fn take(&mut self) -> io::Result<Option<Message>> {
        let unread = self.bytes.get(self.start..).unwrap_or_default();
        let Some(([a, b, c, d, e, f, g, h, with_socket], rest)) =
            unread.split_first_chunk::<PREFIX_BYTES>()
        else {
            return Ok(None);
        };
        let length = |bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        let (head, body) = (length([*a, *b, *c, *d]), length([*e, *f, *g, *h]));
        let whole = head.saturating_add(body);
        if whole > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
        }
        let Some((head, rest)) = rest.split_at_checked(head) else { return Ok(None) };
        let Some(body) = rest.get(..body) else { return Ok(None) };
        let (word, body) = (serde_json::from_slice(head)?, body.to_vec());
        let socket = if *with_socket == 0 { None } else { self.sockets.pop_front() };
        self.start += PREFIX_BYTES + whole;
        Ok(Some(Message { word, body, socket }))
    }

    /// Reads more; `false` at the end.
    fn read(&mut self) -> io::Result<bool> {
        self.bytes.drain(..std::mem::take(&mut self.start));
        let end = self.bytes.len();
        self.bytes.resize(end + READ_BYTES, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let read = {
            let mut slices = [IoSliceMut::new(self.bytes.get_mut(end..).unwrap_or_default())];
            let stream = self.stream.as_fd();
            retry_on_intr(|| recvmsg(stream, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC))
        };
        let read = read.map(|message| message.bytes);
        self.bytes.truncate(end + read.unwrap_or_default());
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                self.sockets.extend(sockets);
            }
        }
        Ok(read? > 0)
    }
}

fn le32(length: usize) -> io::Result<[u8; 4]> {
    let length = u32::try_from(length).map_err(io::Error::other)?;
    Ok(length.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn pair() -> (Channel, Channel) {
        let (left, right) = UnixStream::pair().unwrap();
        (Channel::new(left, PATIENCE).unwrap(), Channel::new(right, PATIENCE).unwrap())
    }

    #[test]
    fn messages_come_in_order_each_with_its_socket() {
        let (mut left, mut right) = pair();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let word = |id: usize| Word::Done { tier: "t".to_owned(), id: id.to_string() };
        let large = vec![7; 3 << 20];
        let sender = std::thread::spawn({
            let (udp, tcp, large) =
                (udp.try_clone().unwrap(), tcp.try_clone().unwrap(), large.clone());
            move || {
                for round in 0..200 {
                    left.send(&word(round), b"x", None).unwrap();
                    left.send(&word(round), b"", Some(udp.as_fd())).unwrap();
                    left.send(&word(round), b"yy", Some(tcp.as_fd())).unwrap();
                }
                left.send(&Word::Ready, &large, None).unwrap();
            }
        });
        for round in 0..200 {
            let plain = right.receive().unwrap().unwrap();
            assert_eq!((plain.word, plain.body.as_slice()), (word(round), b"x".as_slice()));
            assert!(plain.socket.is_none());
            let first = right.receive().unwrap().unwrap();
            let first = UdpSocket::from(first.socket.unwrap());
            assert_eq!(first.local_addr().unwrap(), udp.local_addr().unwrap());
            let second = right.receive().unwrap().unwrap();
            assert_eq!(second.body, b"yy");
            let second = TcpListener::from(second.socket.unwrap());
            assert_eq!(second.local_addr().unwrap(), tcp.local_addr().unwrap());
        }
        assert_eq!(right.receive().unwrap().unwrap().body, large);
        sender.join().unwrap();
        assert!(right.receive().unwrap().is_none(), "the end");
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for bytes in [
            b"\xff\xff\xff\xff\xff\xff\xff\xff\x00".as_slice(),
            b"\x02\x00\x00\x00\x00\x00\x00\x00\x00{}",
            b"\x0d\x00\x00\x00\x00\x00\x00\x00\x00{\"is\":\"what\"}",
        ] {
            let (mut left, mut right) = pair();
            left.stream.write_all(bytes).unwrap();
            assert!(right.receive().is_err(), "{bytes:?}");
        }
        let (left, mut right) = pair();
        left.set_patience(None).unwrap();
        right.set_patience(Some(Duration::from_millis(1))).unwrap();
        assert!(right.receive().is_err(), "silence");
    }
}
