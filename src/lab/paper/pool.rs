//! Algorithm 1 of the published method: which engines are worth having.
//!
//! Pure. The engine that is most often the cheapest right one comes first, then whoever helps most
//! on what the pool misses, until the gain is no more than theta. The engine that fails this test
//! is not added: the prose of the paper and its trace say so, its listing would keep it.

use super::labels::{Criterion, by_time};
use crate::lab::LabError;
use crate::lab::profile::Profile;

/// How the next engine is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// The largest gain; ties to the cheaper engine.
    #[default]
    Accuracy,
    /// The largest gain per time of a look; ties to the cheaper engine. The paper gives no formula,
    /// this one is ours.
    Optimal,
    /// The two in turn, accuracy first (the paper does not say which).
    Alternate,
}

/// One round.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// The best candidate, by place in the profile.
    pub engine: usize,
    /// False for the one whose gain was not above theta; it ends the search and is not in the pool.
    pub taken: bool,
    /// Share of all cases that it adds to the union, 0..=1.
    pub gain: f64,
    /// Share of all cases that the pool gets right after this round, 0..=1.
    pub union: f64,
    /// All candidates of the round, best first. In the first round the share of cases on which each
    /// is the cheapest right engine, afterwards its share of right answers on the cases that the
    /// pool misses, 0..=1.
    pub candidates: Vec<(usize, f64)>,
}

/// A pool and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// By place in the profile, cheapest first.
    pub engines: Vec<usize>,
    /// In order; the last one may be refused.
    pub rounds: Vec<Round>,
    /// Share of cases that some engine of the pool gets right, 0..=1.
    pub union: f64,
}

/// The pool for `cases` out of `candidates` (places in the profile). `theta` in percentage points,
/// 0 to 100. Where nobody is ever right, the pool is the cheapest engine. Refuses an empty table,
/// an unknown candidate and a theta outside its range.
pub fn select(
    profile: &Profile,
    cases: &[usize],
    candidates: &[usize],
    criterion: Criterion,
    method: Method,
    theta: f64,
) -> Result<Selection, LabError> {
    check(profile, cases, candidates, theta)?;
    let order = by_time(profile, candidates);
    let n = cases.len() as f64;
    let right: Vec<Vec<bool>> = order
        .iter()
        .map(|engine| {
            cases.iter().map(|case| criterion.is_right(profile, *engine, *case)).collect()
        })
        .collect();
    let mut outside: Vec<usize> = (0..order.len()).collect();
    let mut missed = vec![true; cases.len()];
    let (mut pool, mut rounds, mut covered) = (Vec::new(), Vec::new(), 0);

    let mut cheapest = vec![0usize; order.len()];
    for case in 0..cases.len() {
        if let Some(place) = right.iter().position(|hits| hits[case]) {
            cheapest[place] += 1;
        }
    }
    loop {
        let first = rounds.is_empty();
        let left = cases.len() - covered;
        let gains: Vec<usize> = right
            .iter()
            .map(|hits| hits.iter().zip(&missed).filter(|(hit, miss)| **hit && **miss).count())
            .collect();
        let by_gain = match method {
            Method::Accuracy => true,
            Method::Optimal => false,
            Method::Alternate => rounds.len() % 2 == 1,
        };
        let worth = |place: usize| match (first, by_gain) {
            (true, _) => cheapest[place] as f64,
            (false, true) => gains[place] as f64,
            (false, false) => gains[place] as f64 / profile.engines[order[place]].mean_ms,
        };
        // Places are in order of time and the sort is stable: ties stay with the cheaper engine.
        outside.sort_by(|a, b| worth(*b).total_cmp(&worth(*a)).then(a.cmp(b)));
        let Some(&best) = outside.first() else { break };
        let share = |place: usize| {
            if first {
                cheapest[place] as f64 / n
            } else {
                gains[place] as f64 / left.max(1) as f64
            }
        };
        let taken = first || gains[best] as f64 * 100.0 > theta * n;
        if taken {
            covered += gains[best];
        }
        rounds.push(Round {
            engine: order[best],
            taken,
            gain: gains[best] as f64 / n,
            union: covered as f64 / n,
            candidates: outside.iter().map(|place| (order[*place], share(*place))).collect(),
        });
        if !taken {
            break;
        }
        pool.push(order[best]);
        outside.remove(0);
        for (miss, hit) in missed.iter_mut().zip(&right[best]) {
            *miss &= !hit;
        }
    }
    Ok(Selection { engines: by_time(profile, &pool), rounds, union: covered as f64 / n })
}

