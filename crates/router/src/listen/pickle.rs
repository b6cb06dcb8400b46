//! Graphite pickle frames over TCP: a 4-byte big-endian length, then a pickle of datapoints.
//!
//! A broken frame costs itself and nothing else; a length over 1 MiB ends the connection, because what
//! follows cannot be told apart any more.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use coco_wire::pickle::{FRAME_BYTES_MAX, PickleErrorKind};

use crate::{
    handover::Started,
    listen::client::{Next, Units},
    pipeline::{Pipeline, Source},
};

/// Bytes of the length before each frame.
const HEADER_BYTES: usize = 4;

/// Bytes of unfinished frames over all clients; a client that would pass it is closed.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// The beginning of a frame whose end has not come.
#[derive(Debug)]
pub(crate) struct Frames {
    kept: Vec<u8>,
    /// Bytes that all clients keep.
    kept_by_all: Arc<AtomicUsize>,
}

impl Frames {
    pub(crate) fn new(kept_by_all: Arc<AtomicUsize>, started: Started) -> Self {
        kept_by_all.fetch_add(started.bytes.len(), Ordering::Relaxed);
        Self { kept: started.bytes, kept_by_all }
    }

    /// Keeps `rest` instead of what was kept; `false` when all clients together keep too much.
    fn keep(&mut self, rest: &[u8]) -> bool {
        self.kept_by_all.fetch_sub(self.kept.len(), Ordering::Relaxed);
        // A frame may have been large; a client without a started one holds no memory.
        self.kept = rest.to_vec();
        self.kept_by_all.fetch_add(rest.len(), Ordering::Relaxed) + rest.len() <= KEPT_BYTES_MAX
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.kept_by_all.fetch_sub(self.kept.len(), Ordering::Relaxed);
    }
}

impl Units for Frames {
    fn kept(&self) -> &[u8] {
        &self.kept
    }

    fn route(&mut self, bytes: &[u8], pipeline: &mut Pipeline, from: &Source<'_>) -> Next {
        let mut bytes = bytes;
        while let Some((header, behind)) = bytes.split_first_chunk::<HEADER_BYTES>() {
            let len = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
            if len > FRAME_BYTES_MAX {
                pipeline.reject_unit(PickleErrorKind::TooLong.as_str(), from, || {
                    format!("frame of {len} bytes, the limit is {FRAME_BYTES_MAX}; closed")
                });
                return Next::Close(b"");
            }
            let Some((frame, rest)) = behind.split_at_checked(len) else { break };
            let unit = pipeline.tally().begin_unit();
            pipeline.pickle(frame, from);
            pipeline.tally().end_unit(&unit);
            bytes = rest;
        }
        if self.keep(bytes) {
            return Next::Read;
        }
        pipeline.reject_unit("unfinished_frames", from, || {
            format!("all clients together keep over {KEPT_BYTES_MAX} bytes of unfinished frames")
        });
        Next::Close(b"")
    }

    fn finish(&mut self, _pipeline: &mut Pipeline, _from: &Source<'_>) -> bool {
        false
    }

    fn started(&mut self) -> Started {
        let bytes = std::mem::take(&mut self.kept);
        self.kept_by_all.fetch_sub(bytes.len(), Ordering::Relaxed);
        Started { bytes, ..Started::default() }
    }
}
