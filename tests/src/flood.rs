//! Feeders of a flood: as fast as named, and never further ahead of what arrives than told.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{datagram, marks::Marks};

/// How much a feeder may send.
#[derive(Debug, Clone, Copy)]
pub struct Within {
    /// Samples that may be on their way: fewer than any buffer holds, so that the kernel drops none.
    pub ahead: usize,
    /// Samples in all.
    pub most: usize,
}

/// Sends about 100,000 numbered lines a second, or what arrives, until told to stop; returns how many.
pub fn feed_lines(to: SocketAddr, marks: &Marks, stop: &AtomicBool, within: Within) -> usize {
    let mut stream = TcpStream::connect(to).expect("Coco takes clients");
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) && number + 500 < within.most {
        if number < marks.arrived() + within.ahead {
            let line = |n: usize| format!("web{}.load {n} 1700000000\n", n % 997).into_bytes();
            let lines: Vec<u8> = (number..number + 500).flat_map(line).collect();
            stream.write_all(&lines).expect("Coco reads");
            number += 500;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    number
}

/// Sends about 20,000 numbered datagrams a second, or what arrives, until told to stop; returns how many.
#[expect(clippy::cast_precision_loss, reason = "numbers far below 2^53")]
pub fn feed_lists(to: SocketAddr, marks: &Marks, stop: &AtomicBool, within: Within) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) && number + 22 < within.most {
        if number < marks.arrived() + within.ahead {
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
