//! The client of the control socket: sends a request and reads the response. Used by
//! `squint status`, `reload` and `set`.
//!
//! The response is bounded, too: another program may listen there.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest head of an answer, bytes.
const HEAD_LIMIT: u64 = 16 * 1024;
/// Longest body of an answer, or line of one that goes on, bytes.
const BODY_LIMIT: u64 = 8 * 1024 * 1024;
/// Most header lines of an answer.
const HEADERS: usize = 32;

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no squint listens at {} ({reason}): it does not run, or without control.socket, or with another one (--socket, --config)",
        path.display()
    )]
    NotThere {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The user may not connect.
    #[error("{} is for members of the group {group}: join it (`sudo usermod -aG {group} $USER`, then log in again) or use sudo", path.display())]
    NotAllowed {
        /// The socket.
        path: PathBuf,
        /// Name or number of the group.
        group: String,
    },
    /// No answer in time.
    #[error("squint at {} does not answer within {} s; see `systemctl status squint` and its journal", path.display(), patience.as_secs())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        patience: Duration,
    },
    /// The connection broke.
    #[error("squint at {} went away in the middle of its answer: {reason}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// It is no answer of Squint's.
    #[error("what listens at {} does not speak squint's control protocol: {what}", path.display())]
    Odd {
        /// The socket.
        path: PathBuf,
        /// What is odd.
        what: String,
    },
}

/// An answer that has begun.
pub struct Answering {
    path: PathBuf,
    patience: Duration,
    status: u16,
    reader: BufReader<UnixStream>,
}

/// Sends `body` (GET without one) to `target` and reads the head of the answer. `patience` is for
/// each single wait.
pub fn ask(
    path: &Path,
    target: &str,
    body: Option<&str>,
    patience: Duration,
) -> Result<Answering, ClientError> {
    let mut stream = UnixStream::connect(path).map_err(|reason| no_way_in(path, reason))?;
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.unwrap_or_default();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: squint\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let limits = stream
        .set_read_timeout(Some(patience))
        .and_then(|()| stream.set_write_timeout(Some(patience)));
    let sent = limits.and_then(|()| stream.write_all(request.as_bytes()));
    let mut answering =
        Answering { path: path.into(), patience, status: 0, reader: BufReader::new(stream) };
    // One that has no time for us says so without reading what we send.
    if let Err(error) = sent
        && !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
    {
        return Err(answering.failed(error));
    }
    answering.read_head()?;
    Ok(answering)
}

/// As [`ask`], to the end of the answer.
pub fn ask_all(
    path: &Path,
    target: &str,
    body: Option<&str>,
    patience: Duration,
) -> Result<Answered, ClientError> {
    ask(path, target, body, patience)?.rest()
}

impl Answering {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The next line, without its end; nothing when the daemon is through.
    pub fn line(&mut self) -> Result<Option<String>, ClientError> {
        let mut line = Vec::new();
        match self.reader.by_ref().take(BODY_LIMIT).read_until(b'\n', &mut line) {
            Err(error) => Err(self.failed(error)),
            Ok(_) if line.pop() == Some(b'\n') => self.text(line).map(Some),
            Ok(_) => Ok(None),
        }
    }

    /// The whole body.
    pub fn rest(mut self) -> Result<Answered, ClientError> {
        let mut body = Vec::new();
        match self.reader.by_ref().take(BODY_LIMIT).read_to_end(&mut body) {
            // a daemon that turned us away has closed its end over what we sent
            Err(error) if error.kind() == ErrorKind::ConnectionReset && !body.is_empty() => (),
            Err(error) => return Err(self.failed(error)),
            Ok(_) => (),
        }
        Ok(Answered { status: self.status, body: self.text(body)? })
    }

    fn read_head(&mut self) -> Result<(), ClientError> {
        let mut head = Vec::new();
        let mut limited = self.reader.by_ref().take(HEAD_LIMIT);
        loop {
            let before = head.len();
            match limited.read_until(b'\n', &mut head) {
                Err(error) => return Err(self.failed(error)),
                Ok(0) if head.is_empty() => {
                    return Err(self.failed(ErrorKind::UnexpectedEof.into()));
                }
                Ok(0) => return Err(self.odd("its head does not end")),
                Ok(_) if head[before..].trim_ascii().is_empty() => break,
                Ok(_) => (),
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&head);
        match (parsed, response.code) {
            (Ok(httparse::Status::Complete(_)), Some(code)) => self.status = code,
            (Err(error), _) => return Err(self.odd(&error.to_string())),
            _ => return Err(self.odd("no HTTP head")),
        }
        Ok(())
    }

    fn text(&self, bytes: Vec<u8>) -> Result<String, ClientError> {
        String::from_utf8(bytes).map_err(|_| self.odd("its answer is not UTF-8"))
    }

    fn odd(&self, what: &str) -> ClientError {
        ClientError::Odd { path: self.path.clone(), what: what.into() }
    }

    fn failed(&self, reason: io::Error) -> ClientError {
        let path = self.path.clone();
        match reason.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                ClientError::Silent { path, patience: self.patience }
            }
            _ => ClientError::Broken { path, reason },
        }
    }
}

fn no_way_in(path: &Path, reason: io::Error) -> ClientError {
    if reason.kind() == ErrorKind::PermissionDenied {
        // The folder may be closed, too; then its group is the one to join.
        let gid =
            path.ancestors().find_map(|path| fs::metadata(path).ok()).map(|found| found.gid());
        return ClientError::NotAllowed {
            path: path.into(),
            group: gid.map_or_else(|| "squint".into(), group),
        };
    }
    ClientError::NotThere { path: path.into(), reason }
}

/// Name of a group as /etc/group has it, or its number.
fn group(gid: u32) -> String {
    let known = fs::read_to_string("/etc/group").unwrap_or_default();
    let named = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| gid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_and_one_without_a_name_has_its_number() {
        assert_eq!((group(0), group(4_000_000_123)), ("root".into(), "4000000123".into()));
    }
}
