//! The control protocol, a small part of HTTP/1.1: bytes into a request, an answer into bytes.
//! Pure; every limit is here.
//!
//! One request a connection. No chunked bodies, no absolute addresses, no percent signs: nothing
//! here needs them. Whatever does not fit is refused with a status and a sentence. The bytes are a
//! stranger's: nothing in them may panic or grow without a bound.

use std::fmt;

/// Longest head of a request, bytes.
pub const HEAD_LIMIT: usize = 8 * 1024;
/// Longest body of a request, bytes.
pub const BODY_LIMIT: usize = 4 * 1024;
/// Most header lines of a request.
const HEADERS: usize = 64;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Tell something.
    Get,
    /// Do something.
    Post,
}

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// Path, without the query.
    pub path: String,
    /// What stands behind the `?`; empty without one.
    pub query: String,
    /// The Host header, if there is one.
    pub host: Option<String>,
    /// The body as text, without white space around it.
    pub body: String,
}

/// How far a request has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are to come.
    Partial,
    /// All there. What follows it is not looked at.
    Whole(Request),
}

/// Why a request is not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// A sentence that helps.
    pub message: String,
}

impl Refusal {
    /// With this status and sentence.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.status)
    }
}

/// Reads the request that `bytes` begin with, all that has come so far. Never [`Parsed::Partial`]
/// for [`HEAD_LIMIT`] + [`BODY_LIMIT`] bytes or more.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let long = || {
        Refusal::new(
            431,
            format!("the head of a request has at most {HEAD_LIMIT} bytes and {HEADERS} lines"),
        )
    };
    let end = match head.parse(&bytes[..bytes.len().min(HEAD_LIMIT)]) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_LIMIT => return Ok(Parsed::Partial),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(long()),
        Err(error) => return Err(Refusal::new(400, format!("this is not HTTP/1.1: {error}"))),
    };
    let body_length = body_length(head.headers)?;
    let body = &bytes[end..];
    if body.len() < body_length {
        return Ok(Parsed::Partial);
    }
    let method = match head.method.unwrap_or_default() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        _ => return Err(Refusal::new(405, "only GET and POST are known here")),
    };
    let target = head.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !path.starts_with('/') {
        return Err(Refusal::new(
            400,
            "the target of a request starts with a slash, as in GET /status",
        ));
    }
    let body = std::str::from_utf8(&body[..body_length])
        .map_err(|_| Refusal::new(400, "the body is not UTF-8"))?
        .trim();
    if body.chars().any(char::is_control) {
        return Err(Refusal::new(
            400,
            "the body holds control characters; a plain word or path is expected",
        ));
    }
    let host = header(head.headers, "host").next().transpose()?.map(str::to_owned);
    Ok(Parsed::Whole(Request {
        method,
        path: path.into(),
        query: query.into(),
        host,
        body: body.into(),
    }))
}

fn body_length(headers: &[httparse::Header<'_>]) -> Result<usize, Refusal> {
    if header(headers, "transfer-encoding").next().is_some() {
        return Err(Refusal::new(501, "send the body as it is, with its Content-Length"));
    }
    let mut lengths = header(headers, "content-length");
    let Some(length) = lengths.next().transpose()? else { return Ok(0) };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    if lengths.next().is_some() || !digits {
        return Err(Refusal::new(400, "Content-Length must be one whole number"));
    }
    // one that does not fit into a number is too large, too
    let length = length.parse().unwrap_or(usize::MAX);
    if length > BODY_LIMIT {
        return Err(Refusal::new(413, format!("a body has at most {BODY_LIMIT} bytes")));
    }
    Ok(length)
}

fn header<'h>(
    headers: &'h [httparse::Header<'h>],
    name: &'h str,
) -> impl Iterator<Item = Result<&'h str, Refusal>> {
    let found = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    let text = |value| std::str::from_utf8(value).map(str::trim);
    found.map(move |header| {
        text(header.value).map_err(|_| Refusal::new(400, format!("the header {name} is not UTF-8")))
    })
}

