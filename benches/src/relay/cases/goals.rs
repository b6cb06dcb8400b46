//! What one row may cost compared with another.

use std::collections::HashMap;

use crate::relay::{
    contender::Contender::{self, Bare, CarbonCRelay, Coco},
    report::{Measure, Report},
};

/// Nanoseconds a sample of each row and contender in one round.
pub(super) type Costs = HashMap<(&'static str, Contender), f64>;

/// How two costs are compared.
#[derive(Debug, Clone, Copy)]
enum Goal {
    /// The first is at most so many times the second.
    TimesAtMost(f64),
    /// The first is at least so many times the second.
    TimesAtLeast(f64),
    /// The first is at most so many nanoseconds more.
    MoreAtMost(f64),
}

/// Row, what is compared with what, both by row and contender, and the goal.
type Comparison =
    (&'static str, &'static str, (&'static str, Contender), (&'static str, Contender), Goal);

const COMPARISONS: [Comparison; 8] = [
    ("line", "coco / bare", ("line", Coco), ("line", Bare), Goal::TimesAtMost(2.0)),
    ("line", "c-relay / coco", ("line", CarbonCRelay), ("line", Coco), Goal::TimesAtLeast(10.0)),
    (
        "line 2 replicas",
        "2 replicas / 1",
        ("line 2 replicas", Coco),
        ("line", Coco),
        Goal::TimesAtMost(1.7),
    ),
    (
        "line 1000 clients",
        "1000 / 4 clients",
        ("line 1000 clients", Coco),
        ("line 4 clients", Coco),
        Goal::TimesAtMost(1.3),
    ),
    ("collectd", "coco / bare", ("collectd", Coco), ("collectd", Bare), Goal::TimesAtMost(2.0)),
    (
        "collectd 27 hosts",
        "coco / bare verbatim",
        ("collectd 27 hosts", Coco),
        ("collectd", Bare),
        Goal::TimesAtMost(5.0),
    ),
    (
        "collectd blacklist",
        "with - without",
        ("collectd blacklist", Coco),
        ("collectd", Coco),
        Goal::MoreAtMost(150.0),
    ),
    (
        "scale targets",
        "1000 / 4 targets",
        ("targets 1000", Coco),
        ("targets 4", Coco),
        Goal::TimesAtMost(1.3),
    ),
];

/// Notes all comparisons for which there are costs.
pub(super) fn note(report: &mut Report, costs: &Costs) {
    for (case, subject, first, second, goal) in COMPARISONS {
        let (Some(first), Some(second)) = (costs.get(&first), costs.get(&second)) else { continue };
        let row = |unit, at_most| Measure { case, subject, what: "CPU", unit, at_most };
        match goal {
            Goal::TimesAtMost(most) => report.note(row("times", Some(most)), first / second),
            Goal::TimesAtLeast(least) => {
                report.note_at_least(row("times", None), least, first / second);
            }
            Goal::MoreAtMost(most) => report.note(row("ns/sample", Some(most)), first - second),
        }
    }
}
