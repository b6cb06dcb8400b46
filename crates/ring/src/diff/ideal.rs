//! The least that must move between two sets of weighted targets.
//!
//! Invariant: equal members with equal replicas give exactly 0. It is a bound for placements whose shares are exactly
//! their weights, and regards neither zones nor the hash.

use crate::{Members, Ring};
use std::collections::HashMap;

/// What each target gains in copies of a key, summed up, as a share of the copies of the new ring.
pub(super) fn moved(old: &Ring, new: &Ring) -> f64 {
    let before = copies(old.members(), old.replicas());
    let ids = old.members().iter().map(|member| member.id.as_str());
    let before: HashMap<&str, f64> = ids.zip(before).collect();
    let after = copies(new.members(), new.replicas());
    let had = |id: &str| before.get(id).copied().unwrap_or_default();
    let gains = new.members().iter().zip(&after).map(|(m, copies)| (copies - had(&m.id)).max(0.0));
    gains.sum::<f64>() / after.iter().sum::<f64>()
}

/// How many copies of a key each target has on average: by weight, but never more than one; what a heavy target cannot
/// take goes to the others.
fn copies(members: &Members, replicas: usize) -> Vec<f64> {
    let weights: Vec<u64> = members.iter().map(|member| member.weight.get()).collect();
    let mut full = vec![false; weights.len()];
    let mut left = u64::try_from(replicas).unwrap_or_default();
    let mut weight = weights.iter().sum::<u64>();
    // Ends after 17 rounds at most: each but the last one fills a target, and there are 16 replicas at most.
    loop {
        let over = |at: usize| !full[at] && left > 0 && weights[at] * left >= weight;
        let filled: Vec<usize> = (0..weights.len()).filter(|&at| over(at)).collect();
        for &at in &filled {
            full[at] = true;
            left = left.saturating_sub(1);
            weight -= weights[at];
        }
        if filled.is_empty() {
            break;
        }
    }
    let part = |own: u64| if weight == 0 { 0.0 } else { float(own * left) / float(weight) };
    weights.iter().zip(full).map(|(&own, full)| if full { 1.0 } else { part(own) }).collect()
}

#[expect(clippy::cast_precision_loss, reason = "at most 4,096 targets of weight 100, 16 times")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::member;

    fn check(weights: &[u64], replicas: usize, due: &[f64]) {
        let list = weights.iter().enumerate().map(|(i, &w)| member(&i.to_string(), w, None));
        let members = Members::try_new(list.collect()).unwrap();
        assert_eq!(copies(&members, replicas), due, "{weights:?} {replicas}");
    }

    #[test]
    fn copies_follow_weights_until_a_target_has_every_key() {
        check(&[1, 1, 2], 1, &[0.25, 0.25, 0.5]);
        check(&[1, 1, 2], 2, &[0.5, 0.5, 1.0]);
        check(&[1, 1, 100], 2, &[0.5, 0.5, 1.0]);
        check(&[1, 10, 100], 2, &[1.0 / 11.0, 10.0 / 11.0, 1.0]);
        check(&[1, 1, 10, 100], 3, &[0.5, 0.5, 1.0, 1.0]);
        check(&[3, 1], 2, &[1.0, 1.0]);
    }
}
