//! Plans of a router whose targets are sinks on this machine.

use std::time::Duration;

use coco_ring::{Algorithm, Member, Members, Place, Ring, Weight};
use coco_router::plan::{
    Address, KeyRule, ListenerPlan, ListenerProtocol, OnFull, Probe, Replay, TargetPlan,
    TargetProtocol, TierPlan,
};
use coco_wire::names::Names;

/// Longer than anything should take.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A tier of targets on these ports of 127.0.0.1.
pub(crate) fn tier(
    name: &str,
    protocol: TargetProtocol,
    replicas: usize,
    ports: &[u16],
) -> TierPlan {
    let member = |port: &u16| Member {
        id: format!("{name}-{port}"),
        weight: Weight::default(),
        zone: None,
        place: Place::default(),
    };
    let members = Members::try_new(ports.iter().map(member).collect()).unwrap();
    let target = |&port: &u16| TargetPlan {
        id: format!("{name}-{port}"),
        label: format!("127.0.0.1:{port}"),
        address: Address { host: "127.0.0.1".to_owned(), port },
        probe: Probe::None,
    };
    TierPlan {
        name: name.to_owned(),
        protocol,
        key: KeyRule::Host,
        names: Names::Sorted,
        ring: Ring::build(Algorithm::Xxh3, &members, replicas).unwrap(),
        targets: ports.iter().map(target).collect(),
        queue_bytes: 16 << 20,
        resend_bytes: 1 << 20,
        on_full: OnFull::Block,
        replay: Replay::InOrder,
        block_timeout: LONG,
        datagram_bytes_max: 1452,
    }
}

/// A listener on a port of 127.0.0.1, 0 for one of the kernel's choice.
pub(crate) fn listener(protocol: ListenerProtocol, port: u16) -> ListenerPlan {
    let address = Address { host: "127.0.0.1".to_owned(), port };
    ListenerPlan { protocol, address, receive_buffer: 4 << 20 }
}
