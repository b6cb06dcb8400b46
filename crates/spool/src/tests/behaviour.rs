//! One promise a test.

use super::*;
use crate::disk::{Disk, Faults};

#[test]
fn records_come_out_as_they_went_in_over_segments_and_restarts() {
    let disk = sim(1);
    let mut spool = open(&disk, config());
    fill(&mut spool, 0, 100);
    drop(spool);
    let mut spool = open(&disk, config());
    assert_eq!(spool.counts().recovered, 300);
    fill(&mut spool, 100, 200);
    assert_eq!(drain(&mut spool), (0..200).collect::<Vec<_>>());
    assert_eq!(spool.counts().acked, 600);
    let (_, saved) = spool.close();
    saved.unwrap();
    let spool = open(&disk, config());
    assert_eq!(spool.held(), crate::Depth::default());
}

fn read(spool: &mut Spool<SimDisk>, bytes_max: usize) -> Batch {
    let mut batch = Batch::default();
    spool.read(bytes_max, &mut batch).unwrap();
    batch
}

fn sequences(batch: &Batch) -> Vec<u64> {
    batch.records().map(|record| record.head.sequence).collect()
}

fn residual(spool: &Spool<SimDisk>) -> i128 {
    spool.counts().residual(&spool.held())
}

#[test]
fn a_rewind_gives_again_what_was_not_acknowledged() {
    let mut spool = open(&sim(1), config());
    fill(&mut spool, 0, 50);
    let batch = read(&mut spool, 1000);
    let positions: Vec<_> = batch.records().map(|record| record.position).collect();
    assert_eq!(spool.ack(positions[2]), 1 + 2 + 3);
    assert_eq!(spool.ack(positions[1]), 0, "that is behind");
    spool.rewind();
    assert_eq!(spool.ack(positions[3]), 0, "that has not been read since");
    assert_eq!(sequences(&read(&mut spool, 0)), [3], "one at least");
    assert_eq!(drain(&mut spool), (4..50).collect::<Vec<_>>());
    assert_eq!(residual(&spool), 0);
}

#[test]
fn a_full_disk_refuses_what_comes_and_is_tried_again_after_seconds() {
    let disk = sim(1);
    let mut spool = open(&disk, config());
    fill(&mut spool, 0, 3);
    disk.set_capacity(disk.used() + 220);
    let payloads = [payload(3), payload(4), payload(5)];
    let records = payloads.each_ref().map(|payload| record(payload, 2));
    let error = spool.append(at(0), &records).unwrap_err();
    assert!(matches!(error.cause, crate::Cause::Disk(_)), "{error}");
    assert_eq!((error.taken, error.unsynced), (2, false), "what was written whole is kept");
    assert_eq!(spool.counts().refused, 2);
    disk.set_capacity(u64::MAX);
    let error = spool.append(at(1999), &records[2..]).unwrap_err();
    assert!(matches!(error.cause, crate::Cause::Waiting), "{error}");
    spool.append(at(2000), &records[2..]).unwrap();
    assert_eq!(drain(&mut spool), [0, 1, 2, 3, 4, 5]);
    assert_eq!(spool.counts().corrupt_bytes, 0);
}

#[test]
fn a_full_disk_can_be_emptied_though_no_position_can_be_saved() {
    let disk = sim(1);
    let mut spool = open(&disk, config());
    fill(&mut spool, 0, 100);
    disk.set_capacity(0);
    let used = disk.used();
    assert_eq!(drain(&mut spool).len(), 100);
    assert!(disk.used() < used / 4, "{} of {used}", disk.used());
    drop(spool);
    disk.set_capacity(u64::MAX);
    let mut spool = open(&disk, config());
    // Only what was in the last segment may come again, and nothing is missed.
    assert!(drain(&mut spool).iter().all(|n| *n > 70));
    assert_eq!(spool.counts().shed.total(), 0);
}

