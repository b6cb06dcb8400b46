//! False alarms and detection, on windows of known laws. The seeds are fixed.

use coco_checks::{
    Grade,
    judge::{Window, judge, judge_around},
    levels::{self, SILENT_FOR},
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

/// Alarms in windows of a law, and windows that are not judged good, in per cent; each window is new.
fn alarms(seed: u64, mut draw: impl FnMut(&mut Rng) -> Vec<f64>) -> [f64; 2] {
    let mut rng = Rng::with_seed(seed);
    let mut grade =
        |rng: &mut Rng| judge(&series(draw(rng).into_iter()), window(600.0), &RULE).grade;
    let grades: Vec<_> = (0..WINDOWS).map(|_| grade(&mut rng)).collect();
    let count = |wanted| grades.iter().filter(|grade| **grade == wanted).count();
    let [critical, warning, unknown] = [Grade::Critical, Grade::Warning, Grade::Unknown].map(count);
    eprintln!(
        "seed {seed}: in {WINDOWS} windows {critical} alarms, {warning} warnings, {unknown} unknown"
    );
    [critical, critical + warning + unknown].map(|n| 100.0 * n as f64 / WINDOWS as f64)
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
        let [alarms, not_good] =
            alarms(seed, |rng| (0..POINTS).map(|_| rate(rng, per_second)).collect());
        assert!(alarms <= 0.1, "Poisson {per_second}/s: {alarms} %");
        assert!(not_good <= 1.0, "Poisson {per_second}/s: {not_good} %");
    }
}

#[test]
fn autocorrelated_traffic_raises_next_to_none() {
    // Not good are also those that cannot be judged: next to none, so that a gate can ask for an OK. What
    // wanders off for minutes is another thing.
    for (seed, phi, not_good_max) in [(5, 0.3, 0.1), (6, 0.6, 0.1), (7, 0.8, 1.0), (15, 0.95, 5.0)]
    {
        let [alarms, not_good] = alarms(seed, |rng| {
            let mut traffic = Wandering::new(phi, 0.05, rng);
            (0..POINTS).map(|_| 200.0 * traffic.next(rng)).collect()
        });
        assert!(alarms <= 0.5, "AR({phi}) of 5 %: {alarms} %");
        assert!(not_good <= not_good_max, "AR({phi}) of 5 %: {not_good} %");
    }
}

