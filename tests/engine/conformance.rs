//! What every engine owes the pipeline, whatever it is made of and whatever runs it: small networks
//! of each kind, ensembles, the shipped ones.
//!
//! Needs the ONNX Runtime library that `make deps` fetches, and nothing else: the small models are
//! written by the test itself. TensorRT is the one of tests/standin/nvidia.c, which proves that our
//! backend owes nothing and says nothing about NVIDIA's library.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::allocations::allocations;
use crate::common::fakes::{Act, FakeLook};
use crate::common::nvidia;
use crate::common::onnx_model::{Finish, Model};
use crate::common::shelf::{Shelf, runtime};
use squint::engine::catalog::Catalog;
use squint::engine::manifest::{Area, InputSpec, Kind, Scores, TensorLayout, View};
use squint::engine::preprocess::Preprocessor;
use squint::engine::{Answer, Backend, Engine, EngineError, Look, looker, score};
use squint::frame::{CameraId, Colorimetry, Frame, Framing, Layout, Memory, PixelFormat, Rotation};

fn filled(width: u32, height: u32, pixel: impl Fn(usize) -> u8) -> Frame {
    let bytes: Arc<[u8]> = (0..width as usize * height as usize * 3).map(pixel).collect();
    Frame::from_rgb(bytes, width, height, None).unwrap()
}

fn colour(width: u32, height: u32, [r, g, b]: [u8; 3]) -> Frame {
    filled(width, height, |index| [r, g, b][index % 3])
}

