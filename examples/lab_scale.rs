//! Writes a made-up profile of any size, for measuring what `squint train` and `squint evaluate`
//! need. Answers and features are seeded draws; the file says nothing about real engines.
//!
//! ```sh
//! cargo run --release --example lab_scale -- 50000 10 /tmp/scale.parquet
//! /usr/bin/time -v target/release/squint train --profile /tmp/scale.parquet --out /tmp/scale.policy.toml
//! ```

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/common/profiles.rs"]
mod profiles;

use std::path::Path;
use std::process::ExitCode;

/// Times and chances of being right from the cheapest to the dearest engine, as those of a family
/// of networks.
fn engine(place: u32, of: u32) -> (f64, f64) {
    let at = f64::from(place) / f64::from(of.saturating_sub(1).max(1));
    (2.0 * 20f64.powf(at), 0.60 + 0.24 * at.sqrt())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let numbers = args
        .first()
        .and_then(|rows| rows.parse::<u64>().ok())
        .zip(args.get(1).and_then(|text| text.parse::<u32>().ok()));
    let (Some((rows, engines)), Some(out)) =
        (numbers.filter(|(_, engines)| (1..=32).contains(engines)), args.get(2))
    else {
        eprintln!("usage: lab_scale ROWS ENGINES FILE; at most 32 engines");
        return ExitCode::from(64);
    };
    let all: Vec<(f64, f64)> = (0..engines).map(|place| engine(place, engines)).collect();
    let names: Vec<String> = (0..engines).map(|place| format!("engine-{place:02}")).collect();
    let head = profiles::head(
        names.iter().zip(&all).map(|(name, (ms, chance))| (name.as_str(), *ms, *chance)),
    );
    let path =
        profiles::write(Path::new(out), &head, (0..rows).map(|photo| profiles::row(photo, &all)));
    println!("{rows} photos, {engines} engines; written to {}", path.display());
    ExitCode::SUCCESS
}
