//! How fast what is on disk goes to a target: a few times as fast as what comes for it, no more, so that a
//! target which comes back is not run over.
//!
//! The live rate is the greater of two: what was offered lately, and what was offered on the average since the
//! present backlog began. By the second one a burst drains at about the speed it came with, and a backlog of
//! any age in about 0.4 times that age (at three times the live rate), however quiet it has become. Time is an
//! argument: nothing here reads a clock.

use std::time::Duration;

use crate::plan::ReplayRate;

/// The live rate counts as so much at least, in samples a second: few samples are not worth pacing.
const LIVE_RATE_MIN: f64 = 1_000.0;

/// What was offered in this time makes the live rate.
const WINDOW: Duration = Duration::from_secs(10);

/// Samples of this time may be given at once.
const BURST: Duration = Duration::from_millis(100);

/// A rate that is averaged over what it has seen, and over [`WINDOW`] at most.
#[derive(Debug, Default)]
struct Average {
    rate: f64,
    age: f64,
}

impl Average {
    fn add(&mut self, count: u64, seconds: f64) {
        self.age = (self.age + seconds).min(WINDOW.as_secs_f64());
        let share = (seconds / self.age).min(1.0);
        self.rate += (float(count) / seconds - self.rate) * share;
    }
}

/// What a target's counters say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Samples that ever fell to it.
    pub(super) offered: u64,
    /// Samples that it ever took.
    pub(super) sent: u64,
    /// Samples that wait for it, on disk and in its queue.
    pub(super) waiting: u64,
    /// It takes samples, as far as can be known.
    pub(super) is_open: bool,
}

/// The pace of one target: a bucket of samples, filled at a few times the live rate.
#[derive(Debug, Default)]
pub(super) struct Pace {
    live: Average,
    sending: Average,
    /// When it was last told, and the counts then.
    told: Option<(Duration, u64, u64)>,
    /// The backlog's beginning: how many seconds ago, and how many samples were offered since.
    backlog: Option<(f64, f64)>,
    /// Samples a second that may go, or infinitely many.
    rate: f64,
    /// Samples that may be given; less than none after a large record.
    tokens: f64,
    /// Samples that wait, and whether they can go, by the last word.
    waiting: Option<u64>,
}

impl Pace {
    /// So many samples of a backlog that began so long ago are there already.
    pub(super) fn resume(&mut self, samples: u64, age: Duration) {
        self.backlog = (samples > 0).then(|| (age.as_secs_f64(), float(samples)));
    }

    /// So many samples of another backlog, which began so long ago, come to this one.
    pub(super) fn join(&mut self, samples: u64, age: Duration) {
        let (before, waiting) = self.backlog.unwrap_or_default();
        self.backlog = Some((before.max(age.as_secs_f64()), waiting + float(samples)));
    }

    /// Takes note of the present counts, and fills the bucket.
    pub(super) fn observe(&mut self, now: Duration, seen: Seen, rate: ReplayRate) {
        let (at, offered, sent) = *self.told.get_or_insert((now, seen.offered, seen.sent));
        self.waiting = seen.is_open.then_some(seen.waiting);
        let seconds = now.saturating_sub(at).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        self.told = Some((now, seen.offered, seen.sent));
        let new = seen.offered.saturating_sub(offered);
        self.live.add(new, seconds);
        if seen.is_open {
            self.sending.add(seen.sent.saturating_sub(sent), seconds);
        } else {
            self.sending = Average::default();
        }
        self.backlog = (seen.waiting > 0).then(|| {
            let (age, samples) = self.backlog.unwrap_or_default();
            (age + seconds, samples + float(new))
        });
        let rate = match rate {
            ReplayRate::TimesLive(times) => self.live_rate() * times,
            ReplayRate::Unlimited => f64::INFINITY,
        };
        self.rate = rate;
        self.tokens = (self.tokens + rate * seconds).min(rate * BURST.as_secs_f64());
    }

    /// Samples a second that count as live.
    fn live_rate(&self) -> f64 {
        let backlog = self.backlog.map_or(0.0, |(age, samples)| samples / age.max(0.1));
        self.live.rate.max(backlog).max(LIVE_RATE_MIN)
    }

    /// Samples a second that may go; 0 is no bound.
    pub(super) fn rate(&self) -> u64 {
        if self.rate.is_finite() { whole(self.rate) } else { 0 }
    }

    /// Samples that may be given now; 0 is none.
    pub(super) fn allowance(&self) -> u64 {
        whole(self.tokens)
    }

