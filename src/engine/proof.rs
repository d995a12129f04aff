//! A first run on a few made-up pictures: are the scores what `output.kind` says they are?
//!
//! Pure: pictures out, scores in, a verdict out. Softmax told as logits makes flat answers, logits
//! told as probabilities make other answers, and both without an error. Four pictures are enough to
//! know: scores that are no probabilities of any one picture are none, and scores that lie within 0
//! to 1 and sum to 1 on all of four different pictures are no logits by chance.

use super::manifest::{Network, Precision, Scores};
use crate::frame::{Frame, FrameError};

/// Pictures of a first run.
const COUNT: usize = 4;
/// Their size, pixels.
const SIZE: [u32; 2] = [96, 72];
/// How far a probability may lie outside 0..=1 by rounding.
const OUTSIDE: f32 = 0.02;
/// How far the sum of probabilities may be off by rounding, besides what coarse numbers add.
const OFF: f32 = 0.1;
/// The same where scores are to be recognised as probabilities.
const CLOSE: f32 = 0.01;

/// What a first run shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing speaks against the manifest.
    Fine,
    /// Something is odd, and yet possible.
    Odd(String),
    /// The manifest is wrong, with what to write.
    Wrong(String),
}

/// Four pictures that have little in common, none of them dark or bright all over: a scene of soft
/// colours, bright stripes, dark blocks, coloured noise.
pub(super) fn pictures() -> Result<Vec<Frame>, FrameError> {
    (0..COUNT)
        .map(|which| {
            let [width, height] = SIZE;
            let pixels = (0..width * height).flat_map(|at| pixel(which, at % width, at / width));
            Frame::from_rgb(pixels.collect::<Vec<u8>>().into(), width, height, None)
        })
        .collect()
}

fn pixel(which: usize, x: u32, y: u32) -> [u8; 3] {
    let [width, height] = SIZE;
    // Any fixed mix of bits serves; this one is Knuth's multiplier.
    let noise = |salt: u32| ((y * width + x + salt).wrapping_mul(2_654_435_761) >> 24) as u8;
    match which {
        0 => {
            let (dx, dy) = (x.abs_diff(width / 3), y.abs_diff(height / 2));
            if dx * dx + dy * dy < 400 {
                [190, 90, 40]
            } else {
                [40 + (x * 3 / 2) as u8, 110 + y as u8, 200 - x as u8]
            }
        }
        1 => {
            if (x + y / 2) % 24 < 12 {
                [230, 220, 150]
            } else {
                [110, 130, 150]
            }
        }
        2 => {
            let shade =
                15 + (((x / 12) * 7 + (y / 12) * 131).wrapping_mul(2_654_435_761) >> 24) as u8 / 6;
            [shade, shade / 2 + 10, 70 - shade]
        }
        _ => [noise(0) / 2 + 20, noise(77) / 3 + 120, noise(1_234) / 2],
    }
}

/// What `scores`, one list a picture, say of a network; lists of pictures that it had no finite
/// answer to are left out, `failed` of them.
pub(super) fn judge(network: &Network, scores: &[Vec<f32>], failed: usize) -> Verdict {
    if scores.is_empty() {
        return match failed {
            0 => Verdict::Fine,
            _ => Verdict::Wrong(format!(
                "answers with scores that are not finite to each of {failed} test pictures; are `input.mean` and `input.std` right, on \
                 the scale 0 to 255? does the model compute in float16 what is too large for it?"
            )),
        };
    }
    let seen = Seen::of(scores);
    let slack = slack(network);
    let wrong = match network.scores {
        Scores::Logits => seen.as_logits(slack.min(0.3)),
        Scores::Probabilities => seen.as_probabilities(slack),
    };
    match wrong {
        Some(text) => {
            Verdict::Wrong(format!("`output.kind` is \"{}\", but {text}", network.scores.name()))
        }
        None => seen.odd(network.scores).map_or(Verdict::Fine, Verdict::Odd),
    }
}

/// What coarse numbers may add to a sum of probabilities: half a step for each class.
fn slack(network: &Network) -> f32 {
    let step = match (network.steps, network.precision) {
        (Some(steps), _) => steps.scale,
        (None, Precision::Int8) => 1.0 / 256.0,
        (None, Precision::Float16) => 1e-5,
        (None, Precision::Float32) => 0.0,
    };
    step * network.classes as f32 / 2.0
}

/// What is needed of the scores of all pictures.
struct Seen {
    pictures: usize,
    /// Over all scores.
    least: f32,
    most: f32,
    /// Over the pictures.
    sums: [f32; 2],
    /// Sums of the scores' exponentials.
    exponentials: [f32; 2],
    /// Every picture has the same scores.
    same: bool,
}

