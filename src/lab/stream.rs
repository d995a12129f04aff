//! Labelled streams made of labelled photos: each photo is held for some seconds under pan, zoom,
//! changing exposure, noise and blur.
//!
//! Described in a small TOML file and made anew each time, never stored. Pure: a frame follows from
//! the description, the photo's place and the frame's number alone. It is not a substitute for a
//! real camera: nothing in the picture moves on its own.

use std::f64::consts::TAU;
use std::path::Path;

use serde::Deserialize;

use super::LabError;
use crate::stats::{splitmix64, unit};

/// Longest description, bytes.
pub const MAX_BYTES: u64 = 1 << 16;

/// A stream as described. All keys are optional; an unknown one is refused.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Stream {
    /// Version of this format: 1.
    pub format: u32,
    /// Everything random follows from it.
    pub seed: u64,
    /// Frames a second, 0.1..=240.
    pub rate_hz: f64,
    /// Shortest and longest time that a photo is held, s, 0.05..=3600.
    pub hold_s: [f64; 2],
    /// Photos shown, each once, in an order drawn from the seed; 0 for all.
    pub photos: u32,
    /// Share of the photos held by a camera on a tripod: only exposure and noise change. 0..=1.
    pub still: f64,
    /// Largest zoom; drawn for each photo from 1 to this, 1..=4.
    pub zoom: f64,
    /// How far the view wanders from the middle while it moves, share of the picture's side,
    /// 0..=0.5. Edges are mirrored.
    pub pan: f64,
    /// Swing of the brightness, share of the value, 0..=0.9.
    pub exposure: f64,
    /// Standard deviation of the noise of every pixel and channel, levels of 255, 0..=64.
    pub noise: f64,
    /// Share of the photos seen out of focus (a 3x3 binomial blur, twice), 0..=1.
    pub blurred: f64,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            format: 1,
            seed: 1,
            rate_hz: 10.0,
            hold_s: [2.0, 6.0],
            photos: 0,
            still: 0.7,
            zoom: 1.1,
            pan: 0.06,
            exposure: 0.06,
            noise: 2.0,
            blurred: 0.1,
        }
    }
}

/// One frame to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shot {
    /// Place of the photo in the list that the stream was laid out for.
    pub photo: usize,
    /// Number of the first frame that shows this photo.
    pub first: usize,
    /// When it is captured, ms since the stream began.
    pub at_ms: f64,
    /// How the photo is seen.
    pub view: View,
}

/// How a photo is seen in one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Enlargement, at least 1.
    pub zoom: f64,
    /// Shift of the middle, share of the side.
    pub shift: [f64; 2],
    /// Factor on every value.
    pub gain: f64,
    /// Standard deviation of the noise, levels.
    pub noise: f64,
    /// Of the noise.
    pub seed: u64,
    /// True if out of focus.
    pub blurred: bool,
}

