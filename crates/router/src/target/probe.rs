//! One question to a target, beside the samples that it is sent: is it there?

use std::{io, net::SocketAddr, path::Path};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use super::{Target, connect::Place};
use crate::plan::{Address, Probe};

/// Bytes of an answer that are looked at: its first line.
const ANSWER_BYTES_MAX: usize = 512;

/// A way to ask, and what is known of the place to ask at.
#[derive(Debug)]
pub(super) struct Question<'a> {
    probe: &'a Probe,
    place: Option<Place>,
}

impl<'a> Question<'a> {
    pub(super) fn new(probe: &'a Probe) -> Self {
        let place = match probe {
            Probe::Tcp(address) | Probe::Rrdcached(address) | Probe::Http { address, .. } => {
                Some(Place::quiet(address))
            }
            Probe::None | Probe::Udp | Probe::RrdcachedUnix(_) => None,
        };
        Self { probe, place }
    }

    /// Asks once. To be given a limit of time by the caller.
    ///
    /// # Errors
    /// Whatever is not a good answer.
    pub(super) async fn ask(&mut self, target: &Target) -> io::Result<()> {
        match self.probe {
            Probe::None | Probe::Udp => Ok(()),
            Probe::Tcp(_) => self.connect(target).await.map(drop),
            Probe::Http { address, path } => {
                get(&mut self.connect(target).await?, address, path).await
            }
            Probe::Rrdcached(_) => ping(&mut self.connect(target).await?).await,
            Probe::RrdcachedUnix(path) => ping(&mut connect_unix(path).await?).await,
        }
    }

    async fn connect(&mut self, target: &Target) -> io::Result<TcpStream> {
        let found: Option<SocketAddr> = match &mut self.place {
            Some(place) => place.present(target).await,
            None => None,
        };
        let address = found.ok_or_else(|| bad("its name does not resolve"))?;
        TcpStream::connect(address).await
    }
}

async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// Asks for a page; only the status of the answer is read.
async fn get(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &Address,
    path: &str,
) -> io::Result<()> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: coco\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let line = first_line(stream).await?;
    let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..));
    match status {
        Some([b' ', b'2', b'0'..=b'9', b'0'..=b'9', rest @ ..]) if !starts_with_digit(rest) => {
            Ok(())
        }
        _ => Err(bad(&String::from_utf8_lossy(&line).escape_debug().to_string())),
    }
}

fn starts_with_digit(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(b"PING\n").await?;
    let line = first_line(stream).await?;
    if line.trim_ascii_end() == b"0 PONG" {
        return Ok(());
    }
    Err(bad(&String::from_utf8_lossy(&line).escape_debug().to_string()))
}

/// The first line of an answer, or as much of it as is looked at.
async fn first_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut room = [0; ANSWER_BYTES_MAX];
    loop {
        let left = room.get_mut(line.len()..).unwrap_or_default();
        let count = stream.read(left).await?;
        line.extend_from_slice(left.get(..count).unwrap_or_default());
        let end = memchr::memchr(b'\n', &line);
        if end.is_some() || line.len() >= ANSWER_BYTES_MAX {
            line.truncate(end.unwrap_or(ANSWER_BYTES_MAX));
            return Ok(line);
        }
        if count == 0 {
            return Err(bad("closed without an answer"));
        }
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a question comes to when `answer` is what it gets.
    async fn asked(http: bool, answer: &'static [u8]) -> (Vec<u8>, io::Result<()>) {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        let host = Address { host: "::1".to_owned(), port: 8080 };
        let result =
            if http { get(&mut ours, &host, "/up?x=1").await } else { ping(&mut ours).await };
        drop(ours);
        let mut request = Vec::new();
        theirs.read_to_end(&mut request).await.unwrap();
        (request, result)
    }

    #[tokio::test]
    async fn any_2xx_is_a_good_answer_and_nothing_else_is() {
        for good in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"HTTP/1.0 204\r\n", b"HTTP/1.1 299 \n"] {
            let (request, result) = asked(true, good).await;
            assert!(result.is_ok(), "{result:?}");
            let text = String::from_utf8(request).unwrap();
            assert!(text.starts_with("GET /up?x=1 HTTP/1.1\r\nHost: [::1]:8080\r\n"), "{text}");
            assert!(text.ends_with("\r\n\r\n"), "{text}");
        }
        for answer in [
            &b"HTTP/1.1 503 no\r\n"[..],
            b"HTTP/1.1 2000 x\n",
            b"HTTP/1.1 301 x\n",
            b"HTTP/2 200\n",
            b"SSH-2.0-x\n",
            b"HTTP/1.1 200 OK",
            b"",
            &[b'x'; 2000],
        ] {
            assert!(asked(true, answer).await.1.is_err(), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn only_pong_answers_ping() {
        let (request, result) = asked(false, b"0 PONG\n").await;
        assert!(result.is_ok() && request == b"PING\n");
        for answer in [&b"0 PONGS\n"[..], b"-1 Unknown command: PING\n", b"0 PO", b""] {
            assert!(asked(false, answer).await.1.is_err(), "{answer:?}");
        }
    }
}
