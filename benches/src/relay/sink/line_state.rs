//! What line sinks know: counts, the first bytes of each, and how old the lines were.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use hdrhistogram::Histogram;
use memchr::{memchr, memchr_iter, memrchr};

use super::Places;

/// Bytes that all sinks together keep of what comes first, to see which names came.
const HEADS_BYTES: usize = 16 << 20;

/// Latencies are kept from 1 µs to 1,000 s, to three digits.
const LATENCY_NANOS: (u64, u64) = (1_000, 1_000_000_000_000);

/// Shared between the thread that reads and those who ask.
#[derive(Debug)]
pub(super) struct State {
    pub(super) lines: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) sinks: Vec<Sink>,
    /// Lines carry as their value the nanoseconds since then at which they were sent.
    epoch: Option<Instant>,
    latencies: Mutex<Option<Histogram<u64>>>,
    pub(super) stop: AtomicBool,
    /// The slow sink may read on as fast as the others.
    pub(super) hurry: AtomicBool,
}

/// What has come to one sink.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) lines: AtomicU64,
    head: Mutex<Vec<u8>>,
}

impl State {
    pub(super) fn new(sinks: usize, epoch: Option<Instant>) -> Self {
        let (low, high) = LATENCY_NANOS;
        let histogram = epoch.and_then(|_| Histogram::new_with_bounds(low, high, 3).ok());
        Self {
            lines: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            sinks: (0..sinks).map(|_| Sink::default()).collect(),
            epoch,
            latencies: Mutex::new(histogram),
            stop: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
        }
    }

    /// Counts what came to a sink.
    pub(super) fn take(&self, at: usize, bytes: &[u8]) {
        let lines = memchr_iter(b'\n', bytes).fold(0, |count, _| count + 1);
        if let Some(sink) = self.sinks.get(at) {
            sink.lines.fetch_add(lines, Ordering::Release);
            let mut head = sink.head.lock().unwrap_or_else(PoisonError::into_inner);
            let room = (HEADS_BYTES / self.sinks.len()).saturating_sub(head.len());
            head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        self.lines.fetch_add(lines, Ordering::Release);
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Release);
    }

    /// Notes how old the lines are that `kept`, from before, and `bytes` make; keeps the rest.
    pub(super) fn date(&self, kept: &mut Vec<u8>, bytes: &[u8]) {
        let Some(epoch) = self.epoch else { return };
        let now = u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        kept.extend_from_slice(bytes);
        let whole = memrchr(b'\n', kept).map_or(0, |at| at + 1);
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latencies) = latencies.as_mut() {
            for line in kept.get(..whole).unwrap_or_default().split(|&byte| byte == b'\n') {
                if let Some(sent) = value(line) {
                    latencies.saturating_record(now.saturating_sub(sent));
                }
            }
        }
        kept.drain(..whole);
    }

    /// The latencies so far, which begin anew.
    pub(super) fn take_latencies(&self) -> Option<Histogram<u64>> {
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = latencies.as_ref().map(Histogram::new_from);
        std::mem::replace(&mut *latencies, fresh)
    }

    /// Where the first names arrived.
    pub(super) fn places(&self) -> Places {
        let mut places = Places::default();
        for (at, sink) in self.sinks.iter().enumerate() {
            let head = sink.head.lock().unwrap_or_else(PoisonError::into_inner);
            for line in head.split_inclusive(|&byte| byte == b'\n') {
                // The last one may be cut.
                if line.ends_with(b"\n")
                    && let Some(end) = memchr(b' ', line)
                {
                    places.note(line.get(..end).unwrap_or_default(), at);
                }
            }
        }
        places
    }
}

/// The value of a line, if it is a whole number.
fn value(line: &[u8]) -> Option<u64> {
    let text = line.split(|&byte| byte == b' ').nth(1)?;
    text.iter().try_fold(0_u64, |number, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_line_cut_in_two_is_noted_once() {
        let state = State::new(1, Some(Instant::now()));
        let mut kept = Vec::new();
        state.date(&mut kept, b"a 1 17\nb ");
        state.date(&mut kept, b"2 17\nc x 17\n");
        assert!(kept.is_empty());
        assert_eq!(state.take_latencies().unwrap().len(), 2);
        assert_eq!(state.take_latencies().unwrap().len(), 0);
    }
}
