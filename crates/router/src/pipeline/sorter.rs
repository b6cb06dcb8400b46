//! What was held for one target, sorted anew: each sample to its owner under a ring.
//!
//! A copy stays one copy: where a key has several owners it goes to the last of them. When a member has gone,
//! the others close up, and the last one is who has come in for it. Names are as they were sent, so they are
//! hashed as the tier's rule has it for such a name.

use coco_ring::{Key, TargetIdx};
use coco_wire::{
    collectd::{Decoder, Item},
    line,
};

use super::{
    collectd::{Kind, collectd_key, identity, pack},
    identity::HostKey,
};
use crate::{
    chunk::{Chunk, Format, OpenChunk},
    plan::TargetProtocol,
    routes::Tier,
    target::{Shed, record::push_lines_of},
};

/// Sorts chunks into those of their owners.
#[derive(Debug)]
pub(crate) struct Sorter<'r> {
    tier: &'r Tier,
    /// One for each member of the ring.
    open: Vec<OpenChunk>,
    /// Samples that go nowhere, and why.
    pub(crate) shed: Vec<(Shed, u64)>,
    scratch: Vec<u8>,
    owners: Vec<TargetIdx>,
}

impl<'r> Sorter<'r> {
    pub(crate) fn new(tier: &'r Tier) -> Self {
        let open = || OpenChunk::new(tier.datagram_bytes_max);
        Self {
            tier,
            open: tier.ring.members().iter().map(|_| open()).collect(),
            shed: Vec::new(),
            scratch: Vec::new(),
            owners: Vec::new(),
        }
    }

    /// Takes all samples of a chunk, as it was read from disk.
    pub(crate) fn sort(&mut self, chunk: &Chunk) {
        if chunk.format == Format::Lines {
            return self.lines(&chunk.bytes);
        }
        let mut start = 0;
        for frame in &chunk.frames {
            let unit = chunk.bytes.get(start..frame.end).unwrap_or_default();
            start = frame.end;
            match self.tier.protocol {
                TargetProtocol::Collectd | TargetProtocol::Embedded => {
                    self.datagram(unit, frame.samples);
                }
                TargetProtocol::Pickle => self.pickle(unit, frame.samples),
                TargetProtocol::LineTcp | TargetProtocol::LineUdp => self.lines(unit),
            }
        }
    }

    /// What was sorted so far, by the slot of the owner; empty ones are left out.
    pub(crate) fn finish(&mut self) -> impl Iterator<Item = (usize, Chunk)> {
        let first_slot = self.tier.first_slot;
        self.open.iter_mut().enumerate().filter_map(move |(at, open)| {
            open.finish();
            (!open.is_empty()).then(|| (first_slot + at, std::mem::take(&mut open.chunk)))
        })
    }

    fn lines(&mut self, lines: &[u8]) {
        for text in lines.split(|&byte| byte == b'\n').filter(|text| !text.is_empty()) {
            if !self.line(text) {
                self.shed.push((Shed::BadName, 1));
            }
        }
    }

    /// `false` if the tier would not take it.
    fn line(&mut self, text: &[u8]) -> bool {
        let names = &self.tier.names;
        let Some(line) = line::parse(text).ok().or_else(|| names.parse(text)) else { return false };
        let Some(named) = names.apply(line.name, &mut self.scratch) else { return false };
        let owner = self.tier.ring.owners(&Key::new(named.key)).last().copied();
        let open = owner.and_then(|owner| self.open.get_mut(usize::from(owner)));
        open.map(|open| open.chunk.push_line(text)).is_some()
    }

    /// A frame with its length in front.
    fn pickle(&mut self, frame: &[u8], samples: u64) {
        let mut lines = Vec::new();
        push_lines_of(frame, &mut lines);
        let count = memchr::memchr_iter(b'\n', &lines).fold(0, |count, _| count + 1);
        self.lines(&lines);
        if count < samples {
            self.shed.push((Shed::SpoolCorrupt, samples - count));
        }
    }

    /// As it came, if it has one owner; else each value list is packed for its own.
    fn datagram(&mut self, datagram: &[u8], samples: u64) {
        self.owners.clear();
        let (tier, mut host) = (self.tier, HostKey::default());
        for item in Decoder::new(datagram) {
            let Ok(identity) = identity(&item) else { continue };
            host.set(identity.host);
            let key = collectd_key(tier, &host, identity, Kind::of(&item), &mut self.scratch);
            self.owners.extend(tier.ring.owners(&key).last());
        }
        let Some(&first) = self.owners.first() else {
            return self.shed.push((Shed::SpoolCorrupt, samples));
        };
        let told_right = u64::try_from(self.owners.len()) == Ok(samples);
        if !told_right || self.owners.iter().all(|owner| *owner == first) {
            if let Some(open) = self.open.get_mut(usize::from(first)) {
                open.push_datagram(datagram, samples);
            }
            return;
        }
        let items = Decoder::new(datagram).filter(|item| !matches!(item, Item::Refused(_)));
        for (item, &owner) in items.zip(&self.owners) {
            let open = self.open.get_mut(usize::from(owner));
            if !open.is_some_and(|open| pack(&item, open)) {
                self.shed.push((Shed::Oversize, 1));
            }
        }
    }
}
