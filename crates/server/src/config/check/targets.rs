//! `targets` of one tier: texts or tables, each with its own id and address.

use std::collections::HashMap;

use coco_ring::{Member, Place, Weight};
use coco_router::plan::{Address, Probe, TargetPlan};

use super::probe;

use crate::config::{
    address,
    file::{self, Leaf, Node},
    findings::{self, Findings, Refusal},
    path::KeyPath,
    words::quoted,
};

/// One target as the router and as the ring see it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) at: KeyPath,
    pub(super) plan: TargetPlan,
    pub(super) member: Member,
    /// Its place is not that of its address.
    pub(super) hash_as: bool,
    /// Its own, if it has one; the host may be empty.
    pub(super) probe: Option<Probe>,
}

/// How the targets of a tier are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `host:port`, with carbon's instance or without.
    Address,
    /// A plain name: the target is in this process.
    Name,
    /// Whichever it looks like, because the tier's protocol was refused.
    Either,
}

/// Reads all targets of a tier; those that were refused are missing.
pub(super) fn targets(
    node: Option<&Node<file::Target>>,
    at: &KeyPath,
    form: Form,
    findings: &mut Findings<'_>,
) -> Vec<Target> {
    let entries = match node {
        Some(Node::List(entries)) => entries,
        None => {
            findings.fault(at, "no targets; give one or more, as targets = [\"10.0.0.1:25826\"]");
            return Vec::new();
        }
        Some(
            Node::Text(_) | Node::Integer(_) | Node::Table(_) | Node::Flag(_) | Node::Float(_),
        ) => {
            findings.wrong_type(at, "an array of targets");
            return Vec::new();
        }
    };
    if entries.len() > TARGETS_MAX {
        let count = entries.len();
        findings.fault(at, format!("{count} targets; a tier takes at most {TARGETS_MAX}"));
        return Vec::new();
    }
    let targets: Vec<Target> = entries
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| target(entry, at.index(index), form, findings))
        .collect();
    twice(&targets, findings);
    targets
}

fn target(
    entry: &Node<file::Target>,
    at: KeyPath,
    form: Form,
    findings: &mut Findings<'_>,
) -> Option<Target> {
    match entry {
        Node::Text(text) => {
            let leaf = Leaf::Text(text.clone());
            let (plan, place) = findings.read(&at, Some(&leaf), |leaf| plan_of(leaf, form))?;
            let (id, weight) = (plan.id.clone(), Weight::default());
            let member = Member { id, weight, zone: None, place };
            Some(Target { at, plan, member, hash_as: false, probe: None })
        }
        Node::Table(table) => from_table(table, at, form, findings),
        Node::Integer(_) | Node::List(_) | Node::Flag(_) | Node::Float(_) => {
            findings.wrong_type(&at, "a target: text, or a table with its address");
            None
        }
    }
}

/// A table; every key of it is read before anything is given up.
fn from_table(
    table: &file::Target,
    at: KeyPath,
    form: Form,
    findings: &mut Findings<'_>,
) -> Option<Target> {
    let faults_before = findings.fault_count();
    let weight = findings.read(&at.key("weight"), table.weight.as_ref(), weight);
    let zone = findings.read(&at.key("zone"), table.zone.as_ref(), findings::name);
    let index = findings.read(&at.key("index"), table.index.as_ref(), index);
    let hash_as = findings.read(&at.key("hash_as"), table.hash_as.as_ref(), hash_as);
    let probe = findings.read(&at.key("probe"), table.probe.as_ref(), probe::probe);
    let embedded = match form {
        Form::Name => true,
        Form::Address => false,
        Form::Either => table.address.is_none(),
    };
    let plan = if embedded {
        embedded_plan(table, &at, findings)
    } else {
        addressed_plan(table, &at, findings)
    };
    if findings.fault_count() > faults_before {
        return None;
    }
    let (mut plan, mut place) = plan?;
    let is_other = hash_as.is_some();
    if let Some((text, hashed)) = hash_as {
        place = hashed;
        // The node that it was before, under that one's name.
        if table.id.is_none() {
            plan.id = text;
        }
    }
    let (id, weight) = (plan.id.clone(), weight.unwrap_or_default());
    let member = Member { id, weight, zone, place: Place { index, ..place } };
    Some(Target { at, plan, member, hash_as: is_other, probe })
}