    /// So many were given.
    pub(super) fn take(&mut self, samples: u64) {
        self.tokens -= float(samples);
    }

    /// Seconds until nothing waits, at the present rates; `None` if that cannot be told.
    pub(super) fn eta(&self) -> Option<u64> {
        let waiting = self.waiting?;
        if waiting == 0 {
            return Some(0);
        }
        let gain = self.sending.rate - self.live.rate;
        (gain > 1.0).then(|| whole((float(waiting) / gain).ceil()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates need no more than 53 bits")]
fn float(count: u64) -> f64 {
    count as f64
}

/// The whole part; nothing below zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the range")]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: ReplayRate = ReplayRate::TimesLive(3.0);

    /// A target under a steady load, and what its worker is given, step by step.
    struct Run {
        pace: Pace,
        now: Duration,
        offered: f64,
        sent: u64,
    }

    impl Run {
        fn new() -> Self {
            Self { pace: Pace::default(), now: Duration::ZERO, offered: 0.0, sent: 0 }
        }

        /// Runs for so many seconds at so many samples a second, or until nothing waits; takes records of up
        /// to `record` samples while it is open.
        fn run(&mut self, seconds: u64, live: f64, is_open: bool, record: u64) {
            let step = Duration::from_millis(5);
            let until = self.now + Duration::from_secs(seconds);
            while self.now < until {
                self.now += step;
                self.offered += live * step.as_secs_f64();
                let offered = whole(self.offered);
                let waiting = offered - self.sent;
                self.pace.observe(
                    self.now,
                    Seen { offered, sent: self.sent, waiting, is_open },
                    RATE,
                );
                while is_open && self.pace.allowance() > 0 && whole(self.offered) > self.sent {
                    let given = record.min(whole(self.offered) - self.sent);
                    self.pace.take(given);
                    self.sent += given;
                }
                if is_open && whole(self.offered) == self.sent {
                    return;
                }
            }
        }
    }

    #[test]
    fn a_backlog_goes_at_three_times_the_live_rate() {
        for record in [1, 100, 20_000] {
            let mut run = Run::new();
            run.run(60, 10_000.0, false, record);
            assert_eq!(run.pace.eta(), None, "it is down");
            run.run(5, 10_000.0, true, record);
            let sent = run.sent;
            assert!((130_000..=175_000).contains(&sent), "{sent} in 5 s by records of {record}");
            let eta = run.pace.eta().unwrap();
            assert!((22..=30).contains(&eta), "{eta} s, of 25");
            let begun = run.now;
            run.run(600, 10_000.0, true, record);
            let taken = (run.now - begun).as_secs();
            assert!((22..=28).contains(&taken), "{taken} s");
        }
    }

    #[test]
    fn a_burst_drains_at_about_its_own_speed() {
        let mut run = Run::new();
        run.run(5, 2_000_000.0, false, 20_000);
        let begun = run.now;
        run.run(3_600, 0.0, true, 20_000);
        let taken = (run.now - begun).as_secs_f64();
        assert!(taken < 5.0, "{taken} s for what came in 5 s");
    }

    #[test]
    fn what_an_earlier_process_left_goes_by_its_age() {
        let mut run = Run::new();
        run.pace.resume(1_000_000, Duration::from_secs(100));
        run.offered = 1_000_000.0;
        run.pace.told = Some((Duration::ZERO, 1_000_000, 0));
        run.run(3_600, 0.0, true, 1_000);
        let taken = run.now.as_secs();
        assert!((30..=45).contains(&taken), "{taken} s");
    }

    #[test]
    fn a_trickle_is_not_held_up() {
        let mut run = Run::new();
        run.run(600, 1.0, false, 1);
        let begun = run.now;
        run.run(60, 1.0, true, 1);
        assert!((run.now - begun).as_secs_f64() < 1.0);
        let mut pace = Pace::default();
        for second in 0..2 {
            let seen = Seen { offered: 0, sent: 0, waiting: 1, is_open: true };
            pace.observe(Duration::from_secs(second), seen, ReplayRate::Unlimited);
            pace.take(1 << 40);
        }
        assert_eq!(pace.allowance(), u64::MAX);
    }

    #[test]
    fn without_gain_there_is_no_end_in_sight() {
        let mut pace = Pace::default();
        for second in 0..20 {
            let seen =
                Seen { offered: second * 5_000, sent: second * 4_000, waiting: 9, is_open: true };
            pace.observe(Duration::from_secs(second), seen, RATE);
        }
        assert_eq!(pace.eta(), None);
    }
}
