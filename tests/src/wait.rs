//! Waiting for a condition with a deadline: the only place in the tests that lets time pass.

use std::time::{Duration, Instant};

/// Long enough for anything that happens on an idle machine; a busy one needs the slack.
pub const SOON: Duration = Duration::from_secs(20);

/// Pause between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Tries until it gives `Ok`; fails after `limit` with the reason that was given last.
#[track_caller]
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> T {
    let started_at = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(reason) if started_at.elapsed() > limit => {
                panic!("waited {limit:?} for {what}: {reason}")
            }
            Err(_) => pause(),
        }
    }
}

/// Waits until `condition` holds; fails after `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, limit, || if condition() { Ok(()) } else { Err("not yet".to_owned()) });
}

#[expect(clippy::disallowed_methods, reason = "the polling helper that all waiting goes through")]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}
