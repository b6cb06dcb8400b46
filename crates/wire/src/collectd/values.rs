//! The values of one value list: kind bytes and raw 8-byte values, borrowed and unconverted.
//!
//! Invariant of [`Values`]: 1 to [`VALUES_MAX`] values, every kind byte known, 8 raw bytes for each.
//! Layout: collectd 5.12 network plugin. Not here: names of data sources, they are in types.db.

/// Most values in one list: what a part length of 16 bits allows (6 bytes and 9 for each value).
const VALUES_MAX: usize = (0xffff - 6) / 9;

/// The values of one value list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values<'a> {
    kinds: &'a [u8],
    raw: &'a [u8],
}

impl<'a> Values<'a> {
    /// Values from `kinds` (one byte each: 0 counter, 1 gauge, 2 derive, 3 absolute) and `raw` (8
    /// bytes each: big-endian, but a gauge is a little-endian IEEE double).
    ///
    /// # Errors
    /// [`BadValues`] says which part of the invariant does not hold.
    pub fn try_new(kinds: &'a [u8], raw: &'a [u8]) -> Result<Self, BadValues> {
        if kinds.is_empty() || kinds.len() > VALUES_MAX {
            return Err(BadValues::Count);
        }
        if raw.len() != kinds.len() * 8 {
            return Err(BadValues::Length);
        }
        if kinds.iter().any(|kind| *kind > 3) {
            return Err(BadValues::Kind);
        }
        Ok(Self { kinds, raw })
    }

    /// How many values: 1 to 7281.
    #[inline]
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a value list holds at least one value")]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The kind bytes, one for each value.
    #[inline]
    #[must_use]
    pub fn kinds(&self) -> &'a [u8] {
        self.kinds
    }

    /// The raw values, 8 bytes for each.
    #[inline]
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Kind and raw bytes of each value, in the order of the wire.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (Kind, [u8; 8])> + 'a {
        let (raw, _) = self.raw.as_chunks::<8>();
        self.kinds.iter().filter_map(|kind| Kind::from_wire(*kind)).zip(raw.iter().copied())
    }
}

/// What is wrong with the input of [`Values::try_new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadValues {
    /// No value, or more than 7281.
    #[error("number of values not in 1 to 7281")]
    Count,
    /// Not 8 raw bytes for each kind.
    #[error("raw values are not 8 bytes each")]
    Length,
    /// A kind byte over 3.
    #[error("unknown kind of value")]
    Kind,
}

/// The kind of one value. It tells the byte order on the wire; types.db rules afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 0: a count that wraps.
    Counter,
    /// 1: a reading that goes up and down.
    Gauge,
    /// 2: a signed count of which the rate matters.
    Derive,
    /// 3: a count since the last reading.
    Absolute,
}

impl Kind {
    /// The kind behind a byte of the wire; `None` over 3.
    #[inline]
    #[must_use]
    pub fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Derive),
            3 => Some(Self::Absolute),
            _ => None,
        }
    }

    /// The byte of this kind on the wire.
    #[must_use]
    pub fn to_wire(self) -> u8 {
        match self {
            Self::Counter => 0,
            Self::Gauge => 1,
            Self::Derive => 2,
            Self::Absolute => 3,
        }
    }

    /// collectd's name of the kind, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Derive => "derive",
            Self::Absolute => "absolute",
        }
    }
}

/// One value as a number, for display and for storing; never for forwarding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// All 64 bits count.
    Counter(u64),
    /// NaN means "no value".
    Gauge(f64),
    /// May be negative.
    Derive(i64),
    /// All 64 bits count.
    Absolute(u64),
}

impl Value {
    /// The number in the 8 raw bytes of a value of this kind.
    #[must_use]
    pub fn new(kind: Kind, raw: [u8; 8]) -> Self {
        match kind {
            Kind::Counter => Self::Counter(u64::from_be_bytes(raw)),
            Kind::Gauge => Self::Gauge(f64::from_le_bytes(raw)),
            Kind::Derive => Self::Derive(i64::from_be_bytes(raw)),
            Kind::Absolute => Self::Absolute(u64::from_be_bytes(raw)),
        }
    }

    /// The nearest double. Integers over 2⁵³ lose low bits.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Counter(count) | Self::Absolute(count) => count as f64,
            Self::Gauge(reading) => reading,
            Self::Derive(count) => count as f64,
        }
    }
}
