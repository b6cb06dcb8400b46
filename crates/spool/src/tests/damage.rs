//! A hundred records, and each byte flipped, each file cut at each length.

use std::path::PathBuf;

use super::*;
use crate::{Counts, RECORD_HEAD_BYTES, bytes::wide, disk::Disk, survey};

const RECORDS: u64 = 100;

/// A closed spool of a hundred records in several segments, the first 10 acknowledged.
fn spool() -> (SimDisk, Vec<PathBuf>) {
    let disk = sim(1);
    let mut spool = open(&disk, config());
    fill(&mut spool, 0, RECORDS);
    let mut batch = Batch::default();
    spool.read(usize::MAX, &mut batch).unwrap();
    spool.ack(batch.records().nth(9).unwrap().position);
    spool.close().1.unwrap();
    let folder = Path::new(ROOT).join(name().digest().to_string());
    let mut files: Vec<_> = disk.list(&folder).unwrap().into_iter().map(|(name, _)| name).collect();
    files.sort();
    assert!(files.len() > 4, "{files:?}");
    (disk, files.into_iter().map(|name| folder.join(name)).collect())
}

/// What a copy of the spool gives when `path` holds `bytes`.
fn read_with(files: &[(PathBuf, Vec<u8>)], path: &Path, bytes: &[u8]) -> (Vec<u64>, Counts) {
    let disk = sim(2);
    disk.create_folder(path.parent().unwrap()).unwrap();
    for (file, content) in files {
        disk.create(file).unwrap();
        disk.set_bytes(file, if file == path { bytes } else { content }).unwrap();
    }
    let mut spool = open(&disk, config());
    let sequences = drain(&mut spool);
    // It goes on after the damage.
    fill(&mut spool, RECORDS + 1000, RECORDS + 1000);
    let (counts, saved) = spool.close();
    saved.unwrap();
    assert_eq!(counts.recovered, counts.acked + counts.shed.corrupt);
    (sequences, counts)
}

fn contents(disk: &SimDisk, files: &[PathBuf]) -> Vec<(PathBuf, Vec<u8>)> {
    files.iter().map(|file| (file.clone(), disk.bytes(file).unwrap())).collect()
}

fn missing(sequences: &[u64]) -> Vec<u64> {
    (10..RECORDS).filter(|n| sequences.binary_search(n).is_err()).collect()
}

#[test]
fn a_flipped_byte_costs_the_record_that_it_is_in_and_no_other() {
    let (disk, files) = spool();
    let files = contents(&disk, &files);
    let mut lost_in_all = 0;
    for (path, content) in &files {
        let position = path.ends_with("position");
        for at in 0..content.len() {
            let mut bytes = content.clone();
            bytes[at] ^= 1 << (at % 8);
            let (sequences, counts) = read_with(&files, path, &bytes);
            assert!(sequences.is_sorted());
            let lost = missing(&sequences);
            let place = format!("{}:{at}", path.display());
            assert!(lost.len() <= 1, "{place}: {lost:?}");
            if position {
                assert_eq!(sequences.len(), 100, "{place}: all there is comes again");
                continue;
            }
            assert_eq!(sequences.len() + lost.len(), 90, "{place}");
            // How much was lost is known to the sample, unless nothing follows.
            let samples = |n: &u64| if *n == RECORDS - 1 { 0 } else { n % 5 + 1 };
            assert_eq!(counts.shed.corrupt, lost.iter().map(samples).sum::<u64>(), "{place}");
            lost_in_all += lost.len();
        }
    }
    assert!(lost_in_all > 1000);
}

#[test]
fn a_file_cut_short_costs_what_was_cut_off() {
    let (disk, files) = spool();
    let files = contents(&disk, &files);
    for (path, content) in files.iter().filter(|(path, _)| !path.ends_with("position")) {
        let mut lost_before = usize::MAX;
        for length in 0..=content.len() {
            let (sequences, _) = read_with(&files, path, &content[..length]);
            let lost = missing(&sequences);
            let gap = lost.windows(2).all(|pair| pair[0] + 1 == pair[1]);
            assert!(gap, "{}:{length}: {lost:?}", path.display());
            assert!(lost.len() <= lost_before, "{}:{length}", path.display());
            lost_before = lost.len();
        }
        assert_eq!(lost_before, 0, "{}", path.display());
    }
}

