//! What became of every sample, and what it cost.

use std::time::Duration;

use serde_json::Value;

use super::{Node, Platform, hosts};
use crate::relay::{
    report::{Measure, Report},
    subject::sum,
};

/// Complaints of a node that are shown.
const SHOWN: usize = 5;

/// The figures of one run; samples unless said otherwise.
#[derive(Debug)]
pub(super) struct Account {
    load: Duration,
    /// How late a host sent at most.
    latest: Duration,
    fed: u64,
    coco: Figures,
    shed: u64,
    kernel_dropped: u64,
    never_decoded: u64,
    to_sinks: u64,
    at_sinks: u64,
    nodes: Vec<NodeAccount>,
    /// From the last datagram until the nodes were done.
    caught_up: Duration,
}

/// CPU time during the load, memory in MiB.
#[derive(Debug)]
struct Figures {
    cpu: Duration,
    memory_end: f64,
    memory_most: f64,
}

/// What became of the samples of one real node.
#[derive(Debug)]
struct NodeAccount {
    sent: u64,
    /// Datagrams that the kernel dropped.
    dropped: u64,
    /// What rrdcached received, refused or not.
    updates: u64,
    complaints: Vec<String>,
    /// Files that rrdcached has still to write, and samples that it has written.
    queued: u64,
    written: u64,
    /// RRD files, and MiB of them.
    files: (u64, f64),
    /// CPU time from start to end, and in the second half of the load.
    cpu: Duration,
    second_half: Duration,
    memory: f64,
}

impl NodeAccount {
    fn of(node: &Node, sent: u64, before: Duration, half: Duration) -> anyhow::Result<Self> {
        let stats = node.stats()?;
        Ok(Self {
            sent,
            dropped: node.dropped()?,
            updates: stats.updates,
            complaints: node.complaints(),
            queued: stats.queued,
            written: stats.written,
            files: node.files(),
            cpu: node.cpu()? - before,
            second_half: half,
            memory: node.memory_mib()?,
        })
    }

    /// Samples that cannot be told the whereabouts of; less than 0 if there are more than were sent.
    fn difference(&self) -> i64 {
        let gone = self.updates + self.dropped * hosts::LISTS as u64;
        self.sent.cast_signed() - gone.cast_signed()
    }
}

/// Samples that Coco has decoded.
pub(super) fn decoded(ledger: &Value) -> u64 {
    ledger.get("samples").map_or(0, |samples| sum(samples, &["decoded"]))
}

impl Account {
    /// Of a platform whose load is over.
    pub(super) fn of(
        platform: &Platform<'_>,
        ledger: &Value,
        to_nodes: &[u64],
        to_sinks: u64,
        caught_up: Duration,
    ) -> anyhow::Result<Self> {
        let Platform { nodes, sinks, coco, feeder, before, load, .. } = platform;
        let cpu = before.1.iter().zip(&load.second_half);
        let of_node = |((node, &sent), (&before, &half))| NodeAccount::of(node, sent, before, half);
        let nodes = nodes.iter().zip(to_nodes).zip(cpu).map(of_node);
        Ok(Self {
            load: load.length,
            latest: load.latest,
            fed: feeder.expected,
            coco: Figures {
                cpu: load.coco,
                memory_end: coco.process.memory_mib("VmRSS")?,
                memory_most: coco.process.memory_mib("VmHWM")?,
            },
            shed: sum(ledger, &["shed"]),
            kernel_dropped: sum(ledger, &["kernel_dropped"]),
            never_decoded: feeder.expected.saturating_sub(decoded(ledger)),
            to_sinks,
            at_sinks: sinks.lists,
            nodes: nodes.collect::<anyhow::Result<_>>()?,
            caught_up,
        })
    }

    /// Notes all rows.
    pub(super) fn note(&self, report: &mut Report) {
        let missing = self.to_sinks.abs_diff(self.at_sinks);
        note(report, "coco", &self.coco_rows());
        let sinks = [
            ("sent to them", "samples", None, self.to_sinks as f64),
            ("missing", "samples", Some(0.0), missing as f64),
        ];
        note(report, "counting targets", &sinks);
        note(report, "real nodes", &[("how many", "nodes", None, self.nodes.len() as f64)]);
        if !self.nodes.is_empty() {
            note(report, "real nodes", &self.node_rows());
        }
        for node in &self.nodes {
            let rows = [
                ("CPU, all", "% of core", None, self.share(node.cpu)),
                ("CPU, second half", "% of core", None, 2.0 * self.share(node.second_half)),
                ("memory at most", "MiB", None, node.memory),
            ];
            note(report, "a real node", &rows);
            node.complaints.iter().take(SHOWN).for_each(|line| eprintln!("a real node: {line}"));
        }
    }

    fn coco_rows(&self) -> [Row; 9] {
        [
            ("length of the load", "s", None, self.load.as_secs_f64()),
            ("fed", "samples", None, self.fed as f64),
            ("fed late at most", "ms", None, 1e3 * self.latest.as_secs_f64()),
            ("CPU", "% of core", None, self.share(self.coco.cpu)),
            ("shed", "samples", Some(0.0), self.shed as f64),
            ("dropped by kernel", "datagrams", Some(0.0), self.kernel_dropped as f64),
            ("never decoded", "samples", Some(0.0), self.never_decoded as f64),
            ("memory at the end", "MiB", None, self.coco.memory_end),
            ("memory at most", "MiB", None, self.coco.memory_most),
        ]
    }

    /// Those of all nodes together.
    fn node_rows(&self) -> [Row; 10] {
        let sum = |of: fn(&NodeAccount) -> u64| self.nodes.iter().map(of).sum::<u64>() as f64;
        let mib = self.nodes.iter().map(|node| node.files.1).sum();
        let unaccounted = sum(|node| node.difference().unsigned_abs());
        let complaints = sum(|node| node.complaints.len() as u64);
        [
            ("RRD files", "files", None, sum(|node| node.files.0)),
            ("size of them", "MiB", None, mib),
            ("sent to them", "samples", None, sum(|node| node.sent)),
            ("dropped by kernel", "datagrams", None, sum(|node| node.dropped)),
            ("updates received", "samples", None, sum(|node| node.updates)),
            ("unaccounted", "samples", Some(0.0), unaccounted),
            ("complaints", "lines", Some(0.0), complaints),
            ("written to files", "samples", None, sum(|node| node.written)),
            ("left to be written", "files", None, sum(|node| node.queued)),
            ("done after the load", "s", None, self.caught_up.as_secs_f64()),
        ]
    }

    fn share(&self, cpu: Duration) -> f64 {
        100.0 * cpu.as_secs_f64() / self.load.as_secs_f64()
    }
}

/// What, its unit, its goal, its value.
type Row = (&'static str, &'static str, Option<f64>, f64);

fn note(report: &mut Report, subject: &'static str, rows: &[Row]) {
    for &(what, unit, at_most, value) in rows {
        report.note(Measure { case: "platform", subject, what, unit, at_most }, value);
    }
}
