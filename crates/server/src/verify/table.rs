//! The report for people: a line that says it all, a table by question, and that line again.

use std::fmt::Write as _;

use coco_checks::Grade;

use super::row::{Question, Report, Row, counted, short};
use crate::{
    ks::{cut, escape},
    screen::{Ink, Screen},
};

/// Columns of the table, whatever the terminal has.
const COLUMNS_MAX: usize = 100;

/// A longer name of a check does not widen its column.
const CHECK_MAX: usize = 36;

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
            put(&mut head, format_args!("\n{:indent$}", ""));
        }
        let lines = wrap(&escape(&row.text), room);
        put(text, format_args!("{head}{}\n", lines.join(&format!("\n{:indent$}", ""))));
    }
}

/// Broken between words into lines of at most so many characters; a longer word is broken in itself.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let (mut lines, mut line, mut length) = (Vec::new(), String::new(), 0);
    for word in text.split(' ') {
        let mut letters: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + letters.len() > room {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        while letters.len() > room {
            let rest = letters.split_off(room);
            lines.push(letters.into_iter().collect());
            letters = rest;
        }
        length += letters.len();
        line.extend(letters);
    }
    lines.push(line);
    lines
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
