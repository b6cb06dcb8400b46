//! A name, and the key that a tier makes of it.
//!
//! Invariant: a key is what the data path would hash. What a line of a file or of `/series` looks like is
//! decided here and nowhere else.

use std::borrow::Cow;

use coco_router::plan::{KeyRule, TierPlan};
use coco_wire::names::Named;

use crate::rows::unescape;

/// A line of names, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// A host of collectd samples (an identifier, where a tier hashes these) or a Graphite name,
    /// whichever the tier carries.
    Either(&'a [u8]),
    /// A Graphite series.
    Graphite(Cow<'a, [u8]>),
    /// A collectd series.
    Collectd {
        host: Cow<'a, [u8]>,
        /// `host/plugin[-instance]/type[-instance]`
        identifier: Cow<'a, [u8]>,
    },
}

impl<'a> Name<'a> {
    /// Reads a row of `/series`; `None` if it is none.
    pub(super) fn from_series(row: &'a [u8]) -> Option<Self> {
        let mut fields = row.splitn(3, |byte| *byte == b'\t');
        match (fields.next()?, fields.next()?, fields.next()) {
            (b"graphite", name, None) => Some(Self::Graphite(unescape(name)?)),
            (b"collectd", host, Some(identifier)) => {
                Some(Self::Collectd { host: unescape(host)?, identifier: unescape(identifier)? })
            }
            _ => None,
        }
    }

    /// What goes on and what is hashed of it in a tier; `None` if no sample of the tier can have it.
    pub(super) fn in_tier<'k>(
        &'k self,
        tier: &TierPlan,
        scratch: &'k mut Vec<u8>,
    ) -> Option<Named<'k>> {
        match self {
            Self::Either(name) => tier.named(name, scratch),
            Self::Graphite(name) if tier.protocol.carries_lines() => tier.named(name, scratch),
            Self::Collectd { host, identifier } if tier.protocol.carries_collectd() => {
                let hashed = match tier.key {
                    KeyRule::Host => host,
                    KeyRule::Series => identifier,
                };
                Some(Named { name: identifier, key: tier.named(hashed, scratch)?.key })
            }
            Self::Graphite(_) | Self::Collectd { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::tier;

    fn collectd(host: &str, rest: &str) -> Name<'static> {
        let identifier = format!("{}/{rest}", host.replace('/', "_")).into_bytes();
        Name::Collectd { host: host.to_owned().into_bytes().into(), identifier: identifier.into() }
    }

    #[test]
    fn rows_of_series_are_read() {
        let read = |row: &'static str| Name::from_series(row.as_bytes());
        assert_eq!(read("graphite\ta.b"), Some(Name::Graphite(b"a.b".into())));
        assert_eq!(read("graphite\ta\\tb"), Some(Name::Graphite(b"a\tb".into())));
        assert_eq!(
            read("collectd\te/\\nvil\te_\\nvil/cpu-0/cpu-idle"),
            Some(collectd("e/\nvil", "cpu-0/cpu-idle"))
        );
        for bad in ["", "graphite", "graphite\ta\tb", "collectd\tweb", "statsd\ta", "a.b 1 2"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_tier_hashes_what_it_carries() {
        let key = |name: &Name<'_>, toml: &str| {
            let tier = tier(toml);
            let mut scratch = Vec::new();
            name.in_tier(&tier, &mut scratch)
                .map(|named| String::from_utf8(named.key.to_vec()).unwrap())
        };
        let series_of_web = collectd("web;z;y", "cpu-0/cpu-idle");
        let tagged = Name::Graphite(b"a;c=1;b=2".into());
        let (plain, blank) = (Name::Either(b"a;c=1;b=2"), Name::Either(b"a b"));
        let hosts = "targets = [\"a:1\"]";
        assert_eq!(key(&series_of_web, hosts).as_deref(), Some("web;z;y"));
        assert_eq!(key(&tagged, hosts), None);
        assert_eq!(key(&plain, hosts).as_deref(), Some("a;c=1;b=2"));
        assert_eq!(key(&blank, hosts).as_deref(), Some("a b"));
        let series = "key = \"series\"\ntargets = [\"a:1\"]";
        assert_eq!(key(&series_of_web, series).as_deref(), Some("web;z;y/cpu-0/cpu-idle"));
        let lines = "protocol = \"graphite\"\ntargets = [\"a:1\"]";
        assert_eq!(key(&series_of_web, lines), None);
        assert_eq!(key(&tagged, lines).as_deref(), Some("a;b=2;c=1"));
        assert_eq!(key(&plain, lines).as_deref(), Some("a;b=2;c=1"));
        assert_eq!(key(&blank, lines), None);
        let cleaned = "protocol = \"graphite\"\nnames = \"c-relay\"\ntargets = [\"a:1\"]";
        assert_eq!(key(&plain, cleaned).as_deref(), Some("a"));
        let both = "protocol = \"embedded\"\ntargets = [\"a\"]";
        assert_eq!(key(&series_of_web, both).as_deref(), Some("web;y;z"));
        assert_eq!(key(&tagged, both).as_deref(), Some("a;b=2;c=1"));
    }
}
