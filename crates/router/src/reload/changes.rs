//! What a reload changes, told before it is done: the difference between two plans.

use std::collections::HashMap;

use crate::{
    listen::protocol_name,
    plan::{ListenerPlan, Plan, RinglessTier, TargetPlan, TierPlan},
};

/// The difference between the plan in force and another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Targets by tier and id.
    pub targets: Change<TargetChange>,
    /// Tiers by name; changed are those with another ring, or other settings.
    pub tiers: Change<String>,
    /// Listeners as `protocol address`, as the configuration writes it.
    pub listeners: Change<String>,
    /// The blacklist is another one.
    pub filter: bool,
    /// Names of the limits that are other ones.
    pub limits: Vec<&'static str>,
    /// What only a restart can change, and stays as it was.
    pub restart: Vec<String>,
    /// Number of the set of members now in force.
    pub epoch: u64,
}

/// What came, went, or is otherwise than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<T> {
    /// Not there before.
    pub added: Vec<T>,
    /// No longer there.
    pub removed: Vec<T>,
    /// There before, and otherwise.
    pub changed: Vec<T>,
}

/// A target in a list of changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetChange {
    /// Name of its tier.
    pub tier: String,
    /// Its identity on the ring.
    pub id: String,
    /// Its address text, now or at last.
    pub label: String,
}

impl<T> Default for Change<T> {
    fn default() -> Self {
        Self { added: Vec::new(), removed: Vec::new(), changed: Vec::new() }
    }
}

impl<T> Change<T> {
    /// Nothing came, went or differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl Changes {
    /// From `before` to `after`; `epoch` is left at 0.
    pub(crate) fn between(before: &Plan, after: &Plan) -> Self {
        let mut changes = Self::default();
        changes.tiers(&before.tiers, &after.tiers);
        changes.ringless(before, after);
        changes.listeners(&before.listeners, &after.listeners);
        let blacklist = |plan: &Plan| plan.blacklist.as_ref().map(|re| re.as_str().to_owned());
        changes.filter = blacklist(before) != blacklist(after);
        let (old, new) = (&before.limits, &after.limits);
        changes.limits = [
            ("line", old.line_bytes_max == new.line_bytes_max),
            ("resend", old.resend_bytes == new.resend_bytes),
            ("connections", old.connections_max == new.connections_max),
            ("memory", old.memory_bytes_max == new.memory_bytes_max),
            ("series", old.series_max == new.series_max),
            ("names", old.names_max == new.names_max),
        ]
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect();
        if let (Some(old), Some(new)) = (&before.spool, &after.spool) {
            changes.limits.extend((old.replay_rate != new.replay_rate).then_some("replay_rate"));
            changes.limits.extend((old.on_change != new.on_change).then_some("on_change"));
        }
        changes
    }

