//! The hot path: a batch is cut into lines, and most lines into fields, in one pass.
//!
//! A first step marks the bytes that matter, 64 at a time and without a branch for each: what is not
//! printable ASCII, blanks and `;`. A second step walks the marks: a line whose first ones are a blank, a
//! blank and LF has its three fields, and only their numbers are left to check.
//!
//! Invariants: the texts are those between the LFs, in order, the last one also without LF; a line that
//! is found here is the one that [`super::parse`] finds in its text. Not here: all other lines.

use wide::i8x16;

use super::{Line, Timestamp};

/// Bytes that are marked at once: the marks of usual lines stay in the first-level cache.
const WINDOW_BYTES: usize = 16 * 1024;

/// Bytes that one word of bits tells about.
const STEP_BYTES: usize = 64;

/// Marks written at once: rarely has a step more.
const MARKS_AT_ONCE: usize = 4;

/// Memory for the marks of one window, 64 KiB from the first batch on; used again for every batch.
#[derive(Debug, Default)]
pub struct Scanner {
    marks: Vec<u32>,
}

impl Scanner {
    /// The lines of a batch, which begins with the beginning of a line.
    #[inline]
    pub fn lines<'a, 's>(&'s mut self, batch: &'a [u8]) -> Lines<'a, 's> {
        self.marks.resize(WINDOW_BYTES + MARKS_AT_ONCE, 0);
        let marks = Marks { places: &mut self.marks, used: 0, next: 0 };
        Lines { rest: batch, window: &[], at: 0, marks }
    }
}

/// A line as it stands in a batch. Small, so that it need not go through memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned<'a> {
    /// The client's bytes, without LF; those of a usual line also without CR.
    pub text: &'a [u8],
    /// Where name and value end; nowhere in a line of another kind.
    ends: Option<[u32; 2]>,
    /// A byte `;` stands before the end of the name.
    tagged: bool,
}

impl<'a> Scanned<'a> {
    /// The line, if it is of the usual kind: printable ASCII, single blanks between its fields, numbers
    /// of digits with a sign or a point, a time that is given. `None` says nothing about the line.
    #[inline]
    #[must_use]
    pub fn usual(&self) -> Option<Line<'a>> {
        let [name_end, value_end] = self.ends?.map(|end| end as usize);
        Some(Line {
            name: self.text.get(..name_end)?,
            value: self.text.get(name_end + 1..value_end)?,
            time: Timestamp::Given(self.text.get(value_end + 1..)?),
            text: self.text,
        })
    }

    /// The name of a usual line has a `;` in it.
    #[inline]
    #[must_use]
    pub fn is_tagged(&self) -> bool {
        self.tagged
    }
}

/// The lines of one batch.
#[derive(Debug)]
pub struct Lines<'a, 's> {
    /// From the beginning of the window to the end of the batch.
    rest: &'a [u8],
    /// What the marks tell about, a beginning of `rest`.
    window: &'a [u8],
    /// Where the present line begins in the window.
    at: u32,
    marks: Marks<'s>,
}

/// Places in the window, ascending.
#[derive(Debug)]
struct Marks<'s> {
    places: &'s mut [u32],
    used: usize,
    /// The first one that is not before the present line.
    next: usize,
}

impl<'a> Iterator for Lines<'a, '_> {
    type Item = Scanned<'a>;

    #[inline]
    fn next(&mut self) -> Option<Scanned<'a>> {
        self.marked().or_else(|| self.beyond_the_marks())
    }
}

impl<'a> Lines<'a, '_> {
    /// The next line, if the marks reach to its end.
    #[inline]
    fn marked(&mut self) -> Option<Scanned<'a>> {
        let mut next = self.marks.next;
        let (mut name_end, mut byte) = self.mark(next)?;
        let mut tagged = false;
        while byte == b';' {
            tagged = true;
            next += 1;
            (name_end, byte) = self.mark(next)?;
        }
        if matches!(byte, b' ' | b'\t')
            && let Some((value_end, b' ' | b'\t')) = self.mark(next + 1)
            && let Some((end, lf)) = self.line_end(next + 2)
            && let Some(ends) = self.ends([name_end, value_end, end])
        {
            let text = self.window.get(self.at as usize..end as usize)?;
            self.begin_after(lf);
            return Some(Scanned { text, ends: Some(ends), tagged });
        }
        self.unusual()
    }

    /// The end of a line, LF or CR LF: where it begins, and which mark is its LF.
    #[inline]
    fn line_end(&self, at: usize) -> Option<(u32, usize)> {
        match self.mark(at)? {
            (end, b'\n') => Some((end, at)),
            (end, b'\r') if self.mark(at + 1) == Some((end + 1, b'\n')) => Some((end, at + 1)),
            _ => None,
        }
    }

    /// A line that is found by its end alone.
    #[inline(never)]
    fn unusual(&mut self) -> Option<Scanned<'a>> {
        let mut lf = self.marks.next;
        while self.mark(lf)?.1 != b'\n' {
            lf += 1;
        }
        let text = self.window.get(self.at as usize..self.mark(lf)?.0 as usize)?;
        self.begin_after(lf);
        Some(Scanned { text, ends: None, tagged: false })
    }

    /// Begins the next line behind the LF at this mark.
    #[inline]
    fn begin_after(&mut self, lf: usize) {
        self.at = self.mark(lf).map_or(0, |(place, _)| place + 1);
        self.marks.next = lf + 1;
    }

    /// A mark and the byte there.
    #[inline]
    fn mark(&self, at: usize) -> Option<(u32, u8)> {
        let place = *self.marks.places.get(..self.marks.used)?.get(at)?;
        Some((place, *self.window.get(place as usize)?))
    }

    /// Where name and value end in the line whose fields end at these places, if its numbers are usual.
    #[inline]
    fn ends(&self, [name_end, value_end, end]: [u32; 3]) -> Option<[u32; 2]> {
        let numbers = Numbers::read(self.rest, name_end as usize + 1);
        let usual =
            name_end > self.at && numbers.are_usual(value_end - name_end - 1, end - value_end - 1);
        usual.then_some([name_end - self.at, value_end - self.at])
    }

    /// Moves the window to the present line and begins anew; if even so no end is in it, the line is a
    /// very long one, or the last.
    #[cold]
    fn beyond_the_marks(&mut self) -> Option<Scanned<'a>> {
        self.rest = self.rest.get(self.at as usize..).unwrap_or_default();
        self.at = 0;
        self.window = self.rest.get(..WINDOW_BYTES).unwrap_or(self.rest);
        self.marks.fill(self.window);
        if self.rest.is_empty() {
            return None;
        }
        self.marked().or_else(|| {
            let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
            let text = self.rest.get(..end)?;
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            self.window = &[];
            self.marks.used = 0;
            Some(Scanned { text, ends: None, tagged: false })
        })
    }
}

