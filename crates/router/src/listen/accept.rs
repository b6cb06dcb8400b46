//! Accepting TCP clients and dealing them out to the shards in turn.

use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::sync::mpsc;

use crate::{
    handover::Started,
    listen::Listener,
    shared::Shared,
    stage::{Stage, Stages},
};

/// Pause after a failed accept (out of file descriptors, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client that is silent is asked after a minute, and given up after two.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// A client's connection on its way to a shard. Counted as open until it is dropped.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) listener: Arc<Listener>,
    pub(crate) open: OpenGuard,
    pub(crate) stages: Stages,
    /// What another process had read of it.
    pub(crate) started: Started,
}

/// Takes one off the number of open connections when dropped.
#[derive(Debug)]
pub(crate) struct OpenGuard(Arc<Shared>);

impl OpenGuard {
    /// One more, whatever the limit says: another process had it open already.
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }

    /// `None` when the limit is reached.
    fn try_new(shared: &Arc<Shared>) -> Option<Self> {
        let open = shared.connections.fetch_add(1, Ordering::Relaxed);
        let guard = Self(Arc::clone(shared));
        (open < shared.routes.load().limits.connections_max).then_some(guard)
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts until the listener is to stop, and then what waits in the backlog.
pub(crate) async fn accept(
    socket: TcpListener,
    listener: Arc<Listener>,
    shared: Arc<Shared>,
    shards: Vec<mpsc::Sender<Client>>,
    mut stages: Stages,
) -> io::Result<()> {
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let mut turn = 0;
    while stages.now() == Stage::Run {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stages.changed() => continue,
        };
        let admitted = accepted
            .and_then(|(stream, _)| stream.into_std())
            .and_then(|stream| admit(stream, &listener, &shared));
        let client = match admitted {
            Ok(Some(client)) => client,
            Ok(None) => continue,
            Err(error) => {
                if listener.errors.get() == 0 {
                    tracing::error!(%error, address = %listener.address, "cannot accept");
                }
                listener.errors.add(1);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        deal(client, &shards, &mut turn).await;
    }
    // Those that the kernel has accepted already may have sent: they are read too.
    let socket = socket.into_std()?;
    while !stages.is_overdue()
        && let Ok((stream, _)) = socket.accept()
    {
        // One that has broken already is no reason to leave the others.
        match stream.set_nonblocking(true).and_then(|()| admit(stream, &listener, &shared)) {
            Ok(Some(client)) => deal(client, &shards, &mut turn).await,
            Ok(None) => {}
            Err(_) => listener.errors.add(1),
        }
    }
    Ok(())
}

async fn deal(client: Client, shards: &[mpsc::Sender<Client>], turn: &mut usize) {
    *turn = (*turn + 1) % shards.len().max(1);
    if let Some(shard) = shards.get(*turn) {
        // A shard that is gone has ended with the process; the client sees its connection close.
        let _gone: Result<(), mpsc::error::SendError<Client>> = shard.send(client).await;
    }
}

fn admit(
    stream: TcpStream,
    listener: &Arc<Listener>,
    shared: &Arc<Shared>,
) -> io::Result<Option<Client>> {
    let Some(open) = OpenGuard::try_new(shared) else {
        if listener.refused.get() == 0 {
            let limit = shared.routes.load().limits.connections_max;
            tracing::warn!(limit, "connection limit reached; further clients are closed at once");
        }
        listener.refused.add(1);
        return Ok(None);
    };
    listener.connections.add(1);
    // A client that lost its power would be counted as open for ever.
    SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
    let stages = listener.lever.stages();
    let (listener, started) = (Arc::clone(listener), Started::default());
    Ok(Some(Client { stream, listener, open, stages, started }))
}
