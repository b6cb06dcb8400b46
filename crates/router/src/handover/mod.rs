//! A hand-over: what one process gives to the next one, so that no socket is ever closed.
//!
//! The old process keeps on until the new one is bound and ready. Then it stops reading, and hands over its
//! clients with the line that each has begun, and what a target does not take. The new one reads from
//! then on, but sends to a target only when the old one is done with it: so order holds.
//! Neither side knows how a piece gets to the other; that is the server's business.

mod inheritance;
mod kept;
mod piece;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

pub use inheritance::Inheritance;
pub use kept::{Astray, Kept};
pub use piece::{HandedClient, HandedRecord, HandedSocket, Piece, Started, TargetKey};
use tokio::{
    sync::{MutexGuard, mpsc},
    time::Instant,
};

use crate::{
    chunk::Chunk,
    control::Control,
    shared::Shared,
    target::{Target, record},
};

/// How long a target may still take from the old process; the rest goes to the new one.
pub(crate) const FLUSH_MAX: Duration = Duration::from_secs(2);

/// How long the clients of the old process may take to get to the new one.
pub(crate) const CLIENTS_MAX: Duration = Duration::from_secs(20);

/// The listening sockets of a router, and its promise that it does not reload while this lives.
#[derive(Debug)]
pub struct Holding<'a> {
    /// Copies of the sockets, in the order of the plan.
    pub sockets: Vec<HandedSocket>,
    /// What is on disk, if anything is.
    pub kept: Option<Kept>,
    _reloading: MutexGuard<'a, ()>,
}

impl Control {
    /// Copies of all listening sockets, and what is on disk.
    pub(crate) async fn hold(&self, shared: &Shared) -> std::io::Result<Holding<'_>> {
        let reloading = self.begin().await;
        let (mut sockets, mut kept) = (Vec::new(), None);
        if let Some(held) = &*self.held().await {
            kept = Kept::of(&held.plan, shared);
            for listener in &held.listeners {
                for socket in listener.sockets()? {
                    let (protocol, address) = (listener.protocol, listener.plan.address.clone());
                    sockets.push(HandedSocket { protocol, address, socket });
                }
            }
        }
        Ok(Holding { sockets, kept, _reloading: reloading })
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

fn key(target: &Target) -> TargetKey {
    (target.tier.clone(), target.plan.id.clone())
}
