//! What becomes of the cost of a line when there is more of everything.

use super::{Context, goals};
use crate::relay::{
    contender::Contender,
    drive,
    report::{Measure, Report},
    scenario::{Input, Scenario},
};

/// One thing of which there is more and more.
#[derive(Debug)]
pub struct Axis {
    /// Its case in the table.
    pub case: &'static str,
    /// What is counted.
    pub label: &'static str,
    /// How many there are, and the scenario.
    pub points: &'static [(u32, Scenario)],
    /// What of it is drawn.
    pub shows: Shows,
}

/// What an axis is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// What a line costs.
    Nanos,
    /// How many lines go through.
    Rate,
}

/// Lines that a client writes at once where there are many clients.
const BURST: usize = 250;

const BASE: Scenario = Scenario { samples: 3_000_000, ..Scenario::LINES };
const CLIENTS: Scenario = Scenario { input: Input::Lines(BURST), samples: 5_000_000, ..BASE };
const NAMES: Scenario = Scenario { input: Input::ManyLines, ..BASE };
const CORES: Scenario = Scenario { clients: 4, samples: 10_000_000, ..BASE };

/// All of them.
pub const AXES: [Axis; 5] = [
    Axis {
        case: "scale targets",
        label: "targets",
        points: &[
            (1, Scenario { name: "targets 1", targets: 1, ..BASE }),
            (4, Scenario { name: "targets 4", ..BASE }),
            (64, Scenario { name: "targets 64", targets: 64, ..BASE }),
            (1000, Scenario { name: "targets 1000", targets: 1000, ..BASE }),
        ],
        shows: Shows::Nanos,
    },
    Axis {
        case: "scale tiers",
        label: "tiers of 4 targets",
        points: &[
            (1, Scenario { name: "tiers 1", ..BASE }),
            (2, Scenario { name: "tiers 2", tiers: 2, ..BASE }),
            (4, Scenario { name: "tiers 4", tiers: 4, ..BASE }),
        ],
        shows: Shows::Nanos,
    },
    Axis {
        case: "scale names",
        label: "distinct names",
        points: &[
            (10_000, Scenario { name: "names 10 k", names: 10_000, ..NAMES }),
            (1_000_000, Scenario { name: "names 1 M", names: 1_000_000, ..NAMES }),
            (10_000_000, Scenario { name: "names 10 M", names: 10_000_000, ..NAMES }),
        ],
        shows: Shows::Nanos,
    },
    Axis {
        case: "scale clients",
        label: "connections",
        points: &[
            (1, Scenario { name: "clients 1", ..CLIENTS }),
            (100, Scenario { name: "clients 100", clients: 100, ..CLIENTS }),
            (10_000, Scenario { name: "clients 10 k", clients: 10_000, ..CLIENTS }),
        ],
        shows: Shows::Nanos,
    },
    Axis {
        case: "scale cores",
        label: "cores (the 2nd also feeds and reads)",
        points: &[
            (1, Scenario { name: "1 core of its own", ..CORES }),
            (2, Scenario { name: "2, one shared", both_cores: true, ..CORES }),
        ],
        shows: Shows::Rate,
    },
];

/// Rounds of all points.
///
/// # Errors
/// None: what goes wrong is in the report.
pub fn run(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let subject = Contender::Coco.name();
    for _ in 0..context.runs {
        let mut costs = goals::Costs::default();
        for axis in AXES.iter().filter(|axis| context.filter.takes(axis.case)) {
            for (_, scenario) in axis.points {
                let (case, what) = (axis.case, scenario.name);
                report.progress(case, what);
                match drive::run(context, scenario, Contender::Coco, false) {
                    Ok(outcome) => {
                        let row = |unit| Measure { case, subject, what, unit, at_most: None };
                        report.note(row("ns/line"), outcome.nanos);
                        if axis.shows == Shows::Rate {
                            report.note(row("k/s"), outcome.rate / 1000.0);
                        }
                        costs.insert((what, Contender::Coco), outcome.nanos);
                    }
                    Err(error) => report.fail(case, subject, &error.context(what)),
                }
            }
        }
        goals::note(report, &costs);
    }
    Ok(())
}
