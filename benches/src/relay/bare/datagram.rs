//! collectd datagrams: 64 a system call in, as many out for each target, as they came.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

use super::{TARGETS, announce, check, owner};
use crate::relay::sink::widen;

/// Datagrams of one system call: as many as Coco reads.
const BATCH: usize = 64;

/// Room for one datagram.
const DATAGRAM_BYTES: usize = 2048;

/// Forwards until it is killed: walks the parts of each datagram to their end, XXH3 of the host, one
/// system call for each target and batch.
///
/// # Errors
/// Whatever the sockets say; not [`TARGETS`] targets.
pub fn route(targets: &[SocketAddr]) -> anyhow::Result<()> {
    check(targets)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    widen(&socket)?;
    let mut senders = Vec::new();
    for target in targets {
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        sender.connect(target)?;
        senders.push(sender);
    }
    announce("collectd", socket.local_addr()?);
    let mut bytes = vec![0; BATCH * DATAGRAM_BYTES];
    let mut headers_in = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut headers_out = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut lengths = Vec::with_capacity(BATCH);
    loop {
        lengths.clear();
        {
            let mut rooms = bytes.chunks_exact_mut(DATAGRAM_BYTES);
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
            let flags = MsgFlags::MSG_WAITFORONE;
            let fd = socket.as_raw_fd();
            let received = recvmmsg(fd, &mut headers_in, slices.iter_mut(), flags, None)?;
            lengths.extend(received.map(|message| message.bytes));
        }
        let mut groups = [[[IoSlice::new(&[])]; BATCH]; TARGETS];
        let mut sizes = [0; TARGETS];
        for (room, &len) in bytes.chunks_exact(DATAGRAM_BYTES).zip(&lengths) {
            let datagram = room.get(..len).unwrap_or(room);
            let Some(host) = host(datagram) else { continue };
            let owner = owner(host);
            if let (Some(group), Some(size)) = (groups.get_mut(owner), sizes.get_mut(owner))
                && let Some(place) = group.get_mut(*size)
            {
                *place = [IoSlice::new(datagram)];
                *size += 1;
            }
        }
        for ((sender, group), size) in senders.iter().zip(&groups).zip(sizes) {
            let mut rest = group.get(..size).unwrap_or_default();
            while !rest.is_empty() {
                let (fd, none) = (sender.as_raw_fd(), [None; BATCH]);
                let sent = sendmmsg(fd, &mut headers_out, rest, none, [], MsgFlags::empty())?;
                rest = rest.get(sent.count()..).unwrap_or_default();
            }
        }
    }
}

/// The host of a datagram whose parts are whole to the end.
fn host(datagram: &[u8]) -> Option<&[u8]> {
    let (mut rest, mut host) = (datagram, None);
    while let Some((&[id0, id1, length0, length1], _)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([length0, length1]));
        let (part, after) = rest.split_at_checked(length)?;
        if u16::from_be_bytes([id0, id1]) == 0 {
            host = part.get(4..length.checked_sub(1)?);
        }
        if length < 4 {
            return None;
        }
        rest = after;
    }
    host
}
