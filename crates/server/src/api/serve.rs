//! Serving the API within bounds: so many connections, so long for a request's head.

use std::{sync::Arc, time::Duration};

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
    sync::{Semaphore, watch},
};

use super::reload::Peer;

/// Connections served at once; one more is answered 503 and closed.
const CONNECTIONS_MAX: usize = 64;

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
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stops = stop.clone();
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
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            // Best effort: whoever floods the API may miss the answer.
            let _sent: std::io::Result<usize> = stream.try_write(BUSY);
            continue;
        };
        let (router, stop) = (router.clone(), stops.clone());
        tokio::spawn(async move {
            connection(stream, Peer(peer), router, stop).await;
            drop(permit);
        });
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    // Whoever takes longer is cut off with the process.
    drop(tokio::time::timeout(CLOSE_TIMEOUT, permits.acquire_many(all)).await);
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

async fn connection(stream: TcpStream, peer: Peer, router: Router, mut stop: Stop) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
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
    fn the_answer_to_a_flood_has_the_length_it_states() {
        let text = std::str::from_utf8(BUSY).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
