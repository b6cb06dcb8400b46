//! What a queue does at its bound, while it spools, and at its end.

use std::{collections::VecDeque, time::Duration};

use super::{
    Held, Queue,
    feed::{Feeder, Offered},
};
use crate::{chunk::Chunk, plan::OnFull};

fn lines(count: usize) -> Chunk {
    let mut chunk = Chunk::default();
    for _ in 0..count {
        chunk.push_line(&[b'x'; 99]);
    }
    chunk
}

#[test]
fn a_datagram_feeder_sheds_the_oldest_at_the_bound() {
    let queue = Queue::new(100_000, OnFull::Block, Duration::from_secs(5));
    for _ in 0..3 {
        assert_eq!(queue.offer(&mut lines(400), Feeder::Datagram).shed, 0, "below the bound");
        if queue.held().queued == 800 {
            break;
        }
    }
    let offered = queue.offer(&mut lines(400), Feeder::Datagram);
    assert_eq!(offered, Offered { shed: 400, ..Offered::default() });
    assert_eq!(queue.held().queued, 800);
}

#[test]
fn a_stream_feeder_waits_before_anything_is_shed() {
    let queue = Queue::new(100_000, OnFull::Block, Duration::from_secs(5));
    for _ in 0..2 {
        assert_eq!(queue.offer(&mut lines(600), Feeder::Stream).shed, 0);
    }
    let offered = queue.offer(&mut lines(600), Feeder::Stream);
    assert_eq!(offered, Offered { full: true, ..Offered::default() });
    let newcomer = queue.offer(&mut lines(5), Feeder::Datagram);
    assert_eq!(
        newcomer,
        Offered { shed: 5, ..Offered::default() },
        "streams wait for what is queued"
    );
    let impatient = Queue::new(100_000, OnFull::Block, Duration::ZERO);
    impatient.offer(&mut lines(700), Feeder::Stream);
    assert_eq!(impatient.offer(&mut lines(700), Feeder::Stream).shed, 700);
}

#[test]
fn a_queue_that_is_to_shed_holds_nobody_back() {
    let at_bound = |on_full| {
        let queue = Queue::new(100_000, on_full, Duration::from_secs(5));
        for _ in 0..2 {
            assert_eq!(queue.offer(&mut lines(400), Feeder::Stream), Offered::default());
        }
        let offered = queue.offer(&mut lines(300), Feeder::Stream);
        assert!(queue.is_full());
        queue.take(&mut VecDeque::new(), usize::MAX);
        assert!(!queue.is_full());
        (offered.shed, offered.full, queue.held().in_flight)
    };
    assert_eq!(at_bound(OnFull::ShedOldest), (400, false, 700));
    assert_eq!(at_bound(OnFull::ShedNewest), (300, false, 800));
}

#[test]
fn what_is_given_back_comes_first_again_and_nothing_passes_what_is_on_disk() {
    let queue = Queue::new(1 << 20, OnFull::Spool, Duration::ZERO);
    queue.offer(&mut lines(700), Feeder::Stream);
    queue.offer(&mut lines(600), Feeder::Stream);
    let mut batch = VecDeque::new();
    queue.take(&mut batch, usize::MAX);
    assert!(batch.is_empty(), "it begins with what is on disk");
    queue.set_spooling(false);
    queue.take(&mut batch, 1);
    assert_eq!(batch[0].samples, 700);
    queue.give_back(&mut batch);
    queue.take_to_spool(&mut batch, usize::MAX);
    assert_eq!(batch.iter().map(|chunk| chunk.samples).collect::<Vec<_>>(), [700, 600]);
    assert_eq!(queue.held().in_flight, 1300);
}

#[test]
fn bounds_may_change_while_it_is_full() {
    let queue = Queue::new(100_000, OnFull::Block, Duration::from_secs(60));
    queue.offer(&mut lines(600), Feeder::Stream);
    assert!(queue.offer(&mut lines(600), Feeder::Stream).full);
    queue.set_bounds(1 << 20, Duration::from_secs(60));
    assert!(!queue.holds_back());
    assert_eq!(queue.offer(&mut lines(600), Feeder::Datagram), Offered::default());
    queue.set_bounds(70_000, Duration::from_secs(60));
    assert_eq!(queue.held().queued, 1800, "nothing is shed before the next offer");
    assert_eq!(queue.offer(&mut lines(600), Feeder::Datagram).shed, 1800);
}

#[test]
fn after_its_end_it_takes_nothing() {
    let queue = Queue::new(100_000, OnFull::Block, Duration::from_secs(5));
    queue.offer(&mut lines(3), Feeder::Stream);
    queue.close();
    queue.offer(&mut lines(2), Feeder::Stream);
    assert_eq!(queue.end(), 5);
    let mut late = lines(7);
    assert_eq!(queue.offer(&mut late, Feeder::Stream), Offered::default());
    assert_eq!((late.samples, queue.held()), (7, Held::default()));
}

#[test]
fn small_chunks_are_joined_and_nothing_is_forgotten() {
    let queue = Queue::new(1 << 20, OnFull::Block, Duration::ZERO);
    for _ in 0..100 {
        queue.offer(&mut lines(1), Feeder::Stream);
    }
    let mut batch = VecDeque::new();
    queue.take(&mut batch, 1 << 20);
    assert_eq!((batch.len(), batch[0].samples), (1, 100));
    assert_eq!(queue.held(), Held { queued: 0, queued_bytes: 0, in_flight: 100 });
    queue.settle(100);
    assert_eq!(queue.held().in_flight, 0);
}
