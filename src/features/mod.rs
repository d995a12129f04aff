//! Cheap measurements of a frame: the 29 published features and a few of our own, on a small working image.
//!
//! Pure, allocation-free once [`Scratch`] is warm. Not for decisions: those are in [`crate::policy`].

use crate::frame::{Frame, Framing};

/// Number of features.
pub const COUNT: usize = 34;

/// Names, in the order of [`Features::values`].
pub const NAMES: [&str; COUNT] = [
    "n_keypoints",
    "avg_brightness",
    "brightness_rms",
    "avg_perceived_brightness",
    "perceived_brightness_rms",
    "contrast",
    "edge_length1",
    "edge_length2",
    "edge_length3",
    "edge_length4",
    "edge_length5",
    "edge_length6",
    "edge_length7",
    "edge_angle1",
    "edge_angle2",
    "edge_angle3",
    "edge_angle4",
    "edge_angle5",
    "edge_angle6",
    "edge_angle7",
    "area_by_perim",
    "aspect_ratio",
    "hue1",
    "hue2",
    "hue3",
    "hue4",
    "hue5",
    "hue6",
    "hue7",
    "edge_density",
    "sharpness",
    "under_exposed",
    "over_exposed",
    "change",
];

/// Version of the feature definitions: the number moves with any change of a formula, a name or the order.
pub const SCHEMA: &str = "squint-features-1";

/// Columns of the [`Glimpse`].
pub const GLIMPSE_WIDTH: usize = 16;
/// Rows of the [`Glimpse`].
pub const GLIMPSE_HEIGHT: usize = 12;

/// The features of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Features {
    /// Values in the order of [`NAMES`]; always finite.
    pub values: [f32; COUNT],
}

/// A tiny luma picture, block means of the working image, for telling whether the scene has changed since an earlier answer.
pub type Glimpse = [u8; GLIMPSE_WIDTH * GLIMPSE_HEIGHT];

/// Buffers of [`extract`] and the past of one camera (the previous frame's luma, for `change`).
#[derive(Default)]
pub struct Scratch {}

/// Measures `frame` within `framing`. Returns the features and the glimpse; every value finite for any frame from 1x1 up.
pub fn extract(_frame: &Frame, _framing: &Framing, _scratch: &mut Scratch) -> (Features, Glimpse) {
    (Features { values: [0.0; COUNT] }, [0; GLIMPSE_WIDTH * GLIMPSE_HEIGHT])
}
