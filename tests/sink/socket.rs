//! The unix socket: many readers, slow ones, vanished ones, and a path that is taken.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use squint::sink::{READERS, Sink, SinkError, Socket};
use squint::socket::ListenError;
use tempfile::TempDir;

fn home() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("squint.sock");
    (folder, path)
}

/// About a thousand bytes, a length that does not divide any buffer.
fn line(number: u64) -> Vec<u8> {
    format!("{{\"frame\":{number:>5},\"pad\":\"{}\"}}\n", "x".repeat(977)).into_bytes()
}

/// The numbers of the lines, each checked to be whole.
fn numbers(stream: impl Read) -> Vec<u64> {
    let whole = |text: String| {
        let record: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        record["frame"].as_u64().unwrap()
    };
    BufReader::new(stream).lines().map(|line| whole(line.unwrap())).collect()
}

#[test]
fn as_many_readers_as_there_may_be_get_every_record_from_where_they_came_in() {
    let (_folder, path) = home();
    let mut socket = Socket::open(&path).unwrap();
    let mut readers = Vec::new();
    for number in 0..READERS as u64 {
        readers.push(UnixStream::connect(&path).unwrap());
        socket.write(&line(number), Instant::now());
    }
    assert_eq!((socket.readers(), socket.counts().connected), (READERS, READERS as u64));
    drop(socket);
    for (came, reader) in readers.into_iter().enumerate() {
        assert_eq!(numbers(reader), (came as u64..READERS as u64).collect::<Vec<_>>());
    }
}

#[test]
fn a_crowd_at_the_door_is_let_in_at_once() {
    let (_folder, path) = home();
    let mut socket = Socket::open(&path).unwrap();
    let crowd: Vec<_> = (0..READERS).map(|_| UnixStream::connect(&path).unwrap()).collect();
    socket.write(&line(1), Instant::now());
    drop(socket);
    assert!(crowd.into_iter().all(|reader| numbers(reader) == [1]));
}

#[test]
fn one_reader_too_many_is_turned_away_until_another_has_left() {
    let (_folder, path) = home();
    let mut socket = Socket::open(&path).unwrap();
    let mut readers: Vec<_> = (0..READERS).map(|_| UnixStream::connect(&path).unwrap()).collect();
    socket.write(&line(0), Instant::now());
    let surplus: Vec<_> = (0..40).map(|_| UnixStream::connect(&path).unwrap()).collect();
    socket.write(&line(1), Instant::now());
    assert_eq!(
        (socket.readers(), socket.counts().connected, socket.counts().refused),
        (READERS, READERS as u64, 40)
    );
    assert!(
        surplus.into_iter().all(|reader| numbers(reader).is_empty()),
        "its connection is closed at once"
    );
    drop(readers.pop());
    let next = UnixStream::connect(&path).unwrap();
    socket.flush().unwrap();
    socket.write(&line(2), Instant::now());
    assert_eq!((socket.readers(), socket.counts().left), (READERS, 1));
    drop(socket);
    assert_eq!(numbers(next), [2]);
}

/// As in the field: all cameras are away, so that no record is sent, and a program that asks for
/// records comes and goes.
#[test]
fn readers_that_leave_while_no_record_flows_are_forgotten_at_the_next_second() {
    let (_folder, path) = home();
    let mut socket = Socket::open(&path).unwrap();
    for round in 1..=20 {
        for _ in 0..64 {
            drop(UnixStream::connect(&path).unwrap());
        }
        socket.flush().unwrap();
        assert_eq!(socket.readers(), 0, "round {round}: {:?}", socket.counts());
    }
    let (only_listens, stays) =
        (UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap());
    only_listens.shutdown(std::net::Shutdown::Write).unwrap();
    socket.flush().unwrap();
    socket.flush().unwrap();
    assert_eq!(socket.readers(), 2, "one that says that it sends nothing still reads");
    socket.write(&line(7), Instant::now());
    drop(socket);
    assert_eq!((numbers(only_listens), numbers(stays)), (vec![7], vec![7]));
}

#[test]
fn a_reader_that_stalls_misses_records_then_goes_and_holds_up_nobody() {
    let (_folder, path) = home();
    let mut socket = Socket::open(&path).unwrap();
    let (stalled, mut lively) =
        (UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap());
    let start = Instant::now();
    let mut got = Vec::new();
    let mut buffer = vec![0; 4096];
    for number in 0..2000 {
        socket.write(&line(number), start + Duration::from_millis(number));
        let mut wanted = line(number).len();
        while wanted > 0 {
            let count = lively.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..count]);
            wanted -= count;
        }
    }
    assert_eq!(
        numbers(&got[..]),
        (0..2000).collect::<Vec<_>>(),
        "the lively reader misses nothing"
    );
    let skipped = socket.counts().skipped;
    assert!(
        (500..2000).contains(&skipped),
        "about 300 records fit the buffers, {skipped} of 2000 were skipped"
    );
    assert_eq!((socket.readers(), socket.counts().stalled), (2, 0));
    socket.write(&line(2000), start + Duration::from_secs(12));
    assert_eq!((socket.readers(), socket.counts().stalled), (1, 1));
    drop(socket);
    let mut late = Vec::new();
    { stalled }.read_to_end(&mut late).unwrap();
    let late = numbers(&late[..]);
    assert_eq!(
        late,
        (0..late.len() as u64).collect::<Vec<_>>(),
        "what it did get is whole and in order"
    );
}

