//! The rows of the table: every input, next to bare loops and peers.

use super::{Context, flood, goals, note, slow};
use crate::relay::{
    contender::Contender::{self, Bare, CarbonCRelay, CarbonPy, Coco},
    drive,
    report::Report,
    scenario::{Input, Scenario},
    syscalls,
};

/// Lines that a client writes at once where there are many clients.
const BURST: usize = 250;

/// Matches no name of the corpora.
const BLACKLIST: &str = "/(vmem|irq|entropy|users|conntrack)/";

const LINES: Scenario = Scenario::LINES;
const COLLECTD: Scenario = Scenario::COLLECTD;
const SOME: u64 = 4_000_000;
const WITH_C_RELAY: &[Contender] = &[Coco, CarbonCRelay];

/// Every row, those that are compared next to each other.
pub(super) const ROWS: &[Scenario] = &[
    Scenario { contenders: &[Coco, Bare, CarbonCRelay, CarbonPy], ..LINES },
    Scenario { name: "line 2 replicas", replicas: 2, contenders: WITH_C_RELAY, ..SOME_LINES },
    Scenario { name: "line 2 tiers", tiers: 2, ..SOME_LINES },
    Scenario { name: "line 100 targets", targets: 100, contenders: WITH_C_RELAY, ..SOME_LINES },
    Scenario { name: "line 4 clients", clients: 4, ..MANY_CLIENTS },
    Scenario { name: "line 1000 clients", clients: 1000, ..MANY_CLIENTS },
    Scenario { name: "line UDP 1 each", input: Input::LineDatagrams(1), ..LINE_UDP },
    Scenario { name: "line UDP 20 each", input: Input::LineDatagrams(20), ..SOME_LINES },
    Scenario {
        name: "pickle",
        input: Input::Pickles(500),
        contenders: &[Coco, CarbonPy],
        ..SOME_LINES
    },
    Scenario { contenders: &[Coco, Bare], ..COLLECTD },
    Scenario { name: "collectd blacklist", blacklist: Some(BLACKLIST), ..COLLECTD },
    Scenario { name: "collectd 27 hosts", input: Input::CollectdMixed, names: 270, ..COLLECTD },
    Scenario { name: "collectd signed", input: Input::CollectdSigned, ..COLLECTD },
];

const SOME_LINES: Scenario = Scenario { samples: SOME, ..LINES };
const MANY_CLIENTS: Scenario =
    Scenario { input: Input::Lines(BURST), contenders: WITH_C_RELAY, ..SOME_LINES };
const LINE_UDP: Scenario = Scenario { samples: 500_000, contenders: WITH_C_RELAY, ..LINES };

/// Rounds of all rows that the filter takes; then floods and a slow target.
///
/// # Errors
/// None: what goes wrong is in the report.
pub fn run(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let missing = |contender: Contender| contender.missing().is_some();
    for contender in [CarbonCRelay, CarbonPy] {
        if let Some(why) = contender.missing() {
            report.remark(why);
        }
    }
    if !syscalls::is_there() {
        report.remark("strace is not there: no system calls are counted".to_owned());
    }
    for round in 0..context.runs {
        let mut costs = goals::Costs::default();
        for scenario in ROWS.iter().filter(|row| context.filter.takes(row.name)) {
            for &contender in scenario.contenders {
                let unwanted = contender == CarbonPy && !context.filter.slow_peers;
                if !unwanted && !missing(contender) {
                    let nanos = one(context, report, scenario, contender, round == 0);
                    costs.extend(nanos.map(|nanos| ((scenario.name, contender), nanos)));
                }
            }
        }
        goals::note(report, &costs);
    }
    flood::run(context, report);
    slow::run(context, report);
    Ok(())
}

/// One run; tells what a sample cost. A peer that fails is worth a remark.
fn one(
    context: &Context,
    report: &mut Report,
    scenario: &Scenario,
    contender: Contender,
    traced: bool,
) -> Option<f64> {
    let (case, subject) = (scenario.name, contender.name());
    report.progress(case, subject);
    match drive::run(context, scenario, contender, traced) {
        Ok(outcome) => {
            note(report, scenario, contender, &outcome);
            return Some(outcome.nanos);
        }
        Err(error) if contender.is_ours() => report.fail(case, subject, &error),
        Err(error) => report.remark(format!("{case}, {subject}: {error:#}")),
    }
    None
}
