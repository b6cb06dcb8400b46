//! A plan for people, as text.

use coco_ring::Basis;
use coco_router::plan::TierPlan;

use super::{
    Findings,
    figures::{bar, count, counted, percent},
    table,
    tier::{Kept, Tier, renamed, renaming},
    told,
};
use crate::screen::{Ink, Screen, wrap};

/// The whole report, its last line ended.
pub(super) fn report(findings: &Findings<'_>, screen: Screen) -> String {
    let mut blocks: Vec<String> = findings
        .tiers
        .iter()
        .map(|tier| match tier {
            Tier::New(new) => {
                let gone = renamed(&findings.tiers, tier).map(|gone| {
                    format!("is new, with the targets of {}, which is gone: see there", gone.name)
                });
                let fresh = "is new: all of its samples start fresh";
                alone(new, gone.as_deref().unwrap_or(fresh), screen)
            }
            Tier::Gone(gone) => {
                let text = alone(gone, "is gone: what its targets hold stays there", screen);
                text + &renaming(&findings.tiers, tier)
                    .map(|w| warning(&w, screen))
                    .unwrap_or_default()
            }
            Tier::Kept(kept) => both(kept, findings.survey.is_some(), screen),
        })
        .collect();
    blocks.extend(findings.survey.as_ref().map(told::read));
    blocks.join("\n")
}

/// A tier that only one file has.
fn alone(tier: &TierPlan, what: &str, screen: Screen) -> String {
    let heading = screen.paint(Ink::Heading, &format!("tier {}", tier.name));
    format!("{heading} {what}\n  {}\n", describe(tier))
}

fn warning(text: &str, screen: Screen) -> String {
    let lines = wrap(&format!("warning: {text}"), screen.columns.saturating_sub(4));
    screen.paint(Ink::Warning, &format!("  {}", lines.join("\n    "))) + "\n"
}

/// A tier that both files have.
fn both(kept: &Kept<'_>, has_names: bool, screen: Screen) -> String {
    let mut text = summary(kept, screen);
    if !is_still(kept) {
        text.push('\n');
        for line in table::draw(table::rows(kept), screen) {
            text.push_str(&line);
            text.push('\n');
        }
        text.push_str(&flows(kept, screen));
    }
    if !is_still(kept) && (has_names || !kept.warnings.is_empty()) {
        text.push('\n');
    }
    if has_names {
        text.push_str(&told::names(kept));
    }
    text.extend(kept.warnings.iter().map(|text| warning(text, screen)));
    text
}

/// What it is, and how much of it moves.
fn summary(kept: &Kept<'_>, screen: Screen) -> String {
    let diff = &kept.diff;
    let heading = screen.paint(Ink::Heading, &format!("tier {}", kept.name()));
    let basis = match diff.basis {
        Basis::Exact => "exact".to_owned(),
        Basis::Sampled { keys } => format!("estimated from {}", counted(keys, "key")),
    };
    let only = if kept.has_other_names() { " for names that stay as they are" } else { "" };
    let (moved, ideal) = (percent(diff.moved), percent(diff.ideal));
    let moves = if kept.starts_fresh() {
        format!("moves {moved} of the copies: all starts fresh, as it carries other samples")
    } else {
        format!("moves {moved} of the copies (ideal {ideal}), {basis}{only}")
    };
    let mut text = if kept.is_same() {
        format!("{heading} is the same\n  {}\n", describe(kept.new))
    } else {
        let (old, new) = (describe(kept.old), describe(kept.new));
        // As wide as the heading, without its colour and blanks.
        let title = "x".repeat("tier ".len() + kept.name().chars().count());
        let lines = wrap(&format!("{title} {moves}"), screen.columns.saturating_sub(2));
        let rest = lines.join("\n    ").split_off(title.len());
        format!("{heading}{rest}\n  before  {old}\n  after   {new}\n")
    };
    if diff.given_up > 0.0
        && !kept.starts_fresh()
        && kept.old.ring.replicas() != kept.new.ring.replicas()
    {
        let given_up = percent(diff.given_up);
        text.push_str(&format!("  gives up {given_up} of the old copies\n"));
    }
    text
}

/// No key changes hands, and no share changes.
fn is_still(kept: &Kept<'_>) -> bool {
    kept.diff.flows.is_empty() && kept.diff.given_up <= 0.0
}

fn describe(tier: &TierPlan) -> String {
    let (targets, replicas) = (tier.targets.len(), tier.ring.replicas());
    let replicas = counted(replicas, "owner");
    format!("{}, {}, {replicas} a key", tier.ring.algorithm(), counted(targets, "target"))
}

