//! Models rewritten for TensorRT answer as they did before: run in ONNX Runtime, the one runtime
//! that takes them all.
//!
//! A small made-up one, whose answers can be worked out, and every shipped int8 file on photos.
//! That TensorRT takes them is another test's affair (tensorrt_real).

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::common::onnx_model::Model;
use crate::common::quantised_model;
use crate::common::shelf::{Shelf, runtime};
use crate::common::skip_without;
use squint::engine::catalog::Catalog;
use squint::engine::tensorrt::model::{self, Refused};
use squint::engine::tensorrt::plan::name::Sha256;
use squint::engine::{Answer, Backend, Look, looker};
use squint::frame::Framing;
use squint::source::decode_image;
use squint::stats::{mean, wilson95};

type Way = (&'static str, fn(&[u8]) -> Result<Cow<'_, [u8]>, Refused>);

fn plain_half(onnx: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    let plain = model::plain(onnx)?;
    Ok(Cow::Owned(model::half(&plain)?.into_owned()))
}

const WAYS: [Way; 3] = [
    ("plain", model::plain),
    ("plain in half precision", plain_half),
    ("symmetric", model::symmetric),
];
/// An engine for each shipped int8 file.
const SHIPPED: [&str; 4] = ["lite0-160-int8", "lite1-240-int8", "lite2-224-int8", "lite2-260-int8"];

#[test]
fn a_small_quantised_network_answers_the_same_whichever_way_it_is_rewritten() {
    let original = quantised_model::model(12, 8);
    let ways = std::iter::once(("as it is", original.clone()))
        .chain(WAYS.map(|(name, way)| (name, way(&original).unwrap().into_owned())));
    for (way, bytes) in ways {
        let shelf = Shelf::new();
        shelf.network_from_bytes("small", &Model::brightest(12, 8), &bytes);
        let (catalog, problems) = Catalog::open(shelf.path());
        assert!(problems.is_empty(), "{problems:?}");
        let mut engine = runtime().load(catalog.get("small").unwrap()).unwrap();
        // Negative means are cut off by the range alone, and so are those above 2.55.
        for means in [[1.0, 0.5, 2.0], [-1.5, 1.0, -2.0], [3.0, -0.5, 0.25], [0.0; 3]] {
            engine.input().chunks_mut(12 * 8).zip(means).for_each(|(plane, mean)| plane.fill(mean));
            let mut scores = [0.0; 3];
            engine.run(&mut scores).unwrap();
            let expected = quantised_model::answer(means);
            let worst = scores
                .iter()
                .zip(expected)
                .map(|(score, want)| (score - want).abs())
                .fold(0.0, f32::max);
            assert!(worst < 0.05, "{way}, {means:?}: {scores:?}, not {expected:?}");
        }
    }
}

/// What the ways make of [`quantised_model`] and of the file of the first shipped engine, by
/// sha256.
const MADE: (u32, [&str; 2]) = (1, ["b628d39be138", "386daf330089"]);