fn embedded_plan(
    table: &file::Target,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Option<(TargetPlan, Place)> {
    for (key, leaf) in [("address", &table.address), ("instance", &table.instance)] {
        if leaf.is_some() {
            findings.fault(&at.key(key), "an embedded target is in this process; give it an id");
        }
    }
    if table.id.is_none() {
        findings.fault(at, "`id` is missing, as in id = \"demo-a\"");
    }
    findings.read(&at.key("id"), table.id.as_ref(), |leaf| plan_of(leaf, Form::Name))
}

fn addressed_plan(
    table: &file::Target,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Option<(TargetPlan, Place)> {
    if table.address.is_none() {
        findings.fault(at, "`address` is missing, as in address = \"10.0.0.1:25826\"");
    }
    let instance = findings.read(&at.key("instance"), table.instance.as_ref(), instance);
    let id = findings.read(&at.key("id"), table.id.as_ref(), id);
    let plan = findings.read(&at.key("address"), table.address.as_ref(), addressed)?;
    let (mut plan, mut place) = plan;
    if let Some(instance) = instance {
        if place.instance.is_some() {
            findings.fault(&at.key("instance"), "the address has an instance already");
        }
        // As the text form would be: both forms of one target share a place on the ring.
        plan.id = format!("{}:{instance}", plan.id);
        place.instance = Some(instance);
    }
    plan.id = id.unwrap_or(plan.id);
    Some((plan, place))
}

/// Reads a target's text.
fn plan_of(leaf: &Leaf, form: Form) -> Result<(TargetPlan, Place), Refusal> {
    let text = findings::text(leaf)?;
    match form {
        Form::Address => addressed(leaf),
        Form::Either if text.contains(':') => addressed(leaf),
        Form::Either => Ok(embedded(text)),
        Form::Name => embedded_name(text),
    }
}

/// Reads an address, and what rings of other relays make of it.
fn addressed(leaf: &Leaf) -> Result<(TargetPlan, Place), Refusal> {
    let text = findings::address_text(leaf, "10.0.0.1:25826")?;
    let (address, place) = address_and_place(text)?;
    Ok((plan(text, address), place))
}

fn address_and_place(text: &str) -> Result<(Address, Place), Refusal> {
    let (address, instance) =
        address::target(text).map_err(|why| Refusal::Value(why.to_string()))?;
    let instance = instance.map(str::to_owned);
    let place = Place { host: address.host.clone(), port: address.port, instance, index: None };
    Ok((address, place))
}

/// Reads what is hashed in place of the address: a node that moved keeps its keys by its old one.
fn hash_as(leaf: &Leaf) -> Result<(String, Place), Refusal> {
    let text = findings::address_text(leaf, "10.0.0.1:2003:a")?;
    address_and_place(text).map(|(_, place)| (text.to_owned(), place))
}

/// Reads the name of an embedded target.
fn embedded_name(text: &str) -> Result<(TargetPlan, Place), Refusal> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == ':' || c == '/';
    if text.contains(bad) {
        return Err(Refusal::Value(format!(
            "{}: an embedded target is a plain name, without port, slash or space",
            quoted(text)
        )));
    }
    Ok(embedded(text))
}

/// A target in this process has no place that another relay could hash.
fn embedded(name: &str) -> (TargetPlan, Place) {
    let address = Address { host: name.to_owned(), port: 0 };
    (plan(name, address), Place::default())
}

/// A target under its text; its probe is given to it later.
fn plan(text: &str, address: Address) -> TargetPlan {
    let (id, label) = (text.to_owned(), text.to_owned());
    TargetPlan { id, label, address, probe: Probe::None }
}

fn id(leaf: &Leaf) -> Result<String, Refusal> {
    let id = findings::name(leaf)?;
    if id.len() > ID_BYTES_MAX {
        let length = id.len();
        return Err(Refusal::Value(format!("{length} bytes; an id has at most {ID_BYTES_MAX}")));
    }
    Ok(id)
}

fn weight(leaf: &Leaf) -> Result<Weight, Refusal> {
    let weight = findings::integer(1..=100)(leaf)?;
    Weight::try_new(weight).map_err(|why| Refusal::Value(why.to_string()))
}

/// Reads a nanotube index.
fn index(leaf: &Leaf) -> Result<u16, Refusal> {
    let index = findings::integer(0..=INDEX_MAX)(leaf)?;
    u16::try_from(index).map_err(|why| Refusal::Value(why.to_string()))
}

fn instance(leaf: &Leaf) -> Result<String, Refusal> {
    address::check_instance(findings::text(leaf)?)
        .map(str::to_owned)
        .map_err(|why| Refusal::Value(why.to_string()))
}

/// Names each target whose address or id an earlier one has.
fn twice(targets: &[Target], findings: &mut Findings<'_>) {
    let mut addresses = HashMap::new();
    let mut ids = HashMap::new();
    for target in targets {
        let Target { at, plan, .. } = target;
        // Embedded targets have no port, and their name is their id.
        let identity = Some(address::identity(&plan.address)).filter(|_| plan.address.port != 0);
        if let Some(first) = identity.and_then(|identity| addresses.insert(identity, target)) {
            let message = format!("{} is the address of {} already", plan.address, first.at);
            findings.fault(at, message);
        } else if let Some(first) = ids.insert(plan.id.as_str(), target) {
            let message = format!("id {} is that of {} already", quoted(&plan.id), first.at);
            findings.fault(at, message);
        }
    }
}

/// As many as a ring takes.
const TARGETS_MAX: usize = 4_096;

/// Of the last of as many targets as a ring takes.
const INDEX_MAX: u64 = 4_095;

/// Longer than any host name with port and instance.
const ID_BYTES_MAX: usize = 512;
