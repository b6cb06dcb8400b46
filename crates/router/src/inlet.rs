//! What the readers of one shard share: its pipeline, its read buffer, and the turn of each.

use std::{
    cell::{RefCell, RefMut},
    future::Future,
    io,
    sync::Arc,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    listen::Listener,
    pipeline::{LINGER, Pipeline},
    shared::Shared,
    stage::{Stage, Stages},
};

/// What the readers of one shard share: its pipeline and one read buffer.
#[derive(Debug)]
pub(crate) struct Inlet {
    shard: RefCell<Shard>,
    pub(crate) shared: Arc<Shared>,
    /// Told when chunks stay open behind a batch.
    lingering: Notify,
}

/// The pipeline and the read buffer of a shard; borrowed between two awaits, never across one.
#[derive(Debug)]
struct Shard {
    pipeline: Pipeline,
    buffer: Vec<u8>,
}

impl Inlet {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let pipeline = Pipeline::new(Arc::clone(shared));
        let shard = RefCell::new(Shard { pipeline, buffer: Vec::new() });
        Self { shard, shared: Arc::clone(shared), lingering: Notify::new() }
    }

    fn shard(&self) -> RefMut<'_, Shard> {
        self.shard.borrow_mut()
    }

    /// Goes by the routes in force, and hands over what was routed by others.
    pub(crate) fn take_routes(&self) {
        self.shard().pipeline.take_routes();
    }

    /// Hands over everything: nothing more is read.
    pub(crate) fn hand_over_all(&self) {
        self.shard().pipeline.hand_over_all();
    }

    /// One read batch; `route` ends it with [`Pipeline::publish`].
    pub(crate) fn route<T>(&self, route: impl FnOnce(&mut Pipeline) -> T) -> T {
        self.route_read(0, |_, pipeline| route(pipeline))
    }

    /// One read batch of the first `len` bytes of the shard's buffer.
    pub(crate) fn route_read<T>(
        &self,
        len: usize,
        route: impl FnOnce(&[u8], &mut Pipeline) -> T,
    ) -> T {
        let Shard { pipeline, buffer } = &mut *self.shard();
        pipeline.begin();
        let routed = route(buffer.get(..len).unwrap_or_default(), pipeline);
        if pipeline.lingers() {
            self.lingering.notify_one();
        }
        routed
    }

    /// Hands over what lingers in open chunks when its time has come, for ever.
    pub(crate) async fn hand_over(&self) {
        loop {
            self.lingering.notified().await;
            while self.shard().pipeline.lingers() {
                tokio::time::sleep(LINGER).await;
                self.shard().pipeline.hand_over_due();
            }
        }
    }

    /// Most bytes that are read from one client at once.
    pub(crate) fn read_bytes(&self) -> usize {
        self.shared.read_bytes(self.shard().pipeline.routes().queue_bytes_min)
    }

    /// Longest line in bytes, for a client that begins now.
    pub(crate) fn line_bytes_max(&self) -> usize {
        self.shard().pipeline.routes().limits.line_bytes_max
    }

    /// Puts `kept` at the beginning of the shard's buffer and reads behind it.
    pub(crate) fn read(
        &self,
        kept: &[u8],
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let end = kept.len() + self.read_bytes();
        let buffer = &mut self.shard().buffer;
        if buffer.len() < end {
            // At most a started frame and one read.
            buffer.resize(end, 0);
        }
        let (place, room) = buffer.split_at_mut(kept.len());
        place.copy_from_slice(kept);
        read(room.get_mut(..end - kept.len()).unwrap_or_default())
    }

    /// Ends a client's turn: waits while the targets that it just fed are full, and lets the others
    /// on this shard run.
    pub(crate) async fn end_turn(&self, full: &[usize], listener: &Listener, stages: &mut Stages) {
        if !full.is_empty() {
            let targets = self.shard().pipeline.targets(full);
            let since = Instant::now();
            for target in targets {
                while_running(target.queue.room(), stages).await;
            }
            let blocked = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            listener.blocked_ms.add(blocked);
        }
        tokio::task::yield_now().await;
    }
}

/// Waits, but not beyond [`Stage::Run`] of the client's listener.
async fn while_running(wait: impl Future<Output = ()>, stages: &mut Stages) {
    if stages.now() == Stage::Run {
        tokio::select! {
            biased;
            () = wait => {}
            () = stages.changed() => {}
        }
    }
}
