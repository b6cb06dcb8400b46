//! HAProxy's agent check: one line of text to whoever connects, and the end of the connection.
//!
//! `up ready 100%` while new traffic is welcome, `drain` while the process stops, else `down #REASON`: without the
//! space HAProxy takes no notice of the word.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use super::{
    Api, health,
    serve::{ACCEPT_PAUSE, Stop, stopped},
};

/// Connections at once; one more is closed without a word, which HAProxy takes for no news.
const CONNECTIONS_MAX: usize = 64;

/// Longest life of a connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes that are read of what a client sends, which means nothing here.
const IGNORED_BYTES: usize = 1024;

/// Longest reason, in characters.
const REASON_CHARS: usize = 200;

/// Answers until `stop` turns true.
pub(crate) async fn serve_agent(listener: TcpListener, api: Api, mut stop: Stop) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the agent cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
        let word = word(api.is_draining(), &health::unready(&api));
        tokio::spawn(async move {
            // Whoever does not take the answer is cut off; the next check tells it again.
            drop(timeout(CONNECTION_TIMEOUT, tell(stream, word)).await);
            drop(permit);
        });
    }
}

/// Says the word, and waits for the other side to close: what it has sent and nobody has read would make the
/// kernel take the answer back.
async fn tell(mut stream: TcpStream, word: String) -> std::io::Result<()> {
    stream.write_all(word.as_bytes()).await?;
    stream.shutdown().await?;
    let mut ignored = [0; IGNORED_BYTES];
    stream.read(&mut ignored).await.map(drop)
}

/// The line for HAProxy.
fn word(is_draining: bool, reasons: &[String]) -> String {
    match (reasons.is_empty(), is_draining) {
        (true, false) => "up ready 100%\n".to_owned(),
        (true, true) => "drain\n".to_owned(),
        (false, _) => {
            let plain = |c: char| if c.is_control() { ' ' } else { c };
            let reasons = reasons.join("; ");
            let reasons: String = reasons.chars().map(plain).take(REASON_CHARS).collect();
            format!("down #{reasons}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_one_line_that_haproxy_understands() {
        assert_eq!(word(false, &[]), "up ready 100%\n");
        assert_eq!(word(true, &[]), "drain\n");
        let reasons = ["a\nb".to_owned(), "c".to_owned()];
        assert_eq!(word(true, &reasons), "down #a b; c\n");
        assert_eq!(word(false, &["x".repeat(999)]).len(), "down #\n".len() + REASON_CHARS);
    }
}
