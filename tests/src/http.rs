//! The few lines of HTTP that asking a local API takes.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Head without the status line, as sent.
    pub head: String,
    /// Body, as sent.
    pub body: String,
}

/// Asks for `path` (already encoded); an error when nobody answers in HTTP.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer, String> {
    ask(address, &format!("GET {path}"), "", b"")
}

/// The same; an error also when the answer is not there within `limit`.
pub fn get_within(address: SocketAddr, path: &str, limit: Duration) -> Result<Answer, String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    answer(exchange_within(address, request.as_bytes(), limit))
}

/// Asks for `path` in JSON, by the header `Accept`.
pub fn get_accepting_json(address: SocketAddr, path: &str) -> Result<Answer, String> {
    ask(address, &format!("GET {path}"), "Accept: application/json\r\n", b"")
}

/// Sends `body` to `path`; an error when nobody answers in HTTP.
pub fn post(address: SocketAddr, path: &str, body: &[u8]) -> Result<Answer, String> {
    let length = format!("Content-Length: {}\r\n", body.len());
    ask(address, &format!("POST {path}"), &length, body)
}

fn ask(address: SocketAddr, what: &str, headers: &str, body: &[u8]) -> Result<Answer, String> {
    // HTTP/1.0 forbids chunks, so the body is what follows the head.
    let head = format!("{what} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n");
    let request = [head.as_bytes(), body].concat();
    answer(exchange(address, &request))
}

fn answer(reply: std::io::Result<Vec<u8>>) -> Result<Answer, String> {
    let reply = reply.map_err(|error| error.to_string())?;
    let reply = String::from_utf8(reply).map_err(|error| error.to_string())?;
    let (head, body) = reply.split_once("\r\n\r\n").ok_or("no end of the HTTP head")?;
    let (status_line, head) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| format!("no HTTP status in {status_line:?}"))?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Sends bytes on a connection of its own and reads until the other side closes.
pub fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    exchange_within(address, request, Duration::from_secs(10))
}

/// The same, with a limit for the connection and for each read.
fn exchange_within(
    address: SocketAddr,
    request: &[u8],
    limit: Duration,
) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(request)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(reply)
}

/// Percent-encodes every byte that is not plain in a query.
pub fn encode(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    bytes
        .iter()
        .map(|byte| match plain(byte) {
            true => char::from(*byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
