//! One promise a test.

use super::*;

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
