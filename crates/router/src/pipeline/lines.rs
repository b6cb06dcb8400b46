//! The Graphite half of the data path: lines.
//!
//! A line that [`line::parse`] takes is *strict* and goes with its neighbours in a block. A tier that
//! follows another relay may take more, or see no blank where Unicode has one; such a line is *loose*,
//! each rule for names reads it anew, and it leaves with plain blanks.

use std::{mem::take, ptr, sync::Arc};

use coco_ring::{Key, Space};
use coco_wire::{
    line::{self, Line, LineError, Timestamp},
    names::Names,
};

use super::{
    Pipeline, Source, Work,
    block::{Block, Pending},
};
use crate::{
    census::{Arrival, Owned},
    routes::{NameGroup, Placed, Routes, Tier, has_odd_blank},
    shared::Shared,
    target::Shed,
};

impl Pipeline {
    /// Routes a batch of lines; each ends in LF, but the last one need not.
    pub(crate) fn lines(&mut self, batch: &[u8], from: &Source<'_>) {
        if self.work.watches {
            self.watched_lines(batch, from);
        } else {
            self.all_lines(batch, from);
        }
    }

    /// The same, whatever they are.
    pub(super) fn all_lines(&mut self, batch: &[u8], from: &Source<'_>) {
        let mut scanner = take(&mut self.work.scanner);
        let line_bytes_max = self.routes.limits.line_bytes_max;
        let mut block = Block::new();
        for scanned in scanner.lines(batch) {
            match scanned.usual() {
                Some(line) if scanned.text.len() <= line_bytes_max => {
                    self.line(line, scanned.is_tagged(), &mut block);
                }
                _ => self.unusual_line(scanned.text, from, &mut block),
            }
        }
        self.route_block(&mut block);
        self.work.scanner = scanner;
    }

