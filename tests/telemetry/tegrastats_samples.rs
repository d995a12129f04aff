//! Every rail and temperature of lines that real boards printed is recognised, or skipped for a
//! reason known here.
//!
//! The lines are not part of the repository: `../shared/data/tegrastats_samples.txt`, or the file
//! named by SQUINT_TEGRASTATS_SAMPLES. What must be found is found out by cutting lines at blanks,
//! without the scanner.

use std::path::{Path, PathBuf};

use crate::common::skip_without;
use squint::telemetry::Sample;
use squint::telemetry::tegrastats::{Board, Skip, Token, scan};

fn samples() -> Option<Vec<String>> {
    let beside =
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/tegrastats_samples.txt");
    let path = std::env::var_os("SQUINT_TEGRASTATS_SAMPLES").map_or_else(beside, PathBuf::from);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(
            text.lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned)
                .collect(),
        ),
        Err(error) => {
            skip_without("samples", format_args!("{}: {error}", path.display()));
            None
        }
    }
}

/// (name, reading) of all rails and all temperatures, in the order of the line.
type Found = (Vec<(String, f32)>, Vec<(String, f32)>);

/// What a person would underline: `NAME@…C` is a temperature, and a word with a stroke between
/// digits after a name is a rail.
fn underlined(line: &str) -> Found {
    let (mut rails, mut zones) = (vec![], vec![]);
    let words: Vec<&str> = line.split_whitespace().collect();
    for (at, word) in words.iter().enumerate() {
        if let Some((name, rest)) = word.split_once('@')
            && rest.ends_with('C')
        {
            let now = rest.split('/').next().unwrap().trim_end_matches('C');
            zones.push((name.to_owned(), now.parse().unwrap()));
        } else if word.contains('/')
            && word.trim_end_matches("mW").ends_with(|last: char| last.is_ascii_digit())
        {
            let now = word.split('/').next().unwrap().trim_end_matches("mW");
            rails.push((words[at - 1].to_owned(), now.parse().unwrap()));
        }
    }
    (rails, zones)
}

/// What the scanner recognises, and what it skips on purpose.
fn scanned(line: &str) -> Found {
    let (mut rails, mut zones) = (vec![], vec![]);
    scan(line.as_bytes(), |token| match token {
        Token::Rail { name, power } => rails.push((name.to_owned(), power.0)),
        Token::Zone { name, temperature: Some(now) } => zones.push((name.to_owned(), now.0)),
        // Switched off.
        Token::Zone { name, temperature: None } => zones.push((name.to_owned(), -256.0)),
        // Nothing behind the channel: it reads 0 on every board known.
        Token::Skipped { text, why: Skip::Unconnected } => {
            assert_eq!(text, b"NC 0mW/0mW");
            rails.push(("NC".into(), 0.0));
        }
        _ => (),
    });
    (rails, zones)
}

#[test]
fn every_rail_and_temperature_of_real_lines_is_recognised_or_knowingly_skipped() {
    let Some(lines) = samples() else { return };
    assert!(lines.len() >= 76, "{} lines", lines.len());
    let (mut rails, mut zones) = (0, 0);
    for line in &lines {
        let expected = underlined(line);
        assert_eq!(scanned(line), expected, "{line}");
        rails += expected.0.len();
        zones += expected.1.len();
    }
    assert!(
        rails > 250 && zones > 450,
        "{rails} rails and {zones} temperatures: the underlining has gone blind"
    );
    eprintln!("{} lines, {rails} rails, {zones} temperatures", lines.len());
}

#[test]
fn of_real_lines_nothing_is_unknown_but_one_torn_beginning() {
    let Some(lines) = samples() else { return };
    for line in &lines {
        scan(line.as_bytes(), |token| {
            if let Token::Skipped { text, why: Skip::Unknown | Skip::TooLong } = token {
                assert!(
                    line.as_bytes().starts_with(text) && text[0] == b'[',
                    "{} in {line}",
                    text.escape_ascii()
                );
            }
        });
    }
}

#[test]
fn load_and_clock_of_the_gpu_are_read_wherever_they_are_printed() {
    let Some(lines) = samples() else { return };
    for line in &lines {
        let printed = line
            .split_whitespace()
            .skip_while(|word| !matches!(*word, "GR3D_FREQ" | "GR3D"))
            .nth(1);
        let (mut load, mut clock) = (None, None);
        scan(line.as_bytes(), |token| {
            if let Token::Gpu { load: share, clock: mhz } = token {
                (load, clock) = (share, mhz);
            }
        });
        let percent = printed
            .and_then(|printed| printed.split_once('%'))
            .map(|(percent, _)| percent.parse::<f32>().unwrap());
        assert_eq!(load.map(|load| (load * 100.0).round()), percent, "{line}");
        let fastest = printed.and_then(|printed| printed.split_once('@')).map(|(_, clocks)| {
            clocks
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|mhz| mhz.parse::<f32>().ok())
                .fold(0.0, f32::max)
        });
        assert_eq!(clock.map(|clock| clock.0), fastest.filter(|mhz| *mhz > 0.0), "{line}");
    }
}

#[test]
fn every_real_line_makes_a_board_whose_readings_stay_in_their_places() {
    let Some(lines) = samples() else { return };
    let mut readings = Sample::default();
    for line in &lines {
        let mut board = Board::default();
        assert!(board.take(line.as_bytes()), "{line}");
        board.fix();
        let (first, inventory) = (board.latest().clone(), board.inventory().clone());
        assert_eq!(
            (first.rails.len(), first.temperatures.len()),
            (inventory.rails.len(), inventory.zones.len()),
            "{line}"
        );
        assert!(inventory.rails.is_empty() || inventory.total.is_some(), "{line}");
        assert!(board.take(line.as_bytes()), "{line}");
        assert_eq!((&first, &inventory), (board.latest(), board.inventory()), "{line}");
        board.blank(&mut readings);
        assert!(
            readings.rails.iter().all(Option::is_none) && readings.rails.len() == first.rails.len()
        );
    }
}
