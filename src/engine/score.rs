//! From raw scores to a ranked [`Answer`], and averages of answers.
//!
//! Pure. Nothing allocates once an answer has room for its classes.

use arrayvec::ArrayVec;

use super::manifest::Scores;
use super::{Answer, KEPT, Top};

/// Values worked on side by side.
const LANES: usize = 8;

/// Fills `answer` with the probabilities that `scores` stand for, and ranks it. `scores` are
/// finite.
///
/// Logits go through softmax: `exp(s - max) / sum`. Probabilities are clamped to 0..=1 and made to
/// sum to 1 (all zero: all alike).
pub fn fill(answer: &mut Answer, scores: &[f32], kind: Scores) {
    answer.probabilities.clear();
    match kind {
        Scores::Logits => {
            let highest = highest(scores);
            answer.probabilities.extend(scores.iter().map(|score| exp(score - highest)));
        }
        Scores::Probabilities => {
            answer.probabilities.extend(scores.iter().map(|score| score.clamp(0.0, 1.0)))
        }
    }
    let sum: f32 = lanes(&answer.probabilities);
    let each = if sum > 0.0 { 1.0 / sum } else { 1.0 };
    let flat = if sum > 0.0 { 0.0 } else { 1.0 / scores.len().max(1) as f32 };
    for probability in &mut answer.probabilities {
        *probability = (*probability * each + flat).min(1.0);
    }
    rank(answer);
}

/// Makes `combined` the mean of `count` answers: the mean of `count - 1` that it is, and `new`.
/// With a `count` of 0 or 1 it becomes `new`.
///
/// Of either side only the [`KEPT`] most likely classes count; any other counts as 0 there. What
/// that leaves out of a mean is below a sixteenth, and below a thousandth where it could matter: an
/// answer with many likely classes is no sure one. Allocates nothing.
pub fn absorb(combined: &mut Answer, new: &Answer, count: u32) {
    if count <= 1 {
        return combined.clone_from(new);
    }
    let share = 1.0 / count as f32;
    let (before, added) =
        (&combined.top[..combined.ranked.min(KEPT)], &new.top[..new.ranked.min(KEPT)]);
    let mut union: ArrayVec<Top, { 2 * KEPT }> = before.iter().copied().collect();
    for top in &mut union {
        let value = added
            .iter()
            .find(|other| other.class == top.class)
            .map_or(0.0, |other| other.probability);
        top.probability += (value - top.probability) * share;
    }
    for top in added.iter().filter(|top| before.iter().all(|other| other.class != top.class)) {
        union.push(Top { class: top.class, probability: top.probability * share });
    }
    union.sort_unstable_by(|a, b| {
        b.probability.total_cmp(&a.probability).then(a.class.cmp(&b.class))
    });
    combined.probabilities.clear();
    combined.ranked = union.len().min(KEPT);
    combined.top = [Top::default(); KEPT];
    combined.top.iter_mut().zip(&union).for_each(|(slot, top)| *slot = *top);
    combined.margin = margin(&combined.top, combined.ranked);
    combined.entropy += (new.entropy - combined.entropy) * share;
}

/// Difference of the first two of `ranked` classes.
fn margin(top: &[Top; KEPT], ranked: usize) -> f32 {
    match ranked {
        0 => 0.0,
        1 => top[0].probability,
        _ => (top[0].probability - top[1].probability).clamp(0.0, 1.0),
    }
}

/// Adds `weight` times the probabilities of `part` to `sum`; starts over if `sum` has another
/// number of classes.
pub(super) fn add(sum: &mut Answer, part: &Answer, weight: f32) {
    if sum.probabilities.len() != part.probabilities.len() {
        sum.probabilities.clear();
        sum.probabilities.resize(part.probabilities.len(), 0.0);
    }
    for (total, value) in sum.probabilities.iter_mut().zip(&part.probabilities) {
        *total += value * weight;
    }
}

/// Works out `top`, `ranked`, `margin` and `entropy` from the probabilities. Of equal ones the
/// lower class ranks first.
pub fn rank(answer: &mut Answer) {
    let classes = answer.probabilities.len();
    answer.top = [Top::default(); KEPT];
    answer.ranked = classes.min(KEPT);
    // Probabilities are not negative, so an empty place (-1) loses against every class.
    let mut best = [(-1.0_f32, 0_u32); KEPT];
    for (class, &probability) in (0_u32..).zip(&answer.probabilities) {
        if probability > best[KEPT - 1].0 {
            let place = best.iter().take_while(|(known, _)| *known >= probability).count();
            best[place..].rotate_right(1);
            best[place] = (probability, class);
        }
    }
    for (top, (probability, class)) in answer.top.iter_mut().zip(best).take(answer.ranked) {
        *top = Top { class, probability };
    }
    answer.margin = margin(&answer.top, answer.ranked);
    answer.entropy = entropy(&answer.probabilities);
}

