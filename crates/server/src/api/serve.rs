//! Serving the API within bounds: so many connections, so long for a request's head.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
};

use super::reload::Peer;

/// Connections served at once. One more takes the place of one that asks nothing; if all ask, it is answered 503
/// and closed.
const CONNECTIONS_MAX: usize = 64;

/// A connection that has asked nothing for so long gives its place to another: whoever keeps connections open must
/// not make a probe fail.
const QUIET_MIN: Duration = Duration::from_secs(1);

/// Longest time for a request's head to come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest life of a connection, kept alive or not.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time for the requests under way at a hand-over.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest request head, in bytes; the least that the HTTP library can do.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Pause after a failed accept, so that it does not spin.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/json\r\nContent-Length: 34\r\nConnection: close\r\n\r\n\
    {\"error\": \"too many connections\"}\n";

/// Serves until `stop` turns true; then no new connections are taken, and those that are open end with their
/// present request, within [`CLOSE_TIMEOUT`].
pub(crate) async fn serve(listener: TcpListener, router: Router, mut stop: Stop) {
    let (mut seats, stops) = (Seats::default(), stop.clone());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "API cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(seat) = seats.take(Instant::now()) else {
            // Best effort: whoever floods the API may miss the answer.
            let _sent: std::io::Result<usize> = stream.try_write(BUSY);
            continue;
        };
        let (router, stop) = (router.clone(), stops.clone());
        seats.connections.spawn(connection(stream, Peer(peer), router, stop, seat));
    }
    drop(listener);
    // Whoever takes longer is cut off with the process.
    let ended = async { while seats.connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(CLOSE_TIMEOUT, ended).await);
}

/// The connections that are served.
#[derive(Default)]
struct Seats {
    connections: JoinSet<()>,
    /// Of those; a connection that has ended holds its seat no more.
    taken: Vec<Arc<Seat>>,
}

/// The place of one connection.
#[derive(Debug)]
struct Seat {
    /// Since when it asks nothing; `None` while a request is under way.
    quiet_since: Mutex<Option<Instant>>,
    /// Another one needs it.
    is_wanted: Notify,
}

impl Seats {
    /// A free one, or that of the connection that has been quiet for the longest time.
    fn take(&mut self, now: Instant) -> Option<Arc<Seat>> {
        while self.connections.try_join_next().is_some() {}
        self.taken.retain(|seat| Arc::strong_count(seat) > 1);
        if self.taken.len() >= CONNECTIONS_MAX {
            let quiet = self.taken.iter().enumerate();
            let quiet = quiet.filter_map(|(at, seat)| Some(((*seat.quiet_since())?, at)));
            let (since, at) = quiet.min()?;
            if now.saturating_duration_since(since) < QUIET_MIN {
                return None;
            }
            self.taken.swap_remove(at).is_wanted.notify_one();
        }
        let quiet_since = Mutex::new(Some(now));
        let seat = Arc::new(Seat { quiet_since, is_wanted: Notify::new() });
        self.taken.push(Arc::clone(&seat));
        Some(seat)
    }
}

impl Seat {
    fn quiet_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.quiet_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether to stop.
pub(super) type Stop = watch::Receiver<bool>;

/// Returns when it is time to stop.
pub(super) async fn stopped(stop: &mut Stop) {
    if stop.wait_for(|&stops| stops).await.is_err() {
        // Whoever could say so is gone.
        std::future::pending().await
    }
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    mut stop: Stop,
    seat: Arc<Seat>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        *seat.quiet_since() = None;
        let answer = router.call(request);
        async {
            let answer = answer.await;
            *seat.quiet_since() = Some(Instant::now());
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let served = async {
        tokio::pin!(connection);
        tokio::select! {
            ended = &mut connection => return ended,
            () = seat.is_wanted.notified() => return Ok(()),
            () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    };
    // A client that does not read its answers must not keep its place for ever.
    match tokio::time::timeout(CONNECTION_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "API connection ended"),
        Err(_) => tracing::debug!("API connection closed: its time is over"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_asked_nothing_for_long_gives_its_seat_to_another() {
        let (mut seats, began) = (Seats::default(), Instant::now());
        let at = |ms| began + Duration::from_millis(ms);
        // Each is taken a millisecond after the one before it.
        let taken: Vec<_> = (0..64).map(|ms| seats.take(at(ms)).unwrap()).collect();
        assert!(seats.take(at(500)).is_none(), "they have only come");
        // A request is under way at the first, and the second has just been answered.
        *taken[0].quiet_since() = None;
        *taken[1].quiet_since() = Some(at(600));
        let more = seats.take(at(1_002)).unwrap();
        let is_wanted = |seat: &Seat| {
            let mut wanted = std::pin::pin!(seat.is_wanted.notified());
            wanted.as_mut().enable()
        };
        let wanted: Vec<_> = (0..64).filter(|&at| is_wanted(&taken[at])).collect();
        assert_eq!(wanted, [2]);
        assert_eq!(seats.taken.len(), 64);
        // Those of connections that have ended are free.
        drop((taken, more));
        assert!(seats.take(at(1_003)).is_some());
        assert_eq!(seats.taken.len(), 1);
    }

    #[tokio::test]
    async fn a_probe_is_answered_beside_clients_that_ask_nothing() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, stop) = watch::channel(false);
        let router = Router::new().route("/", axum::routing::get(|| async { "here" }));
        let server = tokio::spawn(serve(listener, router, stop));
        let mut quiet = Vec::new();
        for _ in 0..100 {
            quiet.push(TcpStream::connect(address).await.unwrap());
        }
        let mut answer = String::new();
        while !answer.ends_with("here") {
            let mut probe = TcpStream::connect(address).await.unwrap();
            let request = "GET / HTTP/1.1\r\nHost: coco\r\nConnection: close\r\n\r\n";
            // One that finds no seat is closed before it has read this.
            probe.write_all(request.as_bytes()).await.ok();
            answer.clear();
            probe.read_to_string(&mut answer).await.ok();
            tokio::task::yield_now().await;
        }
        end.send(true).unwrap();
        server.await.unwrap();
    }

    #[test]
    fn the_answer_to_a_flood_has_the_length_it_states() {
        let text = std::str::from_utf8(BUSY).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
