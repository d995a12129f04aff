//! A build in a process of its own: `squint engines build`, at the lowest priority, watched through
//! its standard output.
//!
//! An edge module. Building inside the daemon would let a crash of vendor code end it, and TensorRT
//! never gives back all it took. The child tells its progress as JSON, a line each ([`Line`]); it
//! is killed when its owner goes, and ends by itself when its standard input closes, so that it
//! does not outlive a killed daemon either.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::build::Progress;

/// Longest line that is read, bytes.
const MAX_LINE: u64 = 64 * 1024;
/// How much of the end of standard error is kept, bytes.
const KEPT: usize = 4096;

/// What a child tells, a line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Line {
    /// How far it is.
    Progress(Progress),
    /// It is done; the plan is kept under this name.
    Built {
        /// File name without its end.
        plan: String,
    },
    /// It failed; the failure is remembered if it will last.
    Failed {
        /// Why.
        cause: String,
    },
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a plan, by name.
    Built(String),
    /// It said why not.
    Failed(String),
    /// It ended without a word: vendor code crashed, or somebody killed it. How, and what standard
    /// error said last.
    Crashed(String),
}

/// What is run: a program and its arguments. Tests put something else in its place.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// A running build. Dropped, it is killed.
#[derive(Debug)]
pub struct Build {
    child: Child,
    out: BufReader<ChildStdout>,
    err: Option<JoinHandle<Vec<u8>>>,
    ended: Option<Outcome>,
}

impl Build {
    /// Starts it: nice 19, and the disk only when nobody else wants it.
    pub fn start(program: &Program) -> io::Result<Self> {
        let mut child =
            match spawn("ionice", ["-c", "3", "-t", "nice", "-n", "19"].map(OsStr::new), program) {
                // Without util-linux the processor alone is left to others.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    spawn("nice", ["-n", "19"].map(OsStr::new), program)?
                }
                started => started?,
            };
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (Some(out), Some(err)) = (out, err) else {
            return Err(io::Error::other("no pipe to the child"));
        };
        let err =
            std::thread::Builder::new().name("build-stderr".into()).spawn(move || last(err))?;
        Ok(Self { child, out: BufReader::new(out), err: Some(err), ended: None })
    }

    /// The child's standard input, once: when it is dropped, a child that was started with `--tied`
    /// ends.
    pub fn tie(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next word; `None` when there is no more, then [`Self::outcome`] has it. Lines
    /// that are none of ours (vendor code likes to print) are passed over.
    pub fn hear(&mut self) -> Option<Progress> {
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut self.out).take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return None,
                Ok(_) => (),
            }
            match serde_json::from_slice(&line) {
                Ok(Line::Progress(progress)) => return Some(progress),
                Ok(Line::Built { plan }) => self.ended = Some(Outcome::Built(plan)),
                Ok(Line::Failed { cause }) => self.ended = Some(Outcome::Failed(cause)),
                Err(_) => (),
            }
        }
    }

    /// Waits for its end. What it said counts only if it also ended as one does who says so.
    pub fn outcome(mut self) -> io::Result<Outcome> {
        while self.hear().is_some() {}
        let status = self.child.wait()?;
        let said = self.err.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        Ok(match self.ended.take() {
            Some(Outcome::Built(plan)) if status.success() => Outcome::Built(plan),
            Some(Outcome::Failed(cause)) if status.code().is_some() => Outcome::Failed(cause),
            _ => Outcome::Crashed(crash(status, &said)),
        })
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // Both fail for one who has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn<'a>(
    wrapper: &str,
    before: impl IntoIterator<Item = &'a OsStr>,
    program: &Program,
) -> io::Result<Child> {
    Command::new(wrapper)
        .args(before)
        .arg(&program.path)
        .args(&program.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Reads to the end and keeps the last of it.
fn last(mut err: ChildStderr) -> Vec<u8> {
    let (mut kept, mut piece) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = err.read(&mut piece) {
        kept.extend_from_slice(&piece[..count]);
        let above = kept.len().saturating_sub(KEPT);
        kept.drain(..above);
    }
    kept
}

fn crash(status: ExitStatus, said: &[u8]) -> String {
    let how = match (status.signal(), status.code()) {
        (Some(signal), _) => format!("the build was ended by signal {signal}"),
        (_, Some(0)) => "the build ended without a plan".to_owned(),
        (_, code) => format!("the build ended with code {}", code.unwrap_or(-1)),
    };
    let said = String::from_utf8_lossy(said);
    let said = said.trim();
    if said.is_empty() { how } else { format!("{how}: {said}") }
}
