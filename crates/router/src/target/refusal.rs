//! UDP targets that refuse: how that is known, and how they are asked, with datagrams that carry nothing, until
//! they do not any more.

use std::{io, time::Duration};

use tokio::time::Instant;

use super::{
    State, Target,
    connect::Place,
    health::{Event, Health, Rules, Verdict},
    net::Socket,
    outbox::Outbox,
};

/// How long the word that nobody listens may take.
const PROBE_PATIENCE: Duration = Duration::from_millis(200);

/// One refusal may be an old word on an earlier datagram; a second one within this time is not.
const REFUSALS_APART_MAX: Duration = Duration::from_secs(3);

/// So often in a row the kernel takes one datagram of many only where nobody listens.
const SINGLES_MAX: u32 = 2;

/// What speaks for it that nobody listens at the other end of a socket.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// So often in a row the kernel has taken one datagram of many.
    singles: u32,
    refused_at: Option<Instant>,
    /// Nothing has been sent since that.
    is_new: bool,
}

impl Suspicion {
    /// The kernel has taken datagrams, or only `one_of_many`: whether nobody listens all the same.
    pub(super) async fn sent(&mut self, socket: &impl Socket, one_of_many: bool) -> bool {
        // The kernel tells of a refusal by taking one datagram of many, and forgets it.
        self.singles = if one_of_many { self.singles + 1 } else { 0 };
        if std::mem::take(&mut self.is_new) {
            // Where little is sent, the next refusal would come too late.
            tokio::time::sleep(PROBE_PATIENCE).await;
            if has_refused(socket) {
                return true;
            }
        }
        if self.singles < SINGLES_MAX {
            return false;
        }
        self.singles = 0;
        // A machine that forgets refusals so is this one, and says them at once.
        let _full: io::Result<()> = socket.try_send(&[]);
        has_refused(socket)
    }

    /// A datagram was refused: whether that is one too many.
    pub(super) fn refused(&mut self) -> bool {
        self.is_new = true;
        let before = self.refused_at.replace(Instant::now());
        before.is_some_and(|before| before.elapsed() < REFUSALS_APART_MAX)
    }

    /// The kernel took no datagram for a reason that is no refusal.
    pub(super) fn failed(&mut self) {
        self.singles = 0;
    }
}

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
fn has_refused(socket: &impl Socket) -> bool {
    matches!(socket.take_error(), Ok(Some(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}
