//! TCP targets: Graphite lines and pickle frames.
//!
//! Several chunks go out with one vectored write. When a connection breaks, its last bytes are written again
//! on the next one ([`Window`](super::window::Window)), in whole lines or frames; what was cut comes behind
//! them, then the rest. So the order holds, and a line is never split across connections.

use std::{
    io::{self, IoSlice},
    time::Duration,
};

use coco_wire::{
    line::LineError,
    pickle::{FrameWriter, PushError},
};
use tokio::time::Instant;

use crate::{
    chunk::{Chunk, Format},
    plan::TargetProtocol,
    target::{
        Shed, State,
        connect::{Backoff, Place},
        net::{Net, Stream},
        outbox::Outbox,
        prober,
    },
};

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that has lived so long is a good one. One that ends earlier must not make us spin.
const PROVEN: Duration = Duration::from_secs(5);

/// Chunks in one vectored write.
const SLICES_MAX: usize = 16;

/// Connections that ended before the target had read all, after which a target that was taken out is believed to
/// end all of them so.
const UNSURE_MAX: u32 = 3;

/// How long a target that was taken out may take to read what the kernels have, and to close.
const FINISH_MAX: Duration = Duration::from_secs(600);

/// Connects and sends until the queue is closed and empty.
pub(crate) async fn serve(outbox: &mut Outbox<'_>, net: &impl Net) {
    let mut place = Place::new(&outbox.target.plan.address);
    let mut backoff = Backoff::new();
    while !outbox.is_done() {
        outbox.target.set_state(State::Connecting);
        if let Some(stream) = connect(outbox, &mut place, net).await {
            let (loops, beacon) = (&outbox.shared.loops, outbox.target.beacon);
            let _known = stream.ends().ok().map(|ends| loops.connected(ends, beacon));
            outbox.target.set_state(State::Up);
            let since = Instant::now();
            let Err(error) = send_all(outbox, &stream).await else {
                // Another connection is needed only if there is more.
                outbox.more().await;
                continue;
            };
            outbox.cut();
            outbox.target.set_state(State::Connecting);
            outbox.target.meters.disconnects.add(1);
            let (tier, target) = (&outbox.target.tier, &outbox.target.plan.label);
            outbox.shared.reports.once("disconnect", target, || {
                tracing::warn!(%error, tier, target, "connection ended; trying on");
            });
            if since.elapsed() >= PROVEN {
                backoff.reset();
            }
        }
        outbox.pause(&mut backoff).await;
    }
}

async fn connect<N: Net>(outbox: &Outbox<'_>, place: &mut Place, net: &N) -> Option<N::Stream> {
    let meters = &outbox.target.meters;
    let address = place.find(outbox.target).await?;
    if prober::is_ourselves(outbox.target, outbox.shared, address) {
        return None;
    }
    let attempt =
        tokio::time::timeout(CONNECT_TIMEOUT, net.connect(address, outbox.target.resend_bytes()))
            .await;
    let error = match attempt {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error,
        Err(_) => io::Error::from(io::ErrorKind::TimedOut),
    };
    let (tier, target) = (&outbox.target.tier, &outbox.target.plan.label);
    outbox.shared.reports.once("connect", target, || {
        tracing::warn!(%error, tier, target, "cannot connect; what falls to it is held, trying on");
    });
    meters.dial_errors.add(1);
    None
}

/// Sends until the connection ends (an error), or the queue is closed and empty; of a target that was taken out
/// until it has closed its end, with all read.
async fn send_all(outbox: &mut Outbox<'_>, stream: &impl Stream) -> io::Result<()> {
    resend(outbox, stream).await?;
    // What an earlier connection took whole stands in the window.
    outbox.written = outbox.chunks.front().map_or(0, |chunk| chunk.start);
    loop {
        if outbox.chunks.is_empty() {
            if outbox.is_done() {
                return Ok(());
            }
            if outbox.is_unsure_only() {
                return finish(outbox, stream).await;
            }
            tokio::select! {
                biased;
                ended = ended(stream) => return Err(ended),
                () = outbox.more() => {}
                () = outbox.nothing_more() => {}
            }
            outbox.take();
            if outbox.target.protocol == TargetProtocol::Pickle {
                pickle_all(outbox);
            }
        }
        if let Err(error) = write(outbox, stream) {
            if error.kind() != io::ErrorKind::WouldBlock {
                outbox.target.meters.write_errors.add(1);
                return Err(error);
            }
            tokio::select! {
                biased;
                ended = ended(stream) => return Err(ended),
                // The target is slow: what has not begun to be written may wait on disk.
                () = outbox.target.queue.finished(), if outbox.can_end() => {
                    if outbox.is_done() {
                        return Ok(());
                    }
                }
                () = outbox.target.queue.spools(), if outbox.owes() => {
                    outbox.give_back(1);
                }
                writable = stream.writable() => writable?,
            }
        } else {
            // One write a turn: the clients of this shard and its other targets go on.
            tokio::task::yield_now().await;
        }
    }
}

