//! What an operator should know about a file that is good.

use coco_router::plan::{ListenerProtocol, Plan, TargetProtocol};
use toml::de::{DeTable, DeValue};

use crate::config::{findings::Findings, path::KeyPath};

/// Notes about the file as a whole.
pub(super) fn notes(plan: &Plan, findings: &mut Findings<'_>) {
    let tiers = KeyPath::root().key("tiers");
    if is_1x(findings.document().tree()) {
        findings.note(
            &tiers,
            "tiers without `hash` use the new ring; hash = \"coco\" keeps the placement of Coco 1.x",
        );
    }
    let listens = |family| plan.listeners.iter().any(|l| Family::of_listener(l.protocol) == family);
    let ringless = plan.ringless.iter().map(|tier| tier.protocol);
    let protocols: Vec<_> = plan.tiers.iter().map(|tier| tier.protocol).chain(ringless).collect();
    let carried = |family| protocols.iter().any(|protocol| Family::carries(*protocol, family));
    for (family, section, samples) in [
        (Family::Collectd, "listen", "collectd samples"),
        (Family::Graphite, "graphite", "Graphite lines"),
    ] {
        if listens(family) && !carried(family) {
            let message = format!("no tier takes {samples}; they will be counted as unroutable");
            findings.note(&KeyPath::root().key(section), message);
        }
    }
    for tier in &plan.tiers {
        let fed = |family| listens(family) && Family::carries(tier.protocol, family);
        if !fed(Family::Collectd) && !fed(Family::Graphite) {
            let message = "no listener takes what this tier carries; it will get no samples";
            findings.note(&tiers.key(&tier.name), message);
        }
    }
}

/// The two kinds of samples: neither is converted into the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Collectd,
    Graphite,
}

impl Family {
    fn of_listener(protocol: ListenerProtocol) -> Self {
        match protocol {
            ListenerProtocol::Collectd => Self::Collectd,
            ListenerProtocol::LineTcp | ListenerProtocol::LineUdp | ListenerProtocol::Pickle => {
                Self::Graphite
            }
        }
    }

    fn carries(protocol: TargetProtocol, family: Self) -> bool {
        match family {
            Self::Collectd => protocol.carries_collectd(),
            Self::Graphite => protocol.carries_lines(),
        }
    }
}

/// Whether Coco 1.x would know every key of the file.
fn is_1x(tree: &DeTable<'_>) -> bool {
    tree.iter().all(|(section, value)| {
        let Some(table) = value.get_ref().as_table() else { return false };
        match section.get_ref().as_ref() {
            "tiers" => table.values().all(|tier| is_1x_tier(tier.get_ref())),
            section => {
                KEYS_1X.iter().find(|(name, _)| *name == section).is_some_and(|(_, keys)| {
                    table.keys().all(|key| keys.contains(&key.get_ref().as_ref()))
                })
            }
        }
    })
}

/// Nothing but `targets`, and those as text.
fn is_1x_tier(tier: &DeValue<'_>) -> bool {
    tier.as_table().is_some_and(|tier| {
        tier.iter().all(|(key, targets)| {
            let targets = targets.get_ref().as_array();
            key.get_ref() == "targets"
                && targets.is_some_and(|list| list.iter().all(|target| target.get_ref().is_str()))
        })
    })
}

/// The sections of Coco 1.x besides its tiers.
const KEYS_1X: [(&str, &[&str]); 5] = [
    ("listen", &["bind", "typesdb"]),
    ("filter", &["blacklist"]),
    ("api", &["bind"]),
    ("fetch", &["bind", "proxy_timeout", "remote_port"]),
    ("measure", &["interval"]),
];