/// The largest flows.
fn flows(kept: &Kept<'_>, screen: Screen) -> String {
    let flows = &kept.diff.flows;
    let Some(largest) = flows.first() else {
        return String::new();
    };
    let shown: Vec<_> = flows
        .iter()
        .take(FLOWS_MAX)
        .filter_map(|flow| {
            let from = table::title(kept.old.targets.get(flow.from)?);
            let to = table::title(kept.new.targets.get(flow.to)?);
            Some((from, to, flow.share))
        })
        .collect();
    let most = screen.columns / 3;
    let froms = table::column(shown.iter().map(|(from, ..)| from.as_str()), "from", most);
    let tos = table::column(shown.iter().map(|(_, to, _)| to.as_str()), "to", most);
    let bars = screen.columns.saturating_sub(4 + froms + 4 + tos + 11);
    let mut text = format!("\n    {:froms$}    {:tos$}  {:>8}\n", "from", "to", "copies");
    for (from, to, share) in &shown {
        let (from, to) = (table::fit(from, froms), table::fit(to, tos));
        let bar = bar(share / largest.share, bars.min(20));
        let share = percent(*share);
        text.push_str(&format!("    {from:froms$} -> {to:tos$}  {share:>8} {bar}\n"));
    }
    let more = count(flows.len() - shown.len());
    if kept.diff.rest > 0.0 {
        let rest = percent(kept.diff.rest);
        text.push_str(&format!(
            "    and {more} more, and {rest} of the copies between further pairs\n"
        ));
    } else if flows.len() > shown.len() {
        text.push_str(&format!("    and {more} more\n"));
    }
    text
}

/// Most flows that are shown.
const FLOWS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{addresses, tier_of};

    fn text(old: &TierPlan, new: &TierPlan) -> String {
        let tiers = vec![Tier::Kept(Box::new(Kept::new(old, new)))];
        report(&Findings { tiers, survey: None }, Screen::new(80, false))
    }

    #[test]
    fn a_report_fits_its_screen_and_names_what_moves() {
        let (old, new) = (tier_of("", &addresses(1..=10)), tier_of("", &addresses(1..=11)));
        let text = text(&old, &new);
        assert!(text.starts_with("tier one moves 9."), "{text}");
        for part in [
            "(ideal 9.09 %), exact",
            "before  xxh3, 10 targets, 1 owner a key",
            "after   xxh3, 11 targets, 1 owner a key",
            "+ 10.0.0.11:2003",
            "-> 10.0.0.11:2003",
            "█",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn only_what_was_counted_is_called_exact() {
        let targets = addresses(1..=4);
        let first = |old: &str, new: &str| {
            let text = text(&tier_of(old, &targets), &tier_of(new, &targets));
            let text = text.split("\n  before").next().unwrap();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let graphite = "protocol = \"graphite\"";
        assert_eq!(
            first(graphite, "protocol = \"graphite\"\nnames = \"nanotube\""),
            "tier one moves 0.00 % of the copies (ideal 0.00 %), exact for names that stay as they are"
        );
        assert_eq!(
            first("", graphite),
            "tier one moves 100.00 % of the copies: all starts fresh, as it carries other samples"
        );
        assert!(first("", "replicas = 2").ends_with(", exact"));
    }

    #[test]
    fn a_tier_that_looks_renamed_is_told() {
        let old = tier_of("", &addresses(1..=2));
        let told = |keys: &str, targets: &[String]| {
            let new = TierPlan { name: "two".to_owned(), ..tier_of(keys, targets) };
            let tiers = vec![Tier::New(&new), Tier::Gone(&old)];
            let text = report(&Findings { tiers, survey: None }, Screen::new(80, false));
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let same = told("", &addresses([2, 1]));
        for part in [
            "tier two is new, with the targets of one, which is gone: see there",
            "warning: it looks renamed to two, which has the same targets: nothing moves on the targets, \
             but the name of a tier is part of counters, queues and checks",
        ] {
            assert!(same.contains(part), "no {part:?} in {same}");
        }
        let other = told("replicas = 2", &addresses(1..=2));
        assert!(other.contains("give two the name one for once to see what moves"), "{other}");
        let more = told("", &addresses(1..=3));
        assert!(!more.contains("renamed") && more.contains("start fresh"), "{more}");
    }

    #[test]
    fn colours_only_where_asked_for() {
        let tier = tier_of("", &addresses(1..=2));
        let findings = Findings { tiers: vec![Tier::New(&tier)], survey: None };
        assert!(
            report(&findings, Screen::new(80, true)).starts_with("\x1b[1mtier one\x1b[0m is new")
        );
        assert!(report(&findings, Screen::new(80, false)).starts_with("tier one is new"));
    }

    #[test]
    fn a_tier_that_is_the_same_is_told_in_two_lines() {
        let tier = tier_of("", &addresses(1..=10));
        assert_eq!(text(&tier, &tier), "tier one is the same\n  xxh3, 10 targets, 1 owner a key\n");
    }

    #[test]
    fn many_flows_are_cut_short() {
        let (old, new) = (tier_of("", &addresses(1..=30)), tier_of("", &addresses(2..=30)));
        let text = text(&old, &new);
        assert!(text.contains("    and 9 more\n"), "{text}");
    }
}
