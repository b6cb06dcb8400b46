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
    let mut door = Door { listener, shared, shards, turn: 0 };
    while stages.now() == Stage::Run {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stages.changed() => continue,
        };
        let stream = accepted.and_then(|(stream, _)| stream.into_std());
        match stream.and_then(|stream| door.admit(stream)) {
            Ok(Some(client)) => door.deal(client).await,
            Ok(None) => {}
            Err(error) => {
                let Listener { errors, address, .. } = &*door.listener;
                if errors.get() == 0 {
                    tracing::error!(%error, %address, "cannot accept");
                }
                errors.add(1);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    door.empty(&socket.into_std()?, &stages).await;
    Ok(())
}

/// Where clients come in, and are dealt out to the shards in turn.
struct Door {
    listener: Arc<Listener>,
    shared: Arc<Shared>,
    shards: Vec<mpsc::Sender<Client>>,
    turn: usize,
}

impl Door {
    /// Those that the kernel has accepted already may have sent: they are read too.
    async fn empty(&mut self, socket: &TcpListener, stages: &Stages) {
        while !stages.is_overdue()
            && let Ok((stream, _)) = socket.accept()
        {
            // One that has broken already is no reason to leave the others.
            match stream.set_nonblocking(true).and_then(|()| self.admit(stream)) {
                Ok(Some(client)) => self.deal(client).await,
                Ok(None) => {}
                Err(_) => self.listener.errors.add(1),
            }
        }
    }

    async fn deal(&mut self, client: Client) {
        self.turn = (self.turn + 1) % self.shards.len().max(1);
        if let Some(shard) = self.shards.get(self.turn) {
            // A shard that is gone has ended with the process; the client sees its connection close.
            let _gone: Result<(), mpsc::error::SendError<Client>> = shard.send(client).await;
        }
    }

    /// `None`: there are too many.
    fn admit(&self, stream: TcpStream) -> io::Result<Option<Client>> {
        let Self { listener, shared, .. } = self;
        let Some(open) = OpenGuard::try_new(shared) else {
            if listener.refused.get() == 0 {
                let limit = shared.routes.load().limits.connections_max;
                tracing::warn!(
                    limit,
                    "connection limit reached; further clients are closed at once"
                );
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
}
