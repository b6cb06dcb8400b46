//! The Graphite half of the data path: lines.
//!
//! A line that [`line::parse`] takes is *strict* and goes with its neighbours in a block. A tier that
//! follows another relay may take more, or see no blank where Unicode has one; such a line is *loose*,
//! each rule for names reads it anew, and it leaves with plain blanks.

use std::{mem::take, ptr, sync::Arc};

use coco_ring::Key;
use coco_wire::{
    line::{self, Line, LineError, Timestamp},
    names::Names,
};
use memchr::memchr;

use super::{
    Pipeline, Source, Work,
    block::{Block, Pending},
    touch,
};
use crate::{
    census::{Arrival, Owned},
    routes::{NameGroup, Placed, Routes, has_odd_blank},
    shared::Shared,
    target::Shed,
};

impl Pipeline {
    /// Routes a batch of lines; each ends in LF, but the last one need not.
    pub(crate) fn lines(&mut self, batch: &[u8], from: &Source<'_>) {
        let plain = line::is_plain(batch);
        let parse = if plain { line::parse_plain } else { line::parse };
        let line_bytes_max = self.shared.limits.line_bytes_max;
        let mut block = Block::default();
        let mut rest = batch;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let (text, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            let parsed =
                if is_long(text, line_bytes_max) { Err(LineError::TooLong) } else { parse(text) };
            match parsed {
                Ok(line) if plain || !has_odd_blank(text) => self.line(line, &mut block),
                parsed => self.not_strict(parsed, text, from, &mut block),
            }
        }
        self.route_block(&mut block);
    }

    /// Counts and filters one strict line, and adds it to the block; routes a full block.
    #[inline]
    fn line<'a>(&mut self, line: Line<'a>, block: &mut Block<'a>) {
        let Self { shared, routes, work } = self;
        if !work.admit_line(shared, routes, &line) {
            return;
        }
        // A name whose tags had to be sorted is rare; its key is made again when it is routed.
        let in_place = ptr::eq(line::tag_key(line.name, &mut work.text), line.name);
        block.push(line, in_place.then(|| Key::new(line.name)));
        if block.is_full() {
            self.route_block(block);
        }
    }

    /// Routes a line that each rule for names reads by itself, if some tier takes it; else counts it as
    /// malformed.
    #[cold]
    fn not_strict(
        &mut self,
        parsed: Result<Line<'_>, LineError>,
        text: &[u8],
        from: &Source<'_>,
        block: &mut Block<'_>,
    ) {
        let routes = Arc::clone(&self.routes);
        let line = match parsed {
            Ok(line) => line,
            Err(error) => {
                let groups = routes.name_groups().iter();
                let of_others = groups.filter(|_| routes.lenient && error != LineError::TooLong);
                match of_others.into_iter().find_map(|group| group.read(text)) {
                    Some(line) => line,
                    None => return self.reject_line(error, text, from),
                }
            }
        };
        // What came before it stays before it.
        self.route_block(block);
        let Self { shared, work, .. } = self;
        if work.admit_line(shared, &routes, &line) {
            work.route_keyless(shared, &routes, &line, Form::Loose);
        }
    }

    /// Routes a block of lines. What stands in large tables is read for all of them first, so that the
    /// waits for memory overlap.
    fn route_block(&mut self, block: &mut Block<'_>) {
        let Self { shared, routes, work } = self;
        let tick = work.now.tick;
        for tier in routes.name_groups().iter().flat_map(|group| routes.tiers_of(group)) {
            for key in block.keys() {
                std::hint::black_box(tier.ring.touch(key));
            }
        }
        block.weigh(|hash| shared.census.see(hash, tick));
        for Pending { line, key, weight } in block.drain() {
            match key {
                Some(key) => work.route_line(shared, routes, &line, Form::Strict, &key, weight),
                None => work.route_keyless(shared, routes, &line, Form::Strict),
            }
        }
    }

    /// Counts a bad line, and shows the first of its kind.
    #[cold]
    pub(crate) fn reject_line(&mut self, error: LineError, text: &[u8], from: &Source<'_>) {
        self.reject(error.as_str(), from, || {
            format!(
                "line {:?}",
                text.get(..text.len().min(80)).unwrap_or_default().escape_ascii().to_string()
            )
        });
    }
}

/// Whether every tier can take a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Strict,
    /// Only tiers whose relay reads it by its own rule.
    Loose,
}

impl Work {
    /// Counts a line; `false` when the filter takes it out or no tier carries lines.
    #[inline]
    fn admit_line(&mut self, shared: &Shared, routes: &Routes, line: &Line<'_>) -> bool {
        self.tally.decoded += 1;
        if self.blacklist.as_ref().is_some_and(|re| re.is_match(line.name)) {
            self.tally.filtered += 1;
            let key = Key::new(line::tag_key(line.name, &mut self.text));
            let arrival = Arrival { hash: key.xxh3(), host: line.name, ..Arrival::default() };
            shared.note_blacklisted(arrival, self.now.tick);
            return false;
        }
        if routes.name_groups().is_empty() {
            self.tally.unroutable += 1;
            return false;
        }
        self.tally.routed_lines += 1;
        true
    }

