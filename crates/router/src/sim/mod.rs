//! A simulator: the real routes, pipeline, queues, workers, spooler and reload, between a network, a disk and
//! clocks that do what a seed says.
//!
//! Each seed is a world of its own, on one thread and in one order, so that it can be repeated:
//! `COCO_SIM_SEED=n` runs one and tells what happens in it, `COCO_SIM_SEEDS=n` that many, `COCO_SIM_FROM=n`
//! from there on.

mod account;
mod check;
mod client;
mod feed;
mod life;
mod net;
mod plans;
mod random;
mod rows;
mod sample;
mod world;

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use world::Report;

/// Seeds of a usual run.
const SEEDS: u64 = 1000;

/// Worlds at once.
const THREADS: u64 = 2;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The first faults of a seed, and not all that they say.
fn failed(seed: u64, faults: &[String]) -> String {
    let how = format!("COCO_SIM_SEED={seed} cargo test -p coco-router sim::");
    let cut = |fault: &String| fault.chars().take(1000).collect::<String>();
    let shown: Vec<_> = faults.iter().take(3).map(cut).collect();
    let more = faults.len().saturating_sub(shown.len());
    format!("seed {seed}, {more} more faults; to repeat: {how}\n{}", shown.join("\n"))
}

#[test]
fn every_sample_has_one_fate_whatever_fails() {
    if let Some(seed) = number("COCO_SIM_SEED") {
        let report = world::run(seed, true).unwrap_or_else(|f| panic!("{}", failed(seed, &f)));
        println!("{report:?}");
        return;
    }
    let first = number("COCO_SIM_FROM").unwrap_or(0);
    let last = first + number("COCO_SIM_SEEDS").unwrap_or(SEEDS);
    let (totals, failures) = run_all(first, last);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let Report { samples, reloads, ends: [stops, kills, crashes], moved, .. } = totals;
    println!(
        "{first}..{last}: {samples} copies, {moved} went on to others, {reloads} reloads, {stops} stops, {kills} kills, \
         {crashes} crashes"
    );
    assert!(
        moved > 0 && reloads > 0 && stops > 0 && kills > 0 && crashes > 0 || last - first < 100
    );
}

/// What all these seeds did together, and what failed; some failures are enough.
fn run_all(first: u64, last: u64) -> (Report, Vec<String>) {
    let (next, failures) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let totals = Mutex::new(Report::default());
    let run_on = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last || failures.lock().unwrap().len() > 5 {
                return;
            }
            match world::run(seed, false) {
                Ok(report) => totals.lock().unwrap().add(&report),
                Err(faults) => failures.lock().unwrap().push(failed(seed, &faults)),
            }
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(run_on))));
    (totals.into_inner().unwrap(), failures.into_inner().unwrap())
}

#[test]
fn a_seed_does_the_same_again() {
    for seed in 0..20 {
        assert_eq!(world::run(seed, false), world::run(seed, false), "seed {seed}");
    }
}
