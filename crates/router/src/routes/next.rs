//! The routes that follow others: which targets go on, and what has to be counted anew.

use std::{collections::HashMap, sync::Arc};

use super::{Routes, Tier};
use crate::{
    census::Census,
    plan::{Limits, Plan, TargetPlan, TierPlan},
    target::Target,
    telemetry::Registry,
};

impl Routes {
    /// The routes of a plan, with every target that goes on as it is. Opens nothing: no socket, no thread.
    pub(crate) fn next(&self, plan: &Plan, registry: &Registry) -> Self {
        let known: HashMap<_, _> =
            self.targets.iter().map(|t| ((t.tier.as_str(), t.plan.id.as_str()), t)).collect();
        let target = |tier: &TierPlan, plan: &TargetPlan| {
            let known = known.get(&(tier.name.as_str(), plan.id.as_str()));
            match known.filter(|target| target.serves(tier, plan)) {
                Some(target) => Arc::clone(target),
                None => Arc::new(Target::new(tier, plan, registry)),
            }
        };
        let next = Self::with_targets(plan, registry, target);
        let epoch = self.epoch + u64::from(!self.places_alike(&next));
        let Limits { series_max, names_max, .. } = plan.limits;
        let counts_on = self.counts_alike(&next)
            && (self.limits.series_max, self.limits.names_max) == (series_max, names_max);
        let census = match counts_on {
            true => Arc::clone(&self.census),
            false => Arc::new(Census::new(series_max, names_max, next.targets.len())),
        };
        Self { epoch, census, ..next }
    }

    /// Whether every tier has the same members as there, and places every name alike.
    fn places_alike(&self, other: &Self) -> bool {
        let sorted = |tier: &Tier| {
            let mut ids = tier.ids();
            ids.sort_unstable();
            ids
        };
        self.pairs(other)
            .is_some_and(|mut pairs| pairs.all(|(a, b)| a.places_as(b) && sorted(a) == sorted(b)))
    }

    /// Whether a series that is counted for a slot here is the same slot's there.
    fn counts_alike(&self, other: &Self) -> bool {
        self.pairs(other)
            .is_some_and(|mut pairs| pairs.all(|(a, b)| a.places_as(b) && a.ids() == b.ids()))
    }

    /// Each tier with the one at its position there, if they are as many.
    fn pairs<'a>(&'a self, other: &'a Self) -> Option<impl Iterator<Item = (&'a Tier, &'a Tier)>> {
        let (ours, theirs) = (&self.tiers, &other.tiers);
        (ours.len() == theirs.len()).then(|| ours.iter().zip(theirs))
    }
}

impl Tier {
    fn ids(&self) -> Vec<String> {
        self.ring.members().iter().map(|member| member.id.clone()).collect()
    }

    fn places_as(&self, other: &Self) -> bool {
        self.name == other.name
            && self.digest == other.digest
            && self.protocol == other.protocol
            && self.key == other.key
            && self.names == other.names
    }
}

#[cfg(test)]
mod tests {
    use coco_ring::{Algorithm, Member, Members, Place, Ring, Weight};

    use super::*;
    use crate::{
        pipeline::tests::tier,
        plan::{Limits, TargetProtocol},
    };

    fn plan(tiers: Vec<TierPlan>) -> Plan {
        Plan {
            listeners: Vec::new(),
            blacklist: None,
            tiers,
            limits: Limits::default(),
            spool: None,
            ringless: Vec::new(),
        }
    }

    fn lines(targets: usize) -> TierPlan {
        tier("t", TargetProtocol::LineTcp, targets, 1)
    }

    /// The position in `before` of each target of `after`, if it goes on.
    fn kept(before: &Routes, after: &Routes) -> Vec<Option<usize>> {
        let at = |target: &Arc<Target>| before.targets.iter().position(|t| Arc::ptr_eq(t, target));
        after.targets.iter().map(at).collect()
    }

    #[test]
    fn what_stays_keeps_its_queue_and_its_count() {
        let registry = Registry::default();
        let before = Routes::new(&plan(vec![lines(3)]), &registry);
        let same = before.next(&plan(vec![lines(3)]), &registry);
        assert_eq!(kept(&before, &same), [Some(0), Some(1), Some(2)]);
        assert!(Arc::ptr_eq(&before.census, &same.census));
        assert_eq!((before.epoch, same.epoch), (1, 1));
    }

    #[test]
    fn another_member_is_another_epoch_and_is_counted_anew() {
        let registry = Registry::default();
        let before = Routes::new(&plan(vec![lines(3)]), &registry);
        let more = before.next(&plan(vec![lines(4)]), &registry);
        assert_eq!(kept(&before, &more), [Some(0), Some(1), Some(2), None]);
        assert!(!Arc::ptr_eq(&before.census, &more.census));
        assert_eq!((more.epoch, more.next(&plan(vec![lines(3)]), &registry).epoch), (2, 3));
    }

    #[test]
    fn another_address_is_another_target_in_the_same_place() {
        let registry = Registry::default();
        let before = Routes::new(&plan(vec![lines(3)]), &registry);
        let mut moved = lines(3);
        moved.targets[1].address.port = 7;
        moved.targets[1].label = "moved:7".to_owned();
        let after = before.next(&plan(vec![moved]), &registry);
        assert_eq!(kept(&before, &after), [Some(0), None, Some(2)]);
        assert_eq!((after.epoch, &after.tiers[0].digest), (1, &before.tiers[0].digest));
        assert!(Arc::ptr_eq(&before.census, &after.census));
    }

    #[test]
    fn another_order_is_the_same_ring_but_other_slots() {
        let registry = Registry::default();
        let before = Routes::new(&plan(vec![lines(3)]), &registry);
        let mut turned = lines(3);
        turned.targets.reverse();
        let member = |target: &TargetPlan| Member {
            id: target.id.clone(),
            weight: Weight::default(),
            zone: None,
            place: Place::default(),
        };
        let members = Members::try_new(turned.targets.iter().map(member).collect()).unwrap();
        turned.ring = Ring::build(Algorithm::Xxh3, &members, 1).unwrap();
        let after = before.next(&plan(vec![turned]), &registry);
        assert_eq!(kept(&before, &after), [Some(2), Some(1), Some(0)]);
        assert_eq!(after.epoch, 1);
        assert!(!Arc::ptr_eq(&before.census, &after.census));
    }
}
