//! A hand-over: what one process gives to the next one, so that no socket is ever closed.
//!
//! The old process keeps on until the new one is bound and ready. Then it stops reading, and hands over its
//! clients with the line that each has begun, and what a target does not take. The new one reads from
//! then on, but sends to a target only when the old one is done with it: so order holds.
//! Neither side knows how a piece gets to the other; that is the server's business.

use std::{
    collections::HashMap,
    net::TcpStream,
    os::fd::OwnedFd,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{MutexGuard, mpsc},
    time::{Instant, error::Elapsed, timeout},
};

use crate::{
    chunk::Chunk,
    control::{Control, Held},
    listen::{
        accept::{Client, OpenGuard},
        bind::BoundListener,
    },
    plan::{Address, ListenerProtocol},
    router::Running,
    shared::Shared,
    target::{Shed, Target, record},
};

/// How long a target may still take from the old process; the rest goes to the new one.
pub(crate) const FLUSH_MAX: Duration = Duration::from_secs(2);

/// How long a shard may take to take a client.
const CLIENT_MAX: Duration = Duration::from_secs(2);

/// How long the clients of the old process may take to get to the new one.
pub(crate) const CLIENTS_MAX: Duration = Duration::from_secs(20);

/// A listening socket for a listener of this protocol and address, as the configuration writes it.
#[derive(Debug)]
pub struct HandedSocket {
    /// What is spoken on it.
    pub protocol: ListenerProtocol,
    /// The address as configured.
    pub address: Address,
    /// The socket, bound.
    pub socket: OwnedFd,
}

/// What the old process tells and gives, in this order for each client and target.
#[derive(Debug)]
pub enum Piece {
    /// The sockets are read no more; datagrams that the kernel dropped on each so far, by inode.
    Sockets(Vec<(u64, u32)>),
    /// An open connection.
    Client(HandedClient),
    /// Samples that a target did not take, oldest first.
    Record(HandedRecord),
    /// Nothing more will be sent to a target.
    Done(TargetKey),
}

/// A target by tier and id.
pub type TargetKey = (String, String);

/// A client's connection.
#[derive(Debug)]
pub struct HandedClient {
    /// What it speaks.
    pub protocol: ListenerProtocol,
    /// The address of its listener, as configured.
    pub address: Address,
    /// What was read of it and not routed.
    pub started: Started,
    /// The connection.
    pub socket: OwnedFd,
}

/// How far a client has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Started {
    /// The beginning of a line or frame whose end has not come.
    pub bytes: Vec<u8>,
    /// The present line is too long, and its rest is passed over.
    pub skipping: bool,
    /// Its first line was seen.
    pub begun: bool,
}

/// Samples for one target, in the form in which a spool keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedRecord {
    /// Whose they are.
    pub target: TargetKey,
    /// What `payload` is.
    pub format: u8,
    /// How many samples.
    pub samples: u32,
    /// The samples.
    pub payload: Vec<u8>,
}

/// The listening sockets of a router, and its promise that it does not reload while this lives.
#[derive(Debug)]
pub struct Holding<'a> {
    /// Copies of the sockets, in the order of the plan.
    pub sockets: Vec<HandedSocket>,
    _reloading: MutexGuard<'a, ()>,
}

impl Control {
    /// Copies of all listening sockets.
    pub(crate) async fn hold(&self) -> std::io::Result<Holding<'_>> {
        let reloading = self.begin().await;
        let mut sockets = Vec::new();
        if let Some(held) = &*self.held().await {
            for listener in &held.listeners {
                for socket in listener.sockets()? {
                    let (protocol, address) = (listener.protocol, listener.plan.address.clone());
                    sockets.push(HandedSocket { protocol, address, socket });
                }
            }
        }
        Ok(Holding { sockets, _reloading: reloading })
    }
}

/// The way to the new process, where there is one.
pub(crate) type Heir = mpsc::Sender<Piece>;

impl Shared {
    /// The way to the new process, if this one hands over.
    pub(crate) fn heir(&self) -> Option<Heir> {
        self.heir.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_heir(&self, heir: Option<Heir>) {
        *self.heir.lock().unwrap_or_else(PoisonError::into_inner) = heir;
    }
}

/// Hands over what a target did not take, oldest first; leaves what could not be handed over.
pub(crate) async fn hand_chunks(
    heir: &Heir,
    target: &Target,
    shared: &Shared,
    chunks: &mut Vec<Chunk>,
) {
    let mut payloads = record::Payloads::default();
    let mut handed = 0;
    'chunks: for chunk in chunks.iter_mut() {
        chunk.trim();
        payloads.clear();
        payloads.push(chunk, target.protocol);
        for new in payloads.records(0) {
            let (format, payload) = (new.format, new.payload.to_vec());
            let target_key = key(target);
            let record = HandedRecord { target: target_key, format, samples: new.samples, payload };
            if heir.send(Piece::Record(record)).await.is_err() {
                break 'chunks;
            }
            let samples = u64::from(new.samples).min(chunk.samples);
            target.settle_handed_over(&shared.gate, samples);
            chunk.samples -= samples;
        }
        handed += 1;
    }
    chunks.drain(..handed);
}

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
            None => target.shed_inherited(&self.shared.gate, Shed::SpoolCorrupt, samples),
        }
    }

    fn release(&mut self, key: &TargetKey) {
        if let Some((target, chunks)) = self.waiting.remove(key) {
            target.release(&self.shared.gate, chunks);
        }
    }
}

fn key(target: &Target) -> TargetKey {
    (target.tier.clone(), target.plan.id.clone())
}

/// Tells the new process of each target when all its workers have ended.
pub(crate) fn tell_done(shared: &Shared, heir: &Heir) {
    let mut holders: HashMap<TargetKey, Vec<Arc<Target>>> = HashMap::new();
    for target in shared.roll.load().holders() {
        holders.entry(key(target)).or_default().push(Arc::clone(target));
    }
    for (key, targets) in holders {
        let heir = heir.clone();
        tokio::spawn(async move {
            for target in targets {
                target.lever.let_go().await;
                if let Some(link) = &target.link {
                    // What its disk does not take comes before the word.
                    link.released().await;
                }
            }
            // A new process that is gone needs no word.
            let _gone: Result<(), mpsc::error::SendError<Piece>> =
                heir.send(Piece::Done(key)).await;
        });
    }
}

/// Until then, at most.
pub(crate) fn within(limit: Duration) -> Instant {
    Instant::now() + limit
}
