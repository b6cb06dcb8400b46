//! `[tiers.NAME]` of all tiers: their names, and which of them have targets.

use coco_router::plan::{RinglessTier, TierPlan};

use super::tier::{Surroundings, Written};
use crate::config::{
    file::{self, Node},
    findings::Findings,
    keys,
    path::KeyPath,
};

/// All tiers in the order of the file, those that are without targets apart; those that were refused are missing.
pub(super) fn tiers(
    node: Option<&Node<file::Tiers>>,
    at: &KeyPath,
    around: &Surroundings<'_>,
    findings: &mut Findings<'_>,
) -> (Vec<TierPlan>, Vec<RinglessTier>) {
    let faults_before = findings.fault_count();
    let tiers = findings.table(at, node).filter(|tiers| !tiers.is_empty());
    let Some(tiers) = tiers else {
        if findings.fault_count() == faults_before {
            findings.fault(at, "no tier; give one or more, as [tiers.short] with its targets");
        }
        return (Vec::new(), Vec::new());
    };
    if tiers.len() > TIERS_MAX {
        findings.fault(at, format!("{} tiers; there may be at most {TIERS_MAX}", tiers.len()));
        return (Vec::new(), Vec::new());
    }
    let (mut plans, mut ringless) = (Vec::new(), Vec::new());
    for (name, node) in tiers {
        let at = at.key(name);
        if !matches!(node, Node::Table(_)) && keys::keys_of::<file::Tier>().contains(&&**name) {
            findings.fault(&at, "a tier has a name; put this key under one, as [tiers.short]");
            continue;
        }
        check_name(name, &at, findings);
        let Some(section) = findings.table(&at, Some(node)) else { continue };
        let tier = Written::read(section, &at, findings);
        if matches!(&section.targets, Some(Node::List(targets)) if targets.is_empty()) {
            ringless.extend(without_targets(name, tier, findings));
        } else {
            plans.extend(tier.plan(name, around, findings));
        }
    }
    (plans, ringless)
}

/// A tier that is written down with no targets in it. What else stands there is for when it has some.
fn without_targets(
    name: &str,
    tier: Written<'_>,
    findings: &mut Findings<'_>,
) -> Option<RinglessTier> {
    findings.note(
        &tier.at.key("targets"),
        "no targets, so the tier has no ring: what falls to it is shed, and /readyz and /lookup say 503",
    );
    Some(RinglessTier { name: name.to_owned(), protocol: tier.protocol? })
}

/// A name goes into URLs, counters and log lines.
fn check_name(name: &str, at: &KeyPath, findings: &mut Findings<'_>) {
    if name.is_empty() {
        findings.fault(at, "the tier's name is empty");
    } else if name.chars().any(|c| c.is_control() || c == '/') {
        findings.fault(at, "a tier's name has no \"/\" and no control character");
    } else if name.len() > NAME_BYTES_MAX {
        findings.fault(at, format!("a tier's name has at most {NAME_BYTES_MAX} bytes"));
    }
}

/// Every tier costs each sample a hash and a copy.
const TIERS_MAX: usize = 64;

const NAME_BYTES_MAX: usize = 255;
