//! What other relays make of a Graphite name, so that behind Coco a store sees the name that it saw
//! behind them, and the same key is hashed.
//!
//! Source of the rules: the relays' sources and answers recorded from carbon 1.1.10, carbon-c-relay
//! 3.9 and nanotube 1.2; carbon-relay-ng as read in its source.
//!
//! Invariant: a name that needs no change is returned as the caller's own slice; what is put
//! together stands in the caller's scratch space. Nothing is allocated but to grow that space, and
//! to sort more than 32 tags. Not here: hashing, values and times (read as [`crate::line`] does).

mod allowed;
mod carbon;
mod classes;
mod clean;
mod open_metrics;
mod read;

pub use allowed::Allowed;

use crate::line::{Line, tag_key};

/// How a tier treats the names of Graphite lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Names {
    /// The key is the name with its tags sorted; the name goes on as it came.
    #[default]
    Sorted,
    /// Key and name as they came, whatever the bytes: as carbon-relay-ng does, and nanotube without
    /// `NormalizeRecords`.
    AsIs,
    /// As carbon-relay.py: the name goes on as it came, or rewritten.
    Carbon {
        /// The setting `TAG_RELAY_NORMALIZED`: tags are sorted and made unique, and OpenMetrics'
        /// `name{tag="value"}` becomes `name;tag=value`.
        normalize_tags: bool,
    },
    /// As carbon-c-relay: cleaned; tags go on but are no part of the key.
    CRelay(Allowed),
    /// As nanotube with `NormalizeRecords`: cleaned, and tags become part of the name.
    Nanotube,
}

/// What a tier makes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// What goes on.
    pub name: &'a [u8],
    /// What is hashed.
    pub key: &'a [u8],
}

impl<'a> Named<'a> {
    /// A name that is its own key.
    fn alike(name: &'a [u8]) -> Self {
        Self { name, key: name }
    }
}

impl Names {
    /// What becomes of `name`, which is the name field of a line: [`Line::name`]. `None` when nothing
    /// is left of it. What had to be put together stands in `scratch`, whose old content is lost; a
    /// name that only loses dots at its ends is a part of `name`, an unchanged one is `name` itself.
    #[inline]
    pub fn apply<'a>(&self, name: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<Named<'a>> {
        match self {
            Self::Sorted => Some(Named { name, key: tag_key(name, scratch) }),
            Self::AsIs | Self::Carbon { normalize_tags: false } => Some(Named::alike(name)),
            Self::Carbon { normalize_tags: true } => {
                Some(Named::alike(carbon::normalize(name, scratch)))
            }
            Self::CRelay(allowed) => clean::as_c_relay(name, allowed.classes(), scratch),
            Self::Nanotube => clean::as_nanotube(name, scratch),
        }
    }

    /// Reads a line that [`crate::line::parse`] refuses and this relay takes: control bytes or other
    /// than UTF-8 in the name, other blanks. Value and time must be as [`crate::line::parse`] wants
    /// them. `line` has no LF; one CR at its end is dropped. `None` for what is not taken, and for
    /// every line when the names are [`Names::Sorted`].
    ///
    /// A line that both take may be divided differently: [`crate::line::parse`] splits at Unicode's
    /// blanks too, which are part of the name to all but carbon. Asked first, this answers as the
    /// relay does.
    ///
    /// The line's `text` may have any byte but LF, its `name` any but LF and the relay's blanks. The
    /// name is not changed: that is for [`Names::apply`].
    #[must_use]
    pub fn parse<'a>(&self, line: &'a [u8]) -> Option<Line<'a>> {
        match self {
            Self::Sorted => None,
            Self::AsIs | Self::Nanotube => read::blank_separated(line),
            Self::Carbon { .. } => read::as_python(line),
            Self::CRelay(_) => read::as_c_relay(line),
        }
    }
}
