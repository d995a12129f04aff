//! What the simulated camera sees, and how each network answers. Pure; everything follows from a
//! seed.
//!
//! A frame has a latent difficulty, mostly that of its scene. A network is right if
//! `sqrt(0.85) * difficulty + sqrt(0.15) * own luck` stays below the point that gives it its
//! published top-1. With that share in common three networks of 70 to 80 % are right together on
//! 86 % of the frames, as was published for MobileNet, ResNet-152 and Inception v4. Its confidence
//! is the chance of being right that an observer reads from a noisy view of that margin, then made
//! over-confident, as networks are.

use crate::engine::{Answer, Top};
use crate::features::{GLIMPSE_HEIGHT, GLIMPSE_WIDTH, Glimpse};
use crate::stats::{normal_cdf, normal_draw, normal_quantile, splitmix64, unit};

use super::engines::Spec;

/// Share of the variance that all networks have in common.
const COMMON: f64 = 0.85;
/// How much of a frame's difficulty is its own and not its scene's, for each unit of motion. Fitted
/// to a stream of 250 labelled photos (docs/background/streams.md): there the right answers of a
/// network to frames of the same photo, a second and more apart, go with a correlation of the
/// latent difficulty of 0.99 where blocks change by less than 0.02 of full scale from frame to
/// frame, 0.93 where by 0.02 to 0.05, 0.91 above.
const OWN_BY_MOTION: f64 = 1.8;
/// Noise of the view on the margin: 0 would be a perfect confidence.
const BLUR: f64 = 0.7;
/// Log-odds of the confidence are stretched by this: networks are surer than they should be.
const OVERCONFIDENCE: f64 = 1.3;
/// Classes that there are.
const CLASSES: u64 = 1000;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shot {
    /// Number, 0-based.
    pub sequence: u64,
    /// Number of the scene.
    pub scene: u64,
    /// True class.
    pub class: u32,
    /// The higher the harder; standard normal over many scenes.
    pub difficulty: f64,
    /// Share of the difficulty, and of the networks' luck, that is the scene's, 0..=1.
    pub of_scene: f64,
    /// The tiny picture by which the policy tells whether the scene has changed.
    pub glimpse: Glimpse,
}

/// The camera.
#[derive(Clone, Debug)]
pub struct Camera {
    seed: u64,
    next: u64,
    scene: u64,
}

impl Camera {
    /// Frames that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed: splitmix64(seed ^ 0x5EE), next: 0, scene: 0 }
    }

    /// The next frame. `new_scene`: chance that it shows another scene, 0..=1; `motion`: change
    /// from frame to frame within a scene, share of full scale.
    pub fn shoot(&mut self, new_scene: f64, motion: f64) -> Shot {
        let sequence = self.next;
        self.next += 1;
        let draw = splitmix64(self.seed ^ splitmix64(sequence));
        if sequence > 0 && unit(draw) < new_scene {
            self.scene += 1;
        }
        let drawn = splitmix64(self.seed.rotate_left(17) ^ splitmix64(self.scene));
        let of_scene = 1.0 - OWN_BY_MOTION * motion.clamp(0.0, 0.2);
        let difficulty =
            of_scene.sqrt() * normal_draw(drawn) + (1.0 - of_scene).sqrt() * normal_draw(draw ^ 1);
        // Five levels far apart, never the same twice running; within a scene sixteen blocks of the
        // picture move by up to `motion`.
        let level = (40 + (self.scene * 3 % 5) * 40) as u8;
        let mut glimpse = [level; GLIMPSE_WIDTH * GLIMPSE_HEIGHT];
        let moves = [splitmix64(draw ^ 2), splitmix64(draw ^ 4)].map(u64::to_le_bytes);
        for (block, moved) in glimpse.iter_mut().zip(moves.as_flattened()) {
            *block += (f64::from(*moved) * motion.clamp(0.0, 0.2)).round() as u8;
        }
        Shot {
            sequence,
            scene: self.scene,
            class: (drawn % CLASSES) as u32,
            difficulty,
            of_scene,
            glimpse,
        }
    }
}

/// How the networks fare.
#[derive(Clone, Debug)]
pub struct Judges {
    seed: u64,
    /// By engine: frames whose mixed difficulty is below are answered rightly.
    below: Vec<f64>,
}

impl Judges {
    /// Of networks with these accuracies.
    pub fn new(seed: u64, pool: &[Spec]) -> Self {
        Self {
            seed: splitmix64(seed ^ 0x10D6E),
            below: pool.iter().map(|spec| normal_quantile(spec.top1)).collect(),
        }
    }

