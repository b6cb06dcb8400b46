//! Why a name goes where it goes: each step of its way through [`Routes`], by the code that routes.

use coco_ring::{Key, Located, Member, Ring};
use coco_wire::names::Names;
use memchr::memchr;
use regex::bytes::Regex;

use super::{Routes, Tier, group::asked};
use crate::plan::{Address, KeyRule, TargetProtocol};

/// Everything that decides about one name.
#[derive(Debug)]
pub struct Explained<'r> {
    /// The blacklist's expression, if it takes the name out.
    pub filtered_by: Option<&'r str>,
    /// There is a blacklist.
    pub has_filter: bool,
    /// Number of the set of members in force, from 1.
    pub epoch: u64,
    /// The tiers in the order of the file.
    pub tiers: Vec<TierExplained<'r>>,
    /// Tiers that have no ring, and shed it.
    pub ringless: Vec<&'r str>,
}

/// What one tier makes of the name.
#[derive(Debug)]
pub struct TierExplained<'r> {
    /// Name of the tier.
    pub tier: &'r str,
    /// What its targets speak.
    pub protocol: TargetProtocol,
    /// What the name was taken for.
    pub taken_as: TakenAs,
    /// What it does with Graphite names.
    pub names: &'r Names,
    /// The ring that was asked.
    pub ring: &'r Ring,
    /// The ring's digest.
    pub digest: &'r str,
    /// `None`: the relay whose names the tier follows would not take the name.
    pub placed: Option<PlacedName<'r>>,
}

/// What a tier takes a name for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenAs {
    /// A Graphite name.
    GraphiteName,
    /// The host of collectd samples.
    Host,
    /// The identifier of a collectd series.
    Identifier,
}

/// A name that has owners.
#[derive(Debug)]
pub struct PlacedName<'r> {
    /// The name as it goes on.
    pub name: Vec<u8>,
    /// What was hashed.
    pub key: Vec<u8>,
    /// Where the key falls.
    pub located: Located<'r>,
    /// The owners in order, the primary first.
    pub owners: Vec<Owner<'r>>,
}

/// One owner, as it is now.
#[derive(Debug)]
pub struct Owner<'r> {
    /// Id, weight, zone and place.
    pub member: &'r Member,
    /// The address as the configuration writes it.
    pub label: &'r str,
    /// Where it is sent.
    pub address: &'r Address,
    /// State of its connection.
    pub state: &'static str,
    /// Samples waiting in its queue or on their way from it.
    pub held: u64,
    /// Bytes waiting in its queue.
    pub queued_bytes: usize,
}

impl Routes {
    /// Every step that decides about `name` in each tier.
    pub fn explain(&self, name: &[u8]) -> Explained<'_> {
        let filter = self.blacklist.as_ref();
        // Of a host alone nothing can be told.
        let path = filter_path(name).filter(|_| !self.collectd.is_empty());
        let as_line = !self.lines.is_empty();
        let is_match = |re: &&Regex| {
            (as_line && re.is_match(name)) || path.as_ref().is_some_and(|path| re.is_match(path))
        };
        Explained {
            filtered_by: filter.filter(is_match).map(Regex::as_str),
            has_filter: filter.is_some(),
            epoch: self.epoch,
            tiers: self.tiers.iter().map(|tier| self.explain_tier(tier, name)).collect(),
            ringless: self.ringless().map(|(tier, _)| tier).collect(),
        }
    }

    fn explain_tier<'r>(&'r self, tier: &'r Tier, name: &[u8]) -> TierExplained<'r> {
        let taken_as = match (tier.carries_lines(), tier.key) {
            (true, _) => TakenAs::GraphiteName,
            (false, KeyRule::Host) => TakenAs::Host,
            (false, KeyRule::Series) => TakenAs::Identifier,
        };
        TierExplained {
            tier: &tier.name,
            protocol: tier.protocol,
            taken_as,
            names: &tier.names,
            ring: &tier.ring,
            digest: &tier.digest,
            placed: self.placed_name(tier, name),
        }
    }

    fn placed_name<'r>(&'r self, tier: &'r Tier, name: &[u8]) -> Option<PlacedName<'r>> {
        let mut scratch = Vec::new();
        let named = asked(tier.protocol, &tier.names, name, &mut scratch)?;
        let located = tier.ring.locate(&Key::new(named.key));
        let owner = |owner| {
            let target = self.targets.get(tier.slot(owner))?;
            let held = target.queue.held();
            Some(Owner {
                member: tier.ring.members().iter().nth(owner.into())?,
                label: &target.plan.label,
                address: &target.plan.address,
                state: target.state().as_str(),
                held: held.queued + held.in_flight,
                queued_bytes: held.queued_bytes,
            })
        };
        Some(PlacedName {
            name: named.name.to_vec(),
            key: named.key.to_vec(),
            located,
            owners: located.owners.into_iter().filter_map(owner).collect(),
        })
    }
}

/// What the filter sees of a collectd identifier, `host/plugin[-instance]/type[-instance]`: its parts by
/// slashes. `None` if the name is no identifier.
fn filter_path(name: &[u8]) -> Option<Vec<u8>> {
    let mut parts = name.splitn(3, |byte| *byte == b'/');
    let (host, plugin, type_) = (parts.next()?, parts.next()?, parts.next()?);
    let by_slash = |part: &[u8]| {
        let mut part = part.to_vec();
        if let Some(at) = memchr(b'-', &part)
            && let Some(dash) = part.get_mut(at)
        {
            *dash = b'/';
        }
        part
    };
    Some([host, &by_slash(plugin), &by_slash(type_)].join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::filter_path;

    #[test]
    fn an_identifier_is_filtered_as_its_parts() {
        let path = |name: &str| filter_path(name.as_bytes()).map(|p| String::from_utf8(p).unwrap());
        assert_eq!(path("web/irq-7/irq").as_deref(), Some("web/irq/7/irq"));
        assert_eq!(
            path("web/df-var-lib/df_complex-free").as_deref(),
            Some("web/df/var-lib/df_complex/free")
        );
        assert_eq!(path("web"), None);
        assert_eq!(path("servers.web.load"), None);
    }
}