#[test]
fn another_outcome_is_another_version_of_the_rewriting() {
    let (catalog, _) = Catalog::open(&root().join("engines"));
    let squint::engine::manifest::Kind::Network(network) = &catalog.get(SHIPPED[0]).unwrap().kind
    else {
        panic!("a network")
    };
    let models = [quantised_model::model(12, 8), std::fs::read(&network.file).unwrap()];
    let made = models
        .map(|onnx| Sha256::of(&WAYS.map(|(_, way)| way(&onnx).unwrap().into_owned()).concat()));
    let words = "plans that were built before would be taken for what is made now: raise REWRITING, then note both here (or only the \
                 sha256, if a shipped file is another)";
    assert_eq!((model::REWRITING, made.each_ref().map(Sha256::short)), MADE, "{words}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The shipped engine `id`, its model as `way` makes it.
fn shipped(id: &str, way: impl Fn(&[u8]) -> Vec<u8>) -> Box<dyn Look> {
    let (catalog, _) = Catalog::open(&root().join("engines"));
    let squint::engine::manifest::Kind::Network(network) = &catalog.get(id).unwrap().kind else {
        panic!("{id} is a network")
    };
    let bytes = way(&std::fs::read(&network.file).unwrap());
    let shelf = Shelf::new();
    let labels = std::fs::read(root().join("engines/labels/imagenet1k.txt")).unwrap();
    shelf.write("labels/imagenet1k.txt", labels);
    let manifest =
        std::fs::read_to_string(root().join("engines").join(id).join("engine.toml")).unwrap();
    let file = network.file.file_name().unwrap().to_str().unwrap();
    shelf.write(&format!("weights/{file}"), &bytes);
    shelf.write(
        &format!("{id}/engine.toml"),
        manifest.replace(&network.sha256, Sha256::of(&bytes).as_str()),
    );
    let (catalog, problems) = Catalog::open(shelf.path());
    assert!(problems.is_empty(), "{problems:?}");
    looker::load(&catalog, id, &[&runtime()]).unwrap()
}

/// One engine's model before and after, on the same photos.
#[derive(Default)]
struct Compared {
    photos: u64,
    agreed: u64,
    right: [u64; 2],
    differences: Vec<f64>,
}

/// Shows `photos`, each with its class if that is known, to the engine `id` as shipped and as each
/// way makes it.
fn compare(id: &str, photos: &[(PathBuf, Option<u32>)]) -> Vec<Compared> {
    let mut before = shipped(id, <[u8]>::to_vec);
    let mut engines: Vec<_> =
        WAYS.iter().map(|(_, way)| shipped(id, |onnx| way(onnx).unwrap().into_owned())).collect();
    let mut compared: Vec<Compared> = WAYS.iter().map(|_| Compared::default()).collect();
    let (mut one, mut other) = (Answer::default(), Answer::default());
    for (photo, class) in photos {
        let frame = decode_image(photo).unwrap();
        before.look(&frame, &Framing::default(), &mut one).unwrap();
        for (engine, compared) in engines.iter_mut().zip(&mut compared) {
            engine.look(&frame, &Framing::default(), &mut other).unwrap();
            compared.photos += 1;
            compared.agreed += u64::from(one.top[0].class == other.top[0].class);
            for (right, answer) in compared.right.iter_mut().zip([&one, &other]) {
                *right += u64::from(Some(answer.top[0].class) == *class);
            }
            let differences = one
                .probabilities
                .iter()
                .zip(&other.probabilities)
                .map(|(one, other)| (one - other).abs());
            compared.differences.push(f64::from(differences.fold(0.0, f32::max)));
        }
    }
    compared
}

fn test_photos() -> Vec<(PathBuf, Option<u32>)> {
    let entries = root().join("tests/data/photos").read_dir().unwrap();
    let mut photos: Vec<_> = entries.map(|entry| (entry.unwrap().path(), None)).collect();
    photos.sort();
    photos
}

/// The labelled photos, every `step`th. They are research data and no part of the repository; they
/// lie beside it where the project is developed.
fn labelled_photos(step: usize) -> Option<Vec<(PathBuf, Option<u32>)>> {
    let folder = root().join("../shared/data/photos");
    let Ok(text) = std::fs::read_to_string(folder.join("labels.csv")) else {
        skip_without("photos", format_args!("no {}/labels.csv", folder.display()));
        return None;
    };
    let rows = text.lines().skip(1).step_by(step).map(|row| {
        let mut cells = row.split(',');
        (folder.join(cells.next().unwrap()), Some(cells.next().unwrap().parse().unwrap()))
    });
    Some(rows.collect())
}

#[test]
fn every_shipped_int8_network_answers_on_photos_as_before() {
    let photos = test_photos();
    for id in SHIPPED {
        for ((way, _), compared) in WAYS.iter().zip(compare(id, &photos)) {
            let Compared { photos, agreed, differences, .. } = compared;
            assert!(photos == 6 && agreed >= 5, "{id}, {way}: {agreed} of {photos}");
            // A photo of which the network is unsure may move far; most hardly do.
            let mean = mean(&differences).unwrap();
            assert!(mean < 0.12, "{id}, {way}: {differences:?}");
        }
    }
}

#[test]
fn on_labelled_photos_a_rewritten_network_is_right_as_often_as_before() {
    let Some(photos) = labelled_photos(8) else { return };
    for ((way, _), compared) in WAYS.iter().zip(compare("lite0-160-int8", &photos)) {
        let [before, after] = compared.right;
        assert!(
            compared.agreed * 100 >= compared.photos * 92,
            "{way}: {} of {}",
            compared.agreed,
            compared.photos
        );
        assert!(
            after + 4 >= before,
            "{way}: right {after} times, before {before}, of {}",
            compared.photos
        );
    }
}

/// For the table in docs/reference/engines.md:
/// `cargo test --release --test engine model_rewrites -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes: prints the figures of docs/reference/engines.md"]
fn figures_of_every_shipped_int8_network_on_all_labelled_photos() {
    let photos = labelled_photos(1).expect("the labelled photos");
    let share = |hits: u64, n: u64| {
        let (low, high) = wilson95(hits, n);
        format!(
            "{:.1} % ({:.1} to {:.1})",
            100.0 * hits as f64 / n as f64,
            100.0 * low,
            100.0 * high
        )
    };
    for id in SHIPPED {
        for ((way, _), compared) in WAYS.iter().zip(compare(id, &photos)) {
            let Compared { photos, agreed, right: [before, after], differences } = compared;
            let worst = differences.iter().copied().fold(0.0, f64::max);
            let mean = mean(&differences).unwrap();
            println!(
                "| {id} | {way} | {photos} | {} | {} | {} | {mean:.3} | {worst:.2} |",
                share(before, photos),
                share(after, photos),
                share(agreed, photos)
            );
        }
    }
}