impl Stream {
    /// Reads a description; `file` is for messages.
    pub fn parse(text: &str, file: &Path) -> Result<Self, LabError> {
        let stream: Self = toml::from_str(text).map_err(|error| LabError::File {
            path: file.to_owned(),
            reason: error.message().to_owned(),
        })?;
        let between = |key: &str, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(LabError::File {
                path: file.to_owned(),
                reason: format!("{key} = {value}, allowed {least} to {most}"),
            })
        };
        between("format", f64::from(stream.format), 1.0, 1.0)?;
        between("rate-hz", stream.rate_hz, 0.1, 240.0)?;
        between("hold-s[0]", stream.hold_s[0], 0.05, 3600.0)?;
        between("hold-s[1]", stream.hold_s[1], stream.hold_s[0], 3600.0)?;
        for (key, value) in [("still", stream.still), ("blurred", stream.blurred)] {
            between(key, value, 0.0, 1.0)?;
        }
        between("zoom", stream.zoom, 1.0, 4.0)?;
        between("pan", stream.pan, 0.0, 0.5)?;
        between("exposure", stream.exposure, 0.0, 0.9)?;
        between("noise", stream.noise, 0.0, 64.0)?;
        Ok(stream)
    }

    /// A number in 0..1 that belongs to `what` of the photo at `place`.
    fn drawn(&self, place: usize, what: u64) -> f64 {
        unit(splitmix64(splitmix64(self.seed ^ (what << 56)) ^ place as u64))
    }

    /// The order of `photos` photos and how long each is held.
    pub fn reel(&self, photos: usize) -> Reel {
        let mut order: Vec<usize> = (0..photos).collect();
        order.sort_by_key(|place| (splitmix64(self.seed ^ splitmix64(*place as u64)), *place));
        if self.photos > 0 {
            order.truncate(self.photos as usize);
        }
        let mut frames = 0;
        let mut holds = Vec::with_capacity(order.len());
        for photo in order {
            holds.push((photo, frames));
            let hold_s = self.hold_s[0] + (self.hold_s[1] - self.hold_s[0]) * self.drawn(photo, 1);
            frames += ((hold_s * self.rate_hz).round() as usize).max(1);
        }
        Reel { stream: self.clone(), holds, frames }
    }

    /// How `photo` is seen in its `frame`-th frame, both counted from 0.
    fn view(&self, photo: usize, frame: usize) -> View {
        let draw = |what: u64| self.drawn(photo, what);
        let moves = draw(2) >= self.still;
        let zoom = 1.0 + (self.zoom - 1.0) * draw(3);
        let own_ms = frame as f64 * 1000.0 / self.rate_hz;
        // Slow, smooth and never quite the same: a swing of drawn period and phase on each axis,
        // and on the brightness.
        let swing = |what: u64| {
            let period_ms = 4000.0 + 6000.0 * draw(what);
            (TAU * (own_ms / period_ms + draw(what + 1))).sin()
        };
        View {
            zoom: if moves { 1.0 + (zoom - 1.0) * (0.5 + 0.5 * swing(9)) } else { zoom },
            shift: if moves { [self.pan * swing(5), self.pan * swing(7)] } else { [0.0; 2] },
            gain: 1.0 + self.exposure * swing(11),
            noise: self.noise,
            seed: splitmix64(self.seed ^ splitmix64(((photo as u64) << 32) | frame as u64)),
            blurred: draw(4) < self.blurred,
        }
    }
}

/// A stream laid out for so many photos: 16 bytes a photo, whatever the pictures' size and the
/// number of frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Reel {
    stream: Stream,
    /// Photos in the order of showing, each with the number of its first frame.
    holds: Vec<(usize, usize)>,
    frames: usize,
}

impl Reel {
    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Number of photos shown.
    pub fn photos(&self) -> usize {
        self.holds.len()
    }

    /// Frame `at`, counted from 0; `None` behind the last.
    pub fn shot(&self, at: usize) -> Option<Shot> {
        let hold = self
            .holds
            .partition_point(|(_, first)| *first <= at)
            .checked_sub(1)
            .filter(|_| at < self.frames)?;
        let &(photo, first) = self.holds.get(hold)?;
        Some(Shot {
            photo,
            first,
            at_ms: at as f64 * 1000.0 / self.stream.rate_hz,
            view: self.stream.view(photo, at - first),
        })
    }
}

/// A photo before the camera: its pixels, and out of focus once that is asked for.
pub struct Held {
    rgb: Vec<u8>,
    width: usize,
    height: usize,
    blurred: Option<Vec<u8>>,
}

impl Held {
    /// `rgb` holds `width * height * 3` values, packed; a shorter one is black where it ends.
    pub fn new(rgb: Vec<u8>, width: usize, height: usize) -> Self {
        Self { rgb, width, height, blurred: None }
    }