/// `-sum p ln p / ln n`, 0..=1; 0 for fewer than two classes.
fn entropy(probabilities: &[f32]) -> f32 {
    if probabilities.len() < 2 {
        return 0.0;
    }
    let (chunks, rest) = probabilities.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for chunk in chunks {
        for (sum, p) in sums.iter_mut().zip(chunk) {
            *sum += p * ln(*p);
        }
    }
    let sum = sums.iter().sum::<f32>() + rest.iter().map(|p| p * ln(*p)).sum::<f32>();
    (-sum / (probabilities.len() as f32).ln()).clamp(0.0, 1.0)
}

/// `e^x` for x up to 0, within 1e-6 of the value, and 0 below -87. Unlike the library's it is
/// inlined and worked out in lanes.
///
/// `x = n ln 2 + r` with whole n and r within half of ln 2; the series of `e^r` to the sixth power;
/// `2^n` by the exponent's bits.
#[inline]
fn exp(x: f32) -> f32 {
    // Added to a small number, it leaves the nearest whole number in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    // ln 2 in two parts: the first has so few bits that its product with n is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let held = if x >= -87.0 { x } else { -87.0 };
    let shifted = held * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = held - n * LN_2[0] - n * LN_2[1];
    let series = 1.0
        + r * (1.0
            + r * (1.0 / 2.0
                + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if x >= -87.0 { series * power } else { 0.0 }
}

/// `ln p` for p above 0, within 1e-6 of 1 or of the value, whichever is more; some finite number
/// for 0.
///
/// `p = m 2^n` with m around 1, and `ln m = 2 artanh((m - 1) / (m + 1))` to the ninth power.
#[inline]
fn ln(p: f32) -> f32 {
    // Bits of the square root of one half: where m begins.
    const BEGIN: i32 = 0x3f35_04f3;
    let bits = p.to_bits().cast_signed();
    let n = (bits - BEGIN) >> 23;
    let m = f32::from_bits((bits - (n << 23)).cast_unsigned());
    let s = (m - 1.0) / (m + 1.0);
    let t = s * s;
    let series =
        2.0 * s * (1.0 + t * (1.0 / 3.0 + t * (1.0 / 5.0 + t * (1.0 / 7.0 + t * (1.0 / 9.0)))));
    n as f32 * std::f32::consts::LN_2 + series
}

/// The highest score.
fn highest(scores: &[f32]) -> f32 {
    let higher = |a: f32, b: f32| if a > b { a } else { b };
    let (chunks, rest) = scores.as_chunks::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (most, score) in most.iter_mut().zip(chunk) {
            *most = higher(*most, *score);
        }
    }
    most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, higher)
}

