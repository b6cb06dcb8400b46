//! What the new process does with what it gets from the old one.

use std::{collections::HashMap, net::TcpStream, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{error::Elapsed, timeout},
};

use super::{HandedClient, HandedRecord, Piece, TargetKey, key};
use crate::{
    chunk::Chunk,
    control::{Control, Held},
    listen::{
        accept::{Client, OpenGuard},
        bind::BoundListener,
    },
    router::Running,
    shared::Shared,
    target::{Shed, Target, record},
};

/// How long a shard may take to take a client.
const CLIENT_MAX: Duration = Duration::from_secs(2);

/// A router in the new process: what it gets from the old one comes by here.
#[derive(Debug)]
pub struct Inheritance {
    shared: Arc<Shared>,
    control: Arc<Control>,
    listeners: Vec<BoundListener>,
    /// Targets that wait for the old process, and samples that come before all that they get here.
    waiting: HashMap<TargetKey, (Arc<Target>, Vec<Chunk>)>,
    /// Samples for targets that are not here.
    lost: HashMap<TargetKey, u64>,
    /// Turns from shard to shard.
    turn: usize,
}

impl Inheritance {
    pub(crate) fn new(running: &Running, listeners: Vec<BoundListener>) -> Self {
        let (shared, control) = running.parts();
        let targets = shared.routes.load().targets.clone().into_iter();
        let waiting = targets.map(|target| (key(&target), (target, Vec::new()))).collect();
        Self { shared, control, listeners, waiting, lost: HashMap::new(), turn: 0 }
    }

    /// Takes what the old process gives.
    pub async fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Sockets(drops) => self.begin(&drops).await,
            Piece::Client(client) => self.adopt(client).await,
            Piece::Record(record) => self.inherit(record),
            Piece::Done(key) => self.release(&key),
        }
    }

    /// The old process is done with all targets.
    pub fn is_complete(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The old process has ended, or has had its time: all targets are fed, and the spool is opened.
    pub fn finish(mut self) {
        for (target, chunks) in std::mem::take(&mut self.waiting).into_values() {
            target.release(&self.shared.gate, chunks);
        }
        for ((tier, id), samples) in &self.lost {
            tracing::error!(tier, id, samples, "handed over for a target that is not here: lost");
        }
        self.shared.predecessor_is_gone();
    }

    /// Begins to read the sockets.
    async fn begin(&mut self, drops: &[(u64, u32)]) {
        let listeners = std::mem::take(&mut self.listeners);
        let held = self.control.held().await;
        let Some(held) = &*held else { return };
        for bound in listeners {
            bound.listener.go_on_from(drops);
            held.open(bound, &self.shared).await;
        }
    }

    async fn adopt(&mut self, client: HandedClient) {
        let HandedClient { protocol, address, started, socket } = client;
        // A reload waits meanwhile, and the shard takes clients as long as there is a way to it.
        let held = self.control.held().await;
        let Some(Held { listeners, shards, .. }) = &*held else { return };
        let listener = listeners
            .iter()
            .find(|listener| (listener.protocol, &listener.plan.address) == (protocol, &address));
        let Some(listener) = listener else {
            let address = address.to_string();
            self.shared.reports.once("handed_client", &address, || {
                tracing::warn!(
                    address,
                    "this listener is not here any more: its clients are closed"
                );
            });
            return;
        };
        let open = OpenGuard::new(&self.shared);
        let (listener, stages) = (Arc::clone(listener), listener.lever.stages());
        let stream = TcpStream::from(socket);
        self.turn = (self.turn + 1) % shards.len().max(1);
        if let Some(inbox) = shards.get(self.turn) {
            let client = Client { stream, listener, open, stages, started };
            // A shard that is gone has ended with the process; one that is stuck must not hold up a stop.
            let sent = timeout(CLIENT_MAX, inbox.clients.send(client)).await;
            let _gone: Result<Result<(), mpsc::error::SendError<Client>>, Elapsed> = sent;
        }
    }

    fn inherit(&mut self, record: HandedRecord) {
        let HandedRecord { target: key, format, samples, payload } = record;
        let samples = u64::from(samples);
        let Some((target, chunks)) = self.waiting.get_mut(&key) else {
            *self.lost.entry(key).or_default() += samples;
            return;
        };
        match record::chunk_from(format, samples, &payload, target.protocol) {
            Some(chunk) => chunks.push(chunk),
            // The target is one of another protocol now.
            None => {
                target.shed_inherited(&self.shared.gate, Shed::SpoolCorrupt, samples);
                let (tier, target) = (&target.tier, &target.plan.label);
                self.shared.reports.once("handed_record", target, || {
                    tracing::warn!(
                        tier,
                        target,
                        "handed over in another protocol than that of its tier: shed as `spool_corrupt`"
                    );
                });
            }
        }
    }

    fn release(&mut self, key: &TargetKey) {
        if let Some((target, chunks)) = self.waiting.remove(key) {
            target.release(&self.shared.gate, chunks);
        }
    }
}
