//! The verdict on one target: what refusals and probes come to. No I/O and no clock of its own.
//!
//! To hold samples back is safe, to feed a dead target is not: a verdict of [`Verdict::Down`] is never put
//! off, and the way back has to be earned, by good probes and a hold-down. So a target is judged down once
//! in a hold-down at most, however it flaps.

use std::time::Duration;

use tokio::time::Instant;

/// After a verdict of down a target is held so long, at least; it doubles while the target flaps.
pub(crate) const HOLD_MIN: Duration = Duration::from_secs(5);

/// The longest hold-down.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(60);

/// One that was good for so long does not flap.
pub(crate) const STEADY: Duration = Duration::from_secs(120);

/// Between two probes while there is doubt, and while there is none.
const PAUSE_IN_DOUBT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(5);

/// What probes of a kind prove.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// So many bad probes are a verdict of down.
    bad_max: u32,
    /// So many good ones in a row end it.
    good_min: u32,
    /// A good probe proves that somebody is there; else it is only the absence of a refusal.
    proves: bool,
}

impl Rules {
    /// Probes that are answered.
    pub(crate) const ANSWERED: Self = Self { bad_max: 3, good_min: 2, proves: true };

    /// Datagrams that may be refused. A machine refuses once a second at most, for all its ports together:
    /// a silent probe proves nothing, so it takes four in a row, and one does not undo a refusal.
    pub(crate) const REFUSED: Self = Self { bad_max: 3, good_min: 4, proves: false };
}

/// What is thought of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody can know.
    Unknown,
    /// It has answered.
    Up,
    /// A refusal or a bad probe; more probes will tell.
    Suspect,
    /// It is held.
    Down,
}

/// What was seen of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A datagram was refused, and so was its second attempt.
    Refused,
    /// Its connection ended. That one was made proves nothing: the kernel makes it, not the program.
    Lost,
    /// A probe was answered, or at least not refused.
    Good,
    /// A probe failed.
    Bad,
}

/// The verdict on one target, and what it rests on.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    rules: Rules,
    verdict: Verdict,
    /// Good probes in a row, and bad ones that stand.
    good: u32,
    bad: u32,
    hold: Duration,
    /// When it was last judged down, and when it was last fed again after that.
    down_at: Option<Instant>,
    fed_at: Option<Instant>,
    /// When the last probe was sent; `None`: one is due at once.
    asked_at: Option<Instant>,
}

impl Health {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            verdict: Verdict::Unknown,
            good: 0,
            bad: 0,
            hold: HOLD_MIN,
            down_at: None,
            fed_at: None,
            asked_at: None,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// When the next probe is due, its pause taken `stretch` times; `None`: at once.
    pub(crate) fn probe_at(&self, stretch: f64) -> Option<Instant> {
        let pause = if self.verdict == Verdict::Up { PAUSE } else { PAUSE_IN_DOUBT };
        self.asked_at.map(|asked_at| asked_at + pause.mul_f64(stretch))
    }

    /// A probe is sent.
    pub(crate) fn ask(&mut self, now: Instant) {
        self.asked_at = Some(now);
    }

    /// The fault is probably ours: the hold-down does not grow by it.
    pub(crate) fn pardon(&mut self) {
        (self.hold, self.fed_at) = (HOLD_MIN, None);
    }

    /// Takes in what was seen; returns the verdict then.
    pub(crate) fn on(&mut self, event: Event, now: Instant) -> Verdict {
        match event {
            Event::Refused | Event::Lost => self.suspect(),
            Event::Good => self.good(now),
            Event::Bad => self.bad(now),
        }
        self.verdict
    }

    fn suspect(&mut self) {
        if matches!(self.verdict, Verdict::Unknown | Verdict::Up) {
            (self.verdict, self.good, self.bad) = (Verdict::Suspect, 0, 0);
            self.asked_at = None;
        }
    }

    fn good(&mut self, now: Instant) {
        self.good = self.good.saturating_add(1);
        if self.rules.proves {
            self.bad = 0;
        }
        let enough = self.good >= self.rules.good_min;
        match self.verdict {
            Verdict::Up => {}
            Verdict::Unknown | Verdict::Suspect if self.rules.proves => self.verdict = Verdict::Up,
            Verdict::Unknown => {}
            Verdict::Suspect if enough => (self.verdict, self.bad) = (Verdict::Unknown, 0),
            Verdict::Down if enough && self.is_held_enough(now) => {
                self.verdict = if self.rules.proves { Verdict::Up } else { Verdict::Unknown };
                (self.fed_at, self.good, self.bad) = (Some(now), 0, 0);
            }
            Verdict::Suspect | Verdict::Down => {}
        }
    }

    fn bad(&mut self, now: Instant) {
        self.suspect();
        self.good = 0;
        self.bad = self.bad.saturating_add(1);
        if self.verdict == Verdict::Suspect && self.bad >= self.rules.bad_max {
            let flaps = self.fed_at.is_some_and(|at| now.saturating_duration_since(at) < STEADY);
            self.hold = if flaps { (self.hold * 2).min(HOLD_MAX) } else { HOLD_MIN };
            (self.verdict, self.down_at) = (Verdict::Down, Some(now));
        }
    }