fn check(
    profile: &Profile,
    cases: &[usize],
    candidates: &[usize],
    theta: f64,
) -> Result<(), LabError> {
    let wrong = |what: &str, got: String, needed: &str| {
        Err(LabError::Table { what: what.into(), got, needed: needed.into() })
    };
    if candidates.is_empty() || cases.is_empty() {
        let got = format!("{} engines, {} frames", candidates.len(), cases.len());
        return wrong("candidates for the pool", got, "at least one of each");
    }
    if let Some(engine) = candidates.iter().find(|engine| **engine >= profile.engines.len()) {
        return wrong(
            "candidate for the pool",
            format!("engine {engine}"),
            &format!("0 to {}", profile.engines.len().saturating_sub(1)),
        );
    }
    if (1..candidates.len()).any(|place| candidates[..place].contains(&candidates[place])) {
        return wrong("candidates for the pool", "one of them twice".into(), "each once");
    }
    if !(0.0..=100.0).contains(&theta) {
        return wrong("theta", theta.to_string(), "0 to 100 percentage points");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::paper::samples;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Word for word as written down in the description of the method, with sets.
    fn reference(times: &[f64], hits: &[Vec<bool>], method: Method, theta: f64) -> Vec<usize> {
        let (n, engines) = (hits.len(), times.len());
        let ok = |engine: usize| (0..n).filter(|case| hits[*case][engine]).collect::<BTreeSet<_>>();
        let cheaper = |a: usize, b: usize| (times[a], a) < (times[b], b);
        let cheapest = |case: usize| {
            (0..engines)
                .filter(|engine| hits[case][*engine])
                .reduce(|a, b| if cheaper(b, a) { b } else { a })
        };
        let pick = |worth: &dyn Fn(usize) -> f64, among: &[usize]| {
            among.iter().copied().reduce(|a, b| {
                if worth(b) > worth(a) || (worth(b) == worth(a) && cheaper(b, a)) { b } else { a }
            })
        };
        let all: Vec<usize> = (0..engines).collect();
        let often =
            |engine: usize| (0..n).filter(|case| cheapest(*case) == Some(engine)).count() as f64;
        let mut pool = vec![pick(&often, &all).unwrap()];
        let mut union = ok(pool[0]);
        for round in 1.. {
            let outside: Vec<usize> =
                all.iter().copied().filter(|engine| !pool.contains(engine)).collect();
            let gain = |engine: usize| ok(engine).difference(&union).count() as f64;
            let per_time = |engine: usize| gain(engine) / times[engine];
            let optimal =
                method == Method::Optimal || (method == Method::Alternate && round % 2 == 0);
            let Some(best) =
                (if optimal { pick(&per_time, &outside) } else { pick(&gain, &outside) })
            else {
                break;
            };
            if gain(best) * 100.0 <= theta * n as f64 {
                break;
            }
            union.extend(ok(best));
            pool.push(best);
        }
        pool.sort_by(|a, b| (times[*a], *a).partial_cmp(&(times[*b], *b)).unwrap());
        pool
    }

    proptest! {
        #[test]
        fn selection_agrees_with_the_words_of_the_method(
            times in prop::collection::vec(1u8..5, 1..6),
            bits in prop::collection::vec(any::<u8>(), 1..30),
            theta in 0u8..30,
            which in 0usize..3,
        ) {
            let times: Vec<f64> = times.into_iter().map(f64::from).collect();
            let hits: Vec<Vec<bool>> = bits.iter().map(|bits| (0..times.len()).map(|engine| bits >> engine & 1 == 1).collect()).collect();
            let rows: Vec<&[bool]> = hits.iter().map(Vec::as_slice).collect();
            let profile = samples::of_hits(&times, &rows);
            let method = [Method::Accuracy, Method::Optimal, Method::Alternate][which];
            let (cases, all): (Vec<usize>, Vec<usize>) = ((0..hits.len()).collect(), (0..times.len()).collect());
            let found = select(&profile, &cases, &all, Criterion::Top1, method, f64::from(theta)).unwrap();
            prop_assert_eq!(&found.engines, &reference(&times, &hits, method, f64::from(theta)));
            let union = hits.iter().filter(|row| found.engines.iter().any(|engine| row[*engine])).count() as f64;
            prop_assert!((found.union - union / hits.len() as f64).abs() < 1e-12);
        }
    }

    #[test]
    fn the_engine_that_fails_theta_is_not_added() {
        // Of 10 cases: engine 0 gets 7, engine 1 gets 2 more, engine 2 one more: 10 points, which a
        // theta of 10 refuses.
        let rows: Vec<[bool; 3]> =
            (0..10).map(|case| [case < 7, case == 7 || case == 8, case == 9]).collect();
        let rows: Vec<&[bool]> = rows.iter().map(|row| row.as_slice()).collect();
        let profile = samples::of_hits(&[1.0, 2.0, 3.0], &rows);
        let cases: Vec<usize> = (0..10).collect();
        let found =
            select(&profile, &cases, &[0, 1, 2], Criterion::Top1, Method::Accuracy, 10.0).unwrap();
        assert_eq!(found.engines, [0, 1]);
        let told: Vec<(usize, bool)> =
            found.rounds.iter().map(|round| (round.engine, round.taken)).collect();
        assert_eq!(told, [(0, true), (1, true), (2, false)]);
        assert!((found.union - 0.9).abs() < 1e-12 && (found.rounds[2].union - 0.9).abs() < 1e-12);
        assert_eq!(
            select(&profile, &cases, &[0, 1, 2], Criterion::Top1, Method::Accuracy, 9.9)
                .unwrap()
                .engines,
            [0, 1, 2]
        );
    }

    #[test]
    fn the_pool_looks_at_the_cases_handed_in_and_at_no_others() {
        let profile = samples::of_hits(
            &[1.0, 2.0],
            &[&[true, false], &[true, false], &[false, true], &[false, true]],
        );
        assert_eq!(
            select(&profile, &[0, 1], &[0, 1], Criterion::Top1, Method::Accuracy, 0.5)
                .unwrap()
                .engines,
            [0]
        );
        assert_eq!(
            select(&profile, &[2, 3], &[0, 1], Criterion::Top1, Method::Accuracy, 0.5)
                .unwrap()
                .engines,
            [1]
        );
    }

    #[test]
    fn nobody_right_leaves_the_cheapest_and_nonsense_is_refused() {
        let profile = samples::of_hits(&[2.0, 1.0], &[&[false, false], &[false, false]]);
        let found =
            select(&profile, &[0, 1], &[0, 1], Criterion::Top1, Method::Optimal, 0.5).unwrap();
        assert_eq!((found.engines, found.union), (vec![1], 0.0));
        assert!(select(&profile, &[], &[0], Criterion::Top1, Method::Accuracy, 0.5).is_err());
        assert!(select(&profile, &[0], &[7], Criterion::Top1, Method::Accuracy, 0.5).is_err());
        assert!(select(&profile, &[0], &[0, 0], Criterion::Top1, Method::Accuracy, 0.5).is_err());
        assert!(select(&profile, &[0], &[0], Criterion::Top1, Method::Accuracy, f64::NAN).is_err());
    }
}
