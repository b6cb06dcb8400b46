//! UDP targets that refuse: asked with datagrams that carry nothing, until they do not any more.

use std::{io, time::Duration};

use tokio::time::Instant;

use super::{
    State, Target,
    connect::Place,
    health::{Event, Health, Rules, Verdict},
    net::Socket,
    worker::Outbox,
};

/// How long the word that nobody listens may take.
pub(super) const PROBE_PATIENCE: Duration = Duration::from_millis(200);

/// Asks a target that has refused, which is held meanwhile. Returns when it is to be fed again, when its
/// name has moved, or when nothing is left to be sent to it.
pub(super) async fn revive(
    outbox: &Outbox<'_>,
    socket: &impl Socket,
    place: &mut Place,
    health: &mut Health,
) {
    let target = outbox.target;
    while matches!(health.verdict(), Verdict::Suspect | Verdict::Down) {
        // Never less than the second that a machine waits between two refusals.
        let next = health.probe_at(1.0 + fastrand::f64() / 5.0).unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(next) => {}
            () = target.queue.finished(), if outbox.can_end() => return,
        }
        if place.has_moved(target).await {
            *health = Health::new(Rules::REFUSED);
            return;
        }
        health.ask(Instant::now());
        let refused = is_refused(socket).await;
        let (event, counter) = match refused {
            true => (Event::Bad, &target.meters.probes_bad),
            false => (Event::Good, &target.meters.probes_good),
        };
        counter.add(1);
        if target.standing.is_pardoned() {
            health.pardon();
        }
        let before = health.verdict();
        let verdict = health.on(event, Instant::now());
        tell(target, before, verdict);
    }
}

/// Shows a verdict, and says it if it is news.
fn tell(target: &Target, before: Verdict, verdict: Verdict) {
    let (tier, label) = (&target.tier, &target.plan.label);
    if before != Verdict::Down && verdict == Verdict::Down {
        target.set_state(State::Down);
        tracing::warn!(
            tier,
            target = label,
            "nobody listens there; what falls to it is held, and it is asked each second"
        );
    } else if verdict == Verdict::Unknown {
        tracing::info!(tier, target = label, "it does not refuse any more");
    }
}

/// Sends a datagram with nothing in it, which every receiver passes over, and waits for a refusal.
async fn is_refused(socket: &impl Socket) -> bool {
    if socket.send(&[]).await.is_err() {
        // An old word on an earlier datagram; this one was not sent.
        let _refused_again: io::Result<()> = socket.send(&[]).await;
    }
    tokio::time::sleep(PROBE_PATIENCE).await;
    has_refused(socket)
}

/// The word that nobody listens has come.
pub(super) fn has_refused(socket: &impl Socket) -> bool {
    matches!(socket.take_error(), Ok(Some(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}
