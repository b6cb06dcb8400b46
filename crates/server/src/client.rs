//! Asking a running Coco over HTTP.
//!
//! Invariant: asking ends after a minute at the latest, whatever the other side does. Only plain HTTP:
//! the API has no other, and redirections and proxies are not followed.

use std::{
    fmt,
    io::{Read, read_to_string},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, bail};

/// The address of a Coco's HTTP API, such as `http://127.0.0.1:9090`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUrl(String);

impl FromStr for ApiUrl {
    type Err = ApiUrlError;

    /// Checks the scheme; a slash at the end is left out.
    fn from_str(text: &str) -> Result<Self, ApiUrlError> {
        let refuse = |why| Err(ApiUrlError { seen: text.to_owned(), why });
        if text.starts_with("https://") {
            return refuse("Coco's API speaks plain HTTP only; say http://");
        }
        match text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')) {
            None | Some("") => refuse("give scheme, host and port, as http://127.0.0.1:9090"),
            Some(rest) if rest.contains(['/', '?', '#']) => {
                refuse("give no path; say for example http://127.0.0.1:9090")
            }
            Some(rest) => Ok(Self(format!("http://{rest}"))),
        }
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
    fn an_address_is_plain_http_without_a_path() {
        for good in ["http://127.0.0.1:9090", "http://127.0.0.1:9090/", "http://[::1]:9090"] {
            let url: ApiUrl = good.parse().unwrap();
            assert_eq!(url.to_string(), good.trim_end_matches('/'));
        }
        for (bad, why) in [
            ("https://coco:9090", "plain HTTP only"),
            ("127.0.0.1:9090", "give scheme"),
            ("http://", "give scheme"),
            ("http://a:9090/series", "give no path"),
        ] {
            let error = bad.parse::<ApiUrl>().unwrap_err().to_string();
            assert!(error.contains(why) && error.starts_with(bad), "{error}");
        }
    }
}