    fn is_held_enough(&self, now: Instant) -> bool {
        self.down_at.is_none_or(|at| now.saturating_duration_since(at) >= self.hold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target that is asked once a second, by a clock of its own.
    struct Asked {
        health: Health,
        now: Instant,
    }

    impl Asked {
        fn new(rules: Rules) -> Self {
            Self { health: Health::new(rules), now: Instant::now() }
        }

        /// The verdicts after probes of which `+` are good and `-` bad, one a second; `!` is a refusal.
        fn run(&mut self, probes: &str) -> String {
            let one = |probe| {
                let event = match probe {
                    '+' => Event::Good,
                    '-' => Event::Bad,
                    _ => Event::Refused,
                };
                self.now += Duration::from_secs(u64::from(event != Event::Refused));
                match self.health.on(event, self.now) {
                    Verdict::Unknown => '?',
                    Verdict::Up => 'U',
                    Verdict::Suspect => 's',
                    Verdict::Down => 'D',
                }
            };
            probes.chars().map(one).collect()
        }
    }

    #[test]
    fn verdicts_by_events() {
        for (rules, probes, verdicts) in [
            // Up at the first answer, down at the third failure in a row, up after two and the hold-down.
            (Rules::ANSWERED, "+--+---", "UssUssD"),
            (Rules::ANSWERED, "---", "ssD"),
            (Rules::ANSWERED, "---++++++", "ssDDDDDUU"),
            (Rules::ANSWERED, "---++++-+++", "ssDDDDDDDUU"),
            (Rules::ANSWERED, "+!+!---", "UsUsssD"),
            (Rules::ANSWERED, "+-+-+-+-+-+-+-", "UsUsUsUsUsUsUs"),
            // Silence is no proof: not of life at the start, and not after a refusal.
            (Rules::REFUSED, "++++", "????"),
            (Rules::REFUSED, "!---", "sssD"),
            (Rules::REFUSED, "!++++", "ssss?"),
            (Rules::REFUSED, "!-++-++-", "sssssssD"),
            (Rules::REFUSED, "!---++++++", "sssDDDDD??"),
            (Rules::REFUSED, "!---+++-++++", "sssDDDDDDDD?"),
        ] {
            assert_eq!(Asked::new(rules).run(probes), verdicts, "{probes}");
        }
    }

    #[test]
    fn the_hold_down_doubles_while_it_flaps_and_not_when_the_fault_is_ours() {
        let mut asked = Asked::new(Rules::ANSWERED);
        let held = |asked: &mut Asked| {
            asked.run("---");
            (1..).find(|_| asked.run("+") == "U").unwrap()
        };
        let holds: Vec<u32> = (0..6).map(|_| held(&mut asked)).collect();
        assert_eq!(holds, [5, 10, 20, 40, 60, 60]);
        asked.run(&"+".repeat(120));
        assert_eq!([held(&mut asked), held(&mut asked)], [5, 10]);
        asked.health.pardon();
        assert_eq!(held(&mut asked), 5);
    }

    #[test]
    fn probes_are_frequent_in_doubt_and_the_first_one_is_sent_at_once() {
        let now = Instant::now();
        let mut health = Health::new(Rules::ANSWERED);
        assert_eq!(health.probe_at(1.0), None);
        health.ask(now);
        assert_eq!(health.probe_at(1.0), Some(now + PAUSE_IN_DOUBT));
        health.on(Event::Good, now);
        assert_eq!(health.probe_at(0.5), Some(now + PAUSE / 2));
        health.on(Event::Lost, now);
        assert_eq!(health.probe_at(1.0), None);
        health.ask(now);
        health.on(Event::Bad, now);
        health.on(Event::Lost, now);
        assert_eq!(health.probe_at(1.0), Some(now + PAUSE_IN_DOUBT), "it was suspect before");
    }

    fn any_event(random: &mut fastrand::Rng, bias: f64) -> Event {
        match random.f64() {
            x if x < 0.05 => Event::Refused,
            x if x < 0.1 => Event::Lost,
            _ if random.f64() < bias => Event::Good,
            _ => Event::Bad,
        }
    }

    #[test]
    fn whatever_happens_a_verdict_is_well_founded_and_stands_for_its_hold_down() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..2_000 {
            let rules = *random.choice(&[Rules::ANSWERED, Rules::REFUSED]).unwrap();
            let (mut health, mut now) = (Health::new(rules), Instant::now());
            let (mut bad, mut good) = (0, 0);
            let mut down_at: Option<Instant> = None;
            let bias = random.f64();
            for _ in 0..200 {
                now += Duration::from_millis(random.u64(0..1_500));
                let event = any_event(&mut random, bias);
                match event {
                    Event::Good => good += 1,
                    Event::Bad => (good, bad) = (0, bad + 1),
                    Event::Refused | Event::Lost => {}
                }
                let before = health.verdict();
                let after = health.on(event, now);
                let at = format!("seed {seed}, round {round}: {before:?}, {event:?}, {after:?}");
                if before != Verdict::Down && after == Verdict::Down {
                    assert!(event == Event::Bad && bad >= 3, "{at}");
                    let apart = down_at.map(|down_at| now - down_at);
                    assert!(apart.is_none_or(|apart| apart >= HOLD_MIN), "{at}: {apart:?}");
                    down_at = Some(now);
                    bad = 0;
                }
                if before == Verdict::Down && after != Verdict::Down {
                    assert!(event == Event::Good && good >= rules.good_min, "{at}");
                    assert!(now - down_at.unwrap() >= HOLD_MIN, "{at}");
                    bad = 0;
                }
                assert!(after != Verdict::Up || rules.proves, "{at}: nobody can know");
                assert!(health.hold >= HOLD_MIN && health.hold <= HOLD_MAX, "{at}");
            }
        }
    }
}
