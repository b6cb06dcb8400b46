//! The bound on what all queues together hold in memory.
//!
//! The queues of targets that are down may fill one after the other; each is within its own bound, and all
//! together are too much. Then none may hold more than a *level*, so high that they just fit: the
//! fullest give way, and a target that takes its samples is not touched. What a queue does at the level is what
//! it does at its own bound. Memory is looked at ten times a second, not for each chunk: what comes
//! in between may pass the bound.

use std::{sync::Arc, time::Duration};

use crate::shared::Shared;

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Keeps all queues together within the bound, for ever.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut is_tight = false;
    loop {
        ticks.tick().await;
        is_tight = look(&shared, is_tight);
    }
}

/// Sets or lifts the level; `true` while there is one.
fn look(shared: &Shared, was_tight: bool) -> bool {
    let roll = shared.roll.load();
    let mut held: Vec<_> = roll.holders().map(|target| target.queue.footprint()).collect();
    let (total, max) = (held.iter().sum::<usize>(), shared.routes.load().limits.memory_bytes_max);
    shared.note_memory(total);
    // Lifted only when there is some room again, so that it does not come and go.
    let keeps = was_tight && total > max / 10 * 9;
    if total <= max {
        if was_tight && !keeps {
            roll.holders().for_each(|target| target.queue.set_level(usize::MAX));
        }
        return keeps;
    }
    let level = level(&mut held, max);
    roll.holders().for_each(|target| target.queue.set_level(level));
    shared.reports.once("memory", "", || {
        tracing::warn!(
            held = total, limit = max, level,
            "the queues together hold more than limits.memory: no queue may hold more than this level"
        );
    });
    true
}

/// The level to which the fullest must come down so that all together hold at most `max`.
fn level(held: &mut [usize], max: usize) -> usize {
    held.sort_unstable();
    let (mut room, mut sharers) = (max, held.len());
    for &bytes in &*held {
        let share = room / sharers;
        if bytes > share {
            return share;
        }
        room -= bytes;
        sharers -= 1;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_come_down_to_one_level_and_the_others_keep_what_they_hold() {
        for (held, max, wanted) in [
            (vec![], 10, usize::MAX),
            (vec![4, 6], 10, usize::MAX),
            (vec![0, 1, 30, 50], 21, 10),
            (vec![12, 12, 12], 30, 10),
            (vec![100], 30, 30),
        ] {
            assert_eq!(level(&mut held.clone(), max), wanted, "{held:?} in {max}");
        }
        for seed in 0..1000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let held: Vec<_> = (0..random.usize(1..20)).map(|_| random.usize(0..1000)).collect();
            let (max, total) = (random.usize(0..8000), held.iter().sum::<usize>());
            let level = level(&mut held.clone(), max);
            let left: usize = held.iter().map(|&bytes| bytes.min(level)).sum();
            assert!(left <= max && (total <= max || left + held.len() > max), "seed {seed}");
        }
    }
}
