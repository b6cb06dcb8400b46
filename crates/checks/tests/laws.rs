//! False alarms and detection, on windows of known laws. The seeds are fixed.

use coco_checks::{
    Grade,
    judge::{Window, judge},
    rates::{Rate, Rates},
    verdict::Rule,
};
use fastrand::Rng;

/// Seconds between two rates, and rates in a window.
const INTERVAL: f64 = 10.0;
const POINTS: usize = 60;

const RULE: Rule =
    Rule { alpha: 0.001, tested: 1, min_change: 0.1, min_shift: 0.0, only_rise: false, confirm: 1 };

/// Windows of each law.
const WINDOWS: usize = 10_000;

fn normal(rng: &mut Rng) -> f64 {
    let (u, v) = (1.0 - rng.f64(), rng.f64());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Knuth's method in pieces, so that large means do not underflow.
fn poisson(rng: &mut Rng, mean: f64) -> f64 {
    if mean > 500.0 {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0);
    }
    let (limit, mut product, mut count) = ((-mean).exp(), rng.f64(), 0.0);
    while product > limit {
        product *= rng.f64();
        count += 1.0;
    }
    count
}

/// The rate of a Poisson process of so many a second.
fn rate(rng: &mut Rng, per_second: f64) -> f64 {
    poisson(rng, per_second * INTERVAL) / INTERVAL
}

fn series(values: impl Iterator<Item = f64>) -> Rates {
    let mut time = 0.0;
    let rate = |value| {
        time += INTERVAL;
        Rate { time, value }
    };
    Rates { rates: values.map(rate).collect(), ..Rates::default() }
}

fn window(end: f64) -> Window {
    Window { end, length: 600.0, step: INTERVAL }
}

/// Alarms in windows of a law, in per cent; each window is new.
fn alarms(seed: u64, mut draw: impl FnMut(&mut Rng) -> Vec<f64>) -> f64 {
    let mut rng = Rng::with_seed(seed);
    let mut is_alarm = |rng: &mut Rng| {
        let judged = judge(&series(draw(rng).into_iter()), window(600.0), &RULE);
        assert_ne!(judged.grade, Grade::Unknown);
        judged.grade == Grade::Critical
    };
    let alarms = (0..WINDOWS).filter(|_| is_alarm(&mut rng)).count();
    let share = 100.0 * alarms as f64 / WINDOWS as f64;
    eprintln!("seed {seed}: {alarms} alarms in {WINDOWS} windows, {share} %");
    share
}

/// An autocorrelated process about 1 with this standard deviation.
struct Wandering {
    phi: f64,
    deviation: f64,
    state: f64,
}

impl Wandering {
    fn new(phi: f64, deviation: f64, rng: &mut Rng) -> Self {
        Self { phi, deviation, state: normal(rng) }
    }

    fn next(&mut self, rng: &mut Rng) -> f64 {
        let innovation = (1.0 - self.phi * self.phi).sqrt() * normal(rng);
        self.state = self.phi * self.state + innovation;
        1.0 + self.deviation * self.state
    }
}

#[test]
fn unchanged_traffic_raises_no_alarm() {
    for (seed, per_second) in [(1, 0.0), (2, 1.0), (3, 20.0), (4, 2_000.0)] {
        let share = alarms(seed, |rng| (0..POINTS).map(|_| rate(rng, per_second)).collect());
        assert!(share <= 0.1, "Poisson {per_second}/s: {share} %");
    }
}

#[test]
fn autocorrelated_traffic_raises_next_to_none() {
    for (seed, phi) in [(5, 0.3), (6, 0.6), (7, 0.8)] {
        let share = alarms(seed, |rng| {
            let mut traffic = Wandering::new(phi, 0.05, rng);
            (0..POINTS).map(|_| 200.0 * traffic.next(rng)).collect()
        });
        assert!(share <= 0.5, "AR({phi}) of 5 %: {share} %");
    }
}

