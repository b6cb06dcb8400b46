//! `--fail-above`: how much may move.

use std::str::FromStr;

use super::{
    figures::percent,
    tier::{Kept, Tier, renamed},
};

/// A share in percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(f64);

/// It is never NaN.
impl Eq for Percent {}

impl Percent {
    /// As a share, 0 to 1.
    pub(crate) fn share(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Percent {
    type Err = PercentError;

    /// Reads `12.5` or `12.5%`.
    fn from_str(text: &str) -> Result<Self, PercentError> {
        let number = text.strip_suffix('%').unwrap_or(text).trim_end();
        match number.parse::<f64>() {
            Ok(fits) if (0.0..=100.0).contains(&fits) => Ok(Self(fits)),
            Ok(_) | Err(_) => Err(PercentError { seen: text.to_owned() }),
        }
    }
}

/// A text that is no share in percent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seen:?}: give a number from 0 to 100, as 12.5 or 12.5%")]
pub struct PercentError {
    seen: String,
}

/// What moves more than is allowed, one line for each excess, and what nobody gets any more or cannot be judged.
pub(super) fn exceeded(tiers: &[Tier<'_>], allowed: Option<Percent>) -> Vec<String> {
    let Some(Percent(allowed)) = allowed else {
        return Vec::new();
    };
    tiers
        .iter()
        .flat_map(|tier| match tier {
            Tier::Kept(kept) => excess(kept, allowed),
            Tier::New(_) => Vec::new(),
            Tier::Gone(gone) => vec![format!(
                "tier {} is gone: {}",
                gone.name,
                match renamed(tiers, tier) {
                    Some(new) => format!("it looks renamed to {}", new.name),
                    None => "nobody gets its samples any more".to_owned(),
                }
            )],
        })
        .collect()
}

fn excess(kept: &Kept<'_>, allowed: f64) -> Vec<String> {
    let name = kept.name();
    if let Some(what) = left_behind(kept) {
        return vec![format!("tier {name} {what}")];
    }
    let shares = [
        (kept.diff.moved, "of its copies"),
        (kept.counts.share(), "of the copies of these names"),
        (kept.counts.renamed_share(), "of these names to another name"),
    ];
    // An allowance in decimals is no binary number: what is equal on paper passes.
    let most = allowed / 100.0 * (1.0 + 4.0 * f64::EPSILON);
    let mut lines: Vec<String> = shares
        .into_iter()
        .filter(|(share, _)| *share > most)
        .map(|(share, of)| {
            let share = percent(share);
            format!("tier {name} moves {share} {of}; --fail-above allows {allowed} %")
        })
        .collect();
    if kept.has_other_names() && kept.counts.lines == 0 {
        lines.push(format!(
            "tier {name} has other `names`, and no name tells what moves: give --names, whose share then decides"
        ));
    }
    lines
}

/// Samples that the tier carries no longer.
fn left_behind(kept: &Kept<'_>) -> Option<&'static str> {
    let (old, new) = (kept.old.protocol, kept.new.protocol);
    if kept.starts_fresh() {
        Some("carries another kind of samples: everything starts fresh")
    } else if old.carries_collectd() && !new.carries_collectd() {
        Some("carries no collectd samples any more")
    } else {
        let lost = old.carries_lines() && !new.carries_lines();
        lost.then_some("carries no Graphite lines any more")
    }
}

#[cfg(test)]
mod tests {
    use coco_router::plan::TierPlan;

    use super::*;
    use crate::plan::{
        survey::Counts,
        testing::{addresses, tier_of},
    };

    #[test]
    fn percents_are_0_to_100() {
        for (text, due) in [("0", 0.0), ("12.5", 12.5), ("100%", 100.0), ("9 %", 9.0)] {
            assert_eq!(text.parse(), Ok(Percent(due)));
        }
        for bad in ["", "%", "-1", "100.1", "nan", "inf", "ten"] {
            let error = bad.parse::<Percent>().unwrap_err().to_string();
            assert!(error.contains("0 to 100"), "{error}");
        }
    }

    #[test]
    fn more_than_allowed_is_told_with_its_tier() {
        let (old, new) = (tier_of("", &addresses(1..=10)), tier_of("", &addresses(1..=11)));
        let tiers = [Tier::Kept(Box::new(Kept::new(&old, &new))), Tier::New(&new)];
        let told = |text: &str| exceeded(&tiers, Some(text.parse().unwrap()));
        assert_eq!(told("9.5"), [""; 0]);
        let lines = told("5%");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("tier one moves 9."), "{lines:?}");
        assert!(lines[0].ends_with("allows 5 %"), "{lines:?}");
        assert_eq!(exceeded(&tiers, None), [""; 0]);
    }

    #[test]
    fn exactly_as_much_as_allowed_passes() {
        let tier = tier_of("", &addresses(1..=2));
        let mut kept = Kept::new(&tier, &tier);
        for (moved, of, allowed, passes) in [
            (7, 100, "7", true),
            (91, 1_000, "9.1", true),
            (1, 8, "12.5", true),
            (29, 100, "29", true),
            (8, 100, "7.999", false),
            (0, 9, "0", true),
            (1, 1_000_000_000, "0", false),
        ] {
            kept.counts = Counts { seen: of, copies: of, copies_moved: moved, ..Counts::default() };
            let lines = excess(&kept, allowed.parse::<Percent>().unwrap().0);
            assert_eq!(lines.is_empty(), passes, "{moved} of {of}: {lines:?}");
        }
    }

    #[test]
    fn what_nobody_gets_any_more_is_too_much() {
        let targets = addresses(1..=2);
        let one = tier_of("", &targets);
        let told = |tiers: &[Tier<'_>]| exceeded(tiers, Some("100".parse().unwrap())).join("\n");
        let gone = "tier one is gone: nobody gets its samples any more";
        assert_eq!(told(&[Tier::Gone(&one)]), gone);
        let other = TierPlan { name: "two".to_owned(), ..tier_of("", &addresses(1..=2)) };
        let renamed = "tier one is gone: it looks renamed to two";
        assert_eq!(told(&[Tier::New(&other), Tier::Gone(&one)]), renamed);
        let kept = |old: &str, new: &str| {
            let (old, new) = (tier_of(old, &targets), tier_of(new, &targets));
            told(&[Tier::Kept(Box::new(Kept::new(&old, &new)))])
        };
        let fresh = "tier one carries another kind of samples: everything starts fresh";
        assert_eq!(kept("", "protocol = \"graphite\""), fresh);
        assert_eq!(kept("protocol = \"graphite-pickle\"", ""), fresh);
        assert_eq!(kept("protocol = \"graphite-pickle\"", "protocol = \"graphite\""), "");
    }

    #[test]
    fn other_names_are_too_much_unless_names_tell() {
        let targets = addresses(1..=2);
        let old = tier_of("protocol = \"graphite\"", &targets);
        let new = tier_of("protocol = \"graphite\"\nnames = \"nanotube\"", &targets);
        let mut kept = Kept::new(&old, &new);
        let lines = excess(&kept, 100.0);
        assert!(matches!(&*lines, [line] if line.contains("give --names")), "{lines:?}");
        kept.counts = Counts { seen: 9, lines: 9, copies: 9, ..Counts::default() };
        assert_eq!(excess(&kept, 0.0), [""; 0]);
        kept.counts.copies_moved = 1;
        assert_eq!(excess(&kept, 10.0).len(), 1);
        kept.counts = Counts { seen: 9, lines: 9, copies: 9, renamed: 1, ..Counts::default() };
        assert!(excess(&kept, 10.0)[0].contains("of these names to another name"));
    }
}
