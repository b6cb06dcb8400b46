//! Graphite lines: one client, blocking reads and writes.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use memchr::{memchr, memrchr};

use super::{TARGETS, announce, check, owner};

/// Bytes of one read at most: as much as Coco reads.
const READ_BYTES: usize = 256 * 1024;

/// Serves one client until it closes: line ends, XXH3 of the name, one buffer for each target, one
/// write for each target and read.
///
/// # Errors
/// Whatever the sockets say; not [`TARGETS`] targets.
pub fn route(targets: &[SocketAddr]) -> anyhow::Result<()> {
    check(targets)?;
    let mut targets = targets.iter().map(connect).collect::<io::Result<Vec<_>>>()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    announce("line-tcp", listener.local_addr()?);
    let (mut client, _) = listener.accept()?;
    let mut buffer = vec![0; READ_BYTES];
    let mut out: [Vec<u8>; TARGETS] = Default::default();
    let mut kept = 0;
    loop {
        let len = client.read(buffer.get_mut(kept..).unwrap_or_default())?;
        if len == 0 {
            return Ok(());
        }
        let end = kept + len;
        let bytes = buffer.get(..end).unwrap_or_default();
        let whole = memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        split(bytes.get(..whole).unwrap_or_default(), &mut out);
        for (target, out) in targets.iter_mut().zip(&mut out) {
            target.write_all(out)?;
            out.clear();
        }
        buffer.copy_within(whole..end, 0);
        kept = end - whole;
    }
}

fn connect(target: &SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Appends each line to the buffer of its owner.
fn split(mut lines: &[u8], out: &mut [Vec<u8>; TARGETS]) {
    while let Some(end) = memchr(b'\n', lines) {
        let (line, rest) = lines.split_at(end + 1);
        let name = memchr(b' ', line).and_then(|end| line.get(..end)).unwrap_or_default();
        if let Some(out) = out.get_mut(owner(name)) {
            out.extend_from_slice(line);
        }
        lines = rest;
    }
}
