//! Folders that nobody sends from. Nothing in them is changed; it is said that they are there, and what can be done.

use coco_spool::{Name, disk::OsDisk};

use super::work::Work;

impl Work<OsDisk> {
    /// Says once what is on disk for targets that are in no tier, or in one that does not spool.
    pub(super) fn warn_of_strangers(&self) {
        let names =
            self.targets().filter_map(|target| Name::new(&target.tier, &target.plan.id).ok());
        let names: Vec<_> = names.collect();
        let directory = self.directory();
        // What cannot be read is no target's either.
        for listing in coco_spool::strangers(&OsDisk, directory, &names).unwrap_or_default() {
            let (tier, id) = listing.name.as_ref().map_or(("?", "?"), |n| (n.tier(), n.target()));
            let (folder, samples) = (&listing.folder, listing.samples);
            if listing.name.as_ref().is_some_and(|name| self.is_in_a_tier(name)) {
                tracing::warn!(
                    tier,
                    id,
                    folder,
                    samples,
                    spool = %directory.display(),
                    "on disk for a target whose tier does not spool now, and stays there: \
                     `on_full = \"spool\"` for that tier sends it"
                );
                continue;
            }
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

    fn is_in_a_tier(&self, name: &Name) -> bool {
        let routes = self.shared().routes.load();
        let mut targets = routes.targets.iter();
        targets.any(|target| target.tier == name.tier() && target.plan.id == name.target())
    }
}
