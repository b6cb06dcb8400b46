//! `names` of one tier: what becomes of a Graphite line's name.

use coco_ring::Algorithm;
use coco_router::plan::TargetProtocol;
use coco_wire::names::{Allowed, Names};

use super::tier::Written;
use crate::config::{
    file::{self, Leaf, Node},
    findings::{self, Findings, Refusal},
    path::KeyPath,
    words::quoted,
};

/// The rule of a tier; `None` when it was refused.
///
/// A ring of another relay takes names as that relay does, unless the tier says otherwise.
pub(super) fn names(
    tier: Written<'_>,
    algorithm: Option<Algorithm>,
    findings: &mut Findings<'_>,
) -> Option<Names> {
    let Written { section, at, protocol } = tier;
    // An embedded tier carries lines too, and hosts: it has one rule for both.
    if protocol.is_some_and(TargetProtocol::carries_collectd) {
        refuse_all(section, at, findings);
        return Some(Names::Sorted);
    }
    let style = match section.names.as_ref() {
        None => algorithm.map(Style::of),
        leaf => findings.read(&at.key("names"), leaf, findings::choice(&STYLES)),
    };
    let normalize_tags = section.normalize_tags.as_ref();
    let normalize = findings.read(&at.key("normalize_tags"), normalize_tags, findings::flag);
    let characters = section.allowed_characters.as_ref();
    let allowed = findings.read(&at.key("allowed_characters"), characters, allowed);
    let style = style?;
    let mut goes_with = |key, leaf: &Option<Leaf>, of: Style, name| {
        if leaf.is_some() && style != of {
            findings.fault(&at.key(key), format!("`{key}` goes with names = \"{name}\""));
        }
    };
    goes_with("normalize_tags", &section.normalize_tags, Style::Carbon, "carbon");
    goes_with("allowed_characters", &section.allowed_characters, Style::CRelay, "c-relay");
    Some(match style {
        Style::Sorted => Names::Sorted,
        Style::AsIs => Names::AsIs,
        Style::Carbon => Names::Carbon { normalize_tags: normalize.unwrap_or(false) },
        Style::CRelay => Names::CRelay(allowed.unwrap_or_default()),
        Style::Nanotube => Names::Nanotube,
    })
}

/// Names each key about names in a tier that has none.
fn refuse_all(section: &file::Tier, at: &KeyPath, findings: &mut Findings<'_>) {
    for (key, leaf) in [
        ("names", &section.names),
        ("normalize_tags", &section.normalize_tags),
        ("allowed_characters", &section.allowed_characters),
    ] {
        if leaf.is_some() {
            let message =
                format!("`{key}` is for tiers with protocol = \"graphite\" or \"graphite-pickle\"");
            findings.fault(&at.key(key), message);
        }
    }
}

/// [`Names`] without what belongs to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Sorted,
    AsIs,
    Carbon,
    CRelay,
    Nanotube,
}

impl Style {
    /// What the original of a ring does with names.
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Xxh3 | Algorithm::Coco => Self::Sorted,
            Algorithm::Carbon { .. } | Algorithm::CarbonFast { .. } => Self::Carbon,
            Algorithm::CRelayCarbonCh
            | Algorithm::CRelayFnv1aCh(_)
            | Algorithm::CRelayJump(_)
            | Algorithm::CRelayAnyOf(_) => Self::CRelay,
            Algorithm::NanotubeJump => Self::Nanotube,
            Algorithm::RelayNgV1 | Algorithm::RelayNgV2 => Self::AsIs,
        }
    }
}

/// Reads what carbon-c-relay takes after `-c`: any bytes that can stand in a name.
fn allowed(leaf: &Leaf) -> Result<Allowed, Refusal> {
    // Empty is good: letters, digits and dots are left.
    let text = match leaf {
        Node::Text(text) => text,
        Node::Integer(_) | Node::List(_) | Node::Table(_) | Node::Flag(_) | Node::Float(_) => {
            return Err(Refusal::Type("characters such as \"-_:#\"".to_owned()));
        }
    };
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let why = "a name can hold no blank and no control character";
        return Err(Refusal::Value(format!("{}: {why}", quoted(text))));
    }
    Ok(Allowed::new(text))
}

const STYLES: [(&str, Style); 5] = [
    ("sorted-tags", Style::Sorted),
    ("as-is", Style::AsIs),
    ("carbon", Style::Carbon),
    ("c-relay", Style::CRelay),
    ("nanotube", Style::Nanotube),
];
