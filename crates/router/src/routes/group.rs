//! Tiers that treat Graphite names alike, so that a name is made ready once for all of them.

use coco_ring::Key;
use coco_wire::{
    line::{self, Line, tag_key},
    names::{Named, Names},
};

use super::Tier;
use crate::plan::TargetProtocol;

/// Positions of the tiers that share one rule for names.
#[derive(Debug)]
pub(crate) struct NameGroup {
    pub(crate) names: Names,
    pub(super) tiers: Vec<usize>,
}

/// A name made ready for the tiers of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed<'a> {
    /// What is hashed.
    pub(crate) key: Key<'a>,
    /// What goes on; the client's own bytes if nothing had to change.
    pub(crate) name: &'a [u8],
}

impl NameGroup {
    /// The tiers that carry Graphite lines, grouped by their rule, in the order of the file.
    pub(super) fn all(tiers: &[Tier]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for (at, tier) in tiers.iter().enumerate().filter(|(_, tier)| tier.carries_lines()) {
            match groups.iter_mut().find(|group| group.names == tier.names) {
                Some(group) => group.tiers.push(at),
                None => groups.push(Self { names: tier.names.clone(), tiers: vec![at] }),
            }
        }
        groups
    }

    /// Reads a loose line as its relay does.
    pub(crate) fn read<'a>(&self, text: &'a [u8]) -> Option<Line<'a>> {
        read(&self.names, text)
    }

    /// What its tiers make of a name; `None` if the relay that they follow would not take it.
    ///
    /// `sorted` is the key of the name with its tags sorted; it is used again where it is the right one.
    #[inline]
    pub(crate) fn place<'a>(
        &self,
        name: &'a [u8],
        sorted: &Key<'a>,
        scratch: &'a mut Vec<u8>,
    ) -> Option<Placed<'a>> {
        if matches!(self.names, Names::Sorted) {
            return Some(Placed { key: *sorted, name });
        }
        let named = self.names.apply(name, scratch)?;
        let is_sorted = std::ptr::eq(named.key, sorted.bytes());
        let key = if is_sorted { *sorted } else { Key::new(named.key) };
        Some(Placed { key, name: named.name })
    }
}

/// Whether a line has a blank beyond ASCII: carbon parts fields there, other relays do not.
pub(crate) fn has_odd_blank(text: &[u8]) -> bool {
    let odd = |char: char| !char.is_ascii() && char.is_whitespace();
    !text.is_ascii() && std::str::from_utf8(text).is_ok_and(|text| text.contains(odd))
}

/// Reads a line by a rule.
fn read<'a>(names: &Names, text: &'a [u8]) -> Option<Line<'a>> {
    if *names == Names::Sorted { line::parse(text).ok() } else { names.parse(text) }
}

/// What a tier makes of a name that somebody asks for; `None` if no sample can come under it.
///
/// A Graphite tier takes it for the name of a line, which is read and cleaned as on the data path; a
/// collectd tier for a host, or an identifier; an embedded one, which carries both, for either.
pub(crate) fn asked<'a>(
    protocol: TargetProtocol,
    names: &Names,
    name: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Option<Named<'a>> {
    match protocol {
        TargetProtocol::Collectd => Some(Named { name, key: name }),
        TargetProtocol::Embedded => Some(Named { name, key: tag_key(name, scratch) }),
        TargetProtocol::LineTcp | TargetProtocol::LineUdp | TargetProtocol::Pickle => {
            let line = [name, b" 1 1"].concat();
            let parsed = if has_odd_blank(&line) { None } else { line::parse(&line).ok() };
            let parsed = parsed.or_else(|| read(names, &line))?;
            // What stands before a name may be passed over; what is cut off behind it was no name.
            let start = parsed.name.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
            let is_whole = start + parsed.name.len() == name.len() && parsed.value == b"1";
            let named = names.apply(name.get(start..).filter(|_| is_whole)?, scratch)?;
            let can_leave =
                protocol != TargetProtocol::Pickle || std::str::from_utf8(named.name).is_ok();
            can_leave.then_some(named)
        }
    }
}