#[test]
fn a_fleet_of_autocorrelated_series_passes_a_gate() {
    // Looked at some minutes after a deploy, beside others, for each of which the gate must be good.
    let rule = Rule { tested: 50, ..RULE };
    const LOOKS: usize = 20_000;
    for (seed, phi, deviation) in [(23, 0.8, 0.1), (24, 0.8, 0.05), (25, 0.6, 0.1)] {
        let mut rng = Rng::with_seed(seed);
        let mut grade = || {
            let mut traffic = Wandering::new(phi, deviation, &mut rng);
            let rates = series((0..50).map(|_| 200.0 * traffic.next(&mut rng)));
            judge_around(&rates, 30.5 * INTERVAL, window(50.0 * INTERVAL), &rule).grade
        };
        let grades: Vec<_> = (0..LOOKS).map(|_| grade()).collect();
        let count = |wanted| grades.iter().filter(|grade| **grade == wanted).count();
        let [unknown, warning, critical] =
            [Grade::Unknown, Grade::Warning, Grade::Critical].map(count);
        eprintln!(
            "seed {seed}: in {LOOKS} looks {critical} alarms, {warning} warnings, {unknown} unknown"
        );
        let percent = |count: usize| 100.0 * count as f64 / LOOKS as f64;
        let (unknown, not_good) = (percent(unknown), percent(unknown + warning + critical));
        assert!(unknown <= 0.1, "AR({phi}) of {deviation}: {unknown} %");
        assert!(not_good <= 0.5, "AR({phi}) of {deviation}: {not_good} %");
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

/// Windows of a slope through all of it that are called steady, in per cent. `change` is that of the medians.
fn overlooked_slopes(seed: u64, change: f64) -> f64 {
    let (from, to) = (1.0 - change / 2.0, 1.0 + change / 2.0);
    let mut rng = Rng::with_seed(seed);
    let mut is_steady = || {
        let mut traffic = Wandering::new(0.6, 0.02, &mut rng);
        let level = |k: usize| from + (to - from) * 2.0 * (k as f64 / POINTS as f64 - 0.25);
        let values: Vec<_> =
            (0..POINTS).map(|k| 200.0 * level(k) * traffic.next(&mut rng)).collect();
        let judged = judge(&series(values.into_iter()), window(600.0), &RULE);
        judged.grade == Grade::Ok && judged.newest.is_ok_and(|newest| newest.is_steady(&RULE))
    };
    let steady = (0..1_000).filter(|_| is_steady()).count();
    eprintln!("seed {seed}: {steady} of 1000 slopes of {change} are called steady");
    steady as f64 / 10.0
}

#[test]
fn a_slope_is_not_called_steady() {
    for (seed, change) in [(16, -1.0), (17, -0.5), (18, -0.25), (19, 0.25), (20, 0.5)] {
        let steady = overlooked_slopes(seed, change);
        assert!(steady <= 1.0, "{change}: {steady} %");
    }
    assert!(overlooked_slopes(21, 0.02) >= 99.0, "a slope that nobody asks for");
}

/// Traffic of hosts to one target, read each `interval` seconds: what was due in each, and what was sent. What is
/// due is sent at most `lag` seconds later, but nothing while the target is `dead`.
struct Traffic {
    interval: f64,
    period: f64,
    hosts: usize,
    lag: f64,
    dead: std::ops::Range<f64>,
}

impl Traffic {
    /// What is due and what is sent up to `end` seconds.
    fn rates(&self, end: f64, rng: &mut Rng) -> [Vec<Rate>; 2] {
        let (mut due, mut sent) = (Vec::new(), Vec::new());
        for _ in 0..self.hosts {
            let mut time = rng.f64() * self.period;
            while time < end {
                due.push(time);
                sent.push(time + rng.f64() * self.lag);
                time += self.period;
            }
        }
        sent.retain(|time| !self.dead.contains(time));
        [due, sent].map(|mut times| {
            times.sort_by(f64::total_cmp);
            let before = |moment: f64| times.partition_point(|time| *time < moment);
            let starts = (0_u32..).map(|k| f64::from(k) * self.interval);
            let starts = starts.take_while(|start| start + self.interval <= end);
            let rate = |start: f64| {
                let count = before(start + self.interval) - before(start);
                let time = start + self.interval / 2.0;
                Rate { time, value: count as f64 / self.interval }
            };
            starts.map(rate).collect()
        })
    }
}

#[test]
fn only_a_silent_target_is_called_so_however_seldom_its_hosts_report() {
    let mut rng = Rng::with_seed(22);
    let mut looks = 0;
    for round in 0..100 {
        let interval = rng.choice([0.1, 0.5, 2.0, 10.0, 60.0]).unwrap();
        let period = rng.choice([1.0, 10.0, 60.0]).unwrap();
        let (hosts, lag) = (rng.usize(1..30), rng.f64() * f64::min(interval, period));
        let died = 3.0 * period + 12.0 * interval;
        let traffic = Traffic { interval, period, hosts, lag, dead: died..f64::INFINITY };
        // One report a host and period is seen; so is what comes at the end of an interval.
        let (told, told_closed) =
            (4.0 * period + 5.0 * interval, period + (SILENT_FOR + 2) as f64 * interval);
        let end = died + told + 2.0 * interval;
        let [due, sent] = traffic.rates(end, &mut rng);
        for upto in 1..=due.len() {
            let now = upto as f64 * interval;
            let (due, sent) = (&due[..upto], &sent[..upto]);
            let silent = levels::is_silent(sent, due, None);
            let closed = levels::is_silent(sent, due, (now > died).then_some(died));
            let at = format!("round {round}, {now} s of {died}: {interval} s, {period} s, {hosts}");
            assert!(now > died || !(silent || closed), "{at}: a false alarm");
            assert!(now < died + told || silent, "{at}: not found");
            assert!(now < died + told_closed || closed, "{at}: not found, though closed");
            looks += 1;
        }
    }
    assert!(looks > 10_000, "{looks}");
}
