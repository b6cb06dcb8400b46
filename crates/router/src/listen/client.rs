//! The read loop of a TCP client, for every stream protocol.
//!
//! All clients of a shard read into one buffer; a client keeps only the beginning of a unit that has not
//! ended yet. At a stop the socket is read until the kernel says that nothing is left: tokio's own
//! readiness may not know yet what has arrived.

use std::{
    io::{self, Read},
    net::SocketAddr,
};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::{
    handover::{HandedClient, Piece, Started},
    inlet::Inlet,
    listen::{Listener, accept::Client},
    loops,
    pipeline::{Pipeline, Source},
    stage::{Stage, Stages},
    target::{net, queue::Feeder},
};

/// What a stream protocol makes of a client's bytes.
pub(crate) trait Units {
    /// Bytes kept from earlier reads, the beginning of a unit.
    fn kept(&self) -> &[u8];

    /// Routes the whole units in `bytes`, which begin with what was kept, and keeps the rest.
    fn route(&mut self, bytes: &[u8], pipeline: &mut Pipeline, from: &Source<'_>) -> Next;

    /// The client closed in good order; what was kept may be a whole unit. `false`: it is not.
    fn finish(&mut self, pipeline: &mut Pipeline, from: &Source<'_>) -> bool;

    /// What the next process needs to go on; nothing is kept here any more.
    fn started(&mut self) -> Started;
}

/// What to do after a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read on.
    Read,
    /// Send this, if anything, and close: what follows cannot be told apart.
    Close(&'static [u8]),
}

/// How a client's connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed its side: all it sent was read.
    Closed,
    /// It broke, or the listener stops: a unit may be cut.
    Cut,
    /// We close, after an answer if there is one.
    Refused(&'static [u8]),
}

/// Reads one client until it closes, or until its listener is to stop.
pub(crate) async fn serve(client: Client, inlet: &Inlet, units: impl Units) {
    let Client { stream, listener, open: _open, stages, started: _ } = client;
    let peer = stream.peer_addr().ok();
    let mut reading = Reading::new(units, &listener, peer, inlet);
    let Ok(mut stream) = TcpStream::from_std(stream) else {
        listener.errors.add(1);
        return;
    };
    let mut end = reading.run(&stream, stages.clone()).await;
    if end == End::Cut
        && let Stage::HandOver(until) = stages.now()
    {
        match stream.into_std() {
            Ok(stream) => return reading.hand_over(stream, until).await,
            Err(_) => listener.errors.add(1),
        }
    } else if end == End::Cut && stages.now() != Stage::Run {
        match stream.into_std() {
            Ok(stream) => end = reading.read_dry(stream, &stages).await,
            Err(_) => listener.errors.add(1),
        }
    } else if let End::Refused(answer) = end
        && !answer.is_empty()
    {
        // Whoever is refused may be gone already.
        let _sent: io::Result<()> = stream.write_all(answer).await;
        let _shut: io::Result<()> = stream.shutdown().await;
    }
    reading.finish(end);
}

/// One client's connection.
pub(crate) struct Reading<'a, U> {
    units: U,
    listener: &'a Listener,
    peer: Option<SocketAddr>,
    inlet: &'a Inlet,
    /// Slots of the targets that the last batch found full.
    full: Vec<usize>,
}

impl<'a, U: Units> Reading<'a, U> {
    pub(crate) fn new(
        units: U,
        listener: &'a Listener,
        peer: Option<SocketAddr>,
        inlet: &'a Inlet,
    ) -> Self {
        Self { units, listener, peer, inlet, full: Vec::new() }
    }

    /// Reads while the listener runs.
    pub(crate) async fn run(&mut self, stream: &impl net::Stream, mut stages: Stages) -> End {
        let mut is_new = true;
        while stages.now() == Stage::Run {
            tokio::select! {
                biased;
                ready = stream.readable() => if ready.is_err() { return End::Cut },
                () = stages.changed() => continue,
            }
            if std::mem::take(&mut is_new) {
                self.look_for_loop(stream.ends().ok().map(|[came_to, _]| came_to));
            }
            match self.inlet.read(self.units.kept(), |room| stream.try_read(room)) {
                Ok(0) => return End::Closed,
                Ok(len) => match self.route(len) {
                    Next::Read => {}
                    Next::Close(answer) => return End::Refused(answer),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return End::Cut,
            }
            self.inlet.end_turn(&self.full, self.listener, &mut stages).await;
        }
        End::Cut
    }

    /// Whether the client is this process itself. Not asked before it sends: then its own side knows it.
    fn look_for_loop(&self, came_to: Option<SocketAddr>) {
        let shared = &self.inlet.shared;
        let ours = |(peer, came_to)| shared.loops.target_of(peer, came_to);
        if let Some(beacon) = self.peer.zip(came_to).and_then(ours) {
            loops::came_back(
                &shared.roll.load(),
                beacon,
                "a client is a connection of this process",
            );
        }
    }

    /// Reads what the kernel still holds, without waiting.
    async fn read_dry(&mut self, mut stream: std::net::TcpStream, stages: &Stages) -> End {
        while !stages.is_overdue() {
            match self.inlet.read(self.units.kept(), |room| stream.read(room)) {
                Ok(0) => return End::Closed,
                Ok(len) => {
                    if self.route(len) != Next::Read {
                        return End::Refused(b"");
                    }
                    // The other readers of this shard may have to go on.
                    tokio::task::yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return End::Cut,
            }
        }
        End::Cut
    }

    /// Gives the connection to the next process, with what was read of a unit. If it does not take it, the
    /// unit is cut.
    async fn hand_over(mut self, stream: std::net::TcpStream, until: Instant) {
        let Some(heir) = self.inlet.shared.heir() else { return self.finish(End::Cut) };
        let cut = self.units.kept().len();
        let (protocol, address) = (self.listener.protocol, self.listener.plan.address.clone());
        let (started, socket) = (self.units.started(), stream.into());
        let client = Piece::Client(HandedClient { protocol, address, started, socket });
        let handed = timeout_at(until, heir.send(client)).await;
        if !matches!(handed, Ok(Ok(()))) && cut > 0 {
            self.count_cut(cut);
        }
    }

    fn count_cut(&mut self, bytes: usize) {
        let Self { listener, peer, inlet, full, .. } = self;
        let from = Source { listener, peer: *peer };
        inlet.route(|pipeline| {
            pipeline.reject_unit("truncated", &from, || format!("ended {bytes} bytes into a unit"));
            pipeline.publish(listener, Feeder::Stream, false, full);
        });
    }

    /// Routes `len` bytes that were read behind what was kept.
    fn route(&mut self, len: usize) -> Next {
        let Self { units, listener, peer, inlet, full } = self;
        let from = Source { listener, peer: *peer };
        let more = len >= inlet.read_bytes();
        inlet.route_read(units.kept().len() + len, |bytes, pipeline| {
            let next = units.route(bytes, pipeline, &from);
            pipeline.publish(listener, Feeder::Stream, more, full);
            next
        })
    }

    /// Routes or counts what was kept.
    pub(crate) fn finish(&mut self, end: End) {
        let Self { units, listener, peer, inlet, full } = self;
        let kept = units.kept().len();
        if kept == 0 || matches!(end, End::Refused(_)) {
            return;
        }
        let from = Source { listener, peer: *peer };
        inlet.route(|pipeline| {
            if end != End::Closed || !units.finish(pipeline, &from) {
                pipeline
                    .reject_unit("truncated", &from, || format!("ended {kept} bytes into a unit"));
            }
            pipeline.publish(listener, Feeder::Stream, false, full);
        });
    }
}
