//! Tiers for the tests of a plan, read as a configuration file is.

use coco_router::plan::TierPlan;

use super::tier::Kept;
use crate::config::Config;

/// The tier of which these are the keys.
pub(super) fn tier(keys: &str) -> TierPlan {
    let text = format!("[listen]\nbind = \":0\"\n[graphite]\nbind = \":0\"\n[tiers.one]\n{keys}\n");
    Config::parse(&text, "test").unwrap().plan.tiers.remove(0)
}

/// A tier with these targets, each in TOML.
pub(super) fn tier_of<T: AsRef<str>>(keys: &str, targets: &[T]) -> TierPlan {
    let targets: Vec<&str> = targets.iter().map(AsRef::as_ref).collect();
    tier(&format!("{keys}\ntargets = [{}]", targets.join(", ")))
}

/// Targets `10.0.0.1:2003` and on, in TOML.
pub(super) fn addresses(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("\"10.0.0.{number}:2003\"")).collect()
}

/// The warnings of a change.
pub(super) fn warnings(old: &TierPlan, new: &TierPlan) -> Vec<String> {
    Kept::new(old, new).warnings
}
