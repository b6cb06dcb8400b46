//! Graphite lines as agents send them: all series of a host, then the next host.

use std::io::Write;

/// A second in the life of the fleet.
const UNIX_SECONDS: u64 = 1_700_000_000;

/// Series of each host.
const PER_HOST: usize = 32;

const STATES: [&str; 8] =
    ["user", "system", "nice", "idle", "wait", "interrupt", "softirq", "steal"];

/// Lines of distinct names, about 72 bytes each.
#[derive(Debug)]
pub struct Lines {
    /// The lines, each ended by LF.
    pub text: Vec<u8>,
    /// How many they are.
    pub count: u64,
}

impl Lines {
    /// The lines of `count` names, from the `first` one on.
    pub fn new(first: usize, count: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(first as u64);
        let mut text = Vec::with_capacity(count * 80);
        for at in first..first + count {
            let (host, series) = (at / PER_HOST, at % PER_HOST);
            let (cpu, state) = (series / STATES.len(), STATES[series % STATES.len()]);
            let value = random.f64() * 100.0;
            // Writing into memory does not fail.
            let _written: std::io::Result<()> = writeln!(
                text,
                "dc{}.production.web{host:05}.servers.cpu.{cpu}.{state}.percent {value:.6} {UNIX_SECONDS}",
                host % 3,
            );
        }
        Self { text, count: count as u64 }
    }

    /// Every `step`th name.
    pub fn names(&self, step: usize) -> impl Iterator<Item = &[u8]> {
        let lines = self.text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.step_by(step).filter_map(|line| line.split(|&byte| byte == b' ').next())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Lines;

    #[test]
    fn the_names_are_distinct_and_of_a_usual_length() {
        let lines = Lines::new(0, 10_000);
        assert_eq!(lines.names(1).collect::<HashSet<_>>().len(), 10_000);
        let mean = lines.text.len() / 10_000;
        assert!((68..=76).contains(&mean), "{mean} bytes a line");
    }
}
