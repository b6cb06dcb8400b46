//! The resend window: the last bytes that went to a target, kept for the connection after this one.
//!
//! That the kernel took bytes does not mean that the target has them: what waits in either machine's kernel is
//! lost with the connection. So the last bytes that were written are kept, and written again first on the next
//! connection. No I/O and no clock here: the worker tells what it wrote.
//!
//! The bytes are copied, into a ring that never has more than its bound: to keep the chunks themselves would
//! keep their memory too, which may be a hundred times what is in them, and would take it out of the cache.

use std::{collections::VecDeque, io::IoSlice};

use memchr::memrchr;

use crate::chunk::{Chunk, Format};

/// Entries of lines are joined up to this part of the bound.
const ENTRIES: usize = 16;

/// The last bytes that were written to one target: whole lines or whole frames.
#[derive(Debug, Default)]
pub(crate) struct Window {
    bytes: VecDeque<u8>,
    /// What the bytes are, from the first on.
    entries: VecDeque<Entry>,
    samples: u64,
    bytes_max: usize,
    /// So many of the bytes were written to the present connection. All of them, but for a while after a break.
    written: usize,
}

/// Some lines, or one frame.
#[derive(Debug)]
struct Entry {
    format: Format,
    /// Its bytes that are in the window. The first entry may have lost its first ones.
    bytes: usize,
    samples: u64,
    /// It has lost bytes, and so begins in the middle of a unit.
    is_cut: bool,
}

impl Window {
    /// Holds at most so many bytes from now on; 0: none are kept.
    pub(crate) fn set_bound(&mut self, bytes_max: usize) {
        if self.bytes_max != bytes_max {
            self.bytes_max = bytes_max;
            self.drop_oldest(self.bytes.len().saturating_sub(bytes_max));
            self.bytes.shrink_to(bytes_max);
        }
    }

    /// Samples in it: all that may not have arrived, as long as the window is wide enough.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// All of it was written to the present connection.
    pub(crate) fn is_written(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Keeps the units of `chunk` that are not settled and among its first `end` bytes: these were written to
    /// the present connection, behind all that is in the window.
    pub(crate) fn keep(&mut self, chunk: &Chunk, end: usize) {
        if self.bytes_max == 0 {
            return;
        }
        match chunk.format {
            Format::Lines => {
                let bytes = chunk.bytes.get(chunk.start..end).unwrap_or_default();
                let whole = memrchr(b'\n', bytes).map_or(0, |at| at + 1);
                let is_all = end == chunk.bytes.len() && whole == bytes.len();
                let bytes = bytes.get(..whole).unwrap_or_default();
                let samples = if is_all { chunk.samples } else { count_lines(bytes) };
                self.push(Format::Lines, bytes, samples);
            }
            Format::Frames => {
                let mut start = chunk.start;
                for frame in chunk.frames.iter().take_while(|frame| frame.end <= end) {
                    let unit = chunk.bytes.get(start..frame.end).unwrap_or_default();
                    self.push(Format::Frames, unit, frame.samples);
                    start = frame.end;
                }
            }
        }
    }

    fn push(&mut self, format: Format, bytes: &[u8], samples: u64) {
        let kept = bytes.len().min(self.bytes_max);
        if kept == 0 {
            return;
        }
        self.drop_oldest((self.bytes.len() + kept).saturating_sub(self.bytes_max));
        self.grow(kept);
        self.bytes.extend(bytes.get(bytes.len() - kept..).unwrap_or_default());
        self.written = self.bytes.len();
        self.samples += samples;
        let is_cut = kept < bytes.len();
        match self.entries.back_mut() {
            Some(last)
                if format == Format::Lines
                    && last.format == format
                    && last.bytes + kept <= self.bytes_max / ENTRIES =>
            {
                last.bytes += kept;
                last.samples += samples;
            }
            _ => self.entries.push_back(Entry { format, bytes: kept, samples, is_cut }),
        }
    }

    /// Makes room for so many bytes: twice as much as there was, but never more than the bound.
    fn grow(&mut self, more: usize) {
        let (needed, has) = (self.bytes.len() + more, self.bytes.capacity());
        if needed > has {
            let room = needed.max(2 * has).min(self.bytes_max);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
    }

    /// Drops so many of the first bytes.
    fn drop_oldest(&mut self, bytes: usize) {
        let mut left = bytes;
        while left > 0
            && let Some(first) = self.entries.front_mut()
        {
            if first.bytes > left {
                first.bytes -= left;
                first.is_cut = true;
                break;
            }
            left -= first.bytes;
            self.samples -= first.samples;
            self.entries.pop_front();
        }
        self.bytes.drain(..bytes.min(self.bytes.len()));
        self.written = self.written.saturating_sub(bytes);
    }

    /// The connection is gone: all is to be written again, from its first whole unit on.
    pub(crate) fn rewind(&mut self) {
        if let Some(first) = self.entries.front_mut().filter(|first| first.is_cut) {
            let part = match first.format {
                Format::Lines => {
                    let mut bytes = self.bytes.iter().take(first.bytes);
                    bytes.position(|&byte| byte == b'\n').map_or(first.bytes, |at| at + 1)
                }
                Format::Frames => first.bytes,
            };
            self.drop_oldest(part);
        }
        if let Some(first) = self.entries.front_mut().filter(|first| first.is_cut) {
            // What is left of it begins with a whole line.
            let lines = count(self.bytes.iter().take(first.bytes));
            self.samples -= first.samples - lines;
            (first.samples, first.is_cut) = (lines, false);
        }
        self.written = 0;
    }

    /// Takes out all of it, after [`rewind`](Self::rewind), for somebody else to write.
    pub(crate) fn take(&mut self) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            let bytes: Vec<u8> = self.bytes.drain(..entry.bytes).collect();
            let mut chunk = Chunk::default();
            match entry.format {
                Format::Lines => (chunk.bytes, chunk.samples) = (bytes, entry.samples),
                Format::Frames => chunk.push_frame(&bytes, entry.samples),
            }
            match chunks.last_mut() {
                Some(last) if last.format == chunk.format => last.append(&chunk),
                _ => chunks.push(chunk),
            }
        }
        *self = Self::default();
        chunks
    }

