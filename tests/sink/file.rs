//! The rotated file: what lands where, and what happens when the disk is full, the folder goes, or
//! the power went.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use squint::config::OutputFile;
use squint::sink::{File, SinkError};
use tempfile::TempDir;

/// Ten bytes.
fn line(number: u32) -> Vec<u8> {
    format!("{{\"v\":{number:03}}}\n").into_bytes()
}

fn config(path: &Path, max_bytes: u64, keep: u32) -> OutputFile {
    OutputFile { path: path.into(), max_bytes, keep }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn home() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    (folder, path)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

fn write(file: &mut File, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        file.write(&line(number), Instant::now()).unwrap();
    }
}

fn joined(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(|number| String::from_utf8(line(number)).unwrap()).collect()
}

#[test]
fn a_file_is_filled_to_the_last_byte_and_not_beyond() {
    for (max_bytes, first) in [(30, 0..3), (39, 0..3), (29, 0..2)] {
        let (_folder, path) = home();
        let mut file = File::open(&config(&path, max_bytes, 5)).unwrap();
        write(&mut file, first.clone());
        assert!(!numbered(&path, 1).exists(), "{max_bytes} bytes hold {first:?}");
        write(&mut file, [7]);
        assert_eq!(text(&numbered(&path, 1)), joined(first));
        assert_eq!(text(&path), joined([7]));
    }
}

