//! From the file as read to the configuration as checked.
//!
//! Each part reads its section, names every fault, and goes on with a default in place of what was
//! refused, so that one run finds everything. What comes out is used only when nothing was found.

mod filter;
mod limits;
mod listeners;
mod names;
mod notes;
mod probe;
mod ring;
mod ring_notes;
mod spool;
mod targets;
mod tier;
mod tiers;

use std::time::Duration;

use coco_router::plan::{Address, Plan};

use super::{
    Config, address,
    file::{self, File, Leaf, Node},
    findings::{self, Findings, Refusal},
    path::KeyPath,
};

/// Checks everything; the configuration comes without its notes.
pub(super) fn check(file: &File, findings: &mut Findings<'_>) -> Config {
    let root = KeyPath::root();
    let process = limits::process(file.limits.as_ref(), &root.key("limits"), findings);
    let (api, agent) = api(file.api.as_ref(), &root.key("api"), findings);
    let listeners = listeners::listeners(file, (&api, agent.as_ref()), findings);
    let blacklist = filter::blacklist(file.filter.as_ref(), &root.key("filter"), findings);
    let measure_interval = measure(file.measure.as_ref(), &root.key("measure"), findings);
    fetch(file.fetch.as_ref(), &root.key("fetch"), findings);
    let spool = spool::spool(file.spool.as_ref(), &root.key("spool"), findings);
    let surroundings = tier::Surroundings {
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
