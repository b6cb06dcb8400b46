//! The same on a real file system.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

use super::*;
use crate::{Cause, OpenError, disk::OsDisk};

fn root(path: &Path) -> Result<Root<OsDisk>, OpenError> {
    Root::open(OsDisk, path, Arc::new(Budget::new(1 << 30)))
}

fn read_all(spool: &mut Spool<OsDisk>) -> u64 {
    let (mut batch, mut next) = (Batch::default(), 0);
    loop {
        spool.read(1 << 20, &mut batch).unwrap();
        let Some(last) = batch.records().last() else { return next };
        for record in batch.records() {
            assert_eq!(record.payload, payload(record.head.sequence));
            next = record.head.sequence + 1;
        }
        spool.ack(last.position);
    }
}

#[test]
fn a_real_folder_keeps_records_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let mut spool = root(&path).unwrap().spool(&name(), config(), at(0)).unwrap();
    for n in 0..100 {
        spool.append(at(n), &[record(&payload(n), 1)]).unwrap();
    }
    assert!(matches!(root(&path), Err(OpenError::Locked(_))), "the spool holds the lock");
    drop(spool);
    // A torn write.
    let target = path.join(name().digest().to_string());
    let mut segments: Vec<_> =
        fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let last = segments.last().unwrap();
    let length = fs::metadata(last).unwrap().len();
    File::options().write(true).open(last).unwrap().set_len(length - 1).unwrap();

    let mut spool = root(&path).unwrap().spool(&name(), config(), at(0)).unwrap();
    assert_eq!(spool.counts().recovered, 99);
    assert!(spool.counts().torn_bytes > 0);
    spool.append(at(0), &[record(&payload(99), 1)]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&target), mode(last)), (0o700, 0o700, 0o600));
    assert_eq!(mode(&path.join("lock")), 0o600);
    assert_eq!(read_all(&mut spool), 100);
    spool.close().1.unwrap();
    let left: Vec<_> = fs::read_dir(&target).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["position"]);
    assert_eq!(mode(&target.join("position")), 0o600);
}

#[test]
fn links_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    assert!(matches!(root(&link), Err(OpenError::NotAFolder(_))));
    let root = root(&real).unwrap();
    symlink(folder.path(), real.join(name().digest().to_string())).unwrap();
    assert!(matches!(root.spool(&name(), config(), at(0)), Err(OpenError::NotAFolder(_))));
    assert_eq!(crate::ls(&OsDisk, &real).unwrap(), []);
}

/// Runs itself again in a namespace of its own with a tmpfs of 1 MiB, which needs no privileges where
/// user namespaces are allowed.
#[test]
fn a_full_file_system_stops_appends_and_nothing_else() {
    let Ok(path) = env::var("SPOOL_SMALL_DISK") else { return with_a_small_disk() };
    let path = Path::new(&path).join("spool");
    let large = Config { segment_bytes: 1 << 16, bytes_max: 1 << 30, ..config() };
    fill(&path, large);
    fill_and_shed(&path, Config { at_bound: AtBound::ShedOldest, ..large });
}

fn with_a_small_disk() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m tmpfs \"$SPOOL_SMALL_DISK\" || exit 77; exec \"$0\" --exact \
                  --nocapture tests::real::a_full_file_system_stops_appends_and_nothing_else";
    let child = Command::new("unshare")
        .args(["-rm", "sh", "-c", script])
        .arg(env::current_exe().unwrap())
        .env("SPOOL_SMALL_DISK", folder.path())
        .status();
    match child.map(|status| status.code()) {
        Ok(Some(0)) => {}
        Ok(Some(101)) => panic!("the test in the namespace failed"),
        other => eprintln!("SKIP: no namespace with a small disk here: {other:?}"),
    }
}

fn fill(path: &Path, large: Config) {
    let mut spool = root(path).unwrap().spool(&name(), large, at(0)).unwrap();
    let mut next = 0;
    let error = loop {
        let payloads: Vec<_> = (next..next + 50).map(payload).collect();
        let records: Vec<_> = payloads.iter().map(|payload| record(payload, 1)).collect();
        match spool.append(at(0), &records) {
            Ok(()) => next += 50,
            Err(error) => break error,
        }
    };
    next += u64::try_from(error.taken).unwrap();
    assert!(
        matches!(&error.cause, Cause::Disk(cause) if super::super::spool::is_full(cause)),
        "{error}"
    );
    assert!(next > 5000, "{next}");
    assert_eq!(read_all(&mut spool), next);
    spool.append(at(2000), &[record(&payload(next), 1)]).unwrap();
    assert_eq!(read_all(&mut spool), next + 1);
    let counts = spool.counts();
    assert_eq!((counts.residual(&spool.held()), counts.corrupt_bytes), (0, 0), "{counts:?}");
}

/// The same with the oldest giving way: newer records are always taken.
fn fill_and_shed(path: &Path, shedding: Config) {
    let mut spool = root(path).unwrap().spool(&name(), shedding, at(0)).unwrap();
    let base = spool.marks().1;
    for n in base..base + 10_000 {
        spool.append(at(n), &[record(&payload(n), 1)]).unwrap();
    }
    assert!(spool.counts().shed.disk_full > 0, "{:?}", spool.counts());
    assert_eq!(read_all(&mut spool), base + 10_000);
}

#[test]
fn files_that_somebody_takes_away_are_lost_and_counted_and_the_folder_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = root(folder.path()).unwrap().spool(&name(), config(), at(0)).unwrap();
    let target = folder.path().join(name().digest().to_string());
    for n in 0..100 {
        spool.append(at(n), &[record(&payload(n), 1)]).unwrap();
    }
    fs::remove_dir_all(&target).unwrap();
    // What is written before anybody looks goes the same way.
    spool.append(at(100), &[record(&payload(100), 1)]).unwrap();
    let mut batch = Batch::default();
    spool.read(1 << 20, &mut batch).unwrap();
    assert!(batch.is_empty());
    assert_eq!((spool.held().samples, spool.counts().shed.corrupt), (0, 101));
    spool.append(at(101), &[record(&payload(101), 1)]).unwrap();
    assert_eq!(read_all(&mut spool), 102);
    assert_eq!(spool.counts().residual(&spool.held()), 0);
    assert!(target.is_dir());

    // Nothing is being written then.
    spool.tick(at(100_000));
    fs::remove_dir_all(&target).unwrap();
    spool.append(at(100_001), &[record(&payload(102), 1)]).unwrap();
    assert_eq!(read_all(&mut spool), 103);
    assert_eq!(spool.counts().residual(&spool.held()), 0);
    spool.close().1.unwrap();
}
