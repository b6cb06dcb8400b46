//! The report as one JSON object.

use coco_checks::Grade;
use serde_json::{Value, json};

use super::{
    args::Verify,
    row::{Question, Report, Row},
    table::line,
};

/// The object; a check that was not asked has the grade null.
pub(super) fn object(args: &Verify, report: &Report) -> Value {
    let question = |question: Question| {
        json!({
            "number": question.number(),
            "question": question.as_str(),
            "grade": report.of(question).map(Grade::as_str),
        })
    };
    json!({
        "grade": report.grade().as_str(),
        "exit_status": args.exit_status(report.grade()),
        "line": line(report),
        "since": report.moment,
        "seconds": report.seconds,
        "routers": report.routers,
        "questions": Question::ALL.map(question),
        "checks": report.rows.iter().map(check).collect::<Vec<_>>(),
    })
}

fn check(row: &Row) -> Value {
    json!({
        "question": row.question.number(),
        "check": row.check,
        "router": row.router,
        "grade": row.grade.map(Grade::as_str),
        "text": row.text,
    })
}