/// Sum in lanes: faster, and closer to the truth than one running sum.
fn lanes(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer_of(scores: &[f32], kind: Scores) -> Answer {
        let mut answer = Answer::default();
        fill(&mut answer, scores, kind);
        answer
    }

    #[test]
    fn softmax_is_the_textbook_one() {
        let answer = answer_of(&[1.0, 2.0, 3.0], Scores::Logits);
        for (got, want) in
            answer.probabilities.iter().zip([0.090_030_57, 0.244_728_47, 0.665_240_96])
        {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
        assert_eq!(answer.ranked, 3);
        assert_eq!(answer.top[..3].iter().map(|top| top.class).collect::<Vec<_>>(), [2, 1, 0]);
        assert!((answer.margin - 0.420_512_5).abs() < 1e-6);
        assert!((answer.entropy - 0.832_395_55 / 3_f32.ln()).abs() < 1e-5, "{}", answer.entropy);
    }

    #[test]
    fn exponential_and_logarithm_are_as_exact_as_they_say() {
        for step in 0..870_000 {
            let x = -87.0 + step as f32 * 1e-4;
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) - want).abs() <= 1e-6 * want, "e^{x}: {} {want}", exp(x));
            let (p, want) = (exp(x), f64::from(exp(x)).ln());
            assert!(
                (f64::from(ln(p)) - want).abs() <= 1e-6 * want.abs().max(1.0),
                "ln {p}: {} {want}",
                ln(p)
            );
        }
        assert_eq!(
            [exp(0.0), exp(-87.5), exp(f32::NEG_INFINITY), ln(1.0), 0.0 * ln(0.0)],
            [1.0, 0.0, 0.0, 0.0, 0.0]
        );
    }

    #[test]
    fn of_equal_classes_the_lower_index_ranks_first() {
        let answer = answer_of(&[0.1, 0.2, 0.2, 0.1, 0.2, 0.1, 0.1], Scores::Probabilities);
        assert_eq!(
            answer.top[..7].iter().map(|top| top.class).collect::<Vec<_>>(),
            [1, 2, 4, 0, 3, 5, 6]
        );
        assert_eq!(answer.margin, 0.0);
    }

    #[test]
    fn no_class_one_class_and_no_evidence_are_answers_too() {
        assert_eq!(answer_of(&[], Scores::Logits), Answer::default());
        let one = answer_of(&[-7.0], Scores::Logits);
        assert_eq!((one.margin, one.entropy, one.ranked), (1.0, 0.0, 1));
        let none = answer_of(&[0.0; 4], Scores::Probabilities);
        assert_eq!((none.probabilities[3], none.entropy), (0.25, 1.0));
    }

    #[test]
    fn the_mean_of_answers_does_not_depend_on_their_order() {
        let parts = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]
            .map(|scores| answer_of(&scores, Scores::Probabilities));
        let mut means = [[0, 1, 2], [2, 0, 1]].map(|order| {
            let mut mean = Answer::default();
            for (count, index) in (1..).zip(order) {
                absorb(&mut mean, &parts[index], count);
            }
            mean
        });
        for mean in &mut means {
            for (got, (class, want)) in
                mean.top.iter().zip([(1, 1.3 / 3.0), (0, 1.1 / 3.0), (2, 0.2)])
            {
                assert!(got.class == class && (got.probability - want).abs() < 1e-6, "{got:?}");
            }
            assert!((mean.margin - 0.2 / 3.0).abs() < 1e-6 && mean.ranked == 3);
            let entropies = parts.iter().map(|part| part.entropy).sum::<f32>() / 3.0;
            assert!((mean.entropy - entropies).abs() < 1e-6);
        }
    }

    #[test]
    fn a_class_that_only_one_answer_keeps_counts_half() {
        let scores = |best: usize| -> Vec<f32> {
            (0..40).map(|class| if class == best { 0.61 } else { 0.01 }).collect()
        };
        let mut mean = answer_of(&scores(39), Scores::Probabilities);
        absorb(&mut mean, &answer_of(&scores(3), Scores::Probabilities), 2);
        assert_eq!((mean.ranked, mean.top[0].class, mean.top[1].class), (KEPT, 3, 39));
        assert!(
            (mean.top[1].probability - 0.305).abs() < 1e-6,
            "39 is not among the sixteen that the second one keeps"
        );
        assert!((mean.top[0].probability - 0.31).abs() < 1e-6, "3 is among those of the first");
    }

    proptest! {
        #[test]
        fn any_finite_scores_give_an_answer_that_is_in_order(scores in prop::collection::vec(-1e30_f32..1e30, 1..60), soft: bool) {
            let answer = answer_of(&scores, if soft { Scores::Logits } else { Scores::Probabilities });
            let sum: f32 = answer.probabilities.iter().sum();
            prop_assert!((sum - 1.0).abs() < 1e-4, "sum {sum}");
            prop_assert!(answer.probabilities.iter().all(|p| (0.0..=1.0).contains(p)));
            prop_assert!((0.0..=1.0).contains(&answer.margin) && (0.0..=1.0).contains(&answer.entropy));
            let mut order: Vec<u32> = (0..scores.len() as u32).collect();
            order.sort_by(|a, b| answer.probabilities[*b as usize].total_cmp(&answer.probabilities[*a as usize]).then(a.cmp(b)));
            let top: Vec<u32> = answer.top[..answer.ranked].iter().map(|top| top.class).collect();
            prop_assert_eq!(&top[..], &order[..answer.ranked]);
        }

        #[test]
        fn adding_a_constant_to_all_logits_changes_nothing(scores in prop::collection::vec(-20_f32..20.0, 2..40), shift in -50_f32..50.0) {
            let shifted: Vec<f32> = scores.iter().map(|score| score + shift).collect();
            let (one, other) = (answer_of(&scores, Scores::Logits), answer_of(&shifted, Scores::Logits));
            for (a, b) in one.probabilities.iter().zip(&other.probabilities) {
                prop_assert!((a - b).abs() < 1e-4);
            }
        }
    }
}