impl Seen {
    fn of(scores: &[Vec<f32>]) -> Self {
        let range = |values: &mut dyn Iterator<Item = f32>| {
            values.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| {
                [low.min(value), high.max(value)]
            })
        };
        let [least, most] = range(&mut scores.iter().flatten().copied());
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-3);
        Self {
            pictures: scores.len(),
            least,
            most,
            sums: range(&mut scores.iter().map(|one| one.iter().sum())),
            exponentials: range(
                &mut scores.iter().map(|one| one.iter().map(|score| score.exp()).sum()),
            ),
            same: scores.windows(2).all(|pair| pair[0].iter().zip(&pair[1]).all(near)),
        }
    }

    fn within(&self, outside: f32) -> bool {
        self.least >= -outside && self.most <= 1.0 + outside
    }

    fn sum_to_one(&self, off: f32) -> bool {
        self.sums.iter().all(|sum| (sum - 1.0).abs() <= off)
    }

    /// The sum, if it is the same on pictures that differ, and no score is negative: shares of
    /// something.
    fn shares(&self) -> Option<f32> {
        let [low, high] = self.sums;
        let are = !self.same && self.least >= 0.0 && high > 1.5 && high - low <= 0.005 * high;
        are.then_some((low + high) / 2.0)
    }

    fn as_logits(&self, slack: f32) -> Option<String> {
        let Self { pictures, .. } = self;
        if self.within(1e-3) && self.sum_to_one(CLOSE + slack) {
            return Some(format!(
                "on each of {pictures} test pictures the scores lie within 0 to 1 and sum to 1, as they do after softmax; write kind = \
                 \"probabilities\" under [output]"
            ));
        }
        self.shares().map(|sum| {
            format!(
                "on each of {pictures} test pictures the scores sum to {sum:.1}, as shares do; let the model divide them by that and \
                 write kind = \"probabilities\" under [output]"
            )
        })
    }

    fn as_probabilities(&self, slack: f32) -> Option<String> {
        let Self { least, most, sums: [low, high], .. } = self;
        if self.within(OUTSIDE) && self.sum_to_one(OFF + slack) {
            return None;
        }
        if let Some(sum) = self.shares() {
            return Some(format!(
                "the scores sum to {sum:.1} on every test picture, not to 1; let the model divide them by that"
            ));
        }
        if self.within(OUTSIDE) {
            return Some(format!(
                "the scores of a test picture sum to {low:.3} to {high:.3}, not to 1. If they are logits, write kind = \"logits\" under \
                 [output]. If the model ends with a sigmoid, which judges each class by itself, export it without and write kind = \
                 \"logits\", or with softmax: Squint takes classes of which one is right"
            ));
        }
        if *most <= OUTSIDE && self.exponentials.iter().all(|sum| (sum - 1.0).abs() <= OFF) {
            return Some(
                "the scores are logarithms of probabilities; write kind = \"logits\" under [output], which fits these, too".into(),
            );
        }
        Some(format!(
            "the scores of test pictures reach from {least:.3} to {most:.3}; write kind = \"logits\" under [output]"
        ))
    }

    fn odd(&self, kind: Scores) -> Option<String> {
        let pictures = self.pictures;
        if self.same && pictures > 1 {
            return Some(format!(
                "gives the same scores to {pictures} test pictures that have little in common; are `input.mean` and `input.std` right, \
                 on the scale 0 to 255? was the model damaged when it was converted?"
            ));
        }
        (kind == Scores::Logits && self.within(1e-3)).then(|| {
            format!(
                "all scores of {pictures} test pictures lie within 0 to 1, which is little for logits and makes flat answers; does the \
                 model end with a sigmoid? then export it without"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::manifest::{Kind, parse};
    use super::*;

    fn network(kind: &str, precision: &str, classes: usize, more: &str) -> Network {
        let text = format!(
            "format = 1\nid = \"mine\"\nruntime = \"onnxruntime\"\n\
             [model]\nfile = \"m.onnx\"\nsha256 = \"{}\"\nprecision = \"{precision}\"\nlicence = \"MIT\"\norigin = \"a test\"\n\
             [input]\nwidth = 32\nheight = 16\nlayout = \"nchw\"\nchannels = \"rgb\"\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n\
             [output]\nkind = \"{kind}\"\nlabels = \"two.txt\"\n{more}",
            "a".repeat(64)
        );
        match parse(&text, Path::new("mine/engine.toml")).unwrap().kind {
            Kind::Network(network) => Network { classes, ..*network },
            Kind::Ensemble(_) => panic!("a network"),
        }
    }

    fn softmax(logits: &[f32]) -> Vec<f32> {
        let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
        logits.iter().map(|logit| logit.exp() / sum).collect()
    }

    /// Logits of four pictures, made up.
    fn logits(classes: usize, size: f32) -> Vec<Vec<f32>> {
        (0..4)
            .map(|picture| {
                (0..classes)
                    .map(|class| ((picture * 37 + class * 101) as f32 * 0.7).sin() * size)
                    .collect()
            })
            .collect()
    }

    fn each(scores: &[Vec<f32>], change: impl Fn(&[f32]) -> Vec<f32>) -> Vec<Vec<f32>> {
        scores.iter().map(|one| change(one)).collect()
    }

    fn wrong(kind: &str, scores: &[Vec<f32>]) -> String {
        match judge(&network(kind, "float32", scores[0].len(), ""), scores, 0) {
            Verdict::Wrong(text) => text,
            other => panic!("{kind}: {other:?}"),
        }
    }

    #[test]
    fn the_pictures_differ_and_neither_is_dark_or_bright_all_over() {
        let pictures = pictures().unwrap();
        let means: Vec<[f32; 3]> = pictures
            .iter()
            .map(|picture| {
                let mut sums = [0.0; 3];
                picture
                    .plane(0)
                    .chunks_exact(3)
                    .for_each(|pixel| (0..3).for_each(|c| sums[c] += f32::from(pixel[c])));
                sums.map(|sum| sum / (picture.plane(0).len() / 3) as f32)
            })
            .collect();
        assert!(means.iter().flatten().all(|mean| (5.0..195.0).contains(mean)), "{means:?}");
        assert!(
            means[1].iter().all(|mean| *mean > 130.0),
            "one is bright in all channels: {means:?}"
        );
        for (place, one) in means.iter().enumerate() {
            let far = |other: &[f32; 3]| one.iter().zip(other).any(|(a, b)| (a - b).abs() > 20.0);
            assert!(means[..place].iter().all(far), "{means:?}");
        }
    }

    #[test]
    fn what_the_manifest_says_rightly_is_fine_in_every_precision() {
        for classes in [2, 5, 1000] {
            for size in [1.5, 8.0] {
                let logits = logits(classes, size);
                let probabilities = each(&logits, softmax);
                for precision in ["float32", "float16", "int8"] {
                    assert_eq!(
                        judge(&network("logits", precision, classes, ""), &logits, 0),
                        Verdict::Fine
                    );
                    assert_eq!(
                        judge(&network("probabilities", precision, classes, ""), &probabilities, 0),
                        Verdict::Fine
                    );
                }
                let coarse = each(&probabilities, |one| {
                    one.iter().map(|p| (p * 256.0).round() / 256.0).collect()
                });
                let steps = network("probabilities", "int8", classes, "scale = 0.00390625\n");
                assert_eq!(judge(&steps, &coarse, 0), Verdict::Fine);
                let logarithms = each(&probabilities, |one| one.iter().map(|p| p.ln()).collect());
                assert_eq!(
                    judge(&network("logits", "float32", classes, ""), &logarithms, 0),
                    Verdict::Fine,
                    "log-softmax"
                );
            }
        }
    }

    #[test]
    fn a_wrong_kind_is_refused_with_what_to_write() {
        let logits = logits(5, 3.0);
        let probabilities = each(&logits, softmax);
        assert!(
            wrong("logits", &probabilities)
                .contains("write kind = \"probabilities\" under [output]")
        );
        assert!(wrong("probabilities", &logits).contains("write kind = \"logits\" under [output]"));
        let logarithms = each(&probabilities, |one| one.iter().map(|p| p.ln()).collect());
        assert!(
            wrong("probabilities", &logarithms)
                .contains("logarithms of probabilities; write kind = \"logits\"")
        );
        let sigmoid =
            each(&logits, |one| one.iter().map(|score| 1.0 / (1.0 + (-score).exp())).collect());
        assert!(wrong("probabilities", &sigmoid).contains("ends with a sigmoid"));
        let percent = each(&probabilities, |one| one.iter().map(|p| p * 100.0).collect());
        for kind in ["logits", "probabilities"] {
            assert!(wrong(kind, &percent).contains("sum to 100.0"), "{kind}");
        }
        let coarse =
            each(&probabilities, |one| one.iter().map(|p| (p * 256.0).round() / 256.0).collect());
        let told = judge(&network("logits", "int8", 5, "scale = 0.00390625\n"), &coarse, 0);
        assert!(matches!(told, Verdict::Wrong(_)), "{told:?}");
    }

    #[test]
    fn logits_that_lie_within_0_and_1_or_sum_to_1_now_and_then_are_not_refused() {
        let few =
            [vec![0.2, 0.3, 0.5], vec![0.1, 0.3, 0.5], vec![0.2, 0.3, 0.5], vec![0.2, 0.7, 0.1]];
        let told = judge(&network("logits", "float32", 3, ""), &few, 0);
        assert!(matches!(&told, Verdict::Odd(text) if text.contains("flat answers")), "{told:?}");
        let balanced = [vec![1.5, -0.5], vec![2.0, -1.0], vec![0.25, 0.75], vec![-1.0, 2.0]];
        assert_eq!(
            judge(&network("logits", "float32", 2, ""), &balanced, 0),
            Verdict::Fine,
            "the sum alone says nothing"
        );
    }

    #[test]
    fn the_same_scores_whatever_is_shown_are_odd_and_no_finite_ones_are_wrong() {
        let same = vec![vec![3.0, -1.0, 0.5]; 4];
        let told = judge(&network("logits", "float32", 3, ""), &same, 0);
        assert!(
            matches!(&told, Verdict::Odd(text) if text.contains("the same scores to 4 test pictures")),
            "{told:?}"
        );
        assert!(
            matches!(judge(&network("logits", "float32", 3, ""), &[], 4), Verdict::Wrong(text) if text.contains("not finite"))
        );
        assert_eq!(
            judge(&network("logits", "float32", 3, ""), &logits(3, 2.0)[..1], 3),
            Verdict::Fine
        );
    }
}
