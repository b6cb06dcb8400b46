//! From the file as read to the configuration as checked.
//!
//! Each part reads its section, names every fault, and goes on with a default in place of what was
//! refused, so that one run finds everything. What comes out is used only when nothing was found.

mod filter;
mod listeners;
mod names;
mod notes;
mod probe;
mod ring;
mod ring_notes;
mod spool;
mod targets;
mod tiers;

use std::{ops::RangeInclusive, time::Duration};

use coco_router::plan::{Address, Limits, Plan};

use super::{
    Config, address,
    file::{self, File, Leaf, Node},
    findings::{self, Findings, Refusal},
    path::KeyPath,
};

/// Checks everything; the configuration comes without its notes.
pub(super) fn check(file: &File, findings: &mut Findings<'_>) -> Config {
    let root = KeyPath::root();
    let process = process(file.limits.as_ref(), &root.key("limits"), findings);
    let (api, agent) = api(file.api.as_ref(), &root.key("api"), findings);
    let listeners = listeners::listeners(file, (&api, agent.as_ref()), findings);
    let blacklist = filter::blacklist(file.filter.as_ref(), &root.key("filter"), findings);
    let measure_interval = measure(file.measure.as_ref(), &root.key("measure"), findings);
    fetch(file.fetch.as_ref(), &root.key("fetch"), findings);
    let spool = spool::spool(file.spool.as_ref(), &root.key("spool"), findings);
    let surroundings = tiers::Surroundings {
        has_spool: spool.is_some(),
        sockets: &listeners.sockets,
        queue_bytes: process.queue_bytes,
        block_timeout: process.block_timeout,
    };
    let tiers = tiers::tiers(file.tiers.as_ref(), &root.key("tiers"), &surroundings, findings);
    let limits = process.limits;
    let (tiers, ringless) = tiers;
    let plan = Plan { listeners: listeners.plans, blacklist, tiers, ringless, limits, spool };
    notes::notes(&plan, findings);
    let (drain_timeout, drain_delay) = (process.drain_timeout, process.drain_delay);
    Config { plan, api, agent, drain_timeout, drain_delay, measure_interval, notes: Vec::new() }
}

/// `[limits]`: bounds of the process, and what tiers take when they say nothing.
struct Process {
    limits: Limits,
    drain_timeout: Duration,
    drain_delay: Duration,
    queue_bytes: usize,
    block_timeout: Duration,
}

fn process(
    node: Option<&Node<file::Limits>>,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Process {
    let none = file::Limits::default();
    let section = findings.table(at, node).unwrap_or(&none);
    let default = Limits::default();
    let mut size = |key, leaf: &Option<Leaf>, range, default| {
        findings.read(&at.key(key), leaf.as_ref(), findings::size(range)).unwrap_or(default)
    };
    let queue_bytes = size("queue", &section.queue, tiers::QUEUE_BYTES, QUEUE_BYTES_DEFAULT);
    let line_bytes_max = size("line", &section.line, 64..=64 << 10, default.line_bytes_max);
    let memory_bytes_max = size("memory", &section.memory, MEMORY_BYTES, default.memory_bytes_max);
    let resend_bytes = size("resend", &section.resend, tiers::RESEND_BYTES, default.resend_bytes);
    let mut count = |key, leaf: &Option<Leaf>, range, default| {
        let read = findings.read(&at.key(key), leaf.as_ref(), findings::integer(range));
        read.and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
    };
    let connections_max =
        count("connections", &section.connections, 1..=1_000_000, default.connections_max);
    let series_max = count("series", &section.series, 1_000..=1_000_000_000, default.series_max);
    let names_max = count("names", &section.names, 0..=1_000_000, default.names_max);
    let drain_delay = findings.read(
        &at.key("drain_delay"),
        section.drain_delay.as_ref(),
        findings::duration_or_none,
    );
    let mut time = |key, leaf: &Option<Leaf>, default| {
        findings.read(&at.key(key), leaf.as_ref(), findings::duration).unwrap_or(default)
    };
    Process {
        limits: Limits {
            line_bytes_max,
            memory_bytes_max,
            resend_bytes,
            connections_max,
            series_max,
            names_max,
        },
        drain_timeout: time("drain_timeout", &section.drain_timeout, DRAIN_TIMEOUT_DEFAULT),
        drain_delay: drain_delay.unwrap_or_default(),
        queue_bytes,
        block_timeout: time("block_timeout", &section.block_timeout, BLOCK_TIMEOUT_DEFAULT),
    }
}

/// `[api]`; there is always one, but not always an agent.
fn api(
    node: Option<&Node<file::Api>>,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> (Address, Option<Address>) {
    let section = findings.table(at, node);
    let bind = section.and_then(|section| section.bind.as_ref());
    let bind = findings.read(&at.key("bind"), bind, listener);
    let agent = section.and_then(|section| section.agent.as_ref());
    let agent = findings.read(&at.key("agent"), agent, listener);
    (bind.unwrap_or_else(|| Address { host: "127.0.0.1".to_owned(), port: 9090 }), agent)
}

/// `[measure]`
fn measure(
    node: Option<&Node<file::Measure>>,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Duration {
    let leaf = findings.table(at, node).and_then(|section| section.interval.as_ref());
    let interval =
        findings.read(&at.key("interval"), leaf, |leaf| match findings::duration(leaf)? {
            short if short < MEASURE_INTERVAL_MIN => {
                Err(Refusal::Value(format!("{short:?} is less than 100ms")))
            }
            interval => Ok(interval),
        });
    interval.unwrap_or(MEASURE_INTERVAL_DEFAULT)
}

/// `[fetch]`: noodle reads it; a fault in it should not wait until noodle starts.
fn fetch(node: Option<&Node<file::Fetch>>, at: &KeyPath, findings: &mut Findings<'_>) {
    let Some(section) = findings.table(at, node) else { return };
    findings.read(&at.key("bind"), section.bind.as_ref(), listener);
    findings.read(&at.key("proxy_timeout"), section.proxy_timeout.as_ref(), findings::duration);
    findings.read(&at.key("remote_port"), section.remote_port.as_ref(), remote_port);
}

/// Reads an address to listen on.
fn listener(leaf: &Leaf) -> Result<Address, Refusal> {
    address::listener(findings::address_text(leaf, "127.0.0.1:25826")?)
        .map_err(|why| Refusal::Value(why.to_string()))
}

/// Reads a port: Coco 1.x writes it as text.
fn remote_port(leaf: &Leaf) -> Result<u16, Refusal> {
    let digits = match leaf {
        Node::Integer(number) => number.clone(),
        Node::Text(_) => findings::text(leaf)?.to_owned(),
        Node::List(_) | Node::Table(_) | Node::Flag(_) | Node::Float(_) => {
            return Err(Refusal::Type("a port such as \"29292\"".to_owned()));
        }
    };
    address::read_port(&digits, 1).map_err(|why| Refusal::Value(why.to_string()))
}

/// That of Coco 1.x.
const MEASURE_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);

/// More often, taking snapshots of a large fleet would be work.
const MEASURE_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Below this, a fleet's first second does not fit.
const MEMORY_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;

/// For each target: minutes of a small fleet, seconds of a large one.
const QUEUE_BYTES_DEFAULT: usize = 64 << 20;

/// Longer than a restart of a target, shorter than a client's patience.
const BLOCK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Well within systemd's 90 s between stop and kill.
const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
