//! Asking a running Coco over HTTP.
//!
//! Invariant: asking ends after a minute at the latest, whatever the other side does. Only plain HTTP:
//! the API has no other, and redirections and proxies are not followed.

use std::{
    fmt,
    io::{Read, read_to_string},
    net::Ipv6Addr,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, bail};

/// The port of the API where none is given.
const PORT: u16 = 9090;

/// The address of a Coco's HTTP API: `HOST`, `HOST:PORT`, or these behind `http://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUrl(String);

impl FromStr for ApiUrl {
    type Err = ApiUrlError;

    /// Puts scheme and port in where they are missing; a slash at the end is left out.
    fn from_str(text: &str) -> Result<Self, ApiUrlError> {
        let refuse = |why| Err(ApiUrlError { seen: text.to_owned(), why });
        if text.starts_with("https://") {
            return refuse("Coco's API speaks plain HTTP only; say http://");
        }
        let place = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        if place.contains(['/', '?', '#']) {
            return refuse("give no path; say for example http://127.0.0.1:9090");
        }
        if place.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self(format!("http://[{place}]:{PORT}")));
        }
        let (host, port) = match place.rsplit_once(':') {
            // An IPv6 address without a port ends with its bracket.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (place, None),
        };
        let port = match port.map(str::parse::<u16>) {
            None => PORT,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => return refuse("the port is a number from 1 to 65535"),
        };
        let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_host = match in_brackets {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || "-._".contains(c))
            }
        };
        if !is_host {
            return refuse("give HOST or HOST:PORT, as http://127.0.0.1:9090");
        }
        Ok(Self(format!("http://{host}:{port}")))
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no address of an API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seen}: {why}")]
pub struct ApiUrlError {
    seen: String,
    why: &'static str,
}

/// The body of the answer to `GET path`, to be read as it comes.
///
/// # Errors
/// When nobody answers in time, or the answer is not 200.
pub(crate) fn get(url: &ApiUrl, path: &str) -> anyhow::Result<impl Read + use<>> {
    let what = format!("GET {url}{path}");
    let answer = agent(CONNECT_TIMEOUT, ANSWER_TIMEOUT).get(format!("{url}{path}")).call();
    let answer = answer.with_context(|| format!("{what}: no answer; does a Coco run there?"))?;
    let status = answer.status();
    let body = answer.into_body().into_reader();
    if status != ureq::http::StatusCode::OK {
        let said = read_to_string(body.take(SAID_BYTES_MAX)).unwrap_or_default();
        bail!("{what}: answered {status}: {}", said.trim());
    }
    Ok(body)
}

/// Asks over plain HTTP, follows nothing, and gives up after these times: until a connection stands, and until the
/// last byte of the answer.
pub(crate) fn agent(connect: Duration, answer: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(connect))
        .timeout_global(Some(answer))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build();
    ureq::Agent::new_with_config(config)
}

/// Longest time until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// From the name of the host to the last byte of the answer: a million names take seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// As much of a refusal as is shown.
const SAID_BYTES_MAX: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_enough() {
        for (text, url) in [
            ("coco.example", "http://coco.example:9090"),
            ("coco.example:91", "http://coco.example:91"),
            ("http://coco.example", "http://coco.example:9090"),
            ("http://coco.example:91/", "http://coco.example:91"),
            ("127.0.0.1", "http://127.0.0.1:9090"),
            ("::1", "http://[::1]:9090"),
            ("[::1]", "http://[::1]:9090"),
            ("http://[::1]:91", "http://[::1]:91"),
        ] {
            assert_eq!(text.parse::<ApiUrl>().unwrap().to_string(), url);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (bad, why) in [
            ("https://coco:9090", "plain HTTP only"),
            ("http://", "give HOST"),
            ("", "give HOST"),
            (":9090", "give HOST"),
            ("user@host", "give HOST"),
            ("a b", "give HOST"),
            ("[a]:1", "give HOST"),
            ("a:1:2", "give HOST"),
            ("http://a:9090/series", "give no path"),
            ("a/b", "give no path"),
            ("127.0.0.1:99999", "the port is"),
            ("127.0.0.1:", "the port is"),
            ("127.0.0.1:0", "the port is"),
            ("127.0.0.1:http", "the port is"),
        ] {
            let error = bad.parse::<ApiUrl>().unwrap_err().to_string();
            assert!(error.contains(why) && error.starts_with(bad), "{bad}: {error}");
        }
    }
}
