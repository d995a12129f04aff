//! The built program as a user meets it: what it is asked, what it prints, how it ends.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use super::SOON;
use serde_json::Value;

/// The small and the larger engine of [`confidence_policy`].
pub const ENGINES: [&str; 2] = ["lite0-128-int8", "lite0-224-int8"];

/// The program in the checkout, without any setting of the caller's.
pub fn squint<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squint"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SQUINT_") {
            command.env_remove(name);
        }
    }
    let library = root().join(".deps/onnxruntime/libonnxruntime.so");
    assert!(library.is_file(), "ONNX Runtime is not there; run `make deps` first");
    command.env("ORT_DYLIB_PATH", library).env("NO_COLOR", "1").current_dir(root()).args(args);
    command
}

/// Gives `outer`, which starts `inner` in some other way, the surroundings of `inner`: its
/// variables, and none that it lacks, and the checkout.
pub fn surround(outer: &mut Command, inner: &Command) {
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer.current_dir(root());
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A photo of the checkout.
pub fn photo(name: &str) -> String {
    format!("tests/data/photos/{name}.png")
}

/// What a command said, and how it ended.
pub struct Told {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Told {
    /// Standard output as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {}", self.out))
    }

    /// Standard output as JSON Lines.
    pub fn records(&self) -> Vec<Value> {
        records(&self.out)
    }

    /// Ended with this code, or the test fails and shows everything.
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// JSON Lines.
pub fn records(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect()
}

/// Runs to the end.
pub fn tell(mut command: Command) -> Told {
    let output = command.stdin(Stdio::null()).output().expect("squint starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Told {
        code: output.status.code(),
        signal: output.status.signal(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Asks and hears the answer.
pub fn ask<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Told {
    tell(squint(args))
}

/// A folder with a policy over two shipped engines: the second is asked where the first is not
/// sure.
pub fn confidence_policy(folder: &Path, accept_above: f64) -> PathBuf {
    let [small, large] = ENGINES;
    let text = format!(
        "format = 1\nname = \"tested\"\nkind = \"confidence\"\n[engines]\n{small} = \"any\"\n{large} = \"any\"\n\
         [confidence]\nscore = \"max-softmax\"\n[[confidence.stages]]\nengine = \"{small}\"\naccept-above = {accept_above}\n\
         [[confidence.stages]]\nengine = \"{large}\"\n"
    );
    write(folder.join("tested.policy.toml"), text)
}

/// A policy that always asks `engine`.
pub fn fixed_policy(folder: &Path, engine: &str) -> PathBuf {
    let text = format!(
        "format = 1\nname = \"only-{engine}\"\nkind = \"fixed\"\n[engines]\n{engine} = \"any\"\n[fixed]\nengine = \"{engine}\"\n"
    );
    write(folder.join("fixed.policy.toml"), text)
}

/// Writes a file.
pub fn write(path: PathBuf, text: impl AsRef<[u8]>) -> PathBuf {
    std::fs::write(&path, text).expect("written");
    path
}

/// A squint that goes on until it is told to stop. Killed with its owner.
pub struct Daemon {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Daemon {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("squint starts");
        let (out, err) = (Arc::default(), Arc::default());
        let readers = vec![
            gather(child.stdout.take().expect("a pipe"), Arc::clone(&out)),
            gather(child.stderr.take().expect("a pipe"), Arc::clone(&err)),
        ];
        Self { child, out, err, readers }
    }

    /// Standard output so far, in whole lines.
    pub fn out(&self) -> String {
        self.out.lock().expect("not poisoned").clone()
    }

    /// Standard error so far, in whole lines.
    pub fn err(&self) -> String {
        self.err.lock().expect("not poisoned").clone()
    }

    /// Waits until `done`.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            let ended = self.child.try_wait().expect("its state");
            assert!(
                ended.is_none() && begun.elapsed() < SOON,
                "{what}: {ended:?}\n{}\n{}",
                tail(&self.out()),
                self.err()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for `count` records.
    pub fn until_records(&mut self, count: usize) {
        self.until(&format!("{count} records"), |squint| squint.out().lines().count() >= count);
    }

    /// Waits for words in the log.
    pub fn until_logged(&mut self, words: &str) {
        self.until(words, |squint| squint.err().contains(words));
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, as `kill` names them.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    }

    /// How it ends, which it does within [`SOON`], and what it said in all.
    pub fn ends(mut self) -> Told {
        let begun = Instant::now();
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                break status;
            }
            assert!(begun.elapsed() < SOON, "still there after {SOON:?}\n{}", self.err());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.readers.drain(..).for_each(|reader| reader.join().expect("a reader does not panic"));
        Told { code: status.code(), signal: status.signal(), out: self.out(), err: self.err() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gather(pipe: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            into.lock().expect("not poisoned").push_str(&line);
            line.clear();
        }
    })
}

fn tail(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}
