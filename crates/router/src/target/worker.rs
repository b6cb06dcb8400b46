//! The one task that owns a target's socket: takes chunks from the queue, sends them, settles them.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    plan::TargetProtocol,
    shared::Shared,
    stage::Stages,
    target::{
        Shed, State, Target, connect::Place, datagram, net::Net, outbox::Outbox, prober::Prober,
        standing::Halt, stream,
    },
};

/// How often a target that is switched off is looked at, whether its address has changed.
const MOVED_INTERVAL: Duration = Duration::from_secs(10);

/// Serves `target` until its queue is closed and empty, or the time for it is over.
pub(crate) async fn run(
    target: Arc<Target>,
    shared: Arc<Shared>,
    mut stages: Stages,
    net: impl Net,
) {
    let _prober = Prober::start(&target, &shared, &net);
    let mut outbox = Outbox::new(&target, &shared);
    tokio::select! {
        // In this order, here and below: what a test does can be repeated.
        biased;
        () = serve(&mut outbox, &net) => {}
        () = stages.flush_deadline() => {}
    }
    outbox.hand_over().await;
    outbox.give_up();
    if let Some(link) = &target.link {
        link.end_worker();
    }
}

/// Sends while the target may be fed, and keeps or sheds what falls to it while it may not.
async fn serve(outbox: &mut Outbox<'_>, net: &impl Net) {
    let (since, before) = (Instant::now(), outbox.target.meters.offered.get());
    outbox.target.released().await;
    outbox.held_back(before, since);
    let standing = &outbox.target.standing;
    while !outbox.is_done() {
        let halt = tokio::select! {
            biased;
            halt = standing.halted() => halt,
            () = send(outbox, net) => return,
        };
        outbox.cut();
        outbox.target.set_state(State::Connecting);
        if halt == Halt::Loop {
            shed_all(outbox).await;
        } else {
            let (since, before) = (Instant::now(), outbox.target.meters.offered.get());
            tokio::select! {
                biased;
                () = standing.resumed(halt) => {}
                () = outbox.target.queue.finished(), if outbox.can_end() => {}
            }
            outbox.held_back(before, since);
        }
    }
}

/// The target is switched off: sheds what falls to it, until that is over or its address has changed.
async fn shed_all(outbox: &mut Outbox<'_>) {
    let mut place = Place::quiet(&outbox.target.plan.address);
    place.find(outbox.target).await;
    let mut looks = tokio::time::interval(MOVED_INTERVAL);
    loop {
        while let Some(chunk) = outbox.chunks.front() {
            let (from_disk, samples) = (chunk.spooled.is_some(), chunk.samples);
            outbox.drop_first();
            outbox.shed(Shed::Loop, from_disk, samples);
        }
        if outbox.is_unsure() {
            outbox.leave_in_doubt("what it is sent comes back");
        }
        if outbox.is_done() {
            return;
        }
        tokio::select! {
            biased;
            () = outbox.target.standing.resumed(Halt::Loop) => return,
            () = outbox.more() => outbox.take(),
            _ = looks.tick() => {
                if place.has_moved(outbox.target).await {
                    outbox.target.standing.clear_loop();
                }
            }
        }
        // One take a turn: the others on this shard go on.
        tokio::task::yield_now().await;
    }
}

async fn send(outbox: &mut Outbox<'_>, net: &impl Net) {
    match outbox.target.protocol {
        TargetProtocol::Collectd | TargetProtocol::LineUdp => datagram::serve(outbox, net).await,
        TargetProtocol::LineTcp | TargetProtocol::Pickle => stream::serve(outbox, net).await,
        TargetProtocol::Embedded => store(outbox).await,
    }
}

/// An embedded target keeps what it is sent in this process.
async fn store(outbox: &mut Outbox<'_>) {
    outbox.target.set_state(State::Up);
    while !outbox.is_done() {
        outbox.target.queue.ready().await;
        outbox.take();
        while let Some(chunk) = outbox.chunks.front() {
            if let Some(store) = &outbox.target.store {
                store.insert(chunk);
            }
            let samples = chunk.samples;
            outbox.drop_first();
            outbox.sent(false, samples);
        }
        tokio::task::yield_now().await;
    }
}