    /// What is to be written again now.
    pub(crate) fn slices(&self) -> [IoSlice<'_>; 2] {
        let (first, second) = self.bytes.as_slices();
        let skipped = self.written.min(first.len());
        let first = first.get(skipped..).unwrap_or_default();
        let second = second.get(self.written - skipped..).unwrap_or_default();
        [IoSlice::new(first), IoSlice::new(second)]
    }

    /// So many bytes of these were written; returns the samples of the units that are whole by that.
    pub(crate) fn wrote(&mut self, bytes: usize) -> u64 {
        let from = self.written;
        self.written = (from + bytes).min(self.bytes.len());
        let (mut start, mut samples) = (0, 0);
        for entry in &self.entries {
            let end = start + entry.bytes;
            samples += match entry.format {
                Format::Frames if (from + 1..=self.written).contains(&end) => entry.samples,
                Format::Lines if end > from && start < self.written => {
                    count(self.bytes.range(from.max(start)..self.written.min(end)))
                }
                Format::Frames | Format::Lines => 0,
            };
            start = end;
        }
        samples
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    count(bytes.iter())
}

fn count<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0, |count, &byte| count + u64::from(byte == b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is to be written again, without a break.
    fn pending(window: &Window) -> Vec<u8> {
        window.slices().iter().flat_map(|slice| slice.to_vec()).collect()
    }

    fn lines(numbers: std::ops::Range<u64>) -> Chunk {
        let mut chunk = Chunk::default();
        numbers.for_each(|number| chunk.push_line(format!("name {number} 1").as_bytes()));
        chunk
    }

    fn frames(sizes: &[usize]) -> Chunk {
        let mut chunk = Chunk::default();
        for (at, &size) in sizes.iter().enumerate() {
            chunk.push_frame(&vec![b'a' + u8::try_from(at).unwrap(); size], 3);
        }
        chunk
    }

    fn window(bytes_max: usize, chunk: &Chunk) -> Window {
        let mut window = Window::default();
        window.set_bound(bytes_max);
        window.keep(chunk, chunk.bytes.len());
        window
    }

    #[test]
    fn whole_lines_are_written_again_and_what_is_older_is_not() {
        let mut window = window(100, &lines(10..30));
        assert!(window.is_written() && pending(&window).is_empty());
        window.rewind();
        let kept = lines(22..30);
        // 100 bytes are 9 lines of 10 and one byte of the line before; this one begins behind a line end.
        assert!(pending(&window).ends_with(&kept.bytes) && pending(&window).len() <= 100);
        assert!(pending(&window).starts_with(b"name "));
        assert_eq!(window.samples(), u64::try_from(pending(&window).len() / 10).unwrap());
    }

    #[test]
    fn whole_frames_are_written_again() {
        let mut window = window(10, &frames(&[6, 5, 4]));
        window.rewind();
        assert_eq!((pending(&window), window.samples()), (b"bbbbbcccc".to_vec(), 6));
        assert_eq!([window.wrote(4), window.wrote(1), window.wrote(3)], [0, 3, 0]);
        window.rewind();
        assert_eq!(pending(&window), b"bbbbbcccc", "from its start");
        assert_eq!(window.wrote(9), 6);
        assert!(window.is_written());
    }

    #[test]
    fn what_is_to_be_written_again_can_go_elsewhere() {
        let mut window = window(1000, &lines(10..30));
        window.keep(&frames(&[6, 5]), 11);
        window.keep(&lines(30..33), 20);
        let samples = window.samples();
        window.rewind();
        let chunks = window.take();
        let frames = chunks[1].frames.iter().map(|frame| (frame.end, frame.samples));
        assert_eq!(frames.collect::<Vec<_>>(), [(6, 3), (11, 3)]);
        let bytes = [lines(10..30).bytes, b"aaaaaabbbbb".to_vec(), lines(30..32).bytes];
        assert_eq!(chunks.iter().map(|chunk| chunk.bytes.clone()).collect::<Vec<_>>(), bytes);
        assert_eq!(chunks.iter().map(|chunk| chunk.samples).sum::<u64>(), samples);
        assert_eq!((window.samples(), window.is_written()), (0, true));
    }

    #[test]
    fn only_what_a_connection_took_whole_is_kept() {
        let chunk = lines(10..20);
        let mut window = Window::default();
        window.set_bound(1000);
        window.keep(&chunk, 35);
        window.rewind();
        assert_eq!((pending(&window), window.samples()), (lines(10..13).bytes, 3));
        let chunk = frames(&[4, 4]);
        let mut window = Window::default();
        window.set_bound(1000);
        window.keep(&chunk, 7);
        assert_eq!(window.samples(), 3);
    }

    #[test]
    fn a_window_without_bytes_keeps_nothing_and_one_that_shrinks_the_newest() {
        assert!(window(0, &lines(0..9)).is_written());
        let mut window = window(1000, &lines(10..30));
        window.set_bound(30);
        window.rewind();
        assert!(lines(10..30).bytes.ends_with(&pending(&window)) && pending(&window).len() <= 30);
        assert!(window.bytes.capacity() < 100, "{}", window.bytes.capacity());
        window.set_bound(0);
        assert_eq!((window.samples(), window.is_written()), (0, true));
    }

    /// A sender and receivers whose connections break at any byte, with some bytes on their way.
    struct Pair {
        random: fastrand::Rng,
        window: Window,
        /// Written, and not yet read.
        wire: Vec<u8>,
        /// The number of the line that comes next.
        next: u64,
        arrived: Vec<u64>,
        resent: u64,
    }

    /// Its first line; all have as many digits.
    const FIRST: u64 = 10_000;

    impl Pair {
        fn read(&mut self, wire: &[u8]) {
            for unit in wire.split_inclusive(|&byte| byte == b'\n').filter(|u| u.ends_with(b"\n")) {
                let number = std::str::from_utf8(unit).unwrap().split(' ').nth(1).unwrap();
                self.arrived.push(number.parse().expect("no unit is joined to another"));
            }
        }

        /// The rest of the window first, in writes of any size.
        fn write_again(&mut self) {
            while !self.window.is_written() && self.random.u8(..8) > 0 {
                let offered = pending(&self.window);
                let size = self.random.usize(1..=offered.len());
                self.wire.extend_from_slice(&offered[..size]);
                self.resent += self.window.wrote(size);
            }
        }

        /// Writes some lines, if nothing is to be written again; `false` if the connection broke.
        fn write(&mut self, as_frames: bool) -> bool {
            let mut chunk = lines(self.next..self.next + self.random.u64(1..40));
            if as_frames {
                let ends = memchr::memchr_iter(b'\n', &chunk.bytes);
                let frame = |end| crate::chunk::Frame { end: end + 1, samples: 1 };
                (chunk.frames, chunk.format) = (ends.map(frame).collect(), Format::Frames);
            }
            if !self.window.is_written() {
                return false;
            }
            let all = chunk.bytes.len();
            let size = if self.random.bool() { all } else { self.random.usize(..all) };
            self.wire.extend_from_slice(&chunk.bytes[..size]);
            self.window.keep(&chunk, size);
            self.next += chunk.settle(size);
            size == all
        }

        /// The receiver reads all but the last bytes, `lost_max` at most.
        fn lose(&mut self, lost_max: usize) {
            self.window.rewind();
            let wire = std::mem::take(&mut self.wire);
            let lost = self.random.usize(..=lost_max).min(wire.len());
            self.read(&wire[..wire.len() - lost]);
        }
    }

    fn break_often(seed: u64, as_frames: bool) {
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes_max = random.usize(100..5_000);
        let (window, wire, arrived) = (Window::default(), Vec::new(), Vec::new());
        let mut pair = Pair { random, window, wire, next: FIRST, arrived, resent: 0 };
        pair.window.set_bound(bytes_max);
        // A write that was lost was no longer than the window but for one unit, which the window may cut.
        let lost_max = bytes_max - bytes_max.min(40);
        for _ in 0..500 {
            pair.write_again();
            let broke = !pair.write(as_frames);
            let Window { bytes, .. } = &pair.window;
            assert!(bytes.len() <= bytes_max && bytes.capacity() <= bytes_max.max(8));
            if broke {
                pair.lose(lost_max);
            }
        }
        pair.lose(0);
        let (rest, in_doubt) = (pending(&pair.window), pair.window.samples());
        pair.read(&rest);
        let Pair { mut arrived, next, resent, .. } = pair;
        let copies = u64::try_from(arrived.len()).unwrap();
        arrived.sort_unstable();
        arrived.dedup();
        assert_eq!(arrived, (FIRST..next).collect::<Vec<_>>(), "seed {seed}");
        let twice = copies - (next - FIRST);
        assert!(twice <= resent + in_doubt, "seed {seed}: {twice} twice, {resent} resent");
    }

    #[test]
    fn connections_that_break_anywhere_lose_nothing_that_the_window_has() {
        let seed = fastrand::u64(..1 << 40);
        for seed in seed..seed + 200 {
            break_often(seed, false);
            break_often(seed, true);
        }
    }
}
