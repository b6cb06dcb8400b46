//! What became of names, for people, as text.

use std::fmt::Write as _;

use super::{
    figures::{count, counted, percent},
    source::Rows,
    survey::Survey,
    tier::Kept,
};

/// How many names of a tier move.
pub(super) fn names(kept: &Kept<'_>) -> String {
    let counts = kept.counts;
    if counts.seen == 0 {
        return "  no name tells what moves in this tier\n".to_owned();
    }
    let (moved, seen) = (count(counts.moved), counted(counts.seen, "name"));
    let verb = if counts.moved == 1 { "moves" } else { "move" };
    let share = percent(counts.share());
    let mut text = format!("  {moved} of {seen} {verb}, {share} of the copies\n");
    match counts.copies_staying {
        0 => {}
        1 => text.push_str("  1 of these copies stays on its machine: only the id changed there\n"),
        staying => {
            let staying = count(staying);
            let why = "only the ids changed there";
            let _infallible =
                writeln!(text, "  {staying} of these copies stay on their machines: {why}");
        }
    }
    if counts.renamed > 0 {
        let renamed = counted(counts.renamed, "name");
        let _infallible = writeln!(
            text,
            "  {renamed} of these will be stored under another name, and start fresh"
        );
    }
    text
}

/// What was read, and where the list is.
pub(super) fn read(survey: &Survey) -> String {
    let mut text = format!("{} read", counted(survey.names, "name"));
    if survey.empty > 0 {
        let _infallible = write!(text, ", {} passed over", counted(survey.empty, "empty line"));
    }
    text.push('\n');
    match survey.rows {
        Rows::Series { known, total } if known < total => {
            text.push_str(&format!(
                "{} of {} series are known by name; the others were not tried\n",
                count(known),
                count(total)
            ));
        }
        Rows::Series { .. } | Rows::Names => {}
    }
    if let Some((path, rows)) = &survey.listed {
        text.push_str(&format!(
            "{} to make {} listed in {}\n",
            if *rows == 1 { "1 copy".to_owned() } else { format!("{} copies", count(*rows)) },
            if *rows == 1 { "is" } else { "are" },
            path.display()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        survey::Counts,
        testing::{addresses, tier_of},
    };

    #[test]
    fn names_are_counted_in_the_singular_too() {
        let tier = tier_of("", &addresses(1..=2));
        let mut kept = Kept::new(&tier, &tier);
        let one = Counts { seen: 1, moved: 1, copies_moved: 1, copies: 1, ..Counts::default() };
        kept.counts = Counts { copies_staying: 1, ..one };
        assert_eq!(
            names(&kept),
            "  1 of 1 name moves, 100.00 % of the copies\n  \
             1 of these copies stays on its machine: only the id changed there\n"
        );
        kept.counts = Counts {
            seen: 4,
            moved: 2,
            copies_moved: 2,
            copies_staying: 2,
            copies: 4,
            ..Counts::default()
        };
        assert_eq!(
            names(&kept),
            "  2 of 4 names move, 50.00 % of the copies\n  \
             2 of these copies stay on their machines: only the ids changed there\n"
        );
        let listed = Some(("m.tsv".into(), 1));
        let text = read(&Survey { names: 1, empty: 1, rows: Rows::Names, listed });
        assert_eq!(
            text,
            "1 name read, 1 empty line passed over\n1 copy to make is listed in m.tsv\n"
        );
    }

    #[test]
    fn what_was_read_is_summed_up() {
        let rows = Rows::Series { known: 10_000, total: 123_456 };
        let listed = Some(("m.tsv".into(), 7));
        let text = read(&Survey { names: 10_000, empty: 2, rows, listed });
        assert_eq!(
            text,
            "10,000 names read, 2 empty lines passed over\n\
             10,000 of 123,456 series are known by name; the others were not tried\n\
             7 copies to make are listed in m.tsv\n"
        );
    }
}
