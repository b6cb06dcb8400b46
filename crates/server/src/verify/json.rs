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
        "processes": report.processes,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::running::tests::args;

    #[test]
    fn it_tells_which_process_answered() {
        let process = json!({"pid": 7, "start_time": 5, "upgrades": 0});
        let report = Report {
            rows: Vec::new(),
            routers: vec!["http://a:1".to_owned(), "http://b:1".to_owned()],
            processes: vec![Some(process), None],
            moment: None,
            seconds: 1.0,
        };
        let told = object(&args(""), &report);
        assert_eq!(told["processes"][0]["start_time"], 5);
        assert_eq!(
            (&told["processes"][0]["pid"], &told["processes"][1]),
            (&json!(7), &Value::Null)
        );
    }
}
