//! Graphite lines over TCP.
//!
//! All clients of a shard read into one buffer; a client keeps only the beginning of a line that has
//! not ended yet. An idle client costs no buffer.

use std::{io, net::SocketAddr};

use coco_wire::line::{LineError, is_http_request};
use memchr::{memchr, memrchr};
use tokio::net::TcpStream;

use crate::{
    listen::{Listener, accept::Client},
    pipeline::Source,
    shard::{Inlet, Shard, Stage, Stages},
    target::queue::Feeder,
};

/// The answer to an HTTP request on the line port, so that a probe sees its mistake.
const HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain\r\nContent-Length: 57\r\nConnection: close\r\n\r\n\
    This is the Graphite line port. The API has another one.\n";

/// Reads one client until it closes, or until the shard stops.
pub(crate) async fn serve(client: Client, inlet: &Inlet, mut stages: Stages) {
    let Client { stream, listener, open: _open } = client;
    let peer = stream.peer_addr().ok();
    let Ok(stream) = TcpStream::from_std(stream) else {
        listener.errors.add(1);
        return;
    };
    let mut lines = Lines { tail: Vec::new(), skipping: false, begun: false, peer };
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
        let read = inlet.read(lines.tail.len(), |room| stream.try_read(room));
        match read {
            Ok(0) => break,
            Ok(len) => {
                if lines.route(len, &listener, inlet, &mut full) == After::AnswerHttp {
                    answer(&stream).await;
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
    lines.finish(&listener, inlet, &mut full);
}

/// What to do after a read.
#[derive(Debug, PartialEq, Eq)]
enum After {
    ReadOn,
    AnswerHttp,
}

/// What is left of a client's bytes between two reads.
struct Lines {
    /// The beginning of a line whose end has not come.
    tail: Vec<u8>,
    /// The present line is over the limit and counted; its rest is passed over.
    skipping: bool,
    /// The first line was seen.
    begun: bool,
    peer: Option<SocketAddr>,
}

impl Lines {
    /// Routes the whole lines among the tail and the `len` bytes read behind its place.
    fn route(
        &mut self,
        len: usize,
        listener: &Listener,
        inlet: &Inlet,
        full: &mut Vec<usize>,
    ) -> After {
        let mut shard = inlet.shard();
        let Shard { pipeline, buffer } = &mut *shard;
        pipeline.begin();
        let room = buffer.get_mut(..self.tail.len() + len).unwrap_or_default();
        if let Some(place) = room.get_mut(..self.tail.len()) {
            place.copy_from_slice(&self.tail);
        }
        let from = Source { listener, peer: self.peer };
        let mut bytes: &[u8] = room;
        if self.skipping {
            let Some(end) = memchr(b'\n', bytes) else {
                self.tail.clear();
                return After::ReadOn;
            };
            bytes = bytes.get(end + 1..).unwrap_or_default();
            self.skipping = false;
        }
        if !self.begun
            && let Some(end) = memchr(b'\n', bytes)
        {
            self.begun = true;
            let first = bytes.get(..end).unwrap_or_default();
            if is_http_request(first) {
                pipeline.reject_line(LineError::Http, first, &from);
                pipeline.publish(listener, Feeder::Stream, full);
                return After::AnswerHttp;
            }
        }
        let whole = memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        let (lines, rest) = bytes.split_at(whole);
        pipeline.lines(lines, &from);
        if rest.len() > inlet.line_bytes_max {
            pipeline.reject_line(LineError::TooLong, rest, &from);
            self.skipping = true;
            self.tail.clear();
        } else {
            self.tail.clear();
            self.tail.extend_from_slice(rest);
        }
        pipeline.publish(listener, Feeder::Stream, full);
        After::ReadOn
    }

    /// The client closed: a last line without LF counts as a line.
    fn finish(&mut self, listener: &Listener, inlet: &Inlet, full: &mut Vec<usize>) {
        if self.tail.is_empty() || self.skipping {
            return;
        }
        let pipeline = &mut inlet.shard().pipeline;
        pipeline.begin();
        pipeline.lines(&self.tail, &Source { listener, peer: self.peer });
        pipeline.publish(listener, Feeder::Stream, full);
    }
}

async fn answer(stream: &TcpStream) {
    let mut rest = HTTP_ANSWER;
    while !rest.is_empty() && stream.writable().await.is_ok() {
        match stream.try_write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
