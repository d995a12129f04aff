//! Small made-up profiles for tests.

use super::{Case, Column, Origin, Profile, Seen};
use crate::engine::{KEPT, Top};
use crate::features::{COUNT, Features, GLIMPSE_HEIGHT, GLIMPSE_WIDTH};
use crate::stats::{splitmix64, unit};

/// `n` photos of four classes; one engine for each `(ms, chance of being right)`, called `e0`,
/// `e1`, ... A right answer tends to be surer.
pub(crate) fn profile(n: usize, engines: &[(f64, f64)]) -> Profile {
    let draw = |case: usize, what: u64| unit(splitmix64(splitmix64(case as u64) ^ what));
    let cases: Vec<Case> = (0..n)
        .map(|case| {
            let mut values = [0.0; COUNT];
            values.iter_mut().zip(100..).for_each(|(value, what)| *value = draw(case, what) as f32);
            Case {
                name: format!("{case}.jpg").into(),
                label: (draw(case, 1) * 4.0) as u32,
                group: case as u32,
                features: Features { values },
                features_ms: 0.1,
                glimpse: [(draw(case, 2) * 255.0) as u8; GLIMPSE_WIDTH * GLIMPSE_HEIGHT],
                at_ms: None,
            }
        })
        .collect();
    let engines = engines.iter().enumerate().map(|(engine, &(ms, chance))| {
        let look = |case: usize| {
            let right = draw(case, 3 + engine as u64) < chance;
            let label = cases[case].label;
            let class = if right { label } else { (label + 1) % 4 };
            let sure = (0.3 + 0.35 * draw(case, 50 + engine as u64) + if right { 0.3 } else { 0.0 })
                as f32;
            let mut top = [Top::default(); KEPT];
            top[0] = Top { class, probability: sure };
            for (place, slot) in top.iter_mut().enumerate().take(4).skip(1) {
                *slot = Top { class: (class + place as u32) % 4, probability: (1.0 - sure) / 3.0 };
            }
            let margin = sure - (1.0 - sure) / 3.0;
            Some(Seen {
                top,
                ranked: 4,
                margin,
                entropy: 1.0 - sure,
                latency_ms: Some(ms as f32),
                energy_mj: None,
            })
        };
        Column {
            id: format!("e{engine}"),
            sha256: format!("{engine:064x}"),
            labels_sha256: "0".repeat(64),
            networks: 1,
            promised: None,
            mean_ms: ms,
            energy_mj: None,
            looks: (0..n).map(look).collect(),
        }
    });
    let engines: Vec<Column> = engines.collect();
    let origin =
        Origin { feature_schema: crate::features::schema().to_owned(), ..Origin::default() };
    let profile = Profile { origin, classes: 4, class_names: Vec::new(), engines, cases };
    profile.check().expect("sound");
    profile
}
