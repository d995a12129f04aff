//! From a folder of photos to a verdict on int8: what is fed, what is held out, what two engines
//! say of it, what TensorRT's file holds.
//!
//! The engines are fakes: they prove the arithmetic, nothing of TensorRT's calibration.

use std::path::Path;
use std::time::Duration;

use squint::engine::manifest::{self, Kind, Network};
use squint::engine::tensorrt::calibration::cache::CalibrationCache;
use squint::engine::tensorrt::calibration::pictures::{Feed, Pictures};
use squint::engine::tensorrt::calibration::trial::judge;
use squint::engine::{Engine, EngineError};

/// Reads the mean of the tensor, in steps of `step`; 0 is exact. Class 0 is dark, class 1 bright.
struct Fake {
    step: f32,
    looks: usize,
    fails: bool,
    input: Vec<f32>,
}

impl Fake {
    fn new(step: f32) -> Self {
        Self { step, looks: 0, fails: false, input: vec![0.0; 3 * 4 * 4] }
    }
}

impl Engine for Fake {
    fn input(&mut self) -> &mut [f32] {
        &mut self.input
    }

    fn run(&mut self, output: &mut [f32]) -> Result<Option<Duration>, EngineError> {
        self.looks += 1;
        if self.fails {
            return Err(EngineError::Run { id: "fake".into(), reason: "out of memory".into() });
        }
        let mean = self.input.iter().sum::<f32>() / self.input.len() as f32;
        let seen = if self.step > 0.0 { (mean / self.step).round() * self.step } else { mean };
        output.copy_from_slice(&[-seen, seen]);
        Ok(None)
    }
}

fn network() -> Network {
    let text = format!(
        "format = 1\nid = \"mine\"\nruntime = \"onnxruntime\"\n\
         [model]\nfile = \"m.onnx\"\nsha256 = \"{}\"\nprecision = \"float32\"\nlicence = \"MIT\"\norigin = \"a test\"\n\
         [input]\nwidth = 4\nheight = 4\nlayout = \"nchw\"\nchannels = \"rgb\"\nmean = [127, 127, 127]\nstd = [64, 64, 64]\n\
         [output]\nkind = \"logits\"\nlabels = \"two.txt\"\n",
        "0".repeat(64)
    );
    let Kind::Network(mut network) =
        manifest::parse(&text, Path::new("mine/engine.toml")).unwrap().kind
    else {
        panic!("a network")
    };
    network.classes = 2;
    *network
}

/// 100 plain photos from black to white.
fn photos() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for at in 0..100_u16 {
        let grey = image::Rgb([(at * 5 / 2) as u8; 3]);
        image::RgbImage::from_pixel(6, 5, grey)
            .save(folder.path().join(format!("{at:03}.png")))
            .unwrap();
    }
    folder
}

#[test]
fn what_is_held_out_is_shown_to_both_engines_and_never_fed() {
    let (folder, network) = (photos(), network());
    let pictures = Pictures::gather(folder.path()).unwrap();
    let mut feed = Feed::new(&pictures.fed, &network.input, &network.view);
    let mut batch = vec![0.0; 32 * feed.values()];
    let sizes: Vec<usize> = std::iter::repeat_with(|| feed.next_batch(&mut batch))
        .take_while(|count| *count > 0)
        .collect();
    assert_eq!((sizes, feed.fed()), (vec![32, 32, 16], 80));
    assert!(pictures.held_out.iter().all(|path| !pictures.fed.contains(path)));

    let (mut float32, mut int8) = (Fake::new(0.0), Fake::new(0.01));
    let verdict = judge(&network, &pictures.held_out, &mut float32, &mut int8).unwrap();
    assert_eq!((verdict.pictures, float32.looks, int8.looks), (20, 20, 20));
    assert!(verdict.accepted() && verdict.difference < 0.01, "{verdict}");
}

#[test]
fn an_int8_engine_that_answers_otherwise_is_refused_with_the_figures() {
    let (folder, network) = (photos(), network());
    let pictures = Pictures::gather(folder.path()).unwrap();
    let verdict =
        judge(&network, &pictures.held_out, &mut Fake::new(0.0), &mut Fake::new(3.0)).unwrap();
    assert!(!verdict.accepted(), "{verdict}");
    assert!(
        verdict.to_string().contains("on 20 held-out pictures int8 agrees with float32 in"),
        "{verdict}"
    );
}

#[test]
fn an_engine_that_fails_and_photos_that_cannot_be_read_give_no_verdict() {
    let (folder, network) = (photos(), network());
    let pictures = Pictures::gather(folder.path()).unwrap();
    let mut failing = Fake { fails: true, ..Fake::new(0.0) };
    let error = judge(&network, &pictures.held_out, &mut Fake::new(0.0), &mut failing).unwrap_err();
    assert!(error.to_string().contains("out of memory"), "{error}");
    for path in &pictures.held_out {
        std::fs::write(path, "no picture").unwrap();
    }
    let error =
        judge(&network, &pictures.held_out, &mut Fake::new(0.0), &mut Fake::new(0.0)).unwrap_err();
    assert_eq!(error.to_string(), "none of 20 held-out pictures can be read");
}

#[test]
fn the_file_is_tensorrts_and_good_for_its_release_alone() {
    let text = "TRT-8201-EntropyCalibration2\ninput: 3c010a14\n(Unnamed Layer* 3) [Convolution]_output: 3d2d7e8f\n";
    let cache = CalibrationCache::parse(text.as_bytes()).unwrap();
    assert_eq!(cache.to_string(), text);
    assert!(cache.check("8.2.1".parse().unwrap()).is_ok());
    let other = cache.check("8.4.1".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(
        other,
        "made by TensorRT 8.2.1, this is 8.4.1; `squint engines calibrate` makes it anew"
    );
}