    /// There is nothing to put in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
            && self.tiers.is_empty()
            && self.listeners.is_empty()
            && !self.filter
            && self.limits.is_empty()
    }

    fn tiers(&mut self, before: &[TierPlan], after: &[TierPlan]) {
        let known: HashMap<_, _> = before.iter().map(|tier| (tier.name.as_str(), tier)).collect();
        for tier in after {
            let old = known.get(tier.name.as_str()).copied();
            match old {
                None => self.tiers.added.push(tier.name.clone()),
                Some(old) if !is_alike(old, tier) => self.tiers.changed.push(tier.name.clone()),
                Some(_) => {}
            }
            self.targets(old, Some(tier));
        }
        for tier in before.iter().filter(|old| after.iter().all(|tier| tier.name != old.name)) {
            self.tiers.removed.push(tier.name.clone());
            self.targets(Some(tier), None);
        }
        let names = |tiers: &[TierPlan]| tiers.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        if self.tiers.is_empty() && names(before) != names(after) {
            // Only their order: it is that of every list.
            self.tiers.changed = names(after);
        }
    }

    /// Tiers without a ring; one that has got its ring has been taken for a new one by then.
    fn ringless(&mut self, before: &Plan, after: &Plan) {
        let had_none = |name: &String| before.ringless.iter().any(|tier| tier.name == *name);
        let (got, added) = std::mem::take(&mut self.tiers.added).into_iter().partition(had_none);
        self.tiers.added = added;
        let named = |tiers: &[RinglessTier], name: &str| {
            tiers.iter().find(|tier| tier.name == name).cloned()
        };
        for tier in &after.ringless {
            match named(&before.ringless, &tier.name) {
                None => self.tiers.added.push(tier.name.clone()),
                Some(old) if old != *tier => self.tiers.changed.push(tier.name.clone()),
                Some(_) => {}
            }
        }
        let gone = before
            .ringless
            .iter()
            .map(|tier| &tier.name)
            .filter(|name| named(&after.ringless, name).is_none() && !got.contains(name));
        self.tiers.removed.extend(gone.cloned());
        self.tiers.changed.extend(got);
    }

    /// The targets of one tier.
    fn targets(&mut self, before: Option<&TierPlan>, after: Option<&TierPlan>) {
        let (known, kept) = (by_id(before), by_id(after));
        let otherwise = before.zip(after).is_some_and(|(old, new)| !sends_alike(old, new));
        for (tier, target) in each(after) {
            match known.get(target.id.as_str()) {
                None => self.targets.added.push(told(tier, target)),
                Some(old) if otherwise || *old != target => {
                    self.targets.changed.push(told(tier, target));
                }
                Some(_) => {}
            }
        }
        let gone = each(before).filter(|(_, target)| !kept.contains_key(target.id.as_str()));
        self.targets.removed.extend(gone.map(|(tier, target)| told(tier, target)));
    }

    fn listeners(&mut self, before: &[ListenerPlan], after: &[ListenerPlan]) {
        let text =
            |plan: &ListenerPlan| format!("{} {}", protocol_name(plan.protocol), plan.address);
        let mut left = before.to_vec();
        for plan in after {
            let Some(at) = left.iter().position(|old| old.is_same_place(plan)) else {
                self.listeners.added.push(text(plan));
                continue;
            };
            if left.remove(at).receive_buffer != plan.receive_buffer {
                self.restart.push(format!("receive_buffer of {}", text(plan)));
            }
        }
        self.listeners.removed = left.iter().map(text).collect();
    }
}

/// The targets of a tier, if there is one.
fn each(tier: Option<&TierPlan>) -> impl Iterator<Item = (&TierPlan, &TargetPlan)> {
    tier.into_iter().flat_map(|tier| tier.targets.iter().map(move |target| (tier, target)))
}

fn by_id(tier: Option<&TierPlan>) -> HashMap<&str, &TargetPlan> {
    each(tier).map(|(_, target)| (target.id.as_str(), target)).collect()
}

fn told(tier: &TierPlan, target: &TargetPlan) -> TargetChange {
    let [tier, id, label] = [&tier.name, &target.id, &target.label].map(String::clone);
    TargetChange { tier, id, label }
}

/// Whether two plans of a tier mean the same, but for the addresses of its targets.
fn is_alike(a: &TierPlan, b: &TierPlan) -> bool {
    sends_alike(a, b)
        && a.key == b.key
        && a.names == b.names
        && a.ring.digest() == b.ring.digest()
        && a.ring.members().iter().eq(b.ring.members().iter())
}

/// Whether the targets of both are fed alike.
fn sends_alike(a: &TierPlan, b: &TierPlan) -> bool {
    a.protocol == b.protocol
        && a.datagram_bytes_max == b.datagram_bytes_max
        && a.queue_bytes == b.queue_bytes
        && a.resend_bytes == b.resend_bytes
        && a.block_timeout == b.block_timeout
        && a.on_full == b.on_full
        && a.replay == b.replay
}

#[cfg(test)]
mod tests {
    use regex::bytes::Regex;

    use super::*;
    use crate::{
        pipeline::tests::tier,
        plan::{Address, Limits, ListenerProtocol, TargetProtocol},
    };

