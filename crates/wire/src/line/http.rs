//! Tells an HTTP client that has the wrong port from a client of metrics.

/// Whether a connection's first line looks like `METHOD target HTTP/1.x`. No valid Graphite line
/// does: its last field is a number.
#[must_use]
pub fn is_http_request(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut fields = line.split(|byte| *byte == b' ');
    let (method, target, version) = (fields.next(), fields.next(), fields.next());
    fields.next().is_none()
        && method.is_some_and(|text| !text.is_empty() && text.iter().all(u8::is_ascii_uppercase))
        && target.is_some_and(|text| !text.is_empty())
        && matches!(version, Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9']))
}

#[cfg(test)]
mod tests {
    use super::is_http_request;

    #[test]
    fn knows_a_request_line() {
        for line in ["GET / HTTP/1.1", "GET /metrics HTTP/1.0\r", "CONNECT a:80 HTTP/1.1"] {
            assert!(is_http_request(line.as_bytes()), "{line}");
        }
        for line in ["", "GET /", "get / HTTP/1.1", "GET  HTTP/1.1", "GET / HTTP/2", "a.b 1 2"] {
            assert!(!is_http_request(line.as_bytes()), "{line}");
        }
        assert!(!is_http_request(b"GET / HTTP/1.1 x"));
    }
}
