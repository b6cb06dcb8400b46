//! The task beside a target's worker: it asks the target whether it is there, and whether it is ourselves.
//!
//! It runs on the worker's shard and ends with it. Names are looked up off the data path.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::Instant};

use super::{
    Target,
    connect::Place,
    health::{Event, Health, Rules, Verdict},
    net::{Net, Socket},
    probe::Question,
};
use crate::{
    loops,
    plan::{Probe, TargetProtocol},
    shared::Shared,
};

/// How long an answer may take: three silences after a good one are noticed within 15 s.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same for a page, which has to be made.
const PATIENCE_HTTP: Duration = Duration::from_secs(3);

/// How often, at least, a collectd target is sent a datagram that we would know again.
const BEACON_INTERVAL: Duration = Duration::from_secs(8);

/// The prober of one target; ends when dropped.
#[derive(Debug)]
pub(super) struct Prober(JoinHandle<()>);

impl Prober {
    /// Starts it on the calling shard.
    pub(super) fn start(target: &Arc<Target>, shared: &Arc<Shared>, net: &impl Net) -> Self {
        let (target, shared, net) = (Arc::clone(target), Arc::clone(shared), net.clone());
        Self(tokio::task::spawn_local(async move {
            tokio::join!(probe_all(&target, &shared), shine(&target, &shared, &net));
        }))
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks in the way of the configuration in force.
async fn probe_all(target: &Target, shared: &Shared) {
    let mut probes = target.probe.subscribe();
    loop {
        let probe = probes.borrow_and_update().clone();
        tokio::select! {
            biased;
            changed = probes.changed() => if changed.is_err() { return },
            () = ask_on(&probe, target, shared) => {}
        }
        // The next one judges anew.
        target.standing.judge(Verdict::Unknown);
    }
}

/// Asks again and again.
async fn ask_on(probe: &Probe, target: &Target, shared: &Shared) {
    if !probe.is_answered() {
        return std::future::pending().await;
    }
    let patience = if matches!(probe, Probe::Http { .. }) { PATIENCE_HTTP } else { PATIENCE };
    let mut question = Question::new(probe);
    let mut health = Health::new(Rules::ANSWERED);
    loop {
        // Probes of many targets spread, and those of many routers.
        let next = health.probe_at(0.8 + fastrand::f64() / 5.0).unwrap_or_else(Instant::now);
        let event = tokio::select! {
            biased;
            () = target.standing.lost() => Event::Lost,
            () = tokio::time::sleep_until(next) => {
                health.ask(Instant::now());
                match tokio::time::timeout(patience, question.ask(target)).await {
                    Ok(Ok(())) => Event::Good,
                    Ok(Err(error)) => failed(target, shared, &error.to_string()),
                    Err(_) => failed(target, shared, "no answer in time"),
                }
            }
        };
        if event == Event::Good {
            target.meters.probes_good.add(1);
        }
        if target.standing.is_pardoned() {
            health.pardon();
        }
        let before = health.verdict();
        let verdict = health.on(event, Instant::now());
        target.standing.judge(verdict);
        tell(target, before, verdict);
    }
}

fn failed(target: &Target, shared: &Shared, error: &str) -> Event {
    target.meters.probes_bad.add(1);
    let (tier, label) = (&target.tier, &target.plan.label);
    shared.reports.once("probe", label, || {
        tracing::warn!(error, tier, target = label, "a probe failed; more of it is counted");
    });
    Event::Bad
}

fn tell(target: &Target, before: Verdict, verdict: Verdict) {
    let (tier, label) = (&target.tier, &target.plan.label);
    if before != Verdict::Down && verdict == Verdict::Down {
        tracing::warn!(tier, target = label, "down: its probes fail; what falls to it is held");
    } else if before == Verdict::Down && verdict != Verdict::Down {
        tracing::info!(tier, target = label, "up: it answers again");
    }
}

/// Sends a collectd target datagrams that come back only if it is ourselves.
async fn shine(target: &Target, shared: &Shared, net: &impl Net) {
    if target.protocol != TargetProtocol::Collectd {
        return;
    }
    let beacon = shared.loops.beacon(target.beacon);
    let mut place = Place::quiet(&target.plan.address);
    loop {
        let asked = *target.probe.borrow() != Probe::None;
        if asked
            && let Some(address) = place.present(target).await
            && let Ok(socket) = net.open(address).await
        {
            // A socket of its own: a refusal of it is none of a sample.
            let _lost: std::io::Result<()> = socket.send(&beacon).await;
        }
        // Those of many targets spread.
        tokio::time::sleep(BEACON_INTERVAL.mul_f64(0.75 + fastrand::f64() / 4.0)).await;
    }
}

/// What a worker asks before it sends anything to an address; `true`: it is one of our own listeners, and
/// the target is switched off.
pub(super) fn is_ourselves(
    target: &Target,
    shared: &Shared,
    address: std::net::SocketAddr,
) -> bool {
    let ours = loops::is_own_listener(&shared.roll.load(), target.protocol, address);
    if ours {
        target.switch_off("its address is that of a listener of this process");
    }
    ours
}
