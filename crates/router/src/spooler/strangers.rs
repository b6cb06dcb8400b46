//! Folders that nobody sends from: of targets that are in no tier, and of another protocol than their tier has
//! now. Nothing in them is changed; it is said that they are there, and what can be done.

use coco_spool::{
    Batch, Name, Spool,
    disk::{Disk, OsDisk},
};

use super::work::Work;
use crate::{
    plan::TargetProtocol,
    target::{Target, record::is_for},
};

impl Work<OsDisk> {
    /// Says once what is on disk for targets that are in no tier.
    pub(super) fn warn_of_strangers(&self) {
        let names =
            self.targets().filter_map(|target| Name::new(&target.tier, &target.plan.id).ok());
        let names: Vec<_> = names.collect();
        let directory = self.directory();
        // What cannot be read is no target's either.
        for listing in coco_spool::strangers(&OsDisk, directory, &names).unwrap_or_default() {
            let (tier, id) = listing.name.as_ref().map_or(("?", "?"), |n| (n.tier(), n.target()));
            let (folder, samples) = (&listing.folder, listing.samples);
            tracing::warn!(
                tier,
                id,
                folder,
                samples,
                spool = %directory.display(),
                "on disk for a target that is in no tier, and stays there: once Coco has stopped, \
                 `coco spool DIRECTORY reroute --config FILE` gives it to the owners, and `drop` removes it"
            );
        }
    }
}

/// Whether what is on disk is for targets of another protocol. All of it is, if the oldest record is: what such a
/// target gets is kept in memory.
pub(super) fn is_of_another<D: Disk>(spool: &mut Spool<D>, protocol: TargetProtocol) -> bool {
    let mut batch = Batch::default();
    // What cannot be read now is looked at again when it is to be sent.
    let read = spool.read(0, &mut batch);
    spool.rewind();
    let mut records = batch.records();
    read.is_ok() && records.next().is_some_and(|first| !is_for(first.head.format, protocol))
}

/// Says that what is on disk for a target stays there, and that it goes without a spool.
pub(super) fn warn_of_another<D: Disk>(target: &Target, spool: &Spool<D>) {
    tracing::warn!(
        tier = target.tier,
        target = target.plan.label,
        id = target.plan.id,
        samples = spool.held().samples,
        folder = %spool.folder().display(),
        "on disk in another protocol than that of its tier, and stays there; what comes now is kept in memory \
         only: give the tier another name, or its protocol of before until all is sent; once Coco has stopped, \
         `coco spool DIRECTORY drop FOLDER` removes it"
    );
}
