//! All of it as one JSON object.

use serde_json::{Value, json};

use super::{
    args::Ks,
    findings::{Finding, Findings},
    line,
};

/// The object; what is not known or not finite is null.
pub(super) fn object(args: &Ks, findings: &Findings) -> Value {
    let general =
        findings.general.iter().map(|(grade, why)| json!({ "grade": grade.as_str(), "text": why }));
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
        "series": findings.series.iter().map(series).collect::<Vec<_>>(),
    })
}

fn series(finding: &Finding) -> Value {
    let comparison = finding.comparison().map(|c| {
        json!({
            "n1": c.n1, "n2": c.n2, "before": c.before, "after": c.after, "change": c.change(),
            "d": c.d, "p": c.p, "p_independent": c.p_independent, "autocorrelation": c.rho,
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
