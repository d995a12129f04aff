//! The daemon when nobody takes its log: standard error is a pipe that is full from the start.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::common::program::{SOON, confidence_policy, squint, write};

#[test]
fn a_full_standard_error_holds_up_neither_the_cameras_nor_the_end() {
    let home = tempfile::tempdir().unwrap();
    let policy = confidence_policy(home.path(), 0.6);
    let config = format!(
        "policy = \"{}\"\nlog-level = \"debug\"\n[output]\nstdout = \"json\"\nsummary = false\n[[camera]]\nsource = \"test\"\n",
        policy.display()
    );
    let config = write(home.path().join("squint.toml"), config);
    let (_reader, mut full) = io::pipe().unwrap();
    full.write_all(&[b'\n'; 65536]).unwrap(); // as much as a pipe holds
    let mut command = squint(["run", "--config", config.to_str().unwrap()]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(full).spawn().unwrap();
    drop(command);
    let (records, heard) = mpsc::channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        out.lines().map_while(Result::ok).for_each(|line| drop(records.send(line)))
    });
    for _ in 0..5 {
        heard.recv_timeout(SOON).expect("records come though nobody reads the log");
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let told = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if told.elapsed() > SOON {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(code, Some(0), "in good order");
}
