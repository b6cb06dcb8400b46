//! Getting the numbers: bounded in time and in bytes, and with a reason for whatever goes wrong.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use ureq::{
    Body, Timeout,
    http::{Response, StatusCode},
};

use crate::{client::agent, ks::span};

/// Longest time until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// From the name of the host to the last byte.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// Longest answer or file.
const BYTES_MAX: u64 = 32 << 20;

/// As much of an answer as is shown.
const SHOWN_CHARS: usize = 120;

/// The JSON that `GET url` answers.
pub(crate) fn json(url: &str) -> anyhow::Result<Value> {
    let agent = agent(CONNECT_TIMEOUT, ANSWER_TIMEOUT);
    send(url, || agent.get(url).call()).and_then(|answer| answer.json()).with_context(|| get(url))
}

/// What is asked, for a message: the query is long, and may be nobody's business.
fn get(url: &str) -> String {
    format!("GET {}", url.split_once('?').map_or(url, |(place, _)| place))
}

/// What somebody answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// Sends a request to this URL, and reads the answer, whatever its status.
pub(crate) fn send(
    url: &str,
    request: impl FnOnce() -> Result<Response<Body>, ureq::Error>,
) -> anyhow::Result<Answer> {
    if url.starts_with("https://") {
        bail!("only plain HTTP is spoken; say http://");
    }
    let asked_at = Instant::now();
    let answer = request().map_err(|error| late(error, asked_at.elapsed()))?;
    let status = answer.status();
    let body = bounded(answer.into_body().into_reader());
    let body = body.map_err(|error| half(error, asked_at.elapsed()))?;
    Ok(Answer { status, body })
}

/// Why there is no answer after this time.
fn late(error: ureq::Error, waited: Duration) -> anyhow::Error {
    let waited = span(waited.as_secs_f64());
    match error {
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            anyhow!(
                "no answer: no connection stood after {waited}; does it run, and does a firewall let it through?"
            )
        }
        ureq::Error::Timeout(_) => {
            anyhow!("no answer: it said nothing for {waited}; does it hang, or answer too slowly?")
        }
        error => anyhow!(error).context("no answer"),
    }
}

/// Why an answer did not come to its end in this time.
fn half(error: std::io::Error, waited: Duration) -> anyhow::Error {
    let is_late = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
        || matches!(
            error.get_ref().and_then(|inner| inner.downcast_ref()),
            Some(ureq::Error::Timeout(_))
        );
    match is_late {
        true => {
            let waited = span(waited.as_secs_f64());
            anyhow!(
                "half an answer: it had not ended after {waited}; does it hang, or answer too slowly?"
            )
        }
        false => anyhow!(error).context("half an answer"),
    }
}

impl Answer {
    /// The JSON of a good answer.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        match self.status {
            StatusCode::OK => parse(&self.body),
            status => bail!("answered {status}: {}", said(&self.body)),
        }
    }
}

/// The message of a JSON error, or the beginning of whatever it is.
fn said(body: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(body).ok();
    let error = json.as_ref().and_then(|json| json["error"].as_str());
    error.map_or_else(|| beginning(body), str::to_owned)
}

/// A file, which need not be one that ends.
pub(crate) fn file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = |path| -> anyhow::Result<Vec<u8>> { Ok(bounded(File::open(path)?)?) };
    read(path).with_context(|| path.display().to_string())
}

fn bounded(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    reader.take(BYTES_MAX + 1).read_to_end(&mut body)?;
    match u64::try_from(body.len()) {
        Ok(length) if length <= BYTES_MAX => Ok(body),
        _ => Err(std::io::Error::new(ErrorKind::FileTooLarge, "it is larger than 32 MiB")),
    }
}

/// Reads JSON, and says what it is instead.
pub(crate) fn parse(body: &[u8]) -> anyhow::Result<Value> {
    match body.trim_ascii_start() {
        [] => bail!("the answer is empty"),
        [b'<', ..] => bail!("that is HTML or XML and not JSON: {}", beginning(body)),
        _ => {}
    }
    let json: Value = match serde_json::from_slice(body) {
        Ok(json) => json,
        Err(error) if error.is_eof() => bail!("the JSON ends too early: {error}"),
        Err(error) => bail!("that is no JSON ({error}): {}", beginning(body)),
    };
    match json["error"].as_str() {
        Some(error) => bail!("it answers with an error: {error}"),
        None => Ok(json),
    }
}

fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim().chars().take(SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::TcpListener};

    use super::*;

    #[test]
    fn what_is_no_json_is_told() {
        for (body, why) in [
            (&b""[..], "the answer is empty"),
            (b" \n", "the answer is empty"),
            (b"<html>\n<body>", "that is HTML or XML and not JSON: <html>\n<body>"),
            (b"{\"a\":", "the JSON ends too early: EOF while parsing a value at line 1 column 5"),
            (b"hello", "that is no JSON (expected value at line 1 column 1): hello"),
            (b"{\"error\":\"no such host\"}", "it answers with an error: no such host"),
        ] {
            assert_eq!(parse(body).unwrap_err().to_string(), why);
        }
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
        assert_eq!(parse(b"[1]").unwrap(), serde_json::json!([1]));
    }

    #[test]
    fn what_hangs_is_told_with_how_long_it_was_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let short = agent(Duration::from_millis(300), Duration::from_millis(300));
        let ask = || format!("{:#}", send(&url, || short.get(&url).call()).unwrap_err());
        let silent = ask();
        assert!(silent.starts_with("no answer: it said nothing for 0."), "{silent}");
        let said = std::thread::scope(|scope| {
            let half = scope.spawn(|| {
                // The one that was given up waits before it.
                let (_gone, _) = listener.accept().unwrap();
                let (mut client, _) = listener.accept().unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{").unwrap();
                client
            });
            let said = ask();
            drop(half.join().unwrap());
            said
        });
        assert!(said.starts_with("half an answer: it had not ended after 0."), "{said}");
        let connect = ureq::Error::Timeout(Timeout::Connect);
        let said = late(connect, Duration::from_secs(3)).to_string();
        assert!(said.starts_with("no answer: no connection stood after 3s"), "{said}");
    }

    #[test]
    fn endless_input_is_cut_off() {
        assert_eq!(bounded(std::io::repeat(b'x')).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
