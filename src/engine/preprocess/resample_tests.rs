//! Against a plain resampler in `f64`, and where nothing may change.

use proptest::prelude::*;

use super::*;

/// What [`Part`] borrows.
#[derive(Debug)]
struct Case {
    bytes: Vec<u8>,
    stride: usize,
    channels: usize,
    corner: [usize; 2],
    size: [usize; 2],
    window: [f64; 4],
    target: [usize; 2],
    filter: Filter,
}

impl Case {
    fn resized(&self, resampler: &mut Resampler) -> Vec<Vec<u8>> {
        let mut out = vec![vec![0; self.target[0] * self.target[1]]; self.channels.min(3)];
        let Self { ref bytes, stride, channels, corner, size, window, target, filter } = *self;
        resampler.resize(
            &Part { bytes, stride, channels, corner, size, window },
            filter,
            target,
            &mut out,
        );
        out
    }

    fn sample(&self, channel: usize, x: usize, y: usize) -> f64 {
        f64::from(
            self.bytes[(self.corner[1] + y) * self.stride
                + (self.corner[0] + x) * self.channels
                + channel],
        )
    }

    /// Sample of the target by the definition: weights of all source samples, in both directions.
    fn expected(&self, channel: usize, x: usize, y: usize) -> f64 {
        let (across, down) = (self.weights(0, x), self.weights(1, y));
        let rows = down.iter().map(|(y, weight)| {
            weight
                * across
                    .iter()
                    .map(|(x, weight)| weight * self.sample(channel, *x, *y))
                    .sum::<f64>()
        });
        rows.sum::<f64>().clamp(0.0, 255.0)
    }

    fn weights(&self, axis: usize, at: usize) -> Vec<(usize, f64)> {
        let scale = self.window[axis + 2] / self.target[axis] as f64;
        let centre = self.window[axis] + (at as f64 + 0.5) * scale;
        let reach = if self.filter == Filter::Bicubic { 2.0 } else { 1.0 };
        let kernel = |x: f64| match (self.filter, x) {
            (Filter::Bilinear, x) => (1.0 - x).max(0.0),
            (Filter::Bicubic, x) if x < 1.0 => 1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0,
            (Filter::Bicubic, x) if x < 2.0 => -0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0,
            (Filter::Bicubic, _) => 0.0,
        };
        // Pillow counts a sample in if its middle is within reach, rounded.
        let within =
            |from: usize| (from as f64 + 0.5 - centre).abs() <= reach * scale.max(1.0) + 0.5;
        let weigh =
            |from: usize| (from, kernel((from as f64 + 0.5 - centre).abs() / scale.max(1.0)));
        let mut all: Vec<_> =
            (0..self.size[axis]).filter(|from| within(*from)).map(weigh).collect();
        let sum: f64 = all.iter().map(|(_, weight)| weight).sum();
        all.iter_mut().for_each(|(_, weight)| *weight /= sum);
        all
    }

    fn assert_right(&self, resampler: &mut Resampler, tolerance: f64) {
        for (channel, plane) in self.resized(resampler).iter().enumerate() {
            for (at, got) in plane.iter().enumerate() {
                let (x, y) = (at % self.target[0], at / self.target[0]);
                let off = f64::from(*got) - self.expected(channel, x, y);
                assert!(
                    off.abs() <= tolerance,
                    "{off} off at {x},{y}, channel {channel} of {:?}",
                    self.brief()
                );
            }
        }
    }

    fn brief(&self) -> impl std::fmt::Debug {
        (self.channels, self.size, self.window, self.target, self.filter)
    }
}

/// Noise (the hardest), black-and-white noise (overshoots) or one colour.
fn bytes(kind: u8, seed: u64, count: usize) -> Vec<u8> {
    let noise = |at: usize| crate::stats::splitmix64(seed.wrapping_add(at as u64)) as u8;
    (0..count)
        .map(|at| [noise(at), if noise(at) < 128 { 0 } else { 255 }, seed as u8][usize::from(kind)])
        .collect()
}