    /// The photo as `view` sees it: packed RGB of the same size.
    pub fn seen(&mut self, view: &View) -> Vec<u8> {
        let Self { rgb, width, height, blurred } = self;
        let (width, height) = (*width, *height);
        let source: &[u8] = if view.blurred {
            blurred.get_or_insert_with(|| blur(&blur(rgb, width, height), width, height))
        } else {
            rgb
        };
        let mut seen = Vec::with_capacity(width * height * 3);
        let mut state = view.seed;
        for y in 0..height {
            let v = view.source_at(y, height, view.shift[1]);
            for x in 0..width {
                let u = view.source_at(x, width, view.shift[0]);
                for channel in 0..3 {
                    let value = sample(source, width, height, u, v, channel);
                    seen.push(
                        (value * view.gain + view.noise * gauss(&mut state))
                            .round()
                            .clamp(0.0, 255.0) as u8,
                    );
                }
            }
        }
        seen
    }
}

impl View {
    /// Where pixel `at` of `length` comes from, pixels.
    fn source_at(&self, at: usize, length: usize, shift: f64) -> f64 {
        let middle = (length as f64 - 1.0) / 2.0;
        middle + (at as f64 - middle) / self.zoom + shift * length as f64
    }
}

/// Bilinear; beyond the edge the picture is mirrored.
fn sample(rgb: &[u8], width: usize, height: usize, x: f64, y: f64, channel: usize) -> f64 {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let at = |x: f64, y: f64| {
        let index = (mirrored(y, height) * width + mirrored(x, width)) * 3 + channel;
        rgb.get(index).copied().map_or(0.0, f64::from)
    };
    let upper = at(left, top) * (1.0 - fx) + at(left + 1.0, top) * fx;
    let lower = at(left, top + 1.0) * (1.0 - fx) + at(left + 1.0, top + 1.0) * fx;
    upper * (1.0 - fy) + lower * fy
}

/// `at` folded into `0..length`.
fn mirrored(at: f64, length: usize) -> usize {
    let last = length.saturating_sub(1);
    if last == 0 {
        return 0;
    }
    let folded = (at as i64).rem_euclid(2 * last as i64) as usize;
    folded.min(2 * last - folded)
}

/// Binomial 3x3, edges mirrored.
fn blur(rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut blurred = Vec::with_capacity(rgb.len());
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let mut sum = 0.0;
                for (dy, row) in [(-1.0, 1.0), (0.0, 2.0), (1.0, 1.0)] {
                    for (dx, column) in [(-1.0, 1.0), (0.0, 2.0), (1.0, 1.0)] {
                        sum += row
                            * column
                            * sample(rgb, width, height, x as f64 + dx, y as f64 + dy, channel);
                    }
                }
                blurred.push((sum / 16.0).round() as u8);
            }
        }
    }
    blurred
}

