//! What there is of NVIDIA's software, found out in a process of its own: a crash or a hang in
//! vendor code is a finding, not an outage.
//!
//! An edge module. The child is `squint probe-tensorrt`; it opens what an engine would open and
//! prints one line of JSON.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::software::{self, Found, Missing, Options};

/// How long the child may take. TensorRT is several hundred megabytes, and a small board reads them
/// from a memory card.
pub const LIMIT: Duration = Duration::from_secs(30);
/// Longest answer that is read, bytes.
const LONGEST: usize = 64 << 10;

/// The hidden subcommand.
pub const COMMAND: &str = "probe-tensorrt";

/// Opens everything in this process.
pub fn here(options: &Options) -> Found {
    let mut found = Found::default();
    found.missing = software::open(options, &mut found).err();
    found
}

/// The same in a child, `program` being this program; at most for `limit`.
pub fn in_child(program: &Path, options: &Options, limit: Duration) -> Found {
    let mut command = Command::new(program);
    command.arg(COMMAND).arg("--cuda").arg(&options.cuda);
    for (flag, path) in [("--library", &options.library), ("--shim", &options.shim)] {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let crashed = |why: String| Found { missing: Some(Missing::Crashed(why)), ..Found::default() };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return crashed(format!("looking for TensorRT: {}: {error}", program.display()));
        }
    };
    let heard = listen(&mut child, limit);
    if !matches!(heard, Heard::End) {
        // Whatever vendor code does at the end of a process is of no interest.
        let _ = child.kill();
    }
    let ended = child.wait();
    let told = match &heard {
        Heard::Line(line) => serde_json::from_slice(line).ok(),
        Heard::End | Heard::Nothing => None,
    };
    told.unwrap_or_else(|| {
        let how = match (heard, ended) {
            (Heard::Nothing, _) => format!("did not end within {} s", limit.as_secs()),
            (Heard::Line(_), _) => "gave an answer that is none".to_owned(),
            (Heard::End, Ok(status)) => match status.signal() {
                Some(signal) => format!("ended with signal {signal}"),
                None => format!("ended with code {}", status.code().unwrap_or_default()),
            },
            (Heard::End, Err(error)) => error.to_string(),
        };
        crashed(format!("looking for TensorRT {how}, so it is left alone"))
    })
}

/// What comes from the child.
enum Heard {
    /// Its answer.
    Line(Vec<u8>),
    /// It ended without one.
    End,
    /// Nothing within the time, or too much.
    Nothing,
}

fn listen(child: &mut Child, limit: Duration) -> Heard {
    let Some(mut stdout) = child.stdout.take() else { return Heard::Nothing };
    let until = Instant::now() + limit;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left =
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Heard::Nothing,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return Heard::Nothing,
            Ok(_) => {}
        }
        let Some(count) = stdout.read(&mut piece).ok().filter(|count| *count > 0) else {
            return Heard::End;
        };
        answer.extend_from_slice(&piece[..count]);
        // Libraries may have something to say too; only the answer begins like this.
        let mut lines = answer.split_inclusive(|byte| *byte == b'\n');
        if let Some(line) = lines.find(|line| line.starts_with(b"{") && line.ends_with(b"\n")) {
            return Heard::Line(line.to_vec());
        }
        if answer.len() > LONGEST {
            return Heard::Nothing;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(program: &str, limit: Duration) -> String {
        let found = in_child(Path::new(program), &Options::default(), limit);
        found.missing.map(|missing| missing.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_child_that_is_not_there_says_nothing_or_hangs_is_a_finding() {
        assert!(asked("/nowhere/squint", LIMIT).contains("/nowhere/squint"));
        assert!(asked("/bin/false", LIMIT).contains("ended with"));
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, body: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .unwrap();
            path.display().to_string()
        };
        let hung = asked(&script("hangs", "exec sleep 600"), Duration::from_millis(50));
        assert!(hung.contains("did not end"), "{hung}");
        let crashed = asked(&script("crashes", "kill -SEGV $$"), LIMIT);
        assert!(crashed.contains("signal 11"), "{crashed}");
        let known =
            script("answers", "echo hello; echo '{\"cuda\":\"10.2\",\"gpus\":[]}'; exec sleep 600");
        assert_eq!(
            in_child(Path::new(&known), &Options::default(), LIMIT).cuda.as_deref(),
            Some("10.2")
        );
    }
}