/// Writes the window again. This goes on also when the queue has come to its end meanwhile.
async fn resend(outbox: &mut Outbox<'_>, stream: &impl Stream) -> io::Result<()> {
    while !outbox.window.is_written() {
        match stream.try_write_vectored(&outbox.window.slices()) {
            Ok(bytes) => {
                let samples = outbox.window.wrote(bytes);
                outbox.target.meters.resent.add(samples);
                tokio::task::yield_now().await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::select! {
                biased;
                writable = stream.writable() => writable?,
                ended = ended(stream) => return Err(ended),
            },
            Err(error) => {
                outbox.target.meters.write_errors.add(1);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Ends the connection and waits until the target has read all.
async fn finish(outbox: &mut Outbox<'_>, stream: &impl Stream) -> io::Result<()> {
    match tokio::time::timeout(FINISH_MAX, stream.finish()).await {
        Ok(Ok(())) => outbox.is_sure(),
        Ok(Err(error)) => {
            outbox.unsure += 1;
            if outbox.unsure < UNSURE_MAX {
                return Err(error);
            }
            outbox.leave_in_doubt("its connections break when they are to end");
        }
        Err(_) => outbox.leave_in_doubt("it does not close its end of the connection"),
    }
    Ok(())
}

/// Returns when the peer has closed: a target answers nothing, so all it can say is that it ends.
async fn ended(stream: &impl Stream) -> io::Error {
    let mut answer = [0; 512];
    loop {
        if let Err(error) = stream.readable().await {
            return error;
        }
        match stream.try_read(&mut answer) {
            Ok(0) => return io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the target"),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return error,
        }
    }
}

/// One vectored write; settles the chunks that it finishes.
fn write(outbox: &mut Outbox<'_>, stream: &impl Stream) -> io::Result<()> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut offset = outbox.written;
    for (slice, chunk) in slices.iter_mut().zip(&outbox.chunks) {
        *slice = IoSlice::new(chunk.bytes.get(offset..).unwrap_or_default());
        offset = 0;
    }
    let used = outbox.chunks.len().min(SLICES_MAX);
    outbox.written += stream.try_write_vectored(slices.get(..used).unwrap_or_default())?;
    outbox.settle_written();
    Ok(())
}

/// Turns line chunks into pickle chunks, in place. Lines that fit into no frame are shed, and names
/// that a pickle cannot hold because they are not UTF-8.
fn pickle_all(outbox: &mut Outbox<'_>) {
    let mut lost = Vec::new();
    for chunk in outbox.chunks.iter_mut().filter(|chunk| chunk.format == Format::Lines) {
        let (mut pickled, bad_names) = pickled(chunk.bytes.get(chunk.start..).unwrap_or_default());
        (pickled.spooled, pickled.charge) = (chunk.spooled, chunk.charge);
        let from_disk = chunk.spooled.is_some();
        lost.push((Shed::BadName, from_disk, bad_names));
        lost.push((Shed::Oversize, from_disk, chunk.samples - pickled.samples - bad_names));
        *chunk = pickled;
    }
    outbox.drop_empty();
    for (reason, from_disk, samples) in lost {
        outbox.shed(reason, from_disk, samples);
    }
}

/// The lines of a chunk as pickle frames, and how many have a name that no pickle holds.
fn pickled(lines: &[u8]) -> (Chunk, u64) {
    let mut chunk = Chunk::default();
    let mut bad_names = 0;
    let mut frame = FrameWriter::begin(&mut chunk.bytes);
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        match frame.push(line, &mut chunk.bytes) {
            Ok(()) | Err(PushError::BadLine(LineError::TooLong)) => {}
            Err(PushError::BadLine(_)) => bad_names += 1,
            Err(PushError::Full) => {
                close(&mut chunk, frame);
                frame = FrameWriter::begin(&mut chunk.bytes);
                // A line that is refused by an empty frame is refused by all.
                let _refused: Result<(), PushError> = frame.push(line, &mut chunk.bytes);
            }
        }
    }
    close(&mut chunk, frame);
    (chunk, bad_names)
}

fn close(chunk: &mut Chunk, frame: FrameWriter) {
    let samples = frame.finish(&mut chunk.bytes);
    if samples > 0 {
        chunk.close_frame(u64::try_from(samples).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use coco_wire::pickle::decode;

    use super::*;

    #[test]
    fn lines_become_frames_of_500_and_none_is_lost() {
        let mut lines = Chunk::default();
        for n in 0..1234 {
            lines.push_line(format!("name{n} {n}.5 1700000000").as_bytes());
        }
        lines.push_line(b"\xff 1 2");
        lines.push_line(b"control\x01 1 2");
        let (chunk, bad_names) = pickled(&lines.bytes);
        assert_eq!(bad_names, 1);
        let counts: Vec<_> = chunk.frames.iter().map(|frame| frame.samples).collect();
        assert_eq!(counts, [500, 500, 235]);
        let mut names = Vec::new();
        let mut start = 0;
        for frame in &chunk.frames {
            decode(&chunk.bytes[start + 4..frame.end], |point| {
                // Our own listener is stricter than carbon.
                names.extend(point.map(|p| String::from_utf8_lossy(p.name).into_owned()));
            })
            .unwrap();
            start = frame.end;
        }
        assert_eq!(names, (0..1234).map(|n| format!("name{n}")).collect::<Vec<_>>());
    }
}
