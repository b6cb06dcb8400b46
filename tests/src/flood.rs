//! Feeders: of a flood, as fast as named and never further ahead of what arrives than told, or at an even rate.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    datagram,
    marks::Marks,
    wait::{SOON, wait_until},
};

/// Lines and datagrams that may be on their way: fewer than any buffer holds, so that the kernel drops none.
const AHEAD: (usize, usize) = (40_000, 400);

/// Lines and collectd's datagrams, as fast as they arrive.
#[derive(Debug, Clone, Copy)]
pub struct Flood<'a> {
    /// Where lines are taken, and what counts them.
    pub lines: (SocketAddr, &'a Marks),
    /// Where datagrams are taken, and what counts them.
    pub lists: (SocketAddr, &'a Marks),
}

impl Flood<'_> {
    /// Sends while the body runs; how many lines and datagrams.
    pub fn during(&self, body: impl FnOnce()) -> (usize, usize) {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            // Also when the body fails.
            let ending = Ending(&stop);
            let lines = scope.spawn(|| feed_lines(self.lines.0, self.lines.1, &stop));
            let lists = scope.spawn(|| feed_lists(self.lists.0, self.lists.1, &stop));
            body();
            drop(ending);
            let [lines, lists] = [lines, lists].map(|feeder| feeder.join().expect("it ends well"));
            (lines, lists)
        })
    }

    fn arrived(&self) -> (usize, usize) {
        (self.lines.1.arrived(), self.lists.1.arrived())
    }

    /// Waits until so many lines and datagrams have come.
    #[track_caller]
    pub fn wait_for_all(&self, (lines, lists): (usize, usize)) {
        wait_until("the last samples", SOON, || {
            let now = self.arrived();
            now.0 >= lines && now.1 >= lists
        });
    }

    /// Waits until some have come.
    #[track_caller]
    pub fn wait_for_flow(&self) {
        let (lines, lists) = self.arrived();
        wait_until("samples to flow", SOON, || {
            let now = self.arrived();
            now.0 > lines + 10_000 && now.1 > lists + 2_000
        });
    }

    /// Asserts that so many lines and datagrams have come, once each.
    #[track_caller]
    pub fn assert_once_each(&self, (lines, lists): (usize, usize)) {
        self.lines.1.assert_once_each(lines);
        self.lists.1.assert_once_each(lists);
    }
}

/// Tells feeders to stop when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends about 100,000 numbered lines a second, or what arrives, until told to stop; returns how many.
fn feed_lines(to: SocketAddr, marks: &Marks, stop: &AtomicBool) -> usize {
    let mut stream = TcpStream::connect(to).expect("Coco takes clients");
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) && number + 500 < marks.limit() {
        if number < marks.arrived() + AHEAD.0 {
            stream.write_all(&lines(number, 500)).expect("Coco reads");
            number += 500;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    number
}

/// Sends so many numbered lines a second until told to stop, with numbers that no other feeder has; returns how many.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive number"
)]
pub fn feed_lines_evenly(
    to: SocketAddr,
    per_second: f64,
    next: &AtomicUsize,
    stop: &AtomicBool,
) -> usize {
    let mut stream = TcpStream::connect(to).expect("Coco takes clients");
    let (began, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * per_second) as usize - sent;
        let first = next.fetch_add(due, Ordering::Relaxed);
        stream.write_all(&lines(first, due)).expect("Coco reads");
        sent += due;
        thread::park_timeout(Duration::from_millis(5));
    }
    sent
}

/// So many lines, with the numbers from the first on.
fn lines(first: usize, count: usize) -> Vec<u8> {
    let line = |n: usize| format!("web{}.load {n} 1700000000\n", n % 997).into_bytes();
    (first..first + count).flat_map(line).collect()
}

/// Sends about 20,000 numbered datagrams a second, or what arrives, until told to stop; returns how many.
#[expect(clippy::cast_precision_loss, reason = "numbers far below 2^53")]
fn feed_lists(to: SocketAddr, marks: &Marks, stop: &AtomicBool) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) && number + 22 < marks.limit() {
        if number < marks.arrived() + AHEAD.1 {
            for number in number..number + 22 {
                let host = format!("host{}", number % 997);
                let list = datagram::gauge(&host, "flood", "a", 1_700_000_000, number as f64);
                socket.send_to(&list, to).expect("a socket sends");
            }
            number += 22;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    number
}
