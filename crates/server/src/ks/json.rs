//! All of it as one JSON object.

use coco_checks::{Grade, verdict::Rule};
use serde_json::{Value, json};

use super::{
    args::Ks,
    findings::{Finding, Findings, moved},
    line,
};

/// The object; what is not known or not finite is null.
pub(super) fn object(args: &Ks, findings: &Findings) -> Value {
    let general =
        findings.general.iter().map(|(grade, why)| json!({ "grade": grade.as_str(), "text": why }));
    let all = findings.series.iter().map(|finding| series(finding, findings.rule.as_ref()));
    json!({
        "grade": findings.grade().as_str(),
        "exit_status": args.options.exit_status(findings.grade()),
        "line": line::line(args, findings),
        "check": args.what.as_str(),
        "from": findings.from,
        "interval": findings.interval,
        "window": findings.rule.map(|_| findings.window),
        "confirm": args.options.confirm,
        "alarm_p": findings.rule.map(|rule| rule.alarm_p()),
        "restarted": findings.restarted,
        "general": general.collect::<Vec<_>>(),
        "series": all.collect::<Vec<_>>(),
    })
}

/// The object of a check that could not even begin.
pub(super) fn unreadable(line: &str) -> Value {
    let grade = Grade::Unknown;
    json!({ "grade": grade.as_str(), "exit_status": grade.exit_status(), "line": line })
}

fn series(finding: &Finding, rule: Option<&Rule>) -> Value {
    let comparison = finding.comparison().map(|c| {
        json!({
            "n1": c.n1, "n2": c.n2, "before": c.before, "after": c.after, "change": c.change(),
            "moved": rule.map(|rule| moved(c, rule)), "d": c.d, "p": c.p, "least_p": c.least_p,
            "p_independent": c.p_independent, "autocorrelation": c.rho,
        })
    });
    json!({
        "name": finding.name,
        "grade": finding.grade.as_str(),
        "text": finding.text,
        "level": finding.level,
        "resets": finding.judged.resets,
        "comparison": comparison,
    })
}