/// About normal, mean 0, deviation 1: the sum of four even draws out of one mixed number, which is
/// near enough for pixel noise.
fn gauss(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = splitmix64(*state);
    let sum: f64 =
        (0..4).map(|part| f64::from((bits >> (16 * part)) as u16) / 65_535.0 - 0.5).sum();
    sum * 3f64.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(zoom: f64) -> View {
        View { zoom, shift: [0.0; 2], gain: 1.0, noise: 0.0, seed: 0, blurred: false }
    }

    fn seen(view: View, rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
        Held::new(rgb.to_vec(), width, height).seen(&view)
    }

    fn shots(stream: &Stream, photos: usize) -> Vec<Shot> {
        let reel = stream.reel(photos);
        (0..reel.frames()).map(|at| reel.shot(at).unwrap()).collect()
    }

    fn picture(width: usize, height: usize) -> Vec<u8> {
        (0..width * height * 3).map(|index| (index * 7 % 251) as u8).collect()
    }

    #[test]
    fn without_any_effect_the_photo_is_seen_as_it_is() {
        let rgb = picture(9, 5);
        assert_eq!(seen(plain(1.0), &rgb, 9, 5), rgb);
        assert_ne!(seen(plain(1.5), &rgb, 9, 5), rgb);
    }

    #[test]
    fn exposure_scales_noise_scatters_and_blur_smooths() {
        let grey = vec![100u8; 16 * 16 * 3];
        let brighter = seen(View { gain: 1.2, ..plain(1.0) }, &grey, 16, 16);
        assert!(brighter.iter().all(|value| *value == 120));
        let noisy = seen(View { noise: 4.0, ..plain(1.0) }, &grey, 16, 16);
        let mean = noisy.iter().map(|value| f64::from(*value)).sum::<f64>() / noisy.len() as f64;
        let variance = noisy.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>()
            / noisy.len() as f64;
        assert!(
            (mean - 100.0).abs() < 1.0 && (variance.sqrt() - 4.0).abs() < 0.6,
            "{mean} {variance}"
        );
        let rgb = picture(16, 16);
        let blurred = seen(View { blurred: true, ..plain(1.0) }, &rgb, 16, 16);
        let rough = |rgb: &[u8]| {
            rgb.chunks_exact(3)
                .zip(rgb.chunks_exact(3).skip(1))
                .map(|(a, b)| u64::from(a[0].abs_diff(b[0])))
                .sum::<u64>()
        };
        assert!(rough(&blurred) < rough(&rgb) / 2);
    }

    #[test]
    fn the_same_description_gives_the_same_frames_and_another_seed_others() {
        let stream = Stream { photos: 5, ..Stream::default() };
        let shown = shots(&stream, 9);
        assert_eq!(shown, shots(&stream, 9));
        assert_ne!(shown, shots(&Stream { seed: 2, ..stream.clone() }, 9));
        assert_eq!((stream.reel(9).shot(shown.len()), stream.reel(9).photos()), (None, 5));
        let mut photos: Vec<usize> = shown.iter().map(|shot| shot.photo).collect();
        photos.dedup();
        assert_eq!(photos.len(), 5, "each once, held without interruption");
        assert!(
            shown.windows(2).all(|pair| (pair[1].at_ms - pair[0].at_ms - 100.0).abs() < 1e-6),
            "evenly spaced"
        );
        let mut frames = shown.iter().enumerate();
        assert!(frames.all(|(at, shot)| shown[shot.first].photo == shot.photo
            && (shot.first == 0 || shown[shot.first - 1].photo != shot.photo)
            && shot.first <= at));
        assert!(shown.len() >= 5 * 20 && shown.len() <= 5 * 60, "{}", shown.len());
    }

    #[test]
    fn a_tripod_holds_still_and_a_hand_does_not() {
        let moved = |still: f64| {
            let stream = Stream { still, photos: 3, ..Stream::default() };
            shots(&stream, 3).iter().any(|shot| shot.view.shift != [0.0; 2])
        };
        assert!(!moved(1.0) && moved(0.0));
    }

    #[test]
    fn mistakes_in_a_description_are_named() {
        for (text, part) in [
            ("rate-hz = 0", "rate-hz = 0, allowed 0.1 to 240"),
            ("hold-s = [3.0, 2.0]", "hold-s[1] = 2, allowed 3 to 3600"),
            ("zoom = 0.5", "zoom"),
            ("format = 2", "format"),
            ("speed = 3", "speed"),
            ("pan = nan", "pan"),
        ] {
            let error = Stream::parse(text, Path::new("street.toml")).unwrap_err().to_string();
            assert!(error.contains("street.toml") && error.contains(part), "{error}");
        }
        assert_eq!(Stream::parse("", Path::new("x")).unwrap(), Stream::default());
    }

    #[test]
    fn small_and_broken_pictures_do_no_harm() {
        assert_eq!(seen(plain(2.0), &[1, 2, 3], 1, 1), [1, 2, 3]);
        assert_eq!(seen(plain(1.0), &[], 2, 2).len(), 12);
    }
}