/// What is sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub kind: &'static str,
    /// The body.
    pub body: String,
}

/// Content type of lines for people.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// Content type of JSON.
pub const JSON: &str = "application/json";
/// Content type of JSON Lines.
pub const JSON_LINES: &str = "application/jsonl";
/// Content type of metrics, version included, as Prometheus wants it.
pub const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Answer {
    /// An answer.
    pub fn new(status: u16, kind: &'static str, body: String) -> Self {
        Self { status, kind, body }
    }

    /// Head and body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = format!("Content-Length: {}\r\n", self.body.len());
        let mut bytes = head(self.status, self.kind, &length).into_bytes();
        bytes.extend_from_slice(self.body.as_bytes());
        bytes
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let mut body = serde_json::json!({"error": refusal.message}).to_string();
        body.push('\n');
        Self::new(refusal.status, JSON, body)
    }
}

/// The head of an answer whose end is the end of the connection.
pub fn endless_head(kind: &str) -> Vec<u8> {
    head(200, kind, "").into_bytes()
}

fn head(status: u16, kind: &str, more: &str) -> String {
    let allow = if status == 405 { "Allow: GET, POST\r\n" } else { "" };
    let reason = reason(status);
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\n{more}{allow}Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(bytes: &[u8]) -> u16 {
        parse(bytes).map(|parsed| panic!("{parsed:?}")).unwrap_or_else(|refusal| refusal.status)
    }

    #[test]
    fn a_request_is_whole_with_its_last_byte_and_not_before() {
        let bytes =
            b"POST /mode?x=1 HTTP/1.1\r\nHost: squint\r\ncontent-length: 5\r\n\r\neco\r\nGET";
        let whole = bytes.len() - 3;
        for end in 0..whole {
            assert_eq!(parse(&bytes[..end]), Ok(Parsed::Partial), "{end} bytes");
        }
        let request = Request {
            method: Method::Post,
            path: "/mode".into(),
            query: "x=1".into(),
            host: Some("squint".into()),
            body: "eco".into(),
        };
        assert_eq!(parse(&bytes[..whole]), Ok(Parsed::Whole(request.clone())));
        assert_eq!(parse(bytes), Ok(Parsed::Whole(request)), "what follows is not looked at");
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_status() {
        assert_eq!(refused(b"PUT / HTTP/1.1\r\n\r\n"), 405);
        assert_eq!(refused(b"GET squint HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(refused(b"\x16\x03\x01\x02\x00"), 400, "TLS");
        assert_eq!(refused(b"POST / HTTP/1.1\r\nContent-Length: 4097\r\n\r\n"), 413);
        assert_eq!(
            refused(b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
            413
        );
        for length in ["-1", "+1", "1, 1", "", "1\r\nContent-Length: 1"] {
            assert_eq!(
                refused(format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\na").as_bytes()),
                400,
                "{length}"
            );
        }
        assert_eq!(refused(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 501);
        assert_eq!(refused(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n\xff"), 400);
        assert_eq!(refused(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na\x1bb"), 400);
        assert_eq!(refused(&b"a".repeat(HEAD_LIMIT)), 431);
        assert_eq!(
            refused(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1)).as_bytes()),
            431
        );
        assert_eq!(
            refused(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(HEAD_LIMIT)).as_bytes()),
            431
        );
    }

    #[test]
    fn a_refusal_is_json_with_a_sentence() {
        let bytes = Answer::from(Refusal::new(403, "not \"here\"")).to_bytes();
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 403 Forbidden\r\n")
                && text.ends_with("\r\n\r\n{\"error\":\"not \\\"here\\\"\"}\n"),
            "{text}"
        );
        assert!(text.contains("Content-Length: 25\r\n"), "{text}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_none_make_it_wait_forever(
            start in prop::sample::select(vec!["", "GET /", "POST / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"]),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut all = [start.as_bytes(), &bytes].concat();
            let _ = parse(&all);
            all.resize(HEAD_LIMIT + BODY_LIMIT, b'x');
            prop_assert!(parse(&all) != Ok(Parsed::Partial));
        }
    }
}