#[test]
fn a_reader_that_was_slow_for_a_while_goes_on_with_whole_lines() {
    let (_folder, path) = home();
    let mut socket = Socket::open(&path).unwrap();
    let reader = UnixStream::connect(&path).unwrap();
    let start = Instant::now();
    (0..1000).for_each(|number| socket.write(&line(number), start));
    assert!(socket.counts().skipped > 0);
    let reading = std::thread::spawn(move || numbers(reader));
    let drain = |socket: &mut Socket| {
        while socket.backlog() > 0 {
            socket.flush().unwrap();
            std::thread::yield_now();
        }
    };
    drain(&mut socket);
    (1000..1020).for_each(|number| socket.write(&line(number), start));
    drain(&mut socket);
    let skipped = socket.counts().skipped;
    drop(socket);
    let got = reading.join().unwrap();
    assert!(got.is_sorted_by(|a, b| a < b));
    assert_eq!(got.last(), Some(&1019));
    assert_eq!(got.len() as u64 + skipped, 1020, "every record was delivered or counted");
}

#[test]
fn a_reader_that_lags_at_the_end_gets_what_waits_for_it() {
    let (_folder, path) = home();
    let mut socket = Socket::open(&path).unwrap();
    let mut reader = UnixStream::connect(&path).unwrap();
    let mut written = 0;
    while socket.backlog() == 0 {
        socket.write(&line(written), Instant::now());
        written += 1;
    }
    // Room for what waits is made here, so that the test does not depend on how soon another thread
    // gets its turn.
    let mut first = vec![0; line(0).len() * 64];
    reader.read_exact(&mut first).unwrap();
    socket.finish().unwrap();
    drop(socket);
    assert_eq!(numbers(first.as_slice().chain(reader)), (0..written).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_vanishes_is_forgotten() {
    let (_folder, path) = home();
    let mut socket = Socket::open(&path).unwrap();
    let (gone, stays) = (UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap());
    socket.write(&line(0), Instant::now());
    drop(gone);
    socket.write(&line(1), Instant::now());
    assert_eq!((socket.readers(), socket.counts().left), (1, 1));
    drop(socket);
    assert_eq!(numbers(stays), [0, 1]);
}

#[test]
fn a_socket_that_somebody_listens_on_is_left_alone() {
    let (_folder, path) = home();
    let first = Socket::open(&path).unwrap();
    let error = Socket::open(&path).map(drop).unwrap_err();
    assert!(matches!(error, SinkError::Listen(ListenError::Taken { .. })), "{error}");
    assert!(error.to_string().contains("another program listens there"));
    assert!(path.exists(), "the refused one removes nothing");
    drop(first);
    assert!(!path.exists(), "the owner removes its own");
}

#[test]
fn whoever_sees_the_socket_can_connect_to_it() {
    let (folder, path) = home();
    for _ in 0..200 {
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || {
                while !path.exists() {
                    std::hint::spin_loop();
                }
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                (mode & 0o777, UnixStream::connect(&path).map(drop))
            })
        };
        let socket = Socket::open(&path).unwrap();
        let (mode, connected) = waiting.join().unwrap();
        assert_eq!(mode, 0o660);
        connected.unwrap();
        drop(socket);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_socket_left_behind_is_replaced() {
    let (_folder, path) = home();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let mut socket = Socket::open(&path).unwrap();
    let reader = UnixStream::connect(&path).unwrap();
    socket.write(&line(5), Instant::now());
    drop(socket);
    assert_eq!(numbers(reader), [5]);
}

#[test]
fn what_is_not_a_socket_is_left_alone() {
    let (folder, path) = home();
    fs::write(&path, "precious").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for taken in [path.as_path(), link.as_path(), folder.path()] {
        let error = Socket::open(taken).map(drop).unwrap_err();
        assert!(matches!(error, SinkError::Listen(ListenError::NotASocket { .. })), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let missing = Socket::open(&folder.path().join("missing/squint.sock")).map(drop).unwrap_err();
    assert!(missing.to_string().contains("its folder must exist"), "{missing}");
    let long = folder.path().join("x".repeat(120));
    assert!(
        matches!(Socket::open(&long).map(drop), Err(SinkError::Listen(ListenError::Failed { .. }))),
        "longer than a socket path may be"
    );
}

#[test]
fn only_owner_and_group_may_connect() {
    let (_folder, path) = home();
    let _socket = Socket::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
}

#[test]
fn a_socket_replaced_by_others_is_not_removed_at_the_end() {
    let (_folder, path) = home();
    let socket = Socket::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(socket);
    assert!(path.exists());
}
