//! A shard: one thread with its own runtime, its listeners' sockets, its clients and its targets.
//!
//! A connection or datagram is handled by one shard from read to hand-over. Nothing here looks into
//! the bytes.

use std::{
    cell::{RefCell, RefMut},
    future::Future,
    io,
    net::UdpSocket,
    rc::Rc,
    sync::{Arc, mpsc::SyncSender},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::{JoinSet, LocalSet},
};

use crate::{
    listen::{self, Listener, accept::Client, line::Lines, pickle::Frames},
    pipeline::{LINGER, Pipeline},
    plan::ListenerProtocol,
    shared::Shared,
    target::{Target, worker},
};

/// How often an idle shard shows that it lives.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// What a shard is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Read, route, send.
    Run,
    /// Read what the sockets still hold, at most until then; take no new clients.
    ReadDry(Instant),
    /// Send what the queues still hold, at most until then.
    Flush(Instant),
}

/// The present stage, and word of the next one.
#[derive(Debug, Clone)]
pub(crate) struct Stages(watch::Receiver<Stage>);

impl Stages {
    pub(crate) fn new(receiver: watch::Receiver<Stage>) -> Self {
        Self(receiver)
    }

    pub(crate) fn now(&self) -> Stage {
        *self.0.borrow()
    }

    /// Returns when there is another stage than before.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The router is gone; nothing will change any more.
            std::future::pending().await
        }
    }

    /// The time for reading dry is over.
    pub(crate) fn is_overdue(&self) -> bool {
        match self.now() {
            Stage::Run => false,
            Stage::ReadDry(until) => Instant::now() >= until,
            Stage::Flush(_) => true,
        }
    }

    /// Returns when the time for sending what is held is over.
    pub(crate) async fn flush_deadline(&mut self) {
        loop {
            if let Stage::Flush(until) = self.now() {
                return tokio::time::sleep_until(until.into()).await;
            }
            self.changed().await;
        }
    }
}

/// What one shard is made of.
#[derive(Debug)]
pub(crate) struct ShardPlan {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) udp: Vec<(Arc<Listener>, UdpSocket)>,
    pub(crate) clients: mpsc::Receiver<Client>,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) stages: Stages,
    /// Told when all sockets are read dry.
    pub(crate) dry: oneshot::Sender<()>,
}

impl ShardPlan {
    /// Runs the shard on the calling thread until it is drained; tells `started` first whether it can.
    pub(crate) fn run(self, started: &SyncSender<io::Result<()>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tell = |result| {
            // Nobody listens any more only when another shard has failed to start.
            let _told: Result<(), _> = started.send(result);
        };
        match runtime {
            Ok(runtime) => {
                LocalSet::new().block_on(&runtime, async {
                    match self.register() {
                        Ok(sockets) => {
                            tell(Ok(()));
                            self.drive(sockets).await;
                        }
                        Err(error) => tell(Err(error)),
                    }
                });
                // A resolver that hangs must not hold up the stop.
                runtime.shutdown_background();
            }
            Err(error) => tell(Err(error)),
        }
    }

    /// Makes the sockets known to the runtime.
    fn register(&self) -> io::Result<Vec<Udp>> {
        let register = |(listener, socket): &(Arc<Listener>, UdpSocket)| {
            let socket = tokio::net::UdpSocket::from_std(socket.try_clone()?)?;
            Ok((Arc::clone(listener), socket))
        };
        self.udp.iter().map(register).collect()
    }

    async fn drive(self, sockets: Vec<Udp>) {
        let Self { index, shared, udp, clients, targets, stages, dry } = self;
        // The registered ones are the same sockets.
        drop(udp);
        let inlet = Rc::new(Inlet::new(&shared));
        let mut workers = JoinSet::new();
        for target in targets {
            workers.spawn_local(worker::run(target, Arc::clone(&shared), stages.clone()));
        }
        let mut readers = JoinSet::new();
        for (listener, socket) in sockets {
            let (inlet, stages) = (Rc::clone(&inlet), stages.clone());
            readers.spawn_local(listen::udp::serve(socket, listener, inlet, stages));
        }
        readers.spawn_local(take_clients(clients, Rc::clone(&inlet), stages));
        let heart = tokio::task::spawn_local(beat(shared, index));
        let lingering = Rc::clone(&inlet);
        let hand = tokio::task::spawn_local(async move { lingering.hand_over().await });
        while readers.join_next().await.is_some() {}
        hand.abort();
        inlet.shard().pipeline.hand_over_all();
        // The receiver is gone only when the router itself is.
        let _told: Result<(), ()> = dry.send(());
        while workers.join_next().await.is_some() {}
        heart.abort();
    }
}

/// A UDP socket known to the shard's runtime.
type Udp = (Arc<Listener>, tokio::net::UdpSocket);

async fn beat(shared: Arc<Shared>, index: usize) {
    loop {
        shared.beat(index);
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Serves clients until the stage changes, then waits for each to be read dry.
async fn take_clients(mut clients: mpsc::Receiver<Client>, inlet: Rc<Inlet>, mut stages: Stages) {
    let mut serving = JoinSet::new();
    while stages.now() == Stage::Run {
        tokio::select! {
            Some(client) = clients.recv() => {
                serving.spawn_local(serve(client, Rc::clone(&inlet), stages.clone()));
            }
            Some(_) = serving.join_next() => {}
            () = stages.changed() => {}
        }
    }
    // Those that were accepted and not yet begun are read too; the acceptors end by themselves.
    while let Some(client) = clients.recv().await {
        serving.spawn_local(serve(client, Rc::clone(&inlet), stages.clone()));
    }
    while serving.join_next().await.is_some() {}
}

async fn serve(client: Client, inlet: Rc<Inlet>, stages: Stages) {
    if client.listener.protocol == ListenerProtocol::Pickle {
        let frames = Frames::new(Arc::clone(&inlet.shared.unfinished_bytes));
        listen::client::serve(client, &inlet, stages, frames).await;
    } else {
        let lines = Lines::new(inlet.shared.limits.line_bytes_max);
        listen::client::serve(client, &inlet, stages, lines).await;
    }
}

/// What the readers of one shard share: its pipeline and one read buffer.
#[derive(Debug)]
pub(crate) struct Inlet {
    shard: RefCell<Shard>,
    shared: Arc<Shared>,
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
    fn new(shared: &Arc<Shared>) -> Self {
        let pipeline = Pipeline::new(Arc::clone(shared));
        let shard = RefCell::new(Shard { pipeline, buffer: Vec::new() });
        Self { shard, shared: Arc::clone(shared), lingering: Notify::new() }
    }

    fn shard(&self) -> RefMut<'_, Shard> {
        self.shard.borrow_mut()
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
    async fn hand_over(&self) {
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
        self.shared.read_bytes()
    }

    /// Puts `kept` at the beginning of the shard's buffer and reads behind it.
    pub(crate) fn read(
        &self,
        kept: &[u8],
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let buffer = &mut self.shard().buffer;
        let end = kept.len() + self.read_bytes();
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

/// Waits, but not beyond [`Stage::Run`].
async fn while_running(wait: impl Future<Output = ()>, stages: &mut Stages) {
    if stages.now() == Stage::Run {
        tokio::select! {
            () = wait => {}
            () = stages.changed() => {}
        }
    }
}
