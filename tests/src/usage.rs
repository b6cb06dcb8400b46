//! What a process takes, as the kernel counts it.

use std::{fs, time::Duration};

/// Linux counts in hundredths of a second, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

/// CPU time so far.
#[track_caller]
pub fn cpu(process: u32) -> Duration {
    let text = read(process, "stat");
    // The name of the program may hold anything; what follows it are numbers.
    let (_, numbers) = text.rsplit_once(')').expect("a name in brackets");
    let ticks = |at: usize| numbers.split_whitespace().nth(at)?.parse::<u32>().ok();
    let (user, system) = (ticks(11).expect("a number"), ticks(12).expect("a number"));
    TICK * (user + system)
}

/// Memory that it has had at most, in bytes.
#[track_caller]
pub fn memory_most(process: u32) -> u64 {
    let text = read(process, "status");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("the kernel says how much memory it has had") * 1024
}

#[track_caller]
fn read(process: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{process}/{file}"))
        .unwrap_or_else(|error| panic!("{file} of process {process}: {error}"))
}
