//! Profile files of made-up photos and engines, written by the library's own writer: no engine
//! runs, no picture is read.

use std::path::{Path, PathBuf};

use squint::engine::{KEPT, Top};
use squint::features::{COUNT, Features, GLIMPSE_HEIGHT, GLIMPSE_WIDTH, schema};
use squint::lab::profile::file::{EngineHead, Head, Row, Writer};
use squint::lab::profile::{Case, Origin, Profile, Seen};
use squint::stats::{splitmix64, unit};

/// Classes of the made-up photos.
pub const CLASSES: u32 = 20;
/// Engines of the small profile: mean time in ms and chance of being right, called `small`,
/// `middle`, `large`.
pub const ENGINES: [(&str, f64, f64); 3] =
    [("small", 1.0, 0.6), ("middle", 2.0, 0.75), ("large", 8.0, 0.85)];

/// A number of 0..1 for each photo and purpose.
pub fn draw(photo: u64, what: u64) -> f64 {
    unit(splitmix64(splitmix64(photo) ^ what))
}

/// What the file says of engines with these ids, times and chances.
pub fn head<'a>(engines: impl IntoIterator<Item = (&'a str, f64, f64)>) -> Head {
    let engine = |(place, (id, mean_ms, _)): (usize, (&str, f64, f64))| EngineHead {
        id: id.to_owned(),
        sha256: format!("{place:064x}"),
        labels_sha256: "0".repeat(64),
        networks: 1,
        mean_ms,
        energy_mj: None,
        promised: None,
    };
    Head {
        origin: Origin {
            date: "2026-01-02".into(),
            tool: "a test".into(),
            machine: "no machine".into(),
            data: "made-up photos".into(),
            feature_schema: schema().to_owned(),
            ..Origin::default()
        },
        classes: CLASSES,
        class_names: Vec::new(),
        engines: engines.into_iter().enumerate().map(engine).collect(),
        unreadable: Vec::new(),
    }
}

/// Photo number `photo` and the answers of engines that are right with these chances. Some photos
/// are harder for all, the first feature says so with some noise, and a right answer tends to be
/// surer; of a wrong one, half have the label among the best five. Every photo is timed.
pub fn row(photo: u64, engines: &[(f64, f64)]) -> Row {
    let hardness = draw(photo, 1);
    let mut values = [0.0; COUNT];
    values.iter_mut().zip(100..).for_each(|(value, what)| *value = draw(photo, what) as f32);
    values[0] = (0.7 * hardness + 0.3 * draw(photo, 2)) as f32;
    let label = (draw(photo, 3) * f64::from(CLASSES)) as u32 % CLASSES;
    let look = |(place, (ms, chance)): (usize, &(f64, f64))| {
        let what = 1000 * (place as u64 + 1);
        let right = 0.6 * hardness + 0.4 * draw(photo, what) < *chance;
        let class = if right {
            label
        } else {
            (label + CLASSES - 1 - (draw(photo, what + 1) * 8.0) as u32) % CLASSES
        };
        let sure = 0.25 + 0.35 * draw(photo, what + 2) + if right { 0.3 } else { 0.0 };
        let mut top = [Top::default(); KEPT];
        for (rank, slot) in top.iter_mut().enumerate() {
            let probability = if rank == 0 { sure } else { (1.0 - sure) / KEPT as f64 };
            *slot = Top { class: (class + rank as u32) % CLASSES, probability: probability as f32 };
        }
        let margin = (sure - (1.0 - sure) / KEPT as f64) as f32;
        let latency_ms = Some((ms * (0.9 + 0.2 * draw(photo, what + 3))) as f32);
        Some(Seen {
            top,
            ranked: KEPT as u8,
            margin,
            entropy: (1.0 - sure) as f32,
            latency_ms,
            energy_mj: None,
        })
    };
    Row {
        case: Case {
            name: format!("{photo:05}.jpg").into(),
            label,
            group: photo as u32,
            features: Features { values },
            features_ms: 0.1,
            glimpse: [(hardness * 255.0) as u8; GLIMPSE_WIDTH * GLIMPSE_HEIGHT],
            at_ms: None,
        },
        looks: engines.iter().enumerate().map(look).collect(),
    }
}

/// Writes a profile row by row, so that its size does not matter.
pub fn write(path: &Path, head: &Head, rows: impl IntoIterator<Item = Row>) -> PathBuf {
    let ids: Vec<String> = head.engines.iter().map(|engine| engine.id.clone()).collect();
    let mut writer = Writer::create(path, &ids).expect("a new file");
    rows.into_iter().for_each(|row| writer.push(row).expect("as many answers as engines"));
    writer.finish(head).expect("a whole file");
    path.to_owned()
}

/// The rows of `n` photos with [`ENGINES`].
pub fn rows(n: u64) -> Vec<Row> {
    (0..n).map(|photo| row(photo, &ENGINES.map(|(_, ms, chance)| (ms, chance)))).collect()
}

/// A profile of `n` photos with [`ENGINES`] in `folder`.
pub fn small(folder: &Path, n: u64) -> PathBuf {
    changed(folder, n, |_| ())
}

/// The same with some rows changed first.
pub fn changed(folder: &Path, n: u64, change: impl Fn(&mut Row)) -> PathBuf {
    let mut rows = rows(n);
    rows.iter_mut().for_each(change);
    write(&folder.join("made-up.parquet"), &head(ENGINES), rows)
}

/// Without what differs from run to run.
pub fn untimed(mut profile: Profile) -> Profile {
    profile.origin.sha256.clear();
    profile.cases.iter_mut().for_each(|case| case.features_ms = 0.0);
    profile.origin.glimpse_ms = None;
    for engine in &mut profile.engines {
        (engine.mean_ms, engine.energy_mj) = (1.0, None);
        engine
            .looks
            .iter_mut()
            .flatten()
            .for_each(|seen| (seen.latency_ms, seen.energy_mj) = (None, None));
    }
    profile
}
