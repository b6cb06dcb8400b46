//! A walk through one segment.

use std::{io, path::Path};

use super::Damage;
use crate::{
    disk::{Disk, DiskFile},
    name::Digest,
    position::Mark,
    record::RecordHead,
    scan::{Check, Source, Step, Window},
    segment::file_of,
    survey::Found,
};

/// Walks one segment: records and damage.
#[derive(Debug)]
pub(super) struct Walk<F> {
    file: F,
    number: u64,
    seed: u32,
    end: u64,
    offset: u64,
    window: Window,
}

impl<F: DiskFile> Walk<F> {
    pub(super) fn new<D: Disk<File = F>>(
        disk: &D,
        folder: &Path,
        digest: Digest,
        found: &Found,
        from: Mark,
    ) -> io::Result<Self> {
        let file = disk.open(&folder.join(file_of(found.number)), false)?;
        let acked = if from.segment == found.number { from.offset } else { 0 };
        Ok(Self {
            file,
            number: found.number,
            seed: digest.segment_seed(found.number),
            end: found.bytes,
            offset: found.start.offset.max(acked),
            window: Window::default(),
        })
    }
}

impl<F: DiskFile> Iterator for Walk<F> {
    type Item = Result<(RecordHead, Vec<u8>), Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { file, number, seed, end, .. } = self;
        let source = Source { file, number: *number, seed: *seed, end: *end };
        let (step, _) = self.window.step_over(&source, self.offset, Check::Payload);
        let from = self.offset;
        let damage = |to| Some(Err(Damage { segment: *number, from, to }));
        match step {
            Step::Record(head) => {
                let payload = self.window.payload(from, &head).unwrap_or_default().to_vec();
                self.offset += head.disk_bytes();
                Some(Ok((head, payload)))
            }
            Step::BadPayload(head) => {
                self.offset += head.disk_bytes();
                damage(self.offset)
            }
            Step::Damaged(to) => {
                self.offset = to;
                damage(to)
            }
            Step::End => None,
        }
    }
}