impl Marks<'_> {
    /// Marks the bytes of a window.
    fn fill(&mut self, window: &[u8]) {
        (self.used, self.next) = (0, 0);
        let (steps, rest) = window.as_chunks::<STEP_BYTES>();
        let mut base = 0;
        for step in steps {
            self.push(base, marked_bytes(step));
            base += u64::BITS;
        }
        if !rest.is_empty() {
            self.push(base, marked_bytes(&padded(rest)));
        }
    }

    /// Adds the set bits of a word as places behind `base`.
    #[inline]
    fn push(&mut self, base: u32, mut bits: u64) {
        let count = bits.count_ones() as usize;
        let Some(places) = self.places.get_mut(self.used..) else { return };
        // The places beyond the last bit are written over by the next word.
        for place in places.iter_mut().take(MARKS_AT_ONCE) {
            *place = base + bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
        }
        for place in places.iter_mut().skip(MARKS_AT_ONCE) {
            if bits == 0 {
                break;
            }
            *place = base + bits.trailing_zeros();
            bits &= bits - 1;
        }
        self.used += count;
    }
}

/// The bytes with unmarked ones behind them.
#[inline]
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut padded = [b'a'; N];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    padded
}

/// A bit for each byte, the first one lowest: set if it is no printable ASCII, a blank or `;`.
#[inline]
fn marked_bytes(step: &[u8; STEP_BYTES]) -> u64 {
    bits(step, |bytes| {
        // Signed: bytes from 0x80 on are below all others.
        bytes.simd_lt(i8x16::splat(0x21))
            | bytes.simd_eq(i8x16::splat(0x7f))
            | bytes.simd_eq(i8x16::splat(b';'.cast_signed()))
    })
}

/// A bit for each byte, the first one lowest: whether a test of sixteen of them at a time is true.
#[inline]
fn bits(bytes: &[u8], test: impl Fn(i8x16) -> i8x16) -> u64 {
    let (sixteens, _) = bytes.as_chunks::<16>();
    sixteens.iter().rev().fold(0, |bits, sixteen| {
        let tested = test(i8x16::new(sixteen.map(u8::cast_signed)));
        bits << 16 | u64::from(tested.to_bitmask() & 0xffff)
    })
}

/// Value and time of a line: what kinds of bytes stand where, from the value's first one on.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    digits: u64,
    points: u64,
    /// The lowest bit: the first byte is a sign.
    sign: u64,
}

impl Numbers {
    /// Bytes that are looked at: a value of 17 digits and a time of 10 are 30.
    const BYTES: u32 = 32;

    /// Looks at the bytes that begin at `at`.
    #[inline]
    fn read(text: &[u8], at: usize) -> Self {
        let text = text.get(at..).unwrap_or_default();
        match text.first_chunk() {
            Some(bytes) => Self::of(bytes),
            None => Self::of(&padded(text)),
        }
    }

    #[inline]
    fn of(bytes: &[u8; Self::BYTES as usize]) -> Self {
        let digits = bits(bytes, |bytes| {
            // Flips the digits to 0 to 9, and everything else to more or, signed, to less.
            let bytes = bytes ^ i8x16::splat(b'0'.cast_signed());
            bytes.simd_lt(i8x16::splat(10)) & !bytes.simd_lt(i8x16::splat(0))
        });
        let points = bits(bytes, |bytes| bytes.simd_eq(i8x16::splat(b'.'.cast_signed())));
        let sign = u64::from(matches!(bytes.first(), Some(b'+' | b'-')));
        Self { digits, points, sign }
    }

    /// Whether there are a number of `value` bytes, perhaps with a sign, and behind one byte another of
    /// `time` bytes without: digits and at most one point, the time with a digit first.
    #[inline]
    fn are_usual(self, value: u32, time: u32) -> bool {
        if value == 0 || time == 0 || value + 1 + time > Self::BYTES {
            return false;
        }
        let Self { digits, points, sign } = self;
        let value_bits = (1_u64 << value) - 1;
        let time_bits = ((1_u64 << time) - 1) << (value + 1);
        let parts = digits | points;
        let has_one_point = |bits: u64| (points & bits) & (points & bits).wrapping_sub(1) == 0;
        (parts | sign) & value_bits == value_bits
            && parts & time_bits == time_bits
            && digits & value_bits != 0
            && digits >> (value + 1) & 1 == 1
            && has_one_point(value_bits)
            && has_one_point(time_bits)
    }
}