    fn listener(port: u16) -> ListenerPlan {
        let address = Address { host: "localhost".to_owned(), port };
        ListenerPlan { protocol: ListenerProtocol::LineTcp, address, receive_buffer: 1 }
    }

    fn plan() -> Plan {
        let tiers =
            vec![tier("a", TargetProtocol::LineTcp, 3, 1), tier("b", TargetProtocol::Pickle, 2, 1)];
        Plan {
            listeners: vec![listener(1)],
            blacklist: None,
            tiers,
            limits: Limits::default(),
            spool: None,
            ringless: Vec::new(),
        }
    }

    fn names(targets: &[TargetChange]) -> Vec<&str> {
        targets.iter().map(|target| target.id.as_str()).collect()
    }

    #[test]
    fn the_same_plan_changes_nothing() {
        assert!(Changes::between(&plan(), &plan()).is_empty());
    }

    #[test]
    fn targets_come_go_and_move() {
        let mut after = plan();
        after.tiers[0] = tier("a", TargetProtocol::LineTcp, 4, 1);
        after.tiers[0].targets[1].label = "elsewhere".to_owned();
        after.tiers[1] = tier("b", TargetProtocol::Pickle, 1, 1);
        let changes = Changes::between(&plan(), &after);
        let Change { added, removed, changed } = &changes.targets;
        assert_eq!([names(added), names(removed), names(changed)], [["a-3"], ["b-1"], ["a-1"]]);
        assert_eq!(changes.tiers.changed, ["a", "b"]);
    }

    #[test]
    fn a_tier_comes_with_its_targets_and_goes_with_them() {
        let mut after = plan();
        after.tiers.remove(0);
        let changes = Changes::between(&plan(), &after);
        assert_eq!((changes.tiers.removed.len(), changes.targets.removed.len()), (1, 3));
        let back = Changes::between(&after, &plan());
        assert_eq!((back.tiers.added.len(), back.targets.added.len()), (1, 3));
    }

    #[test]
    fn a_tier_without_a_ring_comes_goes_and_gets_one() {
        let ringless = |names: &[&str]| {
            let ringless = names.iter().map(|name| RinglessTier {
                name: (*name).to_owned(),
                protocol: TargetProtocol::LineTcp,
            });
            Plan { ringless: ringless.collect(), ..plan() }
        };
        let changes = |before: &[&str], after: &[&str]| {
            let Change { added, removed, changed } =
                Changes::between(&ringless(before), &ringless(after)).tiers;
            [added, removed, changed]
        };
        assert_eq!(changes(&["x"], &["x"]), [[""; 0]; 3]);
        assert_eq!(changes(&["x"], &["y"]), [vec!["y"], vec!["x"], vec![]]);
        let mut before = ringless(&["a"]);
        let a = before.tiers.remove(0);
        let got =
            Changes::between(&before, &Plan { tiers: vec![a, before.tiers[0].clone()], ..plan() });
        assert_eq!(got.tiers.changed, ["a"]);
        assert!(got.tiers.added.is_empty() && got.tiers.removed.is_empty());
        assert_eq!(names(&got.targets.added), ["a-0", "a-1", "a-2"]);
    }

    #[test]
    fn listeners_the_filter_and_limits_are_told() {
        let mut after = plan();
        after.listeners = vec![listener(2)];
        after.blacklist = Some(Regex::new("x").unwrap());
        after.limits.line_bytes_max = 7;
        let changes = Changes::between(&plan(), &after);
        assert_eq!(changes.listeners.added, ["line-tcp localhost:2"]);
        assert_eq!(changes.listeners.removed, ["line-tcp localhost:1"]);
        assert_eq!((changes.filter, changes.limits), (true, vec!["line"]));
    }

    #[test]
    fn what_takes_a_restart_is_said_and_is_no_change() {
        let mut after = plan();
        after.listeners[0].receive_buffer = 2;
        let changes = Changes::between(&plan(), &after);
        assert_eq!(changes.restart, ["receive_buffer of line-tcp localhost:1"]);
        assert!(changes.is_empty());
    }
}