#[test]
fn at_the_bound_the_oldest_segment_gives_way_or_the_newest_record() {
    let bounded = Config { bytes_max: 4000, segment_bytes: 1000, ..config() };
    let mut spool = open(&sim(1), Config { at_bound: AtBound::ShedOldest, ..bounded });
    fill(&mut spool, 0, 200);
    assert!(spool.held().bytes <= 4000);
    let kept = drain(&mut spool);
    assert_eq!(kept.last(), Some(&199));
    let shed: u64 = (0..200 - kept.len() as u64).map(|n| n % 5 + 1).sum();
    assert_eq!(spool.counts().shed, crate::Shed { bytes: shed, ..crate::Shed::default() });

    let mut spool = open(&sim(1), bounded);
    let mut refused = 0;
    for n in 0..200 {
        let payload = payload(n);
        if let Err(error) = spool.append(at(n), &[record(&payload, 1)]) {
            assert!(matches!(error.cause, crate::Cause::Full), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 100 && spool.held().bytes <= 4000);
    assert_eq!((spool.counts().refused, spool.counts().spooled), (refused, 200 - refused));
}

#[test]
fn what_is_in_flight_when_its_segment_is_shed_is_counted_once() {
    let bounded =
        Config { bytes_max: 4000, segment_bytes: 1000, at_bound: AtBound::ShedOldest, ..config() };
    let mut spool = open(&sim(1), bounded);
    fill(&mut spool, 0, 20);
    let batch = read(&mut spool, usize::MAX);
    fill(&mut spool, 20, 40);
    assert!(spool.counts().shed.bytes > 0);
    let acked = spool.ack(batch.records().last().unwrap().position);
    assert_eq!(acked + spool.counts().shed.bytes, 60);
    assert_eq!(residual(&spool), 0);
}

#[test]
fn two_spools_share_one_budget() {
    let root = Root::open(sim(1), Path::new(ROOT), Arc::new(Budget::new(3200))).unwrap();
    let open = |target| root.spool(&Name::new("tier", target).unwrap(), config(), at(0)).unwrap();
    let (mut one, mut two) = (open("one"), open("two"));
    let big = vec![b'x'; 1400];
    one.append(at(0), &[record(&big, 1)]).unwrap();
    two.append(at(0), &[record(&big, 1)]).unwrap();
    assert!(matches!(two.append(at(0), &[record(&big, 1)]).unwrap_err().cause, crate::Cause::Full));
    one.clear();
    assert_eq!(one.counts().shed.operator, 1);
    two.append(at(0), &[record(&big, 1)]).unwrap();
}

#[test]
fn records_that_grew_too_old_are_shed_and_those_in_flight_are_not() {
    let mut spool = open(&sim(1), Config { max_age: Some(Duration::from_millis(100)), ..config() });
    fill(&mut spool, 0, 50);
    let batch = read(&mut spool, 0);
    spool.expire(at(130)).unwrap();
    assert_eq!(spool.counts().shed.age, 0, "the first is in flight");
    assert_eq!(sequences(&read(&mut spool, 0)), [30]);
    assert_eq!(spool.ack(batch.records().next().unwrap().position), 1);
    assert_eq!(spool.counts().shed.age, 89);
    assert_eq!(spool.depth().oldest_ms, Some(at(30).unix_ms));
    assert_eq!(residual(&spool), 0);
    // A clock that went back sheds nothing.
    spool.expire(Now { unix_ms: 0, ..at(131) }).unwrap();
    assert_eq!(spool.counts().shed.age, 89);
}

#[test]
fn a_failed_sync_closes_its_segment_and_is_counted() {
    let disk = sim(1);
    let mut spool = open(&disk, config());
    fill(&mut spool, 0, 2);
    disk.set_faults(Faults { sync: 1000, ..Faults::default() });
    let error = spool.append(at(0), &[record(&payload(2), 3)]).unwrap_err();
    assert!(matches!(error.cause, crate::Cause::Unsynced), "{error}");
    assert_eq!((error.taken, error.unsynced), (1, true));
    disk.set_faults(Faults::default());
    fill(&mut spool, 3, 4);
    let counts = spool.counts();
    assert_eq!((counts.unsynced, counts.sync_errors), (3, 1));
    let folder = Path::new(ROOT).join(name().digest().to_string());
    let segments = disk.list(&folder).unwrap();
    assert_eq!(segments.len(), 2, "a new segment was begun: {segments:?}");
    assert_eq!(drain(&mut spool), [0, 1, 2, 3]);
}

#[test]
fn syncs_come_when_the_interval_has_passed() {
    let interval = Duration::from_millis(200);
    let mut spool = open(&sim(1), Config { sync: Sync::Interval(interval), ..config() });
    fill(&mut spool, 0, 2);
    spool.tick(at(199));
    assert_eq!(spool.durable(), 0);
    spool.tick(at(200));
    assert_eq!(spool.durable(), 2);
    fill(&mut spool, 2, 100);
    assert!(spool.durable() > 80, "closing a segment syncs it");
}

#[test]
fn what_cannot_be_read_is_an_error_at_first_and_damage_in_the_end() {
    let disk = sim(1);
    let mut spool = open(&disk, config());
    fill(&mut spool, 0, 100);
    disk.set_faults(Faults { read: 1000, ..Faults::default() });
    let mut batch = Batch::default();
    for _ in 0..2 {
        assert!(spool.read(1000, &mut batch).is_err());
    }
    disk.set_faults(Faults::default());
    assert_eq!(drain(&mut spool).len(), 100);

    fill(&mut spool, 100, 200);
    disk.set_faults(Faults { read: 1000, ..Faults::default() });
    let tries = (0..1000).take_while(|_| spool.read(1000, &mut batch).is_err()).count();
    assert!(tries < 100);
    disk.set_faults(Faults::default());
    let counts = spool.counts();
    assert_eq!((counts.shed.corrupt, counts.corrupt_records), (300, 100));
    assert_eq!((spool.held().samples, residual(&spool)), (0, 0));
}

#[test]
fn an_empty_spool_gives_its_bytes_back() {
    let disk = sim(1);
    let mut spool = open(&disk, config());
    fill(&mut spool, 0, 5);
    assert_eq!(drain(&mut spool).len(), 5);
    assert!(spool.held().bytes > 0);
    spool.tick(at(2000));
    assert_eq!(spool.held().bytes, 0);
    assert_eq!(disk.used(), 48, "the position alone");
    fill(&mut spool, 5, 10);
    assert_eq!(drain(&mut spool), [5, 6, 7, 8, 9]);
}

#[test]
fn records_that_cannot_be_told_apart_from_damage_are_refused() {
    let mut spool = open(&sim(1), config());
    let long = vec![0; crate::PAYLOAD_BYTES_MAX + 1];
    for (payload, samples) in [(&b""[..], 0), (b"", 1), (b"a", 0), (b"a", 2), (&long, 1)] {
        let error =
            spool.append(at(0), &[record(b"good", 1), record(payload, samples)]).unwrap_err();
        assert!(matches!(error.cause, crate::Cause::Unsound), "{error}");
        assert_eq!(error.taken, 1);
    }
    assert_eq!(spool.counts().spooled, 5);
}

#[test]
fn an_operator_sees_what_is_held_without_the_lock() {
    let disk = sim(1);
    let root = Path::new(ROOT);
    let mut spool = open(&disk, config());
    fill(&mut spool, 0, 100);
    let batch = read(&mut spool, usize::MAX);
    spool.ack(batch.records().nth(9).unwrap().position);
    spool.tick(at(10_000));

    let folder = name().digest().to_string();
    let listed = crate::ls(&disk, root).unwrap();
    let [listing] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&listing.folder, listing.name.as_ref()), (&folder, Some(&name())));
    assert_eq!((listing.records, listing.samples, listing.epochs), (90, 270, Some((1, 1))));
    assert_eq!((listing.oldest_ms, listing.foreign), (Some(at(10).unix_ms), 0));
    assert_eq!(listing.bytes, spool.held().bytes);

    let dumped: Vec<_> = crate::dump(&disk, root, &folder).unwrap().collect();
    assert_eq!(dumped.len(), 90);
    assert!(dumped.iter().zip(10..).all(|(record, n)| record.payload == payload(n)));

    let first = root.join(&folder).join("0000000000000001.seg");
    let mut bytes = disk.bytes(&first).unwrap();
    bytes[200] ^= 1;
    disk.set_bytes(&first, &bytes).unwrap();
    let verdicts = crate::verify(&disk, root).unwrap();
    assert_eq!((verdicts[0].records, verdicts[0].damage.len()), (99, 1));
    let damage = verdicts[0].damage[0];
    assert!(damage.segment == 1 && (damage.from..damage.to).contains(&200), "{damage:?}");

    drop(spool);
    assert!(crate::dump(&disk, root, "../etc").is_err());
    let root = Root::open(disk.clone(), root, Arc::new(Budget::new(1))).unwrap();
    root.remove(&folder).unwrap();
    assert_eq!(crate::ls(&disk, Path::new(ROOT)).unwrap(), []);
    assert_eq!(root.remove(&folder).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
