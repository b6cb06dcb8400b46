//! How fast a spool is on a real folder: append, open again, replay.
//!
//! `cargo run --release -p coco-spool --example throughput -- FOLDER [MIB] [RECORD_KIB] [each|interval|never]`.
//! The folder must not be there yet; it is removed at the end.

use std::{
    error::Error,
    fs,
    io::{Write, stdout},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use coco_spool::{
    AtBound, Batch, Budget, Config, Name, NewRecord, Now, Root, SEGMENT_BYTES, Sync, disk::OsDisk,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let folder = words.next().ok_or("a folder to write to is missing")?;
    let mib: u64 = words.next().map_or(Ok(1024), |word| word.parse())?;
    let kib: usize = words.next().map_or(Ok(64), |word| word.parse())?;
    let sync = match words.next().as_deref() {
        None | Some("interval") => Sync::Interval(Duration::from_millis(200)),
        Some("each") => Sync::Each,
        Some("never") => Sync::Never,
        Some(other) => return Err(format!("no such policy: {other}").into()),
    };
    let config = Config {
        sync,
        segment_bytes: SEGMENT_BYTES,
        bytes_max: mib << 21,
        max_age: None,
        at_bound: AtBound::Refuse,
    };
    let path = Path::new(&folder);
    fs::create_dir(path)?;
    append(path, config, mib << 20, kib << 10)?;
    replay(path, config)?;
    fs::remove_dir_all(path)?;
    Ok(())
}

fn now(start: Instant) -> Result<Now, Box<dyn Error>> {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Now { unix_ms: u64::try_from(unix.as_millis())?, monotonic: start.elapsed() })
}

fn root(path: &Path) -> Result<Root<OsDisk>, Box<dyn Error>> {
    Ok(Root::open(OsDisk, path, Arc::new(Budget::new(1 << 40)))?)
}

fn append(path: &Path, config: Config, bytes: u64, size: usize) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut spool = root(path)?.spool(&Name::new("tier", "target")?, config, now(start)?)?;
    let line = b"servers.web01.cpu.0.user 42.5 1700000000\n";
    let payload: Vec<u8> = line.iter().copied().cycle().take(size).collect();
    let samples = u32::try_from(size / line.len())?.max(1);
    let (mut done, mut slowest) = (0, Duration::ZERO);
    while done < bytes {
        let call = Instant::now();
        let record = NewRecord { samples, format: 0, epoch: 1, payload: &payload };
        spool.append(now(start)?, &[record])?;
        spool.tick(now(start)?);
        slowest = slowest.max(call.elapsed());
        done += record.payload.len() as u64;
    }
    let (counts, saved) = spool.close();
    saved?;
    report("append", done, start.elapsed())?;
    writeln!(stdout(), "  {} samples, slowest call {slowest:?}", counts.spooled)?;
    Ok(())
}

fn replay(path: &Path, config: Config) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut spool = root(path)?.spool(&Name::new("tier", "target")?, config, now(start)?)?;
    let depth = spool.depth();
    writeln!(stdout(), "open: {:?}, {depth:?}", start.elapsed())?;
    let start = Instant::now();
    let (mut batch, mut done) = (Batch::default(), 0);
    loop {
        spool.read(512 * 1024, &mut batch)?;
        let Some(last) = batch.records().last() else { break };
        done += batch.payload_bytes() as u64;
        spool.ack(last.position);
        spool.tick(now(start)?);
    }
    report("replay", done, start.elapsed())?;
    let (counts, saved) = spool.close();
    saved?;
    writeln!(stdout(), "  {counts:?}")?;
    Ok(())
}

fn report(what: &str, bytes: u64, time: Duration) -> Result<(), Box<dyn Error>> {
    let rate = u128::from(bytes) * 1000 / (1 << 20) / time.as_millis().max(1);
    writeln!(stdout(), "{what}: {} MiB in {time:?}, {rate} MiB/s", bytes >> 20)?;
    Ok(())
}