    /// Counts and filters one strict line, and adds it to the block; routes a full block.
    #[inline(always)]
    fn line<'a>(&mut self, line: Line<'a>, tagged: bool, block: &mut Block<'a>) {
        let Self { shared, routes, work } = self;
        if !work.admit_line(shared, routes, &line) {
            return;
        }
        if tagged && !ptr::eq(line::tag_key(line.name, &mut work.text), line.name) {
            // Its key has to be put together. What came before it stays before it.
            self.route_block(block);
            return self.route_alone(&line, Form::Strict);
        }
        block.push(Pending { line, key: Key::new(line.name), fell: None });
        if block.is_full() {
            self.route_block(block);
        }
    }

    /// Reads a line that the scanner has only cut off; counts it as malformed if no tier takes it.
    #[inline(never)]
    fn unusual_line<'a>(&mut self, text: &'a [u8], from: &Source<'_>, block: &mut Block<'a>) {
        let parsed = if is_long(text, self.routes.limits.line_bytes_max) {
            Err(LineError::TooLong)
        } else {
            line::parse(text)
        };
        match parsed {
            Ok(line) if !has_odd_blank(text) => self.line(line, true, block),
            parsed => self.not_strict(parsed, text, from, block),
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
            self.route_alone(&line, Form::Loose);
        }
    }

    /// Routes a block of strict lines, tier by tier. What stands in large tables is read for all of them
    /// first, so that the waits for memory overlap.
    fn route_block(&mut self, block: &mut Block<'_>) {
        let Self { routes, work, .. } = self;
        let (census, tick) = (&*routes.census, work.now.tick);
        for group in routes.name_groups() {
            if group.names != Names::Sorted {
                for Pending { line, key, .. } in block.iter() {
                    work.route_by_rule(routes, group, line, Form::Strict, key);
                }
                continue;
            }
            for tier in routes.tiers_of(group) {
                for Pending { key, .. } in block.iter() {
                    std::hint::black_box(tier.ring.touch(key));
                }
                for Pending { line, key, fell } in block.iter_mut() {
                    work.append(tier, line, key, fell, None);
                }
            }
        }
        for Pending { line, key, .. } in block.iter() {
            if let Some(weight) = census.see(key.xxh3(), tick) {
                work.admit_series(routes, line, Form::Strict, key, weight);
            }
        }
        block.clear();
    }

    /// Routes a line that cannot go in a block: the name of a strict one has to be put in order first.
    fn route_alone(&mut self, line: &Line<'_>, form: Form) {
        let Self { routes, work, .. } = self;
        let mut text = take(&mut work.text);
        let key = Key::new(line::tag_key(line.name, &mut text));
        for group in routes.name_groups() {
            work.route_by_rule(routes, group, line, form, &key);
        }
        if let Some(weight) = routes.census.see(key.xxh3(), work.now.tick) {
            work.admit_series(routes, line, form, &key, weight);
        }
        work.text = text;
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
    /// Counts a line; `false` when the filter takes it out or nobody owns it.
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
        let has_owners = !routes.name_groups().is_empty();
        if has_owners || routes.sheds_lines() {
            self.tally.routed_lines += 1;
        } else {
            self.tally.unroutable += 1;
        }
        has_owners
    }

    /// Appends a line to the chunks of its owners in the tiers of a group. A loose line was read by one
    /// rule; each other one reads it for itself. `sorted` is its key with its tags sorted.
    fn route_by_rule(
        &mut self,
        routes: &Routes,
        group: &NameGroup,
        line: &Line<'_>,
        form: Form,
        sorted: &Key<'_>,
    ) {
        let mut name = take(&mut self.name);
        let placed = place(group, line, form, sorted, &mut name, |line, Placed { key, name }| {
            // What parts the fields of a loose line may be no blank to others.
            let as_it_came = form == Form::Strict && ptr::eq(name, line.name);
            let name = (!as_it_came).then_some(name);
            let mut fell = None;
            for tier in routes.tiers_of(group) {
                self.append(tier, line, &key, &mut fell, name);
            }
        });
        if placed.is_none() {
            self.refuse_name(routes, group, line);
        }
        self.name = name;
    }

    /// Appends a line, under another name if one is given, to the chunks of its owners in a tier.
    #[inline]
    fn append(
        &mut self,
        tier: &Tier,
        line: &Line<'_>,
        key: &Key<'_>,
        fell: &mut Option<(Space, u64)>,
        name: Option<&[u8]>,
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
        for &owner in tier.ring.owners_again(key, fell).iter() {
            if let Some(open) = self.outlet.chunk(tier.slot(owner)) {
                open.chunk.push_line(text);
            }
        }
    }

    /// Counts a new series that stands for so many, for its owners in each tier.
    #[cold]
    fn admit_series(
        &mut self,
        routes: &Routes,
        line: &Line<'_>,
        form: Form,
        sorted: &Key<'_>,
        weight: u64,
    ) {
        let mut owners = Vec::new();
        for group in routes.name_groups() {
            // Where its name is none, nobody owns it.
            let _placed: Option<()> =
                place(group, line, form, sorted, &mut self.name, |_, Placed { key, .. }| {
                    let slots = routes.tiers_of(group).flat_map(|tier| tier.slots(&key));
                    owners.extend(slots.map(|slot| Owned { slot, by_host: false }));
                });
        }
        let arrival = Arrival { hash: sorted.xxh3(), host: line.name, ..Arrival::default() };
        routes.census.admit(arrival, weight, &owners);
    }

    /// Sheds a line whose name the relay that a group follows would not take.
    #[cold]
    fn refuse_name(&mut self, routes: &Routes, group: &NameGroup, line: &Line<'_>) {
        let key = Key::new(line.name);
        let slots = routes.tiers_of(group).flat_map(|tier| tier.slots(&key));
        self.unsendable.extend(slots.map(|slot| (slot, Shed::BadName)));
    }
}

/// Calls `then` with the line as a group reads it, and what its tiers make of the name; `None` if the relay
/// that they follow would not take it.
fn place<T>(
    group: &NameGroup,
    line: &Line<'_>,
    form: Form,
    sorted: &Key<'_>,
    scratch: &mut Vec<u8>,
    then: impl FnOnce(&Line<'_>, Placed<'_>) -> T,
) -> Option<T> {
    if form == Form::Strict {
        return group.place(line.name, sorted, scratch).map(|placed| then(line, placed));
    }
    let line = group.read(line.text)?;
    // Its name may end elsewhere.
    let mut tags = Vec::new();
    let sorted = Key::new(line::tag_key(line.name, &mut tags));
    group.place(line.name, &sorted, scratch).map(|placed| then(&line, placed))
}

/// Over the limit, its line end not counted.
#[inline]
fn is_long(text: &[u8], bytes_max: usize) -> bool {
    text.len() > bytes_max && text.strip_suffix(b"\r").unwrap_or(text).len() > bytes_max
}
