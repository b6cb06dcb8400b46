//! A reload: another plan takes the place of the one in force, and nobody who stays notices.
//!
//! What can fail comes first: sockets are bound before anything is applied. Then, in this order: rows in
//! the ledger for what is new, workers for new targets, the new routes, a turn of every shard, new
//! listeners, the end of old ones, the end of old targets. Between the turn and the end of a target nobody
//! can feed it any more.

mod changes;
mod listeners;

use std::{sync::Arc, time::Duration};

use thiserror::Error;
use tokio::time::Instant;
use tokio::time::{error::Elapsed, timeout};

pub use changes::{Change, Changes, TargetChange};
use listeners::Listeners;

use crate::{
    control::{Control, Held},
    listen::{
        Listener,
        bind::{BindError, BoundListener},
    },
    plan::{OnChange, Plan, SpoolPlan, TierPlan},
    router::DRY_MAX,
    routes::Routes,
    shared::Shared,
    spooler::Leaver,
    target::{Target, spool::Link},
};

/// Targets and listeners that the ledger has rows for, present and past: some 2 KB each, and more than the
/// largest configuration has.
const ROWS_MAX: usize = 400_000;

/// A plan was not put in force; the one before is, untouched.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// An address to listen on cannot be had.
    #[error("{cause}{hint}")]
    Bind {
        /// Which, and why.
        cause: BindError,
        /// What to do about it, if known.
        hint: &'static str,
    },
    /// What is on disk for a target is in its protocol.
    #[error(
        "what is on disk for {0} is in the protocol of its tier: give a tier with another protocol \
         another name"
    )]
    Spools(String),
    /// It may be in any.
    #[error(
        "{0} goes without its spool, as the log says: to give its tier another protocol, or that of before, takes a \
         restart"
    )]
    Without(String),
    /// The spool is opened once.
    #[error("a change of [spool] takes a restart, but for `replay_rate` and `on_change`")]
    Spool,
    /// A list that lost its entries on the way must not take a ring away.
    #[error(
        "tier {0} has a ring, and `targets = []` would take it away: leave out the section of a tier that is \
         to go"
    )]
    NoRing(String),
    /// The system did something that it should not.
    #[error("cannot open sockets: {0}")]
    Interrupted(String),
    /// What was taken out keeps its row in the ledger, and there are too many rows.
    #[error("the ledger is full of targets and listeners of the past: restart coco")]
    Rows,
    /// The process is about to end.
    #[error("the process is stopping or handing over")]
    Stopping,
}

/// Puts `plan` in force.
pub(crate) async fn reload(
    shared: &Arc<Shared>,
    control: &Arc<Control>,
    plan: Plan,
    retire_within: Duration,
) -> Result<Changes, ReloadError> {
    let _one_at_a_time = control.begin().await;
    let (mut changes, listeners, shards) = {
        let held = control.held().await;
        let held = held.as_ref().ok_or(ReloadError::Stopping)?;
        let changes = compare(shared, &held.plan, &plan)?;
        (changes, Listeners::between(&held.listeners, &plan.listeners), held.shards.len())
    };
    // Whoever has mended a loop asks for this; one that is still there is found again.
    shared.roll.load().holders().for_each(|target| target.standing.clear_loop());
    changes.epoch = shared.routes.load().epoch;
    if changes.is_empty() {
        return Ok(changes);
    }
    // Names of addresses may take time to resolve: a stop does not wait for that.
    let bound = listeners.bind(shared, shards).await?;
    {
        let mut held = control.held().await;
        let held = held.as_mut().ok_or(ReloadError::Stopping)?;
        held.listeners = listeners.in_force(&bound);
        held.plan = plan;
        if let (Some(adopter), Some(spool)) = (&held.adopter, &held.plan.spool) {
            adopter.follow(spool.clone());
        }
        let ended = apply(shared, held, bound, &listeners.removed).await;
        retire(shared, control, held, ended, Instant::now() + retire_within);
    }
    changes.epoch = shared.routes.load().epoch;
    for listener in listeners.removed {
        // Their ports are free when this returns. One whose client never stops sending is closed anyway.
        let _closed: Result<(), Elapsed> = timeout(2 * DRY_MAX, listener.stopped()).await;
    }
    Ok(changes)
}

/// What `plan` changes, unless it is one that cannot take the place of the present one.
fn compare(shared: &Shared, present: &Plan, plan: &Plan) -> Result<Changes, ReloadError> {
    let roll = shared.roll.load();
    // Also one that was taken out and has not got all that it is due.
    if let Some(target) = roll.holders().find(|target| is_on_disk_otherwise(target, plan)) {
        let is_without = target.link.as_ref().is_some_and(Link::is_without);
        let error = if is_without { ReloadError::Without } else { ReloadError::Spools };
        return Err(error(target.plan.label.clone()));
    }
    let has_ring = |name: &str| present.tiers.iter().any(|tier| tier.name == name);
    if let Some(tier) = plan.ringless.iter().find(|tier| has_ring(&tier.name)) {
        return Err(ReloadError::NoRing(tier.name.clone()));
    }
    let opens_as = |(old, new): (&SpoolPlan, &SpoolPlan)| old.opens_as(new);
    let opens_alike = present.spool.as_ref().zip(plan.spool.as_ref()).is_some_and(opens_as);
    if !opens_alike && present.spool != plan.spool {
        return Err(ReloadError::Spool);
    }
    if roll.rows() > ROWS_MAX {
        return Err(ReloadError::Rows);
    }
    Ok(Changes::between(present, plan))
}

