//! Endpoints that answer HTTP badly, or not at all.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// What an endpoint does with every request.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Answers with this status line and body.
    Answer(&'static str, String),
    /// Promises this many bytes more than it sends, and closes.
    Half(String, usize),
    /// Sends the head and then a byte now and then.
    Drip,
    /// Reads, and says nothing.
    Silent,
    /// Closes at once.
    Close,
}

impl Manner {
    /// Answers 200 with this body.
    pub fn ok(body: &str) -> Self {
        Self::Answer("200 OK", body.to_owned())
    }
}

/// Endpoints that are of no use to anybody, each with what is said of it.
pub fn useless() -> Vec<(Manner, &'static str)> {
    let busy = Manner::Answer("503 Service Unavailable", "{\"error\": \"too many\"}".to_owned());
    vec![
        (Manner::ok(""), "the answer is empty"),
        (Manner::ok("<!DOCTYPE html>\n<p>It works!</p>"), "that is HTML or XML and not JSON"),
        (Manner::ok("{\"interval\": 10, \"ti"), "the JSON ends too early"),
        (busy, "answered 503 Service Unavailable: too many"),
        (Manner::Half("{\"interval\": 10".to_owned(), 500), "half an answer"),
        (Manner::Drip, "half an answer"),
        (Manner::Silent, "no answer"),
        (Manner::Close, "no answer"),
    ]
}

/// Asks an endpoint of each manner, all at the same time; the manner, what stands beside it, and what came of it.
pub fn ask_each<T: Send + 'static>(
    rows: impl IntoIterator<Item = (Manner, &'static str)>,
    ask: fn(SocketAddr) -> T,
) -> Vec<(Manner, &'static str, T)> {
    let asked: Vec<_> = rows
        .into_iter()
        .map(|(manner, beside)| {
            let endpoint = Endpoint::start(manner.clone());
            (manner, beside, thread::spawn(move || ask(endpoint.address())))
        })
        .collect();
    let answers = asked.into_iter().map(|(manner, beside, answer)| {
        (manner, beside, answer.join().expect("who asks does not panic"))
    });
    answers.collect()
}

/// A listener on 127.0.0.1 with one manner; it ends when it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Listens on a free port.
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                    return;
                }
                // A client that goes away early is what some tests want.
                serve(stream, &manner, &stopped).ok();
            }
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Wakes the thread if it waits for a client.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(
    mut stream: TcpStream,
    manner: &Manner,
    stopped: &mpsc::Receiver<()>,
) -> std::io::Result<()> {
    if let Manner::Close = manner {
        return Ok(());
    }
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let length = |length: usize| format!("Content-Length: {length}\r\nConnection: close\r\n\r\n");
    match manner {
        Manner::Answer(status, body) => {
            write!(stream, "HTTP/1.1 {status}\r\n{}{body}", length(body.len()))
        }
        Manner::Half(body, missing) => {
            write!(stream, "HTTP/1.1 200 OK\r\n{}{body}", length(body.len() + missing))
        }
        Manner::Drip => {
            write!(stream, "HTTP/1.1 200 OK\r\n{}", length(1_000))?;
            while stopped.recv_timeout(Duration::from_millis(300)) == Err(RecvTimeoutError::Timeout)
            {
                stream.write_all(b" ")?;
            }
            Ok(())
        }
        Manner::Silent => {
            // Until the other side gives up, or this one is dropped.
            while stopped.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout)
            {
            }
            Ok(())
        }
        Manner::Close => Ok(()),
    }
}
