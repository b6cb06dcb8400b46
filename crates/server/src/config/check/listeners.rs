//! `[listen]` and `[graphite]`: the sockets to open, none of them twice.

use coco_router::plan::{Address, ListenerPlan, ListenerProtocol, TargetProtocol};

use super::listener;
use crate::config::{
    address,
    file::{File, Leaf},
    findings::{self, Findings},
    path::KeyPath,
};

/// The sockets that the process opens.
pub(super) struct Listeners {
    /// Those of the router, in the order of the file.
    pub(super) plans: Vec<ListenerPlan>,
    /// All of them with their places in the file, those of the API included.
    pub(super) sockets: Vec<Socket>,
}

/// One socket to open, as far as others can be in its way.
pub(super) struct Socket {
    at: KeyPath,
    transport: Transport,
    address: Address,
}

impl Socket {
    /// Whether what is sent to a target comes back in here.
    pub(super) fn receives(&self, protocol: TargetProtocol, target: &Address) -> bool {
        Transport::of_target(protocol) == Some(self.transport)
            && address::reaches(target, &self.address)
    }

    /// The key that opens this socket.
    pub(super) fn at(&self) -> &KeyPath {
        &self.at
    }
}

/// What keeps the same port number apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    fn of_listener(protocol: ListenerProtocol) -> Self {
        match protocol {
            ListenerProtocol::Collectd | ListenerProtocol::LineUdp => Self::Udp,
            ListenerProtocol::LineTcp | ListenerProtocol::Pickle => Self::Tcp,
        }
    }

    fn of_target(protocol: TargetProtocol) -> Option<Self> {
        match protocol {
            TargetProtocol::Collectd | TargetProtocol::LineUdp => Some(Self::Udp),
            TargetProtocol::LineTcp | TargetProtocol::Pickle => Some(Self::Tcp),
            TargetProtocol::Embedded => None,
        }
    }
}

/// Reads both sections; the API and the agent are in the way of others as well.
pub(super) fn listeners(
    file: &File,
    (api, agent): (&Address, Option<&Address>),
    findings: &mut Findings<'_>,
) -> Listeners {
    let root = KeyPath::root();
    let faults_before = findings.fault_count();
    let mut found = collectd(file, &root.key("listen"), findings);
    found.extend(graphite(file, &root.key("graphite"), findings));
    if found.is_empty() && findings.fault_count() == faults_before {
        findings.fault(
            &root,
            "no listener: give [listen] bind for collectd, or [graphite] bind or pickle",
        );
    }
    // The API comes first: its address may be the default, which no line of the file can show.
    let own = |key, address: &Address| Socket {
        at: root.key("api").key(key),
        transport: Transport::Tcp,
        address: address.clone(),
    };
    let mut sockets = vec![own("bind", api)];
    sockets.extend(agent.map(|agent| own("agent", agent)));
    sockets.extend(found.iter().map(|(at, plan)| Socket {
        at: at.clone(),
        transport: Transport::of_listener(plan.protocol),
        address: plan.address.clone(),
    }));
    clashes(&sockets, findings);
    Listeners { plans: found.into_iter().map(|(_, plan)| plan).collect(), sockets }
}

/// `[listen]`
fn collectd(
    file: &File,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Vec<(KeyPath, ListenerPlan)> {
    let Some(section) = findings.table(at, file.listen.as_ref()) else { return Vec::new() };
    if section.bind.is_none() {
        findings.fault(at, "`bind` is missing, as in bind = \"127.0.0.1:25826\"");
    }
    let typesdb = at.key("typesdb");
    if findings.read(&typesdb, section.typesdb.as_ref(), findings::text).is_some() {
        findings
            .note(&typesdb, "not needed: values are passed on as they come; the key is ignored");
    }
    let protocols = [ListenerProtocol::Collectd];
    let receive_buffer = receive_buffer(section.receive_buffer.as_ref(), at, findings);
    binds(section.bind.as_ref(), &at.key("bind"), &protocols, receive_buffer, findings)
}

/// `[graphite]`: lines over TCP and UDP on the same port, pickle over TCP.
fn graphite(
    file: &File,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Vec<(KeyPath, ListenerPlan)> {
    let Some(section) = findings.table(at, file.graphite.as_ref()) else { return Vec::new() };
    if section.bind.is_none() && section.pickle.is_none() {
        findings.fault(at, "`bind` or `pickle` is missing, as in bind = \"127.0.0.1:2003\"");
    }
    let lines = [ListenerProtocol::LineTcp, ListenerProtocol::LineUdp];
    let pickle = [ListenerProtocol::Pickle];
    let receive_buffer = receive_buffer(section.receive_buffer.as_ref(), at, findings);
    let mut found = binds(section.bind.as_ref(), &at.key("bind"), &lines, receive_buffer, findings);
    let leaf = section.pickle.as_ref();
    found.extend(binds(leaf, &at.key("pickle"), &pickle, receive_buffer, findings));
    found
}

/// One listener for each address and protocol.
fn binds(
    leaf: Option<&Leaf>,
    at: &KeyPath,
    protocols: &[ListenerProtocol],
    receive_buffer: usize,
    findings: &mut Findings<'_>,
) -> Vec<(KeyPath, ListenerPlan)> {
    let addresses = findings.read_each(at, leaf, listener);
    if addresses.len() > ADDRESSES_MAX {
        findings.fault(
            at,
            format!("{} addresses; a key takes at most {ADDRESSES_MAX}", addresses.len()),
        );
        return Vec::new();
    }
    let mut plans = Vec::new();
    for (at, address) in addresses {
        plans.extend(protocols.iter().map(|protocol| {
            let address = address.clone();
            (at.clone(), ListenerPlan { protocol: *protocol, address, receive_buffer })
        }));
    }
    plans
}

fn receive_buffer(leaf: Option<&Leaf>, at: &KeyPath, findings: &mut Findings<'_>) -> usize {
    findings
        .read(&at.key("receive_buffer"), leaf, findings::size(4 << 10..=1 << 30))
        .unwrap_or(RECEIVE_BUFFER_DEFAULT)
}

/// Names each key that wants a port which an earlier one has.
fn clashes(sockets: &[Socket], findings: &mut Findings<'_>) {
    let mut named: Option<&KeyPath> = None;
    for (index, socket) in sockets.iter().enumerate() {
        let first = sockets[..index].iter().find(|earlier| {
            earlier.transport == socket.transport
                && address::clash(&earlier.address, &socket.address)
        });
        // Lines over TCP and UDP are two sockets of one key: once is enough.
        if let Some(first) = first
            && named != Some(&socket.at)
        {
            named = Some(&socket.at);
            let (address, by) = (&socket.address, &first.at);
            let also = if first.address == *address {
                String::new()
            } else {
                format!(", which has {}", first.address)
            };
            findings.fault(&socket.at, format!("{address} is taken by {by}{also}"));
        }
    }
}

/// Every address costs a socket for each worker.
const ADDRESSES_MAX: usize = 64;

const RECEIVE_BUFFER_DEFAULT: usize = 4 << 20;
