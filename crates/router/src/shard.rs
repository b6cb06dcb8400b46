//! A shard: one thread with its own runtime, its listeners' sockets, its clients and its targets.
//!
//! A connection or datagram is handled by one shard from read to hand-over. Nothing here looks into
//! the bytes.

use std::{
    io,
    net::UdpSocket,
    rc::Rc,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinSet, LocalSet},
};

use crate::{
    inlet::Inlet,
    listen::{self, Listener, accept::Client, line::Lines, pickle::Frames},
    plan::ListenerProtocol,
    shared::Shared,
    stage::Stages,
    target::{
        Target,
        net::{Net, OsNet},
        worker,
    },
};

/// How often an idle shard shows that it lives.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Commands on their way to a shard.
pub(crate) const COMMANDS_MAX: usize = 64;

/// What a reload asks of a shard.
#[derive(Debug)]
pub(crate) enum Command {
    /// Go by the routes in force from now on, and tell when nothing waits any more that was routed by
    /// others.
    Turn(oneshot::Sender<()>),
    /// Serve one more target.
    Serve(Arc<Target>, Stages),
    /// Read one more UDP socket.
    Read(Arc<Listener>, UdpSocket, Stages),
}

/// What one shard is made of.
#[derive(Debug)]
pub(crate) struct ShardPlan {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clients: mpsc::Receiver<Client>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) targets: Vec<Arc<Target>>,
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
                tell(Ok(()));
                LocalSet::new().block_on(&runtime, self.drive());
                // A resolver that hangs must not hold up the stop.
                runtime.shutdown_background();
            }
            Err(error) => tell(Err(error)),
        }
    }

    async fn drive(self) {
        let Self { index, shared, clients, mut commands, targets, dry } = self;
        let mut crew = Crew::new(&shared, OsNet);
        for target in targets {
            let stages = target.lever.stages();
            crew.serve(target, stages);
        }
        crew.readers.spawn_local(take_clients(clients, Rc::clone(&crew.inlet)));
        let heart = tokio::task::spawn_local(beat(shared, index));
        crew.run(&mut commands, dry).await;
        heart.abort();
    }
}

/// The tasks of one shard.
pub(crate) struct Crew<N> {
    pub(crate) inlet: Rc<Inlet>,
    net: N,
    pub(crate) readers: JoinSet<()>,
    pub(crate) workers: JoinSet<()>,
}

impl<N: Net> Crew<N> {
    pub(crate) fn new(shared: &Arc<Shared>, net: N) -> Self {
        let inlet = Rc::new(Inlet::new(shared));
        Self { inlet, net, readers: JoinSet::new(), workers: JoinSet::new() }
    }

    pub(crate) fn serve(&mut self, target: Arc<Target>, stages: Stages) {
        let (shared, net) = (Arc::clone(&self.inlet.shared), self.net.clone());
        self.workers.spawn_local(worker::run(target, shared, stages, net));
    }

    fn read(&mut self, listener: Arc<Listener>, socket: tokio::net::UdpSocket, stages: Stages) {
        let inlet = Rc::clone(&self.inlet);
        self.readers.spawn_local(listen::udp::serve(socket, listener, inlet, stages));
    }

    /// Does what reloads ask for until the router stops; then reads its sockets dry, tells so, and sends what
    /// is held.
    pub(crate) async fn run(
        mut self,
        commands: &mut mpsc::Receiver<Command>,
        dry: oneshot::Sender<()>,
    ) {
        let lingering = Rc::clone(&self.inlet);
        let hand = tokio::task::spawn_local(async move { lingering.hand_over().await });
        self.obey(commands).await;
        while self.readers.join_next().await.is_some() {}
        hand.abort();
        self.inlet.hand_over_all();
        // The receiver is gone only when the router itself is.
        let _told: Result<(), ()> = dry.send(());
        while self.workers.join_next().await.is_some() {}
    }

    /// Does what reloads ask for, until the router stops.
    async fn obey(&mut self, commands: &mut mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.execute(command),
                    None => return,
                },
                Some(_) = self.readers.join_next() => {}
                Some(_) = self.workers.join_next() => {}
            }
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Turn(done) => {
                self.inlet.take_routes();
                // Whoever asked may have waited long enough.
                let _told: Result<(), ()> = done.send(());
            }
            Command::Serve(target, stages) => self.serve(target, stages),
            Command::Read(listener, socket, stages) => {
                match tokio::net::UdpSocket::from_std(socket) {
                    Ok(socket) => self.read(listener, socket, stages),
                    Err(error) => {
                        listener.errors.add(1);
                        tracing::error!(%error, address = %listener.address, "cannot read");
                    }
                }
            }
        }
    }
}

async fn beat(shared: Arc<Shared>, index: usize) {
    loop {
        shared.beat(index);
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Serves clients until no more will come, and waits for each to be read dry.
async fn take_clients(mut clients: mpsc::Receiver<Client>, inlet: Rc<Inlet>) {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            client = clients.recv() => match client {
                Some(client) => drop(serving.spawn_local(serve(client, Rc::clone(&inlet)))),
                None => break,
            },
            Some(_) = serving.join_next() => {}
        }
    }
    while serving.join_next().await.is_some() {}
}

async fn serve(mut client: Client, inlet: Rc<Inlet>) {
    let started = std::mem::take(&mut client.started);
    if client.listener.protocol == ListenerProtocol::Pickle {
        let frames = Frames::new(Arc::clone(&inlet.shared.unfinished_bytes), started);
        listen::client::serve(client, &inlet, frames).await;
    } else {
        let lines = Lines::new(inlet.line_bytes_max(), started);
        listen::client::serve(client, &inlet, lines).await;
    }
}
