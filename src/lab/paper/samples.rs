//! Made-up profiles for the tests of this module.

use crate::engine::{KEPT, Top};
use crate::features::{COUNT, Features, GLIMPSE_HEIGHT, GLIMPSE_WIDTH};
use crate::lab::profile::{Case, Column, Origin, Profile, Seen};
use crate::stats::{splitmix64, unit};

/// Engines of these times that are right where `hits[case][engine]` says so; where not, the label
/// is their second class. Features are seeded noise.
pub fn of_hits(times: &[f64], hits: &[&[bool]]) -> Profile {
    of(times, hits, |case, feature| unit(splitmix64(case as u64 * 64 + feature as u64)) as f32)
}

/// As [`of_hits`], with features of one's own.
pub fn of(times: &[f64], hits: &[&[bool]], feature: impl Fn(usize, usize) -> f32) -> Profile {
    let classes = 3u32;
    let label = |case: usize| case as u32 % classes;
    let seen = |case: usize, hit: bool| {
        let mut top = [Top::default(); KEPT];
        let classes = if hit {
            [label(case), (label(case) + 1) % classes]
        } else {
            [(label(case) + 1) % classes, label(case)]
        };
        (top[0].class, top[1].class) = (classes[0], classes[1]);
        Seen { top, ranked: 2, margin: 0.5, entropy: 0.5, latency_ms: None, energy_mj: None }
    };
    let engines = times.iter().enumerate().map(|(engine, mean_ms)| Column {
        id: format!("e{engine}"),
        sha256: format!("{engine:x}").repeat(64),
        labels_sha256: String::new(),
        networks: 1,
        promised: None,
        mean_ms: *mean_ms,
        energy_mj: None,
        looks: hits.iter().enumerate().map(|(case, row)| Some(seen(case, row[engine]))).collect(),
    });
    let cases = (0..hits.len()).map(|case| {
        let mut values = [0.0; COUNT];
        values.iter_mut().enumerate().for_each(|(place, value)| *value = feature(case, place));
        Case {
            name: format!("{case}.jpg").into(),
            label: label(case),
            group: case as u32,
            features: Features { values },
            features_ms: 0.25,
            glimpse: [0; GLIMPSE_WIDTH * GLIMPSE_HEIGHT],
            at_ms: None,
        }
    });
    Profile {
        origin: Origin::default(),
        classes,
        class_names: Vec::new(),
        engines: engines.collect(),
        cases: cases.collect(),
    }
}

/// `n` cases that two features (0 and 5) tell apart: below a third of feature 0 the cheap engine is
/// right, up to two thirds only the dear one, then none. Features 1 and 2 are copies of 0 in other
/// units, 3 is constant, the others are noise.
pub fn learnable(n: usize, seed: u64) -> Profile {
    let draw = |case: usize, feature: usize| {
        unit(splitmix64(splitmix64(seed) ^ (case as u64 * 64 + feature as u64)))
    };
    let rows: Vec<[bool; 2]> =
        (0..n).map(|case| [draw(case, 0) < 1.0 / 3.0, draw(case, 0) < 2.0 / 3.0]).collect();
    let rows: Vec<&[bool]> = rows.iter().map(|row| row.as_slice()).collect();
    of(&[1.0, 4.0], &rows, |case, feature| match feature {
        1 => draw(case, 0) as f32 * 200.0,
        2 => 5.0 - draw(case, 0) as f32,
        3 => 7.0,
        _ => draw(case, feature) as f32,
    })
}
