//! Graphite pickle frames over TCP: a 4-byte big-endian length, then a pickle of datapoints.
//!
//! A broken frame costs itself and nothing else; a length over 1 MiB ends the connection, because what
//! follows cannot be told apart any more.

use std::io;

use coco_wire::pickle::{FRAME_BYTES_MAX, PickleErrorKind};
use tokio::net::TcpStream;

use crate::{
    listen::{Listener, accept::Client},
    pipeline::{Pipeline, Source},
    shard::{Inlet, Shard, Stage, Stages},
    target::queue::Feeder,
};

/// Bytes of the length before each frame.
const HEADER_BYTES: usize = 4;

/// Reads one client until it closes, or until the shard stops.
pub(crate) async fn serve(client: Client, inlet: &Inlet, mut stages: Stages) {
    let Client { stream, listener, open: _open } = client;
    let from = Source { listener: &listener, peer: stream.peer_addr().ok() };
    let Ok(stream) = TcpStream::from_std(stream) else {
        listener.errors.add(1);
        return;
    };
    let mut held = Vec::new();
    let mut full = Vec::new();
    loop {
        if stages.now() == Stage::Run {
            tokio::select! {
                ready = stream.readable() => if ready.is_err() { break },
                () = stages.changed() => continue,
            }
        }
        if stages.is_overdue() {
            return;
        }
        match inlet.read(0, |room| stream.try_read(room)) {
            Ok(0) => break,
            Ok(len) => {
                let Shard { pipeline, buffer } = &mut *inlet.shard();
                held.extend_from_slice(buffer.get(..len).unwrap_or_default());
                pipeline.begin();
                let good = route_frames(&mut held, pipeline, &from);
                pipeline.publish(&listener, Feeder::Stream, &mut full);
                if !good {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if stages.now() != Stage::Run {
                    return;
                }
            }
            Err(_) => break,
        }
        inlet.rest(&full, &listener, &mut stages).await;
    }
    if !held.is_empty() {
        cut_frame(&held, inlet, &listener, &from);
    }
}

/// Routes the whole frames in `held` and keeps the rest. `false`: a frame is too long.
fn route_frames(held: &mut Vec<u8>, pipeline: &mut Pipeline, from: &Source<'_>) -> bool {
    let mut done = 0;
    let mut good = true;
    while let Some((header, rest)) = held.get(done..).and_then(|r| r.split_first_chunk()) {
        let len = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        if len > FRAME_BYTES_MAX {
            pipeline.tally().raw += 1;
            pipeline.reject(PickleErrorKind::TooLong.as_str(), from, || {
                format!("frame of {len} bytes, the limit is {FRAME_BYTES_MAX}; connection closed")
            });
            good = false;
            break;
        }
        let Some(frame) = rest.get(..len) else { break };
        pipeline.tally().raw += 1;
        pipeline.pickle(frame, from);
        done += HEADER_BYTES + len;
    }
    held.drain(..done);
    if held.is_empty() {
        // A frame may have been large; an idle client holds no memory.
        *held = Vec::new();
    }
    good
}

/// The client closed inside a frame.
fn cut_frame(held: &[u8], inlet: &Inlet, listener: &Listener, from: &Source<'_>) {
    let pipeline = &mut inlet.shard().pipeline;
    pipeline.tally().raw += 1;
    pipeline.reject(PickleErrorKind::Truncated.as_str(), from, || {
        format!("closed {} bytes into a frame", held.len())
    });
    pipeline.publish(listener, Feeder::Stream, &mut Vec::new());
}
