//! When most of a tier goes down at once, the fault is probably ours: the network, or the resolver.
//!
//! That is said once, and shown; nothing is switched off by it. All targets are tried on, and what was seen
//! meanwhile does not lengthen their hold-downs.

use std::{collections::HashSet, sync::Arc, time::Duration};

use crate::{
    routes::{Routes, Tier},
    shared::Shared,
    target::Target,
};

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// What went down within this time went down at once.
const AT_ONCE: Duration = Duration::from_secs(10);

/// One that is back within this time was not down.
pub(crate) const DOWN_AFTER: Duration = Duration::from_secs(1);

/// How many of a tier's targets are down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    all: usize,
    down: usize,
    /// Not long ago.
    fresh: usize,
}

impl Count {
    fn of(targets: &[Arc<Target>]) -> Self {
        let mut count = Self { all: targets.len(), ..Self::default() };
        for target in targets {
            let (is_open, since) = target.is_open();
            count.add(is_open, since);
        }
        count
    }

    fn add(&mut self, is_open: bool, since: Duration) {
        let is_down = !is_open && since >= DOWN_AFTER;
        self.down += usize::from(is_down);
        self.fresh += usize::from(is_down && since <= AT_ONCE + DOWN_AFTER);
    }

    /// Whether the fault is probably ours; `already`: that it was so before.
    fn is_doubtful(self, already: bool) -> bool {
        // One target alone is no majority of anything.
        let most = |some: usize| self.all > 1 && 2 * some > self.all;
        if already { most(self.down) } else { most(self.fresh) }
    }
}

/// Looks at all tiers once a second.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        look(&shared);
    }
}

fn look(shared: &Shared) {
    let routes = shared.routes.load();
    let before = shared.doubts.load();
    let now: HashSet<String> = routes
        .tiers
        .iter()
        .filter(|tier| is_doubtful(&routes, tier, before.contains(&tier.name)))
        .map(|tier| tier.name.clone())
        .collect();
    if now != **before {
        shared.doubts.store(Arc::new(now));
    }
}

fn is_doubtful(routes: &Routes, tier: &Tier, already: bool) -> bool {
    let targets = routes.targets.get(tier.all_slots()).unwrap_or_default();
    let count = Count::of(targets);
    let doubtful = count.is_doubtful(already);
    if doubtful || already {
        targets.iter().for_each(|target| target.standing.set_pardoned(doubtful));
    }
    match (already, doubtful) {
        (false, true) => tracing::error!(
            tier = tier.name,
            down = count.fresh,
            of = count.all,
            "most of a tier went down within 10 s: the fault is probably on this side (network, resolver); \
             all are tried on"
        ),
        (true, false) => tracing::info!(tier = tier.name, "most of the tier is there again"),
        (false, false) | (true, true) => {}
    }
    doubtful
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(targets: &[(bool, u64)]) -> Count {
        let mut count = Count { all: targets.len(), ..Count::default() };
        for &(is_open, seconds) in targets {
            count.add(is_open, Duration::from_secs(seconds));
        }
        count
    }

    #[test]
    fn more_than_half_at_once_is_doubtful_until_half_is_back() {
        let (up, fresh, long) = ((true, 2), (false, 5), (false, 60));
        for (targets, begins, lasts) in [
            (&[fresh, fresh, up][..], true, true),
            (&[fresh, up][..], false, false),
            (&[fresh, fresh][..], true, true),
            (&[fresh][..], false, false),
            (&[fresh, long, long][..], false, true),
            (&[long, long, up][..], false, true),
            (&[(false, 0), (false, 0)][..], false, false),
            (&[][..], false, false),
        ] {
            let count = count(targets);
            assert_eq!(count.is_doubtful(false), begins, "{count:?}");
            assert_eq!(count.is_doubtful(true), lasts, "{count:?}");
        }
    }
}
