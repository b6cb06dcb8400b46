//! The report for people: a line that says it all, a table by question, and that line again.

use std::fmt::Write as _;

use coco_checks::Grade;

use super::row::{Question, Report, Row, counted, short};
use crate::{
    ks::{cut, escape},
    screen::{Ink, Screen, wrap},
};

/// Columns of the table, whatever the terminal has.
const COLUMNS_MAX: usize = 100;

/// A longer name of a check does not widen its column.
const CHECK_MAX: usize = 30;

/// The first line, for Nagios: what it came to, a bar, performance data.
pub(super) fn line(report: &Report) -> String {
    let count = |grade| report.count(grade);
    let asked = report.rows.iter().filter(|row| row.grade.is_some()).count();
    let text = cut(&escape(&report.summary()));
    format!(
        "{text} | routers={} checks={asked} critical={} warning={} unknown={} seconds={:.1}",
        report.routers.len(),
        count(Grade::Critical),
        count(Grade::Warning),
        count(Grade::Unknown),
        report.seconds,
    )
}

/// All of it, its last line ended.
pub(super) fn table(report: &Report, screen: Screen) -> String {
    let mut text = format!("{}\n", line(report));
    for question in Question::ALL {
        let rows: Vec<&Row> = report.rows.iter().filter(|row| row.question == question).collect();
        let grade = report.of(question).map_or("not asked", Grade::as_str);
        let heading = format!("{}. {}? {grade}", question.number(), sentence(question.as_str()));
        put(&mut text, format_args!("\n{}\n", screen.paint(Ink::Heading, &heading)));
        block(&rows, report.routers.len() > 1, screen, &mut text);
    }
    let off = report.rows.iter().filter(|row| row.grade.is_none()).count();
    let off =
        if off > 0 { format!(", {} not asked", counted(off, "check")) } else { String::new() };
    let last = cut(&escape(&format!("{}{off}", report.summary())));
    put(&mut text, format_args!("\n{}\n", paint(Some(report.grade()), &last, screen)));
    text
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The rows of a question, in columns as wide as they need to be.
fn block(rows: &[&Row], with_router: bool, screen: Screen, text: &mut String) {
    let router = |row: &Row| row.router.as_deref().map_or("all", short).to_owned();
    let width = |cells: &mut dyn Iterator<Item = String>, most: usize| {
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).min(most)
    };
    let routers = match with_router {
        true => width(&mut rows.iter().map(|row| escape(&router(row)).into_owned()), CHECK_MAX) + 2,
        false => 0,
    };
    let checks = width(&mut rows.iter().map(|row| escape(&row.check).into_owned()), CHECK_MAX) + 2;
    for row in rows {
        let grade = row.grade.map_or("-", Grade::as_str);
        let mut head = format!("  {}", paint(row.grade, &format!("{grade:<10}"), screen));
        let mut indent = 2 + 10;
        if with_router {
            put(&mut head, format_args!("{:<routers$}", escape(&router(row))));
            indent += routers;
        }
        put(&mut head, format_args!("{:<checks$}", escape(&row.check)));
        indent += checks;
        let room = COLUMNS_MAX.saturating_sub(indent).max(20);
        let grown = (routers > 0 && router(row).chars().count() + 2 > routers)
            || escape(&row.check).chars().count() + 2 > checks;
        if grown {
            head.truncate(head.trim_end().len());
            put(&mut head, format_args!("\n{:indent$}", ""));
        }
        let lines = wrap(&escape(&row.text), room);
        put(text, format_args!("{head}{}\n", lines.join(&format!("\n{:indent$}", ""))));
    }
}

fn paint(grade: Option<Grade>, text: &str, screen: Screen) -> String {
    match grade {
        None => text.to_owned(),
        Some(Grade::Ok) => screen.paint(Ink::New, text),
        Some(Grade::Critical) => screen.paint(Ink::Gone, text),
        Some(Grade::Warning | Grade::Unknown) => screen.paint(Ink::Warning, text),
    }
}

/// Writing to a text cannot fail.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _written: std::fmt::Result = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::row::Rows;

    fn report(urls: &[&str]) -> Report {
        let mut all = Vec::new();
        for url in urls {
            let mut rows = Rows::new(Question::Running, Some(url));
            rows.say("process", Grade::Ok, "Coco 2.0.0");
            rows.say(
                "a listener with a name that is far too long",
                Grade::Critical,
                "word ".repeat(60),
            );
            rows.say("odd\n\u{1b}[31m", Grade::Warning, "a|b\nc");
            rows.not_asked("canary", "off");
            all.extend(rows.rows);
        }
        let routers = urls.iter().map(|url| (*url).to_owned()).collect();
        Report { rows: all, routers, moment: None, seconds: 1.25 }
    }

    #[test]
    fn it_fits_its_columns_and_escapes_what_comes_from_outside() {
        for urls in
            [&["http://a:1"][..], &["http://a:1", "http://[2001:db8:85a3::8a2e:370:7334]:9090"]]
        {
            let text = table(&report(urls), Screen::new(80, false));
            let (first, rest) = text.split_once('\n').unwrap();
            assert!(
                first.starts_with("CRITICAL: question 1, is it running: ") && first.len() < 4096
            );
            assert!(
                first.ends_with(&format!("warning={} unknown=0 seconds=1.2", urls.len())),
                "{first}"
            );
            assert_eq!(first.matches('|').count(), 1);
            assert!(!rest.contains(['|', '\u{1b}']), "{rest}");
            let mut lines: Vec<&str> = rest.lines().collect();
            let last = lines.pop().unwrap();
            assert!(last.starts_with("CRITICAL: ") && last.ends_with("not asked"), "{last}");
            for line in lines {
                assert!(line.chars().count() <= COLUMNS_MAX, "{line:?}");
            }
            assert!(rest.contains("2. Does a simple query work? not asked"), "{rest}");
        }
        let coloured = table(&report(&["http://a:1"]), Screen::new(80, true));
        assert!(coloured.contains("\u{1b}[31mCRITICAL  \u{1b}[0m"), "{coloured}");
    }
}