    /// Fills `answer` with what engine number `engine` says of `shot`, and returns whether it is
    /// right. The same each time it is asked.
    pub fn look(&self, engine: usize, shot: &Shot, answer: &mut Answer) -> bool {
        let below = self.below.get(engine).copied().unwrap_or(0.0);
        let own = splitmix64(self.seed ^ splitmix64((engine as u64) << 48 ^ shot.scene));
        let of_frame = splitmix64(own ^ splitmix64(shot.sequence));
        let luck = shot.of_scene.sqrt() * normal_draw(own)
            + (1.0 - shot.of_scene).sqrt() * normal_draw(of_frame);
        let margin = below - (COMMON.sqrt() * shot.difficulty + (1.0 - COMMON).sqrt() * luck);
        let right = margin > 0.0;
        let confidence = confidence(below, margin + BLUR * normal_draw(of_frame ^ 3)) as f32;

        // A wrong class of the engine's own, the same throughout a scene.
        let other = ((u64::from(shot.class) + 1 + own % (CLASSES - 1)) % CLASSES) as u32;
        let (first, second) = if right { (shot.class, other) } else { (other, shot.class) };
        answer.clear();
        answer.top[0] = Top { class: first, probability: confidence };
        answer.top[1] = Top { class: second, probability: (1.0 - confidence) * 0.5 };
        answer.ranked = 2;
        answer.margin = (answer.top[0].probability - answer.top[1].probability).clamp(0.0, 1.0);
        answer.entropy = (1.0 - confidence).clamp(0.0, 1.0) * 0.5;
        right
    }
}

/// The chance that a margin whose mean is `mean` and whose variance is 1 is above 0, seen through
/// noise as `seen`; then stretched.
fn confidence(mean: f64, seen: f64) -> f64 {
    let noise = BLUR * BLUR;
    let expected = (mean * noise + seen) / (1.0 + noise);
    let chance = normal_cdf(expected / (noise / (1.0 + noise)).sqrt()).clamp(1e-4, 1.0 - 1e-4);
    let odds = (chance / (1.0 - chance)).powf(OVERCONFIDENCE);
    odds / (1.0 + odds)
}

#[cfg(test)]
mod tests {
    use super::super::engines::{ALL, pool};
    use super::*;

    /// Shares of right answers by engine, and of frames that at least one of them gets right.
    fn shares(pool: &[Spec], frames: u64) -> (Vec<f64>, f64) {
        let (mut camera, judges) = (Camera::new(5), Judges::new(5, pool));
        let (mut right, mut any, mut answer) = (vec![0.0; pool.len()], 0.0, Answer::default());
        for _ in 0..frames {
            let shot = camera.shoot(1.0, 0.1);
            let all: Vec<bool> =
                (0..pool.len()).map(|engine| judges.look(engine, &shot, &mut answer)).collect();
            right.iter_mut().zip(&all).for_each(|(sum, right)| *sum += f64::from(u8::from(*right)));
            any += f64::from(u8::from(all.contains(&true)));
        }
        (right.iter().map(|sum| sum / frames as f64).collect(), any / frames as f64)
    }

    #[test]
    fn networks_are_right_as_often_as_published_and_together_more_often() {
        let pool = pool();
        let (right, any) = shares(&pool, 20_000);
        for (spec, share) in pool.iter().zip(&right) {
            assert!((share - spec.top1).abs() < 0.012, "{}: {share}", spec.name);
        }
        assert!(any > 0.84 && any < 0.91, "{any}");
    }

    #[test]
    fn three_good_networks_overlap_as_published() {
        let three: Vec<Spec> = [3, 11, 9].iter().map(|place| ALL[*place]).collect();
        let (_, any) = shares(&three, 20_000);
        assert!((any - 0.861).abs() < 0.012, "{any}"); // 86.14 %: union of MobileNet, Inception v4 and ResNet-152
    }

    #[test]
    fn confidence_tells_right_from_wrong_better_than_chance_but_not_always() {
        let (mut camera, judges, mut answer) =
            (Camera::new(9), Judges::new(9, &pool()), Answer::default());
        let (mut of_right, mut of_wrong) = (Vec::new(), Vec::new());
        for _ in 0..4_000 {
            let shot = camera.shoot(1.0, 0.1);
            let right = judges.look(2, &shot, &mut answer);
            let side = if right { &mut of_right } else { &mut of_wrong };
            side.push(answer.top[0].probability);
        }
        let pairs = (of_right.len() * of_wrong.len()) as f64;
        let above: usize = of_wrong
            .iter()
            .map(|wrong| of_right.iter().filter(|right| *right > wrong).count())
            .sum();
        let auc = above as f64 / pairs;
        assert!(auc > 0.80 && auc < 0.93, "{auc}");
    }

    #[test]
    fn scenes_last_as_long_as_asked_and_change_the_picture() {
        let mut camera = Camera::new(1);
        let shots: Vec<Shot> = (0..5_000).map(|_| camera.shoot(0.02, 0.01)).collect();
        let changes = shots.windows(2).filter(|pair| pair[0].scene != pair[1].scene).count();
        assert!((60..140).contains(&changes), "{changes}");
        for pair in shots.windows(2) {
            let change = pair[0].glimpse[0].abs_diff(pair[1].glimpse[0]);
            assert_eq!(pair[0].scene != pair[1].scene, change > 40, "{change}");
        }
        let busy: Vec<Shot> = (0..1_000).map(|_| camera.shoot(0.0, 0.12)).collect();
        let widest = |a: &Shot, b: &Shot| {
            a.glimpse.iter().zip(&b.glimpse).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
        };
        let still = busy.windows(2).filter(|pair| widest(&pair[0], &pair[1]) < 16).count();
        assert!(still < 50, "{still}");
    }
}
