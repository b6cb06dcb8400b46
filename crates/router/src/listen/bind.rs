//! Binding: every socket is opened before anything runs, and a port that another process holds is
//! refused.
//!
//! The shards share a UDP port by `SO_REUSEPORT`. The first socket binds without it, which fails if
//! anybody else has the port; only then is the port opened to its siblings.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket},
    os::fd::OwnedFd,
    sync::Arc,
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use thiserror::Error;

use crate::{
    listen::{Listener, kernel::DropWatch, protocol_name},
    plan::{ListenerPlan, ListenerProtocol},
    telemetry::Registry,
};

/// Pending connections that the kernel keeps for a TCP listener.
const BACKLOG: i32 = 1024;

/// A listener, or the spool, could not be opened. Nothing runs yet; sockets opened before are closed again.
#[derive(Debug, Error)]
pub enum BindError {
    /// The host name of the bind address does not resolve.
    #[error("cannot resolve the {protocol} address {address}: {cause}")]
    Resolve {
        /// What would have been spoken.
        protocol: &'static str,
        /// The address as configured.
        address: String,
        /// What the resolver said.
        cause: io::Error,
    },
    /// The kernel refused the address; "address in use" means that another process has the port.
    #[error("cannot listen for {protocol} on {address}: {cause}{hint}")]
    Bind {
        /// What would have been spoken.
        protocol: &'static str,
        /// The address as resolved.
        address: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
        /// What to do about it, if known.
        hint: &'static str,
    },
    /// A socket that another process handed over cannot be used.
    #[error("cannot use the socket that was handed over for {protocol} on {address}: {cause}")]
    Handed {
        /// What would have been spoken.
        protocol: &'static str,
        /// The address as configured.
        address: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The folder of the spool cannot be used.
    #[error(transparent)]
    Spool(#[from] coco_spool::OpenError),
}

/// A listener with its open sockets.
#[derive(Debug)]
pub(crate) struct BoundListener {
    pub(crate) listener: Arc<Listener>,
    pub(crate) sockets: Sockets,
}

/// The sockets of a listener.
#[derive(Debug)]
pub(crate) enum Sockets {
    /// One per shard, or as many as were handed over.
    Udp(Vec<UdpSocket>),
    /// One, whose connections are dealt out to the shards.
    Tcp(TcpListener),
}

/// Opens the sockets of one listener.
pub(crate) fn bind(
    plan: &ListenerPlan,
    shards: usize,
    registry: &Registry,
) -> Result<BoundListener, BindError> {
    let protocol = protocol_name(plan.protocol);
    let address = resolve(plan, protocol)?;
    let failed = |cause: io::Error| {
        let hint = if cause.kind() == io::ErrorKind::AddrInUse {
            "; another process holds this port (see `ss -lunpt`)"
        } else {
            ""
        };
        BindError::Bind { protocol, address, cause, hint }
    };
    match plan.protocol {
        ListenerProtocol::Collectd | ListenerProtocol::LineUdp => {
            let sockets = bind_udp(address, shards, plan.receive_buffer).map_err(failed)?;
            listen_udp(plan, sockets, DropWatch::watch, registry).map_err(failed)
        }
        ListenerProtocol::LineTcp | ListenerProtocol::Pickle => {
            let socket = bind_tcp(address).map_err(failed)?;
            listen_tcp(plan, socket, registry).map_err(failed)
        }
    }
}

/// A listener on sockets that another process has bound.
pub(crate) fn take_over(
    plan: &ListenerPlan,
    sockets: Vec<OwnedFd>,
    registry: &Registry,
) -> io::Result<BoundListener> {
    match plan.protocol {
        ListenerProtocol::Collectd | ListenerProtocol::LineUdp => {
            let sockets: Vec<_> = sockets.into_iter().map(UdpSocket::from).collect();
            for socket in &sockets {
                socket.set_nonblocking(true)?;
                SockRef::from(socket).set_recv_buffer_size(plan.receive_buffer)?;
            }
            listen_udp(plan, sockets, DropWatch::watch_from_now, registry)
        }
        ListenerProtocol::LineTcp | ListenerProtocol::Pickle => {
            let socket = sockets.into_iter().next().ok_or(io::ErrorKind::NotFound)?;
            let socket = TcpListener::from(socket);
            socket.set_nonblocking(true)?;
            listen_tcp(plan, socket, registry)
        }
    }
}

fn listen_udp(
    plan: &ListenerPlan,
    sockets: Vec<UdpSocket>,
    watch: impl Fn(&mut DropWatch, &UdpSocket),
    registry: &Registry,
) -> io::Result<BoundListener> {
    let mut drops = DropWatch::default();
    sockets.iter().for_each(|socket| watch(&mut drops, socket));
    let first = sockets.first().ok_or(io::ErrorKind::NotFound)?;
    let listener = Arc::new(Listener::new(plan, first.local_addr()?, drops, registry));
    sockets.iter().try_for_each(|socket| listener.keep(socket))?;
    Ok(BoundListener { listener, sockets: Sockets::Udp(sockets) })
}

fn listen_tcp(
    plan: &ListenerPlan,
    socket: TcpListener,
    registry: &Registry,
) -> io::Result<BoundListener> {
    let (bound, drops) = (socket.local_addr()?, DropWatch::default());
    let listener = Arc::new(Listener::new(plan, bound, drops, registry));
    listener.keep(&socket)?;
    Ok(BoundListener { listener, sockets: Sockets::Tcp(socket) })
}

fn resolve(plan: &ListenerPlan, protocol: &'static str) -> Result<SocketAddr, BindError> {
    let host = if plan.address.host.is_empty() { "::" } else { plan.address.host.as_str() };
    let failed = |cause| BindError::Resolve { protocol, address: plan.address.to_string(), cause };
    let mut addresses = (host, plan.address.port).to_socket_addrs().map_err(failed)?;
    let none = || failed(io::Error::new(io::ErrorKind::NotFound, "no address"));
    addresses.next().ok_or_else(none)
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // "::" takes IPv4 as well, as collectd's own listener does.
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    // Only lets a port be taken again whose old connections linger; a second listener is refused.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_udp(address: SocketAddr, shards: usize, buffer: usize) -> io::Result<Vec<UdpSocket>> {
    let first = socket(address, Type::DGRAM, Protocol::UDP)?;
    first.bind(&address.into())?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    if shards > 1 {
        for socket in &sockets {
            socket.set_reuse_port(true)?;
        }
        for _ in 1..shards {
            let sibling = socket(address, Type::DGRAM, Protocol::UDP)?;
            sibling.set_reuse_port(true)?;
            sibling.bind(&bound)?;
            sockets.push(sibling);
        }
    }
    for socket in &sockets {
        socket.set_recv_buffer_size(buffer)?;
    }
    if let Some(socket) = sockets.first() {
        // The kernel doubles what it grants, for its own book-keeping.
        let granted = socket.recv_buffer_size()? / 2;
        if granted < buffer {
            tracing::warn!(
                address = %bound.as_socket().unwrap_or(address), asked = buffer, granted,
                "the kernel grants a smaller receive buffer; raise net.core.rmem_max"
            );
        }
    }
    Ok(sockets.into_iter().map(Into::into).collect())
}