/// Three days, looked at each minute: how often an alarm begins, and in how many looks there is one.
fn episodes(values: &[f64], confirm: usize) -> (usize, f64) {
    let rates = series(values.iter().copied());
    let rule = Rule { confirm, ..RULE };
    let (mut episodes, mut alarms, mut looks, mut before) = (0, 0, 0, false);
    let needed = POINTS + confirm - 1;
    for end in (needed..=values.len()).step_by(6) {
        let from = end - needed;
        let part = rates.rates[from..end].to_vec();
        let part = Rates { rates: part, ..Rates::default() };
        let judged = judge(&part, window(end as f64 * INTERVAL), &rule);
        let alarm = judged.grade == Grade::Critical;
        episodes += usize::from(alarm && !before);
        alarms += usize::from(alarm);
        looks += 1;
        before = alarm;
    }
    (episodes, alarms as f64 / f64::from(looks))
}

const DAYS: usize = 3;
const A_DAY: usize = 8_640;

#[test]
fn three_days_of_traffic_raise_at_most_one_alarm_a_day_and_none_when_confirmed() {
    let mut rng = Rng::with_seed(8);
    let steady: Vec<_> = (0..DAYS * A_DAY).map(|_| rate(&mut rng, 20.0)).collect();
    assert_eq!(episodes(&steady, 1).0, 0, "Poisson");

    let mut diurnal = Vec::new();
    for k in 0..DAYS * A_DAY {
        let hour = std::f64::consts::TAU * k as f64 / A_DAY as f64;
        diurnal.push(rate(&mut rng, 200.0 * (1.0 + 0.3 * hour.sin())));
    }
    assert_eq!(episodes(&diurnal, 1).0, 0, "day and night");

    let mut traffic = Wandering::new(0.8, 0.05, &mut rng);
    let wandering: Vec<_> = (0..DAYS * A_DAY).map(|_| 200.0 * traffic.next(&mut rng)).collect();
    let (single, _) = episodes(&wandering, 1);
    let (confirmed, _) = episodes(&wandering, 3);
    eprintln!("AR(0.8): {single} episodes in {DAYS} days, {confirmed} with 3 in a row");
    assert!(single <= DAYS, "{single}");
    assert_eq!(confirmed, 0);
}

#[test]
fn an_hourly_batch_is_a_change() {
    let mut rng = Rng::with_seed(9);
    let mut values = Vec::new();
    for k in 0..DAYS * A_DAY {
        let is_batch = k % 360 < 30;
        values.push(rate(&mut rng, if is_batch { 28.0 } else { 20.0 }));
    }
    let (single, share) = episodes(&values, 1);
    let (confirmed, confirmed_share) = episodes(&values, 3);
    eprintln!(
        "batch: {single} episodes ({share}), {confirmed} ({confirmed_share}) with 3 in a row"
    );
    assert!(single >= 20 * DAYS, "{single}");
    assert!(confirmed_share <= share, "{confirmed_share}");
}

/// Seconds after a step at which it is found, sorted, over 100 series.
fn delays(seed: u64, factor: f64, confirm: usize) -> Vec<f64> {
    let rule = Rule { confirm, ..RULE };
    let mut rng = Rng::with_seed(seed);
    let mut delays: Vec<f64> = (0..100)
        .map(|_| {
            let before = (0..90).map(|_| rate(&mut rng, 20.0)).collect::<Vec<_>>();
            let after = (0..60).map(|_| rate(&mut rng, 20.0 * factor)).collect::<Vec<_>>();
            let rates = series(before.into_iter().chain(after));
            let found = (91..=150).find(|end| {
                let judged = judge(&rates, window(f64::from(*end) * INTERVAL), &rule);
                judged.grade == Grade::Critical
            });
            found.map_or(f64::INFINITY, |end| (f64::from(end) - 90.0) * INTERVAL)
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    eprintln!("x{factor}, confirm {confirm}: median {} s, last {} s", delays[50], delays[99]);
    delays
}

#[test]
fn a_step_of_a_fifth_is_found_within_five_minutes() {
    for (seed, factor) in [(10, 0.0), (11, 0.5), (12, 0.8), (13, 1.2), (14, 2.0)] {
        let single = delays(seed, factor, 1);
        assert!(single[98] <= 300.0, "x{factor}: {single:?}");
        assert!(single[50] <= 240.0, "x{factor}: {single:?}");
        assert!(single[99].is_finite(), "x{factor}: {single:?}");
        let confirmed = delays(seed, factor, 3);
        assert!(confirmed[98] <= 300.0, "x{factor}: {confirmed:?}");
    }
}