fn noise(width: u32, height: u32) -> Frame {
    filled(width, height, |index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
}

/// A backend, as far as the suite has to know: how an engine for it is put on a shelf.
struct House {
    name: &'static str,
    add: fn(&Shelf, &str, &Model),
    /// It takes models whose sides are open. A TensorRT plan has the sides it was built for.
    open_sides: bool,
}

/// All backends.
const HOUSES: [House; 2] = [
    House { name: "onnxruntime", add: Shelf::network, open_sides: true },
    House { name: "tensorrt", add: nvidia::add_plan, open_sides: false },
];

impl House {
    /// One engine of every kind.
    fn every_kind(&self) -> Shelf {
        let shelf = Shelf::new();
        let brightest = Model::brightest(12, 8);
        (self.add)(&shelf, "nchw", &brightest);
        (self.add)(&shelf, "nhwc", &Model { nhwc: true, ..brightest.clone() });
        if self.open_sides {
            (self.add)(&shelf, "open-sides", &Model { symbolic: true, ..brightest.clone() });
        }
        (self.add)(
            &shelf,
            "probabilities",
            &Model { finish: Finish::Softmax, ..brightest.clone() },
        );
        (self.add)(&shelf, "gray", &Model::bright_or_dark(5, 7));
        shelf.ensemble("pair", &["nchw", "probabilities"]);
        shelf.ensemble("nested", &["pair", "nhwc"]);
        shelf
    }
}

fn open(folder: &Path) -> Catalog {
    let (catalog, problems) = Catalog::open(folder);
    assert!(problems.is_empty(), "{problems:?}");
    catalog
}

fn load(catalog: &Catalog, id: &str) -> Box<dyn Look> {
    looker::load(catalog, id, &[&runtime(), &nvidia::backend()])
        .unwrap_or_else(|error| panic!("{id}: {error}"))
}

fn look(engine: &mut dyn Look, frame: &Frame) -> Answer {
    let mut answer = Answer::default();
    engine.look(frame, &Framing::default(), &mut answer).unwrap();
    answer
}

fn assert_sound(answer: &Answer, classes: usize, what: &str) {
    assert_eq!(answer.probabilities.len(), classes, "{what}");
    assert_eq!(answer.ranked, classes.min(squint::engine::KEPT), "{what}");
    let sum: f32 = answer.probabilities.iter().sum();
    assert!((sum - 1.0).abs() < 1e-3, "{what}: probabilities sum to {sum}");
    assert!(answer.probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{what}");
    let falling = answer.top[..answer.ranked]
        .windows(2)
        .all(|pair| pair[0].probability >= pair[1].probability);
    assert!(falling, "{what}: {:?}", answer.top);
    assert!(
        (0.0..=1.0).contains(&answer.margin) && (0.0..=1.0).contains(&answer.entropy),
        "{what}"
    );
}

fn owes(catalog: &Catalog, id: &str) {
    let classes = catalog.labels(id).unwrap().classes.len();
    let (mut one, mut other) = (load(catalog, id), load(catalog, id));
    let frames = [
        colour(1, 1, [9, 9, 9]),
        noise(17, 3),
        noise(641, 479),
        colour(64, 48, [0, 0, 0]),
        colour(64, 48, [255, 255, 255]),
        noise(320, 240),
    ];
    let first: Vec<Answer> = frames.iter().map(|frame| look(one.as_mut(), frame)).collect();
    for (answer, frame) in first.iter().zip(&frames) {
        assert_sound(answer, classes, &format!("{id} on {frame:?}"));
    }
    for (answer, frame) in first.iter().zip(&frames).rev() {
        assert_eq!(
            &look(one.as_mut(), frame),
            answer,
            "{id}: the same frame, the same answer, whatever came between"
        );
        assert_eq!(&look(other.as_mut(), frame), answer, "{id}: two copies agree");
    }
    let turned = Framing { rotation: Rotation::Clockwise90, ..Framing::default() };
    let mut answer = Answer::default();
    one.look(&frames[2], &turned, &mut answer).unwrap();
    assert_sound(&answer, classes, &format!("{id}, turned"));
}

#[test]
fn every_kind_of_engine_owes_the_same() {
    for house in HOUSES {
        let shelf = house.every_kind();
        let catalog = open(shelf.path());
        assert_eq!(catalog.ids().count(), 6 + usize::from(house.open_sides), "{}", house.name);
        for id in catalog.ids() {
            owes(&catalog, id);
        }
    }
}

#[test]
fn every_shipped_engine_owes_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines");
    if !folder.is_dir() {
        return;
    }
    let catalog = open(&folder);
    assert_eq!(catalog.verify_files(catalog.ids()), []);
    for id in catalog.ids() {
        owes(&catalog, id);
    }
}

#[test]
fn networks_see_what_is_there() {
    for house in HOUSES {
        let shelf = house.every_kind();
        let catalog = open(shelf.path());
        for id in catalog.ids().filter(|id| *id != "gray") {
            let mut engine = load(&catalog, id);
            for (class, pixel) in
                [[200, 20, 90], [20, 200, 90], [20, 90, 200]].into_iter().enumerate()
            {
                let answer = look(engine.as_mut(), &colour(30, 20, pixel));
                assert_eq!(
                    answer.top[0].class as usize, class,
                    "{}: {id} on {pixel:?}",
                    house.name
                );
            }
        }
        let mut gray = load(&catalog, "gray");
        assert_eq!(look(gray.as_mut(), &colour(9, 9, [20, 20, 20])).top[0].class, 0);
        assert_eq!(look(gray.as_mut(), &colour(9, 9, [230, 230, 230])).top[0].class, 1);
    }
}

#[test]
fn backends_agree_on_what_they_see() {
    let shelves = HOUSES.map(|house| house.every_kind());
    let [cpu, gpu] = shelves.each_ref().map(|shelf| open(shelf.path()));
    let frame = noise(64, 48);
    for id in gpu.ids() {
        let [one, other] = [&cpu, &gpu].map(|catalog| look(load(catalog, id).as_mut(), &frame));
        for (one, other) in one.probabilities.iter().zip(&other.probabilities) {
            assert!((one - other).abs() < 1e-5, "{id}: {one} and {other}");
        }
    }
}

#[test]
fn an_ensemble_may_have_members_on_cpu_and_gpu() {
    let shelf = Shelf::new();
    shelf.network("cpu", &Model::brightest(12, 8));
    nvidia::add_plan(&shelf, "gpu", &Model { finish: Finish::Softmax, ..Model::brightest(8, 6) });
    shelf.ensemble("mixed", &["cpu", "gpu"]);
    let catalog = open(shelf.path());
    owes(&catalog, "mixed");
    let frame = colour(30, 20, [180, 120, 60]);
    let [cpu, gpu, mixed] =
        ["cpu", "gpu", "mixed"].map(|id| look(load(&catalog, id).as_mut(), &frame));
    for class in 0..3 {
        let want = (cpu.probabilities[class] + gpu.probabilities[class]) / 2.0;
        assert!((mixed.probabilities[class] - want).abs() < 1e-6);
    }
    let device = |id: &str| {
        load(&catalog, id).look(&frame, &Framing::default(), &mut Answer::default()).unwrap().device
    };
    assert_eq!(device("cpu"), None, "a CPU has no clock of its own");
    assert!(device("gpu").is_some() && device("mixed").is_some());
}

#[test]
fn an_ensemble_is_the_mean_of_its_members() {
    let shelf = HOUSES[0].every_kind();
    shelf.edit("pair", "members", "weights = [3.0, 1.0]\nmembers");
    let catalog = open(shelf.path());
    let frame = colour(30, 20, [180, 120, 60]);
    let [one, other, pair] =
        ["nchw", "probabilities", "pair"].map(|id| look(load(&catalog, id).as_mut(), &frame));
    for class in 0..3 {
        let want = 0.75 * one.probabilities[class] + 0.25 * other.probabilities[class];
        assert!((pair.probabilities[class] - want).abs() < 1e-6);
    }
    // The scores are (180, 120, 60) less 100, by 50: softmax of 1.6, 0.4, -0.8.
    assert!((one.probabilities[0] - 0.718_01).abs() < 1e-3, "{:?}", one.probabilities);
}

#[test]
fn a_score_that_is_not_finite_is_an_error_and_the_next_frame_is_answered() {
    for house in HOUSES {
        let shelf = Shelf::new();
        (house.add)(&shelf, "roots", &Model { finish: Finish::Root, ..Model::brightest(4, 4) });
        let mut engine = load(&open(shelf.path()), "roots");
        let mut answer = Answer::default();
        for _ in 0..3 {
            let error = engine
                .look(&colour(8, 8, [200, 10, 200]), &Framing::default(), &mut answer)
                .unwrap_err();
            assert!(
                matches!(&error, EngineError::NotFinite { id, class: 1 } if id == "roots"),
                "{}: {error}",
                house.name
            );
            assert_sound(
                &look(engine.as_mut(), &colour(8, 8, [200, 210, 220])),
                3,
                "after the error",
            );
        }
    }
}

#[test]
fn room_for_the_wrong_number_of_scores_is_refused_and_the_engine_goes_on() {
    for house in HOUSES {
        let shelf = Shelf::new();
        (house.add)(&shelf, "small", &Model::brightest(4, 2));
        let catalog = open(shelf.path());
        refuses_the_wrong_number(bare(&catalog, "small").as_mut());
    }
}

/// The bare network.
fn bare(catalog: &Catalog, id: &str) -> Box<dyn Engine> {
    let manifest = catalog.get(id).unwrap();
    let Kind::Network(network) = &manifest.kind else { panic!("{id} is no network") };
    if network.runtime == "tensorrt" {
        nvidia::backend().load(manifest)
    } else {
        runtime().load(manifest)
    }
    .unwrap()
}

fn refuses_the_wrong_number(engine: &mut dyn Engine) {
    let mut scores = [0.0; 3];
    assert_eq!(engine.input().len(), 24);
    engine.input().fill(0.5);
    assert!(matches!(
        engine.run(&mut scores[..2]),
        Err(EngineError::Shape { want: 3, got: 2, .. })
    ));
    engine.run(&mut scores).unwrap();
    assert_eq!(scores, [0.5; 3]);
    assert_eq!(engine.input(), [0.5; 24], "a run leaves it as it is");
    engine.input().fill(f32::NAN);
    assert!(matches!(engine.run(&mut scores), Err(EngineError::NotFinite { class: 0, .. })));
    engine.input().fill(0.5);
    engine.run(&mut scores).unwrap();
    assert_eq!(scores, [0.5; 3]);
}

#[test]
fn engines_run_side_by_side_on_their_own_threads() {
    let shelves = HOUSES.map(|house| house.every_kind());
    let catalogs = shelves.each_ref().map(|shelf| open(shelf.path()));
    let frame = noise(64, 48);
    std::thread::scope(|scope| {
        for (catalog, id) in
            catalogs.iter().flat_map(|catalog| ["nchw", "gray"].map(|id| (catalog, id)))
        {
            let (frame, want) = (&frame, look(load(catalog, id).as_mut(), &frame));
            scope.spawn(move || {
                let mut engine = load(catalog, id);
                for _ in 0..200 {
                    assert_eq!(look(engine.as_mut(), frame), want);
                }
            });
        }
    });
}

#[test]
fn an_engine_may_go_from_thread_to_thread() {
    for house in HOUSES {
        let shelf = house.every_kind();
        let mut engine = load(&open(shelf.path()), "nchw");
        let frame = noise(64, 48);
        let want = look(engine.as_mut(), &frame);
        for _ in 0..3 {
            let (engine, frame) = (&mut engine, &frame);
            let answer = std::thread::scope(|scope| {
                scope.spawn(move || look(engine.as_mut(), frame)).join().unwrap()
            });
            assert_eq!(answer, want, "{}", house.name);
        }
    }
}

#[test]
fn a_fake_engine_is_as_bad_as_it_is_told() {
    let acts = [Act::Fail, Act::NotFinite, Act::Answer(2, 0.7)];
    let rule = move |look| acts.get(look as usize).copied().unwrap_or(Act::Unsure);
    let mut fake = FakeLook::new(Duration::from_millis(2), &Arc::default(), rule);
    let frame = colour(2, 2, [0, 0, 0]);
    let mut answer = Answer::default();
    let mut next = |answer: &mut Answer| fake.look(&frame, &Framing::default(), answer);
    assert!(matches!(next(&mut answer), Err(EngineError::Run { .. })));
    assert!(matches!(next(&mut answer), Err(EngineError::NotFinite { .. })));
    assert_eq!(next(&mut answer).unwrap().run, Duration::from_millis(2));
    assert_eq!(answer.top[0].class, 2);
    for _ in 0..2 {
        next(&mut answer).unwrap();
        assert_eq!(answer.margin, 0.0);
    }
}

#[test]
fn nothing_is_allocated_once_warm() {
    let shelf = HOUSES[0].every_kind();
    let catalog = open(shelf.path());
    let Kind::Network(network) = &catalog.get("nchw").unwrap().kind else { panic!() };
    let formats = [
        PixelFormat::Gray8,
        PixelFormat::Rgb,
        PixelFormat::Bgr,
        PixelFormat::Rgbx,
        PixelFormat::Bgrx,
        PixelFormat::Nv12,
        PixelFormat::I420,
    ];
    let frames = formats.map(|format| {
        let layout = Layout::packed(format, 41, 31, Colorimetry::FULL);
        let memory = Memory::Heap(vec![7; layout.bytes()].into());
        Frame::new(memory, layout, CameraId(0), 0, Instant::now(), SystemTime::now(), None).unwrap()
    });
    let views = [
        View::default(),
        View { area: Area::Centre, share: 0.875, mirror: false },
        View { area: Area::Whole, share: 1.0, mirror: true },
    ];
    let framings = [Rotation::None, Rotation::Clockwise90]
        .map(|rotation| Framing { rotation, ..Framing::default() });
    for (layout, view) in [TensorLayout::Nchw, TensorLayout::Nhwc]
        .into_iter()
        .flat_map(|layout| views.map(|view| (layout, view)))
    {
        let mut preprocessor =
            Preprocessor::new(&InputSpec { layout, ..network.input.clone() }, &view);
        let mut tensor = vec![0.0; preprocessor.values()];
        // Warm after each kind once: then also filter tables for another kind of frame fit the room
        // there is.
        let mut all = |frames: &[Frame]| {
            for (frame, framing) in
                frames.iter().flat_map(|frame| framings.iter().map(move |framing| (frame, framing)))
            {
                preprocessor.prepare(frame, framing, &mut tensor).unwrap();
            }
        };
        all(&frames);
        assert_eq!(allocations(|| all(&frames)), 0, "{layout:?} {view:?}");
        assert_eq!(
            allocations(|| frames.iter().rev().for_each(|frame| all(std::slice::from_ref(frame)))),
            0
        );
    }
    let mut scores = vec![0.0; 3];
    for house in HOUSES {
        let shelf = house.every_kind();
        let mut engine = bare(&open(shelf.path()), "nchw");
        let mut run = || {
            engine.input().fill(0.5);
            engine.run(&mut scores).unwrap();
        };
        run();
        assert_eq!(
            allocations(run),
            0,
            "{}: Squint's own; the runtime's are its own affair",
            house.name
        );
    }
    let (mut answer, mut mean) = (Answer::default(), Answer::default());
    score::fill(&mut answer, &scores, Scores::Logits);
    score::absorb(&mut mean, &answer, 1);
    let score = || {
        score::fill(&mut answer, &scores, Scores::Logits);
        score::absorb(&mut mean, &answer, 2);
    };
    assert_eq!(allocations(score), 0);
}
