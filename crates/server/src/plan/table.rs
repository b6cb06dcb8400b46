//! The targets of a tier with their shares before and after, as rows and as a drawing.

use std::collections::{HashMap, HashSet};

use coco_router::plan::TargetPlan;

use super::{
    figures::{bar, percent},
    tier::Kept,
};
use crate::screen::{Ink, Screen};

/// One target, in either file or both.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row<'p> {
    pub(super) target: &'p TargetPlan,
    /// Share of the old copies; `None` for a new target.
    pub(super) before: Option<f64>,
    /// Share of the new copies; `None` for a target that is gone.
    pub(super) after: Option<f64>,
}

/// All targets: those of the new file in its order, then those that are gone.
pub(super) fn rows<'p>(kept: &Kept<'p>) -> Vec<Row<'p>> {
    let old = kept.old.targets.iter().zip(kept.diff.before.iter().copied());
    let before: HashMap<&str, f64> =
        old.clone().map(|(target, share)| (target.id.as_str(), share)).collect();
    let new = kept.new.targets.iter().zip(kept.diff.after.iter().copied());
    let mut rows: Vec<_> = new
        .map(|(target, after)| Row {
            target,
            before: before.get(target.id.as_str()).copied(),
            after: Some(after),
        })
        .collect();
    let stays: HashSet<&str> = kept.new.targets.iter().map(|target| target.id.as_str()).collect();
    let gone = old.filter(|(target, _)| !stays.contains(target.id.as_str()));
    rows.extend(gone.map(|(target, share)| Row { target, before: Some(share), after: None }));
    rows
}

impl Row<'_> {
    fn change(&self) -> f64 {
        (self.after.unwrap_or_default() - self.before.unwrap_or_default()).abs()
    }

    fn ink(&self) -> Option<(Ink, &'static str)> {
        match (self.before, self.after) {
            (None, _) => Some((Ink::New, "+")),
            (_, None) => Some((Ink::Gone, "-")),
            (Some(_), Some(_)) => None,
        }
    }
}

/// How a target is named: by its id, and by its address if that says something else.
pub(super) fn title(target: &TargetPlan) -> String {
    if target.id == target.label {
        target.id.clone()
    } else {
        format!("{} ({})", target.id, target.label)
    }
}

/// Draws the rows, each with two bars; of many, those that change most.
pub(super) fn draw(mut rows: Vec<Row<'_>>, screen: Screen) -> Vec<String> {
    let left_out = keep_largest(&mut rows);
    let titles: Vec<String> = rows.iter().map(|row| title(row.target)).collect();
    let width = column(titles.iter().map(String::as_str), "target", screen.columns / 3);
    // A sign, the title, and twice: two blanks, a share, a blank, a bar.
    let bars = screen.columns.saturating_sub(4 + width + 2 * 11) / 2;
    let shares = rows.iter().flat_map(|row| [row.before, row.after]).flatten();
    let largest = shares.fold(f64::MIN_POSITIVE, f64::max);
    let head = format!("    {:width$}  {:>8} {:bars$}  {:>8}", "target", "before", "", "after");
    let mut lines = vec![head];
    for (row, title) in rows.iter().zip(&titles) {
        let side = |share: Option<f64>| match share {
            Some(share) => (percent(share), bar(share / largest, bars)),
            None => ("-".to_owned(), String::new()),
        };
        let ((before, before_bar), (after, after_bar)) = (side(row.before), side(row.after));
        let (ink, sign) = row.ink().map_or((None, " "), |(ink, sign)| (Some(ink), sign));
        let line = format!(
            "  {sign} {:width$}  {before:>8} {before_bar:bars$}  {after:>8} {after_bar}",
            fit(title, width),
        );
        let line = line.trim_end();
        lines.push(ink.map_or_else(|| line.to_owned(), |ink| screen.paint(ink, line)));
    }
    if left_out > 0 {
        lines.push(format!("    and {left_out} more, whose shares change less"));
    }
    lines
}

/// Keeps the rows that change most, in their order; how many were left out.
fn keep_largest(rows: &mut Vec<Row<'_>>) -> usize {
    let left_out = rows.len().saturating_sub(ROWS_MAX);
    if left_out > 0 {
        let mut changes: Vec<(usize, f64)> = rows.iter().map(Row::change).enumerate().collect();
        changes.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let kept: HashSet<usize> = changes.into_iter().take(ROWS_MAX).map(|(at, _)| at).collect();
        let mut at = 0..;
        rows.retain(|_| at.next().is_some_and(|at| kept.contains(&at)));
    }
    left_out
}

/// The width of a column that holds these texts, at most `most`.
pub(super) fn column<'t>(texts: impl Iterator<Item = &'t str>, head: &str, most: usize) -> usize {
    let longest = texts.map(|text| text.chars().count()).max().unwrap_or_default();
    longest.max(head.len()).min(most)
}

/// The text, cut to a width with an ellipsis in its middle: both ends tell addresses apart.
pub(super) fn fit(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let left = width.saturating_sub(1) / 2;
    let right = width.saturating_sub(1 + left);
    let tail: String = text.chars().skip(count - right).collect();
    text.chars().take(left).collect::<String>() + "…" + &tail
}

/// Most targets that are drawn.
const ROWS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{addresses, tier_of};

    #[test]
    fn new_and_gone_targets_are_marked() {
        let (old, new) = (tier_of("", &addresses(1..=3)), tier_of("", &addresses(2..=4)));
        let kept = Kept::new(&old, &new);
        let lines = draw(rows(&kept), Screen::new(80, false));
        let starts: Vec<_> = lines.iter().map(|line| &line[..17]).collect();
        assert_eq!(
            starts[1..],
            ["    10.0.0.2:2003", "    10.0.0.3:2003", "  + 10.0.0.4:2003", "  - 10.0.0.1:2003",]
        );
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    }

    #[test]
    fn of_many_targets_those_that_change_most_are_drawn() {
        let (old, new) = (tier_of("", &addresses(1..=60)), tier_of("", &addresses(3..=61)));
        let lines = draw(rows(&Kept::new(&old, &new)), Screen::new(80, false));
        assert_eq!(lines.len(), 1 + 40 + 1);
        assert_eq!(lines[41], "    and 21 more, whose shares change less");
        for due in ["+ 10.0.0.61:2003", "- 10.0.0.1:2003", "- 10.0.0.2:2003"] {
            assert!(lines.iter().any(|line| line.contains(due)), "{lines:#?}");
        }
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("a-long-name:2003", 11), "a-lon…:2003");
    }
}
