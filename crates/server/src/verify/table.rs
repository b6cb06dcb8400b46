//! The report for people: a line that says it all, a table by question, and that line again.

use std::fmt::Write as _;

use coco_checks::Grade;

use super::row::{Question, Report, Row, counted, short};
use crate::{
    ks::{cut, escape},
    screen::{Ink, Screen, wrap},
};

/// A text that has less room than this beside what it is about stands below that.
const TEXT_MIN: usize = 30;

/// What stands below is indented so far.
const BELOW: usize = 4;

/// Columns of the grade.
const HEAD: usize = 2 + 10;

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
    let indent = HEAD + routers + checks;
    for row in rows {
        let grade = row.grade.map_or("-", Grade::as_str);
        let mut head = format!("  {}", paint(row.grade, &format!("{grade:<10}"), screen));
        let (router, check) = (router(row), escape(&row.check));
        let (router, words) = (escape(&router), escape(&row.text));
        let router = if with_router { &*router } else { "" };
        if screen.columns < indent + TEXT_MIN {
            below(head, [router, &*check], &words, screen, text);
            continue;
        }
        put(&mut head, format_args!("{router:<routers$}{check:<checks$}"));
        let grown = (with_router && router.chars().count() + 2 > routers)
            || check.chars().count() + 2 > checks;
        if grown {
            head.truncate(head.trim_end().len());
            put(&mut head, format_args!("\n{:indent$}", ""));
        }
        let lines = wrap(&words, screen.columns - indent);
        put(text, format_args!("{head}{}\n", lines.join(&format!("\n{:indent$}", ""))));
    }
}

/// A row where there is no room for columns: what does not fit into a line stands in the next one.
fn below(mut head: String, parts: [&str; 2], words: &str, screen: Screen, text: &mut String) {
    let mut at = HEAD;
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let length = part.chars().count();
        if at > BELOW && at + length > screen.columns {
            head.truncate(head.trim_end().len());
            put(&mut head, format_args!("\n{:BELOW$}", ""));
            at = BELOW;
        }
        put(&mut head, format_args!("{part}  "));
        at += length + 2;
    }
    put(text, format_args!("{}\n", head.trim_end()));
    for line in wrap(words, screen.columns - BELOW) {
        put(text, format_args!("{:BELOW$}{line}\n", ""));
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
        Report { rows: all, routers, processes: Vec::new(), moment: None, seconds: 1.25 }
    }

    #[test]
    fn it_fits_its_columns_and_escapes_what_comes_from_outside() {
        for urls in
            [&["http://a:1"][..], &["http://a:1", "http://[2001:db8:85a3::8a2e:370:7334]:9090"]]
        {
            // A text does not stand in less than it needs.
            let narrow = table(&report(urls), Screen::new(40, false));
            let words = narrow.lines().filter(|line| line.trim_start().starts_with("word"));
            let widths: Vec<_> = words.map(|line| line.chars().count()).collect();
            assert!(widths.iter().all(|width| *width <= 40), "{narrow}");
            assert!(narrow.contains("\n  OK        ") && narrow.contains("\n    Coco 2.0.0\n"));
            assert_eq!(widths.iter().filter(|width| **width == 4 + 34).count(), 8 * urls.len());
            let wide = table(&report(urls), Screen::new(160, false));
            let widest = wide
                .lines()
                .skip(1)
                .filter(|line| line.starts_with("    ") && line.contains("word word"));
            let widest = widest.map(|line| line.chars().count()).max().unwrap();
            assert!((120..=160).contains(&widest), "{wide}");
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
                assert!(line.chars().count() <= 80, "{line:?}");
            }
            assert!(rest.contains("2. Does a simple query work? not asked"), "{rest}");
        }
        let coloured = table(&report(&["http://a:1"]), Screen::new(80, true));
        assert!(coloured.contains("\u{1b}[31mCRITICAL  \u{1b}[0m"), "{coloured}");
    }
}