    /// Routes a line whose key with sorted tags is not at hand.
    fn route_keyless(&mut self, shared: &Shared, routes: &Routes, line: &Line<'_>, form: Form) {
        let mut text = take(&mut self.text);
        let key = Key::new(line::tag_key(line.name, &mut text));
        let weight = shared.census.see(key.xxh3(), self.now.tick);
        self.route_line(shared, routes, line, form, &key, weight);
        self.text = text;
    }

    /// Appends a line to the chunks of its owners in each tier; counts its series if it has the weight
    /// of a new one. `sorted` is its key with its tags sorted.
    #[inline]
    fn route_line(
        &mut self,
        shared: &Shared,
        routes: &Routes,
        line: &Line<'_>,
        form: Form,
        sorted: &Key<'_>,
        weight: Option<u64>,
    ) {
        let mut owners = weight.map(|_| Vec::new());
        for group in routes.name_groups() {
            if form == Form::Strict && group.names == Names::Sorted {
                self.append(routes, group, line, sorted, None, owners.as_mut());
            } else {
                self.route_by_rule(routes, group, line, form, sorted, owners.as_mut());
            }
        }
        if let (Some(weight), Some(owners)) = (weight, owners) {
            let arrival = Arrival { hash: sorted.xxh3(), host: line.name, ..Arrival::default() };
            shared.census.admit(arrival, weight, &owners);
        }
    }

    /// The same for the tiers of a group that treats names in a way of its own. A loose line was read
    /// by one rule; each other one reads it for itself.
    fn route_by_rule(
        &mut self,
        routes: &Routes,
        group: &NameGroup,
        line: &Line<'_>,
        form: Form,
        sorted: &Key<'_>,
        owners: Option<&mut Vec<Owned>>,
    ) {
        let read = match form {
            Form::Strict => Some(*line),
            Form::Loose => group.read(line.text),
        };
        let (mut scratch, mut tags) = (take(&mut self.name), Vec::new());
        let placed = read.and_then(|line| {
            let own = match form {
                Form::Strict => *sorted,
                // Its name may end elsewhere.
                Form::Loose => Key::new(line::tag_key(line.name, &mut tags)),
            };
            group.place(line.name, &own, &mut scratch).map(|placed| (line, placed))
        });
        match placed {
            Some((line, Placed { key, name })) => {
                // What parts the fields of a loose line may be no blank to others.
                let as_it_came = form == Form::Strict && ptr::eq(name, line.name);
                let name = (!as_it_came).then_some(name);
                self.append(routes, group, &line, &key, name, owners);
            }
            None => self.refuse_name(routes, group, line),
        }
        self.name = scratch;
    }

    /// Appends a line, under another name if one is given, to the chunks of its owners in the tiers of
    /// one group; and notes the owners if they are asked for.
    #[inline]
    fn append(
        &mut self,
        routes: &Routes,
        group: &NameGroup,
        line: &Line<'_>,
        key: &Key<'_>,
        name: Option<&[u8]>,
        mut owners: Option<&mut Vec<Owned>>,
    ) {
        let now = self.now.unix_seconds;
        let text = match (name, line.time) {
            (None, Timestamp::Given(_)) => line.text,
            (name, Timestamp::Given(_) | Timestamp::Now { .. }) => {
                self.rewritten.clear();
                match name {
                    None => line.append_to(now, &mut self.rewritten),
                    Some(name) => line.append_renamed(name, now, &mut self.rewritten),
                }
                &self.rewritten
            }
        };
        for tier in routes.tiers_of(group) {
            for &owner in tier.ring.owners(key).iter() {
                let slot = tier.slot(owner);
                if let Some(owners) = &mut owners {
                    owners.push(Owned { slot, by_host: false });
                }
                let Some(open) = self.open.get_mut(slot) else { continue };
                touch(&mut self.touched, slot, open);
                open.chunk.push_line(text);
            }
        }
    }

    /// Sheds a line whose name the relay that a group follows would not take.
    #[cold]
    fn refuse_name(&mut self, routes: &Routes, group: &NameGroup, line: &Line<'_>) {
        let key = Key::new(line.name);
        let slots = routes.tiers_of(group).flat_map(|tier| tier.slots(&key));
        self.unsendable.extend(slots.map(|slot| (slot, Shed::BadName)));
    }
}

/// Over the limit, its line end not counted.
#[inline]
fn is_long(text: &[u8], bytes_max: usize) -> bool {
    text.len() > bytes_max && text.strip_suffix(b"\r").unwrap_or(text).len() > bytes_max
}
