//! A client that sends lines at an even rate.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Time between two writes.
const TICK: Duration = Duration::from_millis(20);

/// Names that take turns.
const NAMES: u64 = 50;

/// Sends lines until it is dropped.
#[derive(Debug)]
pub struct Feed {
    per_second: Arc<AtomicU64>,
    stop: Option<mpsc::Sender<()>>,
    sender: Option<JoinHandle<()>>,
}

impl Feed {
    /// Sends so many lines a second to this listener.
    pub fn start(listener: SocketAddr, per_second: u64) -> Self {
        let mut client = TcpStream::connect(listener).expect("the listener takes clients");
        let rate = Arc::new(AtomicU64::new(per_second));
        let asked = Arc::clone(&rate);
        let (stop, stopped) = mpsc::channel();
        let sender = thread::spawn(move || {
            let (mut before, mut owed, mut number) = (Instant::now(), 0.0, 0);
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                // By the clock and not by ticks: on a busy machine these come late.
                let now = Instant::now();
                owed += asked.load(Ordering::Relaxed) as f64 * (now - before).as_secs_f64();
                before = now;
                let mut lines = String::new();
                while owed >= 1.0 {
                    owed -= 1.0;
                    number += 1;
                    lines += &format!("name{} {number} 1700000000\n", number % NAMES);
                }
                if client.write_all(lines.as_bytes()).is_err() {
                    return;
                }
            }
        });
        Self { per_second: rate, stop: Some(stop), sender: Some(sender) }
    }

    /// Sends so many a second from now on.
    pub fn set(&self, per_second: u64) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(sender) = self.sender.take() {
            // One that has panicked has said so already.
            sender.join().ok();
        }
    }
}
