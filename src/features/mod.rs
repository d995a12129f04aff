//! Cheap measurements of a frame: the 29 published features and a few of our own, on a small
//! working image.
//!
//! Pure, allocation-free once [`Scratch`] is warm. Not for decisions: those are in
//! [`crate::policy`]. One file per family, each with its formulas: [`working`] makes the small
//! image, the others measure it, [`schema`] names the results. All pixels are full-range R, G, B
//! and `Y = 0.299 R + 0.587 G + 0.114 B`; `N` pixels, `W` x `H`. What is undefined (the edges of a
//! flat image) is 0, never NaN.

mod brightness;
mod colour;
mod edges;
mod glimpse;
mod keypoints;
mod object;
mod parts;
mod schema;
mod sharpness;
mod shrink;
mod working;

use crate::frame::{Frame, Framing};

pub use glimpse::{GLIMPSE_HEIGHT, GLIMPSE_WIDTH, Glimpse};
pub use schema::{COUNT, NAMES, RANGES, SCHEMA, SCHEMA_HASH, schema};

/// The features of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Features {
    /// Values in the order of [`NAMES`]; always finite and within [`RANGES`].
    pub values: [f32; COUNT],
}

/// Buffers of [`extract`] and the past of one camera (the previous frame's luma, for `change`).
#[derive(Default)]
pub struct Scratch {
    working: working::Working,
    earlier: Vec<u8>,
    earlier_size: (usize, usize),
    scores: Vec<u8>,
    edges: edges::Buffers,
    object: object::Buffers,
    parts: parts::Parts,
    columns: Vec<u32>,
}

/// Makes the glimpse of `frame` within `framing` and measures nothing else: all that a policy needs
/// that reads no features.
///
/// The next call of [`extract`] compares with this frame.
pub fn glimpse(frame: &Frame, framing: &Framing, scratch: &mut Scratch) -> Glimpse {
    scratch.working.load(frame, framing);
    scratch.remember()
}

impl Scratch {
    /// The glimpse of the working image, which becomes the earlier one.
    fn remember(&mut self) -> Glimpse {
        let Self { working, earlier, earlier_size, columns, .. } = self;
        let (width, height) = (working.width, working.height);
        let glimpse = glimpse::glimpse(&working.luma, width, height, columns);
        *earlier_size = (width, height);
        std::mem::swap(earlier, &mut working.luma);
        glimpse
    }
}

/// Measures `frame` within `framing`. Returns the features and the glimpse; every value finite for
/// any frame from 1x1 up.
///
/// `change` compares with the frame that `scratch` saw last; it is 0 for the first frame and when
/// the working size changed.
pub fn extract(frame: &Frame, framing: &Framing, scratch: &mut Scratch) -> (Features, Glimpse) {
    let Scratch { working, earlier, earlier_size, scores, edges, object, parts, .. } = scratch;
    working.load(frame, framing);
    let (width, height, luma) = (working.width, working.height, &working.luma[..]);

    let keypoints = keypoints::count(luma, width, height, scores);
    let histogram = brightness::histogram(luma);
    let brightness = brightness::brightness(&histogram);
    let (perceived, perceived_rms) = brightness::perceived(&working.rgb);
    let edges = edges::edges(luma, width, height, edges, parts);
    let object = object::main_object(luma, width, height, &histogram, object, parts);
    let hue = colour::hue(&working.rgb, width);
    let sharpness = sharpness::sharpness(luma, width, height);
    let change =
        if *earlier_size == (width, height) { glimpse::change(luma, earlier) } else { 0.0 };
    let glimpse = scratch.remember();

    let [l1, l2, l3, l4, l5, l6, l7] = edges.lengths;
    let [a1, a2, a3, a4, a5, a6, a7] = edges.angles;
    let [h1, h2, h3, h4, h5, h6, h7] = hue;
    #[rustfmt::skip]
    let values = [
        keypoints as f32,
        brightness.mean, brightness.rms, perceived, perceived_rms, brightness.contrast,
        l1, l2, l3, l4, l5, l6, l7,
        a1, a2, a3, a4, a5, a6, a7,
        object.area_by_perimeter, object.aspect_ratio,
        h1, h2, h3, h4, h5, h6, h7,
        edges.density, sharpness,
        brightness.under_exposed, brightness.over_exposed,
        change,
    ];
    (Features { values }, glimpse)
}