/// Whether what is on disk for a target would come to one of its name that speaks another protocol.
fn is_on_disk_otherwise(target: &Target, plan: &Plan) -> bool {
    let otherwise = |tier: &TierPlan| {
        let is_named_so = tier.targets.iter().any(|plan| plan.id == target.plan.id);
        tier.name == target.tier && tier.protocol != target.protocol && is_named_so
    };
    target.link.is_some() && plan.tiers.iter().any(otherwise)
}

/// Publishes the routes of the plan in force and sees to it that all go by them; returns the targets that
/// are not among them.
async fn apply(
    shared: &Arc<Shared>,
    held: &Held,
    bound: Vec<BoundListener>,
    removed: &[Arc<Listener>],
) -> Vec<Arc<Target>> {
    let before = shared.routes.load_full();
    let routes = Arc::new(before.next(&held.plan, &shared.registry));
    shared.roll.store(Arc::new(shared.roll.load().next(&routes, &held.listeners)));
    routes.set_bounds(&held.plan);
    for (slot, target) in only_in(&routes, &before) {
        held.serve(slot, &target).await;
    }
    let ended = only_in(&before, &routes);
    let_wait(&routes, &held.plan, &ended);
    shared.routes.store(Arc::clone(&routes));
    held.turn().await;
    for bound in bound {
        held.open(bound, shared).await;
    }
    let until = Instant::now() + DRY_MAX;
    for listener in removed {
        listener.forget_sockets();
        listener.lever.read_dry(until);
    }
    ended.into_iter().map(|(_, target)| target).collect()
}

/// The targets of `routes` that are not among those of `others`, with their slots.
fn only_in(routes: &Routes, others: &Routes) -> Vec<(usize, Arc<Target>)> {
    let known: std::collections::HashSet<_> = others.targets.iter().map(Arc::as_ptr).collect();
    let targets = routes.targets.iter().map(Arc::clone).enumerate();
    targets.filter(|(_, target)| !known.contains(&Arc::as_ptr(target))).collect()
}

/// Ends targets that nobody feeds any more, and forgets them when they have ended. The spooler sees to those
/// that spool.
fn retire(
    shared: &Arc<Shared>,
    control: &Arc<Control>,
    held: &Held,
    targets: Vec<Arc<Target>>,
    until: Instant,
) {
    for target in targets {
        target.leave();
        match (&target.link, &held.adopter) {
            (Some(_), Some(adopter)) => {
                let (how, target) = (how_it_leaves(&held.plan, &target), Arc::clone(&target));
                adopter.leave(Leaver { target, how, until });
            }
            (Some(_) | None, _) => target.retire(until),
        }
        tokio::spawn(forget(Arc::clone(shared), Arc::clone(control), target));
    }
}

/// What becomes of what is on disk for a target that is not in the plan as it is. Without its tier there are no
/// owners, nor if that speaks another protocol; and if its tier still has its id, then that is the owner.
fn how_it_leaves(plan: &Plan, target: &Target) -> OnChange {
    let on_change = plan.spool.as_ref().map_or(OnChange::Keep, |spool| spool.on_change);
    let is_its = |tier: &&TierPlan| {
        tier.name == target.tier && tier.protocol.carries_all_of(target.protocol)
    };
    match plan.tiers.iter().find(is_its) {
        Some(tier) if tier.targets.iter().all(|plan| plan.id != target.plan.id) => on_change,
        Some(_) | None => OnChange::Keep,
    }
}

/// Lets what comes for the tiers of these targets wait, until what is on disk for those is with its owners.
fn let_wait(routes: &Routes, plan: &Plan, ended: &[(usize, Arc<Target>)]) {
    let goes_on =
        |target: &Target| target.link.is_some() && how_it_leaves(plan, target) == OnChange::Reroute;
    for (_, gone) in ended.iter().filter(|(_, target)| goes_on(target)) {
        for target in routes.targets.iter().filter(|target| target.tier == gone.tier) {
            if let Some(link) = &target.link {
                link.expect(true);
                target.queue.set_spooling(true);
            }
        }
    }
}

/// Takes a target off the roll once it has ended.
async fn forget(shared: Arc<Shared>, control: Arc<Control>, target: Arc<Target>) {
    match &target.link {
        Some(link) => link.released().await,
        None => target.lever.let_go().await,
    }
    if target.link.as_ref().is_some_and(|link| link.held() > 0) {
        // The process ends: what is on disk for it is in the last account.
        return;
    }
    // Whoever else changes the roll has this lock.
    let held = control.held().await;
    if held.is_none() {
        // The process ends: what is on disk for it then stands in the last ledger.
        return;
    }
    shared.roll.store(Arc::new(shared.roll.load().without(&[target])));
}