#[test]
fn nonsense_in_a_segment_is_passed_over() {
    let (disk, files) = spool();
    let files = contents(&disk, &files);
    let (path, content) = &files[1];
    let markers: Vec<u8> = crate::record::MARKER.repeat(content.len() / 4);
    for nonsense in [vec![0; content.len()], vec![0xFF; content.len()], markers] {
        // The head stays, so the segment is ours.
        let bytes = [&content[..70], &nonsense[70..]].concat();
        let (sequences, counts) = read_with(&files, path, &bytes);
        let lost = missing(&sequences);
        assert!(lost.len() > 5, "{lost:?}");
        assert_eq!(counts.shed.corrupt, lost.iter().map(|n| n % 5 + 1).sum::<u64>());
        assert_eq!((counts.corrupt_ranges, counts.corrupt_records), (1, lost.len() as u64));
    }
}

#[test]
fn what_is_not_ours_is_not_read_and_not_touched() {
    let (disk, files) = spool();
    let other = Name::new("tier", "other").unwrap();
    let root = Root::open(disk.clone(), Path::new(ROOT), Arc::new(Budget::new(1 << 30))).unwrap();
    let mut stranger = root.spool(&other, config(), at(0)).unwrap();
    stranger.append(at(0), &[record(&payload(0), 1)]).unwrap();
    stranger.close().1.unwrap();
    drop(root);
    let folder = files[0].parent().unwrap();
    let theirs = Path::new(ROOT).join(other.digest().to_string()).join("0000000000000001.seg");
    let foreign = disk.bytes(&theirs).unwrap();
    let put = |name: &str, bytes: &[u8]| {
        disk.create(&folder.join(name)).unwrap();
        disk.set_bytes(&folder.join(name), bytes).unwrap();
    };
    put("00000000000000ff.seg", &foreign);
    put("0000000000000100.seg", &disk.bytes(&files[0]).unwrap());
    put("0000000000000101.seg", &[b'?'; 500]);
    put("notes.txt", b"mine");

    let mut spool = open(&disk, config());
    assert_eq!(spool.counts().foreign, 3);
    assert_eq!(drain(&mut spool), (10..RECORDS).collect::<Vec<_>>());
    fill(&mut spool, RECORDS, RECORDS + 5);
    assert_eq!(drain(&mut spool).len(), 5);
    spool.close().1.unwrap();
    for name in
        ["00000000000000ff.seg", "0000000000000100.seg", "0000000000000101.seg", "notes.txt"]
    {
        assert!(disk.bytes(&folder.join(name)).is_ok(), "{name}");
    }
    assert!(survey::survey(&disk, folder, name().digest()).unwrap().segments.is_empty());
}

#[test]
fn a_record_of_another_segment_is_not_taken_for_one_of_this() {
    let (disk, files) = spool();
    let files = contents(&disk, &files);
    // The second segment gets its own head and the first one's records.
    let bytes = [&files[1].1[..70], &files[0].1[70..]].concat();
    let (sequences, _) = read_with(&files, &files[1].0, &bytes);
    assert!(sequences.is_sorted_by(|left, right| left < right));
    assert!(missing(&sequences).len() > 5);
}

#[test]
fn a_torn_end_is_counted_in_bytes_and_as_far_as_its_head_tells_in_samples() {
    let (disk, files) = spool();
    let (last, content) = contents(&disk, &files)
        .into_iter()
        .rfind(|(path, _)| path.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    let record = payload(RECORDS - 1).len() + RECORD_HEAD_BYTES;
    for cut in 1..=record {
        disk.set_bytes(&last, &content[..content.len() - cut]).unwrap();
        let counts = open(&disk, config()).counts();
        let left = record - cut;
        // The head of a record whose number is 99 tells of 99 % 5 + 1 samples.
        let samples = if left >= RECORD_HEAD_BYTES { 5 } else { 0 };
        assert_eq!(
            (counts.torn_bytes, counts.torn_samples),
            (wide(left), samples),
            "{cut} bytes cut off"
        );
    }
}
