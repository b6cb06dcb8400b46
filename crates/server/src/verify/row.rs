//! What was asked and what came of it: a row for each check.

use coco_checks::Grade;
use serde_json::Value;

/// The four questions, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    Running,
    Query,
    Log,
    Deviation,
}

impl Question {
    pub(super) const ALL: [Self; 4] = [Self::Running, Self::Query, Self::Log, Self::Deviation];

    pub(super) fn number(self) -> usize {
        match self {
            Self::Running => 1,
            Self::Query => 2,
            Self::Log => 3,
            Self::Deviation => 4,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "is it running",
            Self::Query => "does a simple query work",
            Self::Log => "are there bad log messages",
            Self::Deviation => "do the metrics deviate",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) question: Question,
    /// What was looked at.
    pub(super) check: String,
    /// The URL of the router; `None` for what concerns all of them.
    pub(super) router: Option<String>,
    /// `None`: it was not asked, and does not count.
    pub(super) grade: Option<Grade>,
    /// What was seen, and what to do.
    pub(super) text: String,
}

/// Rows about one question and one router, or all routers.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    question: Question,
    router: Option<&'a str>,
    pub(super) rows: Vec<Row>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(question: Question, router: Option<&'a str>) -> Self {
        Self { question, router, rows: Vec::new() }
    }

    pub(super) fn say(&mut self, check: &str, grade: Grade, text: impl Into<String>) {
        self.add(check, Some(grade), text.into());
    }

    /// It was switched off, or there is nothing to ask.
    pub(super) fn not_asked(&mut self, check: &str, why: &str) {
        self.add(check, None, why.to_owned());
    }

    fn add(&mut self, check: &str, grade: Option<Grade>, text: String) {
        let router = self.router.map(str::to_owned);
        let (check, question) = (check.to_owned(), self.question);
        self.rows.push(Row { question, check, router, grade, text });
    }
}

/// The most pressing of these, if anything was asked. Beside a warning, what could not be judged counts for
/// more, other than in `coco ks`: whoever lets warnings pass must not let that pass with them.
pub(super) fn worst<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<Grade> {
    let pressing = |grade: &Grade| match grade {
        Grade::Ok => 0,
        Grade::Warning => 1,
        Grade::Unknown => 2,
        Grade::Critical => 3,
    };
    rows.filter_map(|row| row.grade).max_by_key(pressing)
}

/// All rows, put together.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    pub(super) routers: Vec<String>,
    /// What each of these says about its process, if it does.
    pub(super) processes: Vec<Option<Value>>,
    /// The moment of the deploy, in Unix seconds.
    pub(super) moment: Option<f64>,
    /// What it took, in seconds.
    pub(super) seconds: f64,
}

impl Report {
    /// By question and router; within these as they were found.
    pub(super) fn sort(&mut self) {
        let Self { rows, routers, .. } = self;
        let place = |row: &Row| routers.iter().position(|url| Some(url) == row.router.as_ref());
        rows.sort_by_key(|row| (row.question, place(row)));
    }

    /// Nothing asked is nothing known.
    pub(super) fn grade(&self) -> Grade {
        worst(self.rows.iter()).unwrap_or(Grade::Unknown)
    }

    /// The grade of one question.
    pub(super) fn of(&self, question: Question) -> Option<Grade> {
        worst(self.rows.iter().filter(|row| row.question == question))
    }

    /// How many checks came to a grade.
    pub(super) fn count(&self, grade: Grade) -> usize {
        self.rows.iter().filter(|row| row.grade == Some(grade)).count()
    }

    /// The line that says it all; the question that is worst, and what it was.
    pub(super) fn summary(&self) -> String {
        let grade = self.grade();
        let routers = counted(self.routers.len(), "router");
        let checks = counted(self.rows.iter().filter(|row| row.grade.is_some()).count(), "check");
        if grade == Grade::Ok {
            return format!("{grade}: {routers}, {checks}");
        }
        let mut text = format!("{grade}: ");
        let bad = |question: &Question| self.of(*question) == Some(grade);
        for (at, question) in Question::ALL.into_iter().filter(bad).enumerate() {
            let join = if at > 0 { "; " } else { "" };
            let (number, name) = (question.number(), question.as_str());
            text.push_str(&format!(
                "{join}question {number}, {name}: {}",
                self.first(question, grade)
            ));
        }
        let lesser = |question: &Question| {
            let found = self.of(*question).filter(|of| *of != grade && *of != Grade::Ok)?;
            Some(format!("; also question {}: {found}", question.number()))
        };
        text.extend(Question::ALL.iter().filter_map(lesser));
        text.push_str(&format!(" ({routers}, {checks})"));
        text
    }

    /// The first check of a question with this grade, and how many more there are.
    fn first(&self, question: Question, grade: Grade) -> String {
        let of = |row: &&Row| row.question == question && row.grade == Some(grade);
        let mut rows = self.rows.iter().filter(of);
        let Some(first) = rows.next() else { return String::new() };
        let place = match &first.router {
            Some(router) if self.routers.len() > 1 => format!("{} ", short(router)),
            _ => String::new(),
        };
        let more = match rows.count() {
            0 => String::new(),
            more => format!("; {more} more"),
        };
        let mut text: String = first.text.chars().take(SUMMED_CHARS_MAX).collect();
        if text.len() < first.text.len() {
            text.push('…');
        }
        format!("{place}{}: {text}{more}", first.check)
    }
}

/// As much of a text as the summary has.
const SUMMED_CHARS_MAX: usize = 160;

/// A URL as people read it.
pub(super) fn short(url: &str) -> &str {
    url.strip_prefix("http://").unwrap_or(url)
}

/// `1 check`, `2 checks`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(grades: &[(Question, Option<Grade>)]) -> Report {
        let mut all = Vec::new();
        for (question, grade) in grades {
            let mut rows = Rows::new(*question, Some("http://a:1"));
            match grade {
                Some(grade) => rows.say("x", *grade, "y"),
                None => rows.not_asked("x", "off"),
            }
            all.extend(rows.rows);
        }
        let routers = vec!["http://a:1".to_owned()];
        Report { rows: all, routers, processes: Vec::new(), moment: None, seconds: 1.0 }
    }

    #[test]
    fn the_worst_names_its_questions() {
        use Question::{Deviation, Log, Query, Running};
        let [ok, warning, critical, unknown] =
            [Grade::Ok, Grade::Warning, Grade::Critical, Grade::Unknown].map(Some);
        for (rows, said) in [
            (&[(Running, ok), (Query, None)][..], "OK: 1 router, 1 check"),
            (&[][..], "UNKNOWN:  (1 router, 0 checks)"),
            (
                &[(Running, ok), (Log, warning), (Log, warning), (Deviation, unknown)],
                "UNKNOWN: question 4, do the metrics deviate: x: y; also question 3: WARNING (1 router, 4 checks)",
            ),
            (
                &[(Query, critical), (Log, critical), (Log, critical), (Deviation, unknown)],
                "CRITICAL: question 2, does a simple query work: x: y; question 3, are there bad log \
                 messages: x: y; 1 more; also question 4: UNKNOWN (1 router, 4 checks)",
            ),
        ] {
            assert_eq!(report(rows).summary(), said);
        }
    }
}