#[test]
fn the_oldest_file_goes_when_as_many_are_kept_as_wanted() {
    let (folder, path) = home();
    let mut file = File::open(&config(&path, 20, 2)).unwrap();
    write(&mut file, 0..9);
    assert_eq!(text(&path), joined([8]));
    assert_eq!(text(&numbered(&path, 1)), joined([6, 7]));
    assert_eq!(text(&numbered(&path, 2)), joined([4, 5]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn keeping_none_leaves_only_the_newest_file() {
    let (folder, path) = home();
    let mut file = File::open(&config(&path, 20, 0)).unwrap();
    write(&mut file, 0..5);
    assert_eq!(text(&path), joined([4]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_record_larger_than_a_file_gets_one_of_its_own() {
    let (_folder, path) = home();
    let mut file = File::open(&config(&path, 25, 3)).unwrap();
    let long = format!("{{\"v\":\"{}\"}}\n", "x".repeat(100));
    write(&mut file, [1]);
    file.write(long.as_bytes(), Instant::now()).unwrap();
    write(&mut file, [2]);
    assert_eq!(
        [text(&numbered(&path, 2)), text(&numbered(&path, 1)), text(&path)],
        [joined([1]), long, joined([2])]
    );
}

#[test]
fn a_restart_continues_the_file_and_its_size() {
    let (_folder, path) = home();
    write(&mut File::open(&config(&path, 30, 1)).unwrap(), 0..2);
    write(&mut File::open(&config(&path, 30, 1)).unwrap(), 2..4);
    assert_eq!((text(&numbered(&path, 1)), text(&path)), (joined(0..3), joined([3])));
}

#[test]
fn half_a_record_left_by_a_power_cut_is_removed() {
    let (_folder, path) = home();
    for torn in ["{\"v\":1,\"cam", "\0\0\0\0"] {
        fs::write(&path, joined([1]) + torn).unwrap();
        write(&mut File::open(&config(&path, 1000, 1)).unwrap(), [2]);
        assert_eq!(text(&path), joined([1, 2]));
    }
}

#[test]
fn a_file_without_lines_is_continued_on_a_new_line_and_keeps_its_bytes() {
    let (_folder, path) = home();
    fs::write(&path, "not ours").unwrap();
    write(&mut File::open(&config(&path, 1000, 1)).unwrap(), [2]);
    assert_eq!(text(&path), format!("not ours\n{}", joined([2])));
}

#[test]
fn a_folder_that_goes_costs_records_until_it_is_back() {
    let (folder, _) = home();
    let (home, path) = (folder.path().join("logs"), folder.path().join("logs/records.jsonl"));
    fs::create_dir(&home).unwrap();
    let start = Instant::now();
    let after = |millis| start + Duration::from_millis(millis);
    let mut file = File::open(&config(&path, 1000, 1)).unwrap();
    file.write(&line(1), start).unwrap();
    fs::remove_dir_all(&home).unwrap();
    assert!(
        matches!(file.write(&line(2), after(0)), Err(SinkError::OpenFile { .. })),
        "the folder is not made anew"
    );
    assert!(matches!(file.write(&line(3), after(249)), Err(SinkError::Pausing { .. })));
    assert!(matches!(file.write(&line(4), after(250)), Err(SinkError::OpenFile { .. })));
    assert!(
        matches!(file.write(&line(5), after(700)), Err(SinkError::Pausing { .. })),
        "the pause doubles"
    );
    fs::create_dir(&home).unwrap();
    file.write(&line(6), after(750)).unwrap();
    assert_eq!((text(&path), file.lost()), (joined([6]), 4));
}

#[test]
fn pauses_grow_to_half_a_minute_and_no_further() {
    let (folder, _) = home();
    let (home, path) = (folder.path().join("logs"), folder.path().join("logs/records.jsonl"));
    fs::create_dir(&home).unwrap();
    let mut file = File::open(&config(&path, 1000, 1)).unwrap();
    fs::remove_dir_all(&home).unwrap();
    let start = Instant::now();
    let tries = (0..600_000)
        .step_by(50)
        .map(|millis| file.write(&line(0), start + Duration::from_millis(millis)));
    let tried = tries.filter(|outcome| matches!(outcome, Err(SinkError::OpenFile { .. }))).count();
    assert_eq!(tried, 7 + 19, "0.25 s, doubled seven times, then every 30 s for ten minutes");
    assert_eq!(file.lost(), 12_000);
}

#[test]
fn a_file_moved_or_removed_by_others_is_made_anew() {
    let (_folder, path) = home();
    let mut file = File::open(&config(&path, 1000, 1)).unwrap();
    write(&mut file, [1]);
    fs::remove_file(&path).unwrap();
    write(&mut file, [2]);
    assert_eq!(text(&path), joined([2]));
    fs::rename(&path, path.with_extension("moved")).unwrap();
    write(&mut file, [3]);
    assert_eq!(text(&path), joined([3]));
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file_and_counts_what_is_lost() {
    let full = Path::new("/dev/full");
    let mut file = File::open(&config(full, 1000, 1)).unwrap();
    let start = Instant::now();
    let error = file.write(&line(1), start).unwrap_err();
    assert!(error.to_string().starts_with("/dev/full: No space left on device"), "{error}");
    assert!(matches!(file.write(&line(2), start), Err(SinkError::Pausing { .. })));
    assert!(matches!(
        file.write(&line(3), start + Duration::from_secs(1)),
        Err(SinkError::Write { .. })
    ));
    assert_eq!(file.lost(), 3);
}

#[test]
fn a_file_that_another_process_writes_to_is_refused_until_that_has_ended() {
    let (_folder, path) = home();
    // A lock belongs to what was opened: in one process it keeps out as well as in two.
    let mut first = File::open(&config(&path, 10 * line(0).len() as u64, 2)).unwrap();
    write(&mut first, 0..15);
    let refused = File::open(&config(&path, 1000, 1)).map(drop).unwrap_err();
    assert!(matches!(refused, SinkError::InUse { .. }), "{refused}");
    assert!(
        refused.to_string().contains("another process writes to it")
            && refused.to_string().contains("--output-file"),
        "{refused}"
    );
    assert_eq!(
        (text(&numbered(&path, 1)), text(&path)),
        (joined(0..10), joined(10..15)),
        "nothing of it is lost"
    );
    drop(first);
    write(&mut File::open(&config(&path, 1000, 1)).unwrap(), [15]);
    for device in ["/dev/null", "/dev/null"] {
        drop(File::open(&config(Path::new(device), 1000, 1)).unwrap());
    }
}

#[test]
fn a_file_emptied_by_others_is_continued_at_its_start_and_counts_anew() {
    let (_folder, path) = home();
    let mut file = File::open(&config(&path, 10 * line(0).len() as u64, 1)).unwrap();
    write(&mut file, 0..9);
    // logrotate with copytruncate
    fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    write(&mut file, 9..15);
    assert_eq!(text(&path), joined(9..15));
    assert!(!numbered(&path, 1).exists(), "ten records fit, and six are in it");
}

#[test]
fn a_file_that_cannot_be_is_refused_with_advice() {
    let (folder, path) = home();
    let refused =
        |path: &Path| File::open(&config(path, 1000, 1)).map(drop).unwrap_err().to_string();
    assert!(refused(folder.path()).contains("is a folder, not a file"));
    assert!(
        refused(&folder.path().join("missing/records.jsonl")).contains("its folder must exist")
    );
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(refused(&path).contains("is a pipe, socket or disk, not a file"));
    drop(listener);
}
