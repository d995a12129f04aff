//! `engine.toml`, one per engine: from text to a checked [`Manifest`].
//!
//! Pure: parses text that others have read and joins paths without looking at them. Whether the
//! files exist, lie inside the catalogue and hold what they should is [`super::catalog`]'s
//! business. A wrong file is refused with all its problems at once.

mod read;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use read::parse;

use super::hash;

/// Most members that an ensemble names.
pub const MAX_MEMBERS: usize = 8;

/// What an `engine.toml` says, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The engine's name, equal to its folder's.
    pub id: String,
    /// One line for people; may be empty.
    pub description: String,
    /// One network, or several averaged.
    pub kind: Kind,
    /// Accuracy measured elsewhere, as recorded.
    pub accuracy: Vec<Accuracy>,
    /// Latency measured elsewhere, as recorded.
    pub latency: Vec<Latency>,
}

/// What answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// One network, run by a [`super::Backend`].
    Network(Box<Network>),
    /// Other engines, their probabilities averaged.
    Ensemble(Ensemble),
}

/// One network.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Which backend runs it: `onnxruntime`, or `tensorrt`, whose `file` is a plan.
    pub runtime: &'static str,
    /// The model file. Joined with the engine's folder; once from a catalogue, canonical.
    pub file: PathBuf,
    /// sha256 of the file, 64 lower-case hex digits.
    pub sha256: String,
    /// Files beside the model that hold its weights (ONNX external data); empty if the model holds
    /// all of them.
    pub data: Vec<DataFile>,
    /// Precision of the weights; for people.
    pub precision: Precision,
    /// Licence of the weights; for people.
    pub licence: String,
    /// Where the weights come from; for people.
    pub origin: String,
    /// What the network takes.
    pub input: InputSpec,
    /// Which part of the picture it is shown.
    pub view: View,
    /// Name of the output; the model's only one if absent.
    pub output: Option<String>,
    /// What the output means.
    pub scores: Scores,
    /// What a whole number of the output stands for, if the output holds whole numbers.
    pub steps: Option<Steps>,
    /// The labels file, like `file`.
    pub labels: PathBuf,
    /// Number of labels; 0 until the catalogue has read them.
    pub classes: usize,
}

impl Network {
    /// The model and its data files, each with the sha256 that it should have.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        let data = self.data.iter().map(|data| (data.file.as_path(), data.sha256.as_str()));
        std::iter::once((self.file.as_path(), self.sha256.as_str())).chain(data)
    }

    /// What stands for the whole network: the model's sha256; with data files, one made of all
    /// files', hex.
    pub fn fingerprint(&self) -> String {
        if self.data.is_empty() {
            return self.sha256.clone();
        }
        let line = |data: &DataFile| format!("{} {}\n", data.sha256, data.location);
        hash::of_bytes(
            format!("{}\n{}", self.sha256, self.data.iter().map(line).collect::<String>())
                .as_bytes(),
        )
    }
}

/// A file of weights beside a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Joined with the engine's folder; once from a catalogue, canonical.
    pub file: PathBuf,
    /// Relative to the model's folder, as the model names it.
    pub location: String,
    /// sha256 of the file, 64 lower-case hex digits.
    pub sha256: String,
}

/// Whole numbers of a quantised output as real ones: `(number - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    /// Above 0.
    pub scale: f32,
    /// -128..=255.
    pub zero_point: i16,
}

/// Other engines, averaged.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// Engine ids and their weights; weights are positive and sum to 1.
    pub members: Vec<(String, f32)>,
}

/// Precision of a network's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bit floating point.
    Float32,
    /// 16 bit floating point.
    Float16,
    /// Quantised to 8 bit.
    Int8,
}

impl Precision {
    /// The word in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
        }
    }
}

/// What a network takes: one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Name of the input; the model's only one if absent.
    pub name: Option<String>,
    /// Width in pixels, 1..=4096.
    pub width: u32,
    /// Height in pixels, 1..=4096.
    pub height: u32,
    /// Order of the axes.
    pub layout: TensorLayout,
    /// Which channels, in which order.
    pub channels: Channels,
    /// Subtracted from samples on 0..=255; the first `channels.count()` count.
    pub mean: [f32; 3],
    /// Divides what is left; above 0.
    pub std: [f32; 3],
    /// How pixels are averaged.
    pub filter: Filter,
}

impl InputSpec {
    /// Length of the tensor.
    pub fn values(&self) -> usize {
        self.width as usize * self.height as usize * self.channels.count()
    }

    /// Shape of the tensor, batch of one included.
    pub fn shape(&self) -> [usize; 4] {
        let (c, h, w) = (self.channels.count(), self.height as usize, self.width as usize);
        match self.layout {
            TensorLayout::Nchw => [1, c, h, w],
            TensorLayout::Nhwc => [1, h, w, c],
        }
    }
}

/// Order of a tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorLayout {
    /// Planes one after the other.
    Nchw,
    /// Channels of a pixel side by side.
    Nhwc,
}

/// A tensor's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma, ITU-R BT.601 if it has to be computed.
    Gray,
}

impl Channels {
    /// 3 or 1.
    pub const fn count(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Gray => 1,
        }
    }
}

/// Antialiased filters, as Pillow's of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Triangle.
    Bilinear,
    /// Catmull-Rom, a = -0.5.
    Bicubic,
}

/// Which part of what counts a network is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Squeezed whole, or a rectangle of the input's shape.
    pub area: Area,
    /// Share of that area's sides kept, centred, 0.1..=1.
    pub share: f32,
    /// Left and right change places.
    pub mirror: bool,
}

impl Default for View {
    /// All of it, squeezed.
    fn default() -> Self {
        Self { area: Area::Whole, share: 1.0, mirror: false }
    }
}

/// Squeeze or cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// All of it, squeezed.
    Whole,
    /// The largest centred rectangle of the input's aspect ratio.
    Centre,
}

/// What the output means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// Before softmax.
    Logits,
    /// After softmax.
    Probabilities,
}

impl Scores {
    /// The word in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
        }
    }
}

/// Accuracy as recorded by whoever measured it.
#[derive(Clone, Debug, PartialEq)]
pub struct Accuracy {
    /// Which pictures.
    pub data: String,
    /// How many.
    pub pictures: u64,
    /// Share of pictures whose best class is right, 0..=1.
    pub top1: f64,
    /// 95 % confidence interval of `top1`.
    pub top1_ci95: Option<(f64, f64)>,
    /// Share of pictures whose class is among the best five, 0..=1.
    pub top5: Option<f64>,
    /// What measured it.
    pub tool: Option<String>,
}

/// Latency as recorded by whoever measured it.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// On which machine.
    pub machine: String,
    /// With how many threads.
    pub threads: u32,
    /// Median.
    pub p50: Duration,
    /// 95th percentile.
    pub p95: Duration,
}

/// Why a manifest is refused: all that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// The file.
    pub file: String,
    /// One line each.
    pub problems: Vec<String>,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.problems.join("; "))
    }
}

/// True for names that an engine may have: `[a-z0-9._-]`, 1 to 64 characters, not only dots.
pub fn is_id(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && text.bytes().any(|c| c != b'.')
}