fn whole(channels: usize, size: [usize; 2], target: [usize; 2], filter: Filter, seed: u64) -> Case {
    let stride = size[0] * channels;
    let window = [0.0, 0.0, size[0] as f64, size[1] as f64];
    Case {
        bytes: bytes(0, seed, stride * size[1]),
        stride,
        channels,
        corner: [0, 0],
        size,
        window,
        target,
        filter,
    }
}

prop_compose! {
    fn case()(
        channels in 1..=4_usize,
        size in [1..150_usize, 1..90_usize],
        target in [1..60_usize, 1..50_usize],
        corner in [0..4_usize, 0..4_usize],
        gap in 0..9_usize,
        share in [0.05..=1.0_f64, 0.05..=1.0],
        place in [0.0..=1.0_f64, 0.0..=1.0],
        (kind, seed) in (0..3_u8, any::<u64>()),
        cubic: bool,
    ) -> Case {
        let stride = (corner[0] + size[0]) * channels + gap;
        let extent = [0, 1].map(|axis: usize| size[axis] as f64 * share[axis]);
        let from = [0, 1].map(|axis: usize| (size[axis] as f64 - extent[axis]) * place[axis]);
        Case {
            // Not one byte after the last row.
            bytes: bytes(kind, seed, stride * (corner[1] + size[1]) - gap),
            stride, channels, corner, size, target,
            window: [from[0], from[1], extent[0], extent[1]],
            filter: if cubic { Filter::Bicubic } else { Filter::Bilinear },
        }
    }
}

proptest! {
    #[test]
    fn every_sample_is_within_a_level_of_the_definition(case in case(), next in case()) {
        let mut resampler = Resampler::default();
        for case in [&case, &next, &case] {
            case.assert_right(&mut resampler, 1.1);
        }
    }

    #[test]
    fn a_picture_of_the_targets_size_is_copied(channels in 1..=4_usize, size in [1..90_usize, 1..40_usize], seed: u64, cubic: bool) {
        let case = whole(channels, size, size, if cubic { Filter::Bicubic } else { Filter::Bilinear }, seed);
        for (channel, plane) in case.resized(&mut Resampler::default()).iter().enumerate() {
            let same = case.bytes.iter().skip(channel).step_by(channels).copied().collect::<Vec<u8>>();
            prop_assert_eq!(plane, &same);
        }
    }
}

#[test]
fn very_long_filters_keep_their_accuracy() {
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        for (channels, size, target) in [
            (1, [3000, 40], [9, 8]),
            (3, [40, 2500], [8, 7]),
            (2, [1500, 900], [5, 3]),
            (4, [700, 5], [11, 9]),
        ] {
            whole(channels, size, target, filter, 7).assert_right(&mut Resampler::default(), 0.6);
        }
    }
}

#[test]
fn long_filters_within_sixteen_bits_stay_within_a_level_also_on_one_colour() {
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        let (size, target) =
            if filter == Filter::Bicubic { ([170, 165], [10, 10]) } else { ([350, 330], [10, 10]) };
        let mut case = whole(3, size, target, filter, 5);
        case.assert_right(&mut Resampler::default(), 1.1);
        for level in [0, 1, 17, 128, 200, 254, 255] {
            case.bytes.fill(level);
            case.assert_right(&mut Resampler::default(), 1.1);
        }
    }
}

#[test]
fn the_step_from_narrow_to_wide_sums_is_clean() {
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        for width in 100..230 {
            whole(1, [width, 3], [6, 3], filter, 1).assert_right(&mut Resampler::default(), 1.1);
        }
    }
}

#[test]
fn the_error_has_no_direction() {
    let case = whole(3, [640, 480], [224, 224], Filter::Bicubic, 3);
    let planes = case.resized(&mut Resampler::default());
    let places = (0..224 * 224).step_by(101);
    let off = |at: usize| f64::from(planes[1][at]) - case.expected(1, at % 224, at / 224);
    let count = places.len() as f64;
    let (sum, square) =
        places.map(off).fold((0.0, 0.0), |(sum, square), off| (sum + off, square + off * off));
    // Rounding alone has a root mean square of 0.289.
    assert!(
        (sum / count).abs() < 0.05 && (square / count).sqrt() < 0.31,
        "{} {}",
        sum / count,
        (square / count).sqrt()
    );
}
