//! The tables of the kinds: `[fixed]`, `[chain]`, `[confidence]`, `[random]`; `[hybrid]` next door.
//! Engines by their place in the list of ids.

use toml::Value;

use super::super::chain::{Chain, Guard};
use super::super::clues::{CLUE_NAMES, CLUES, Logistic};
use super::super::confidence::{Confidence, Score, Stage};
use super::super::hybrid::Hybrid;
use super::super::random::Mix;
use super::super::{MAX_STEPS, Plan};
use super::error::PolicyError;
use super::fields::{Fields, number};
use super::hybrid::hybrid;
use crate::engine::{EngineIdx, MAX_ENGINES};
use crate::features::{COUNT, NAMES};
use crate::premodel::{MAX_K, MAX_ROWS, Premodel, Scale};

/// The kinds, as written.
const KINDS: [&str; 5] = ["fixed", "chain", "confidence", "hybrid", "random"];
/// `on-none` for no answer; not an engine's id therefore.
const ABSTAIN: &str = "abstain";
/// How far shares may be from 1 in sum.
const SHARE_SLACK: f64 = 1e-3;

/// What a policy does, engines by place.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Fixed {
        engine: usize,
        fallback: Option<usize>,
    },
    Chain {
        engines: Vec<usize>,
        on_none: Option<usize>,
        guard: Option<(f32, usize)>,
        premodel: Box<Premodel>,
    },
    Confidence {
        score: Score,
        average: bool,
        stages: Vec<(usize, Option<f32>, Option<Logistic>)>,
    },
    /// Its engines are places.
    Hybrid(Box<Hybrid>),
    Random {
        seed: u64,
        shares: Vec<(usize, f32)>,
    },
}

/// The ids met so far.
#[derive(Default)]
pub(super) struct Ids(Vec<String>);

impl Ids {
    fn place(&mut self, id: String) -> usize {
        self.0.iter().position(|held| *held == id).unwrap_or_else(|| {
            self.0.push(id);
            self.0.len() - 1
        })
    }

    /// As [`Self::place`], refusing what has been met before.
    pub(super) fn new_place(
        &mut self,
        id: String,
        fields: &Fields,
        key: &str,
    ) -> Result<usize, PolicyError> {
        if self.0.contains(&id) {
            return Err(fields.refuse(key, &Value::from(id), "each engine once"));
        }
        Ok(self.place(id))
    }
}

impl Kind {
    /// Takes the kind's own table out of `top`; a table of another kind is refused.
    pub(super) fn parse(top: &mut Fields) -> Result<(Self, Vec<String>), PolicyError> {
        let kind = top.text("kind", "one of fixed, chain, confidence, hybrid, random")?;
        let Some(kind) = KINDS.into_iter().find(|known| *known == kind) else {
            return Err(top.refuse_word("kind", &kind, KINDS));
        };
        if let Some(other) = KINDS.into_iter().find(|other| *other != kind && top.has(other)) {
            return Err(top.refuse(
                "kind",
                &Value::from(kind),
                format!("\"{other}\" in a file with a table [{other}]"),
            ));
        }
        let known: &[&str] = match kind {
            "fixed" => &["engine", "fallback"],
            "chain" => {
                &["engines", "on-none", "k", "features", "min", "max", "best", "rows", "guard"]
            }
            "confidence" => &["score", "average", "stages"],
            "hybrid" => &["price", "features", "min", "max", "pool", "states"],
            _ => &["seed", "parts"],
        };
        let Some(mut fields) = top.table(kind, known)? else {
            return Err(top.missing(kind, format!("the table of kind `{kind}`")));
        };
        let mut ids = Ids::default();
        let parsed = match kind {
            "fixed" => fixed(&mut fields, &mut ids)?,
            "chain" => chain(&mut fields, &mut ids)?,
            "confidence" => confidence(&mut fields, &mut ids)?,
            "hybrid" => Self::Hybrid(Box::new(hybrid(&mut fields, &mut ids)?)),
            _ => random(&mut fields, &mut ids)?,
        };
        Ok((parsed, ids.0))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Fixed { .. } => "fixed",
            Self::Chain { .. } => "chain",
            Self::Confidence { .. } => "confidence",
            Self::Hybrid(_) => "hybrid",
            Self::Random { .. } => "random",
        }
    }

    /// True if it was fitted to measured answers of certain models.
    pub(super) fn is_tuned(&self) -> bool {
        matches!(self, Self::Chain { .. } | Self::Confidence { .. } | Self::Hybrid(_))
    }

    /// True if its decisions follow from features.
    pub(super) fn reads_features(&self) -> bool {
        matches!(self, Self::Chain { .. } | Self::Hybrid(_))
    }

    pub(super) fn averages(&self) -> bool {
        matches!(self, Self::Confidence { average: true, .. } | Self::Hybrid(_))
    }

    /// The plan for engines at these indices; `None` only if `places` is shorter than the list of
    /// ids.
    pub(super) fn plan(&self, places: &[EngineIdx]) -> Option<Plan> {
        let at = |place: usize| places.get(place).copied();
        Some(match self {
            Self::Fixed { engine, fallback } => Plan::Fixed {
                engine: at(*engine)?,
                fallback: fallback.map(at).map_or(Some(None), |found| found.map(Some))?,
            },
            Self::Chain { engines, on_none, guard, premodel } => Plan::Chain(Box::new(Chain {
                engines: engines.iter().map(|place| at(*place)).collect::<Option<_>>()?,
                premodel: (**premodel).clone(),
                on_none: on_none.and_then(at),
                guard: guard.and_then(|(max_distance, place)| {
                    Some(Guard { max_distance, safe: at(place)? })
                }),
            })),
            Self::Confidence { score, average, stages } => Plan::Confidence(Confidence {
                stages: stages
                    .iter()
                    .map(|&(place, accept_above, chance)| {
                        Some(Stage { engine: at(place)?, accept_above, chance })
                    })
                    .collect::<Option<_>>()?,
                average: *average,
                score: *score,
            }),
            Self::Hybrid(hybrid) => {
                let mut bound = hybrid.clone();
                for member in &mut bound.members {
                    member.engine = at(usize::from(member.engine.0))?;
                }
                Plan::Hybrid(bound)
            }
            Self::Random { seed, shares } => {
                let parts: Vec<_> = shares
                    .iter()
                    .map(|&(place, share)| Some((at(place)?, share)))
                    .collect::<Option<_>>()?;
                Plan::Random(Mix::new(*seed, &parts)?)
            }
        })
    }
}

fn fixed(fields: &mut Fields, ids: &mut Ids) -> Result<Kind, PolicyError> {
    let engine = ids.place(fields.text("engine", "the id of an engine")?);
    let fallback = match fields.text_if_any("fallback", "the id of another engine")? {
        Some(id) => Some(ids.new_place(id, fields, "fallback")?),
        None => None,
    };
    Ok(Kind::Fixed { engine, fallback })
}

fn confidence(fields: &mut Fields, ids: &mut Ids) -> Result<Kind, PolicyError> {
    let score =
        fields.text("score", &format!("one of {}", Score::ALL.map(Score::name).join(", ")))?;
    let Some(score) = Score::ALL.into_iter().find(|known| known.name() == score) else {
        return Err(fields.refuse_word("score", &score, Score::ALL.map(Score::name)));
    };
    let average = fields.flag("average")?.unwrap_or(false);
    let tables = fields.tables("stages", &["engine", "accept-above", "weights"], 2, MAX_STEPS)?;
    let last = tables.len() - 1;
    let mut stages = Vec::with_capacity(tables.len());
    for (place, mut stage) in tables.into_iter().enumerate() {
        let id = stage.text("engine", "the id of an engine")?;
        let engine = ids.new_place(id, &stage, "engine")?;
        let accept_above = stage.number("accept-above", 0.0, 1.0)?.map(|limit| limit as f32);
        let chance = match (stage.has("weights"), score == Score::Learned && place < last) {
            (true, true) => Some(logistic(&mut stage, "weights")?),
            (false, true) => return Err(stage.missing("weights", weights_allowed())),
            (true, false) => {
                let value = Value::from("(weights)");
                return Err(stage.refuse(
                    "weights",
                    &value,
                    "only with score \"learned\", and not in the last stage",
                ));
            }
            (false, false) => None,
        };
        match accept_above {
            None if place < last => {
                return Err(
                    stage.missing("accept-above", "the score from which the answer stands, 0 to 1")
                );
            }
            Some(limit) if place == last => {
                return Err(stage.refuse(
                    "accept-above",
                    &Value::from(f64::from(limit)),
                    "nothing: the last stage's answer always stands",
                ));
            }
            _ => stages.push((engine, accept_above, chance)),
        }
    }
    Ok(Kind::Confidence { score, average, stages })
}

/// What belongs to a key with a model's weights.
fn weights_allowed() -> String {
    format!("{CLUES} weights: {}", CLUE_NAMES.join(", "))
}

/// The weights of one model.
pub(super) fn logistic(fields: &mut Fields, key: &str) -> Result<Logistic, PolicyError> {
    if !fields.has(key) {
        return Err(fields.missing(key, weights_allowed()));
    }
    let mut weights = [0.0; CLUES];
    weights.copy_from_slice(&fields.numbers(key, CLUES, CLUES)?);
    Ok(Logistic(weights))
}

fn random(fields: &mut Fields, ids: &mut Ids) -> Result<Kind, PolicyError> {
    let seed = fields.count("seed", 0, i64::MAX as u64)?.unwrap_or(0);
    let mut shares = Vec::new();
    for mut part in fields.tables("parts", &["engine", "share"], 1, MAX_ENGINES)? {
        let id = part.text("engine", "the id of an engine")?;
        let engine = ids.new_place(id, &part, "engine")?;
        let allowed = "a share above 0, up to 1; all shares together 1";
        let share =
            part.number("share", 0.0, 1.0)?.ok_or_else(|| part.missing("share", allowed))? as f32;
        if share <= 0.0 {
            return Err(part.refuse("share", &Value::from(f64::from(share)), allowed));
        }
        shares.push((engine, share));
    }
    let sum: f64 = shares.iter().map(|part| f64::from(part.1)).sum();
    if (sum - 1.0).abs() > SHARE_SLACK {
        return Err(fields.refuse(
            "parts",
            &Value::from(format!("(shares of {sum:.4} in sum)")),
            "shares of 1 in sum",
        ));
    }
    Ok(Kind::Random { seed, shares })
}

fn chain(fields: &mut Fields, ids: &mut Ids) -> Result<Kind, PolicyError> {
    let mut engines = Vec::new();
    for (place, id) in
        fields.array("engines", "ids, cheapest first", 1, MAX_ENGINES)?.into_iter().enumerate()
    {
        let key = format!("engines[{place}]");
        match id {
            Value::String(id) if !id.is_empty() && id != ABSTAIN => {
                engines.push(ids.new_place(id, fields, &key)?)
            }
            other => return Err(fields.refuse(&key, &other, "the id of an engine")),
        }
    }
    let on_none = match fields.text_if_any("on-none", "\"abstain\" or the id of an engine")? {
        Some(word) if word == ABSTAIN => None,
        Some(id) => Some(ids.place(id)),
        None => engines.last().copied(),
    };
    let guard = match fields.table("guard", &["max-distance", "safe"])? {
        Some(mut guard) => {
            let allowed = "the largest distance to the nearest training row, above 0";
            let distance = guard
                .number("max-distance", 1e-6, 1e6)?
                .ok_or_else(|| guard.missing("max-distance", allowed))?;
            Some((distance as f32, ids.place(guard.text("safe", "the id of an engine")?)))
        }
        None => None,
    };
    if ids.0.len() > MAX_ENGINES {
        return Err(fields.refuse(
            "engines",
            &Value::from(ids.0.len() as i64),
            format!("{MAX_ENGINES} engines in all"),
        ));
    }
    let premodel = Box::new(premodel(fields, engines.len())?);
    Ok(Kind::Chain { engines, on_none, guard, premodel })
}

/// `features`, `min` and `max`: which features are looked at, at least `least`, and their ranges in
/// training.
pub(super) fn scales(fields: &mut Fields, least: usize) -> Result<Vec<Scale>, PolicyError> {
    let names = fields.array("features", "names of features", least, COUNT)?;
    let width = names.len();
    let (min, max) = (fields.numbers("min", width, width)?, fields.numbers("max", width, width)?);
    let mut scales: Vec<Scale> = Vec::with_capacity(width);
    for (place, name) in names.iter().enumerate() {
        let key = format!("features[{place}]");
        let typed =
            name.as_str().ok_or_else(|| fields.refuse(&key, name, "the name of a feature"))?;
        let feature = NAMES
            .iter()
            .position(|known| *known == typed)
            .ok_or_else(|| fields.refuse_word(&key, typed, NAMES))?;
        if scales.iter().any(|scale| scale.feature == feature) {
            return Err(fields.refuse(&key, name, "each feature once"));
        }
        if min[place] >= max[place] {
            let allowed = "more than `min`; leave a feature out that was constant in training";
            return Err(fields.refuse(
                &format!("max[{place}]"),
                &Value::from(f64::from(max[place])),
                allowed,
            ));
        }
        scales.push(Scale { feature, min: min[place], max: max[place] });
    }
    Ok(scales)
}

/// The training rows of `[chain]`, which are the premodel.
fn premodel(fields: &mut Fields, levels: usize) -> Result<Premodel, PolicyError> {
    let scales = scales(fields, 1)?;
    let width = scales.len();

    let rows = fields.array("rows", "training rows", 1, MAX_ROWS)?;
    let mut values = Vec::with_capacity(rows.len() * width);
    for (place, row) in rows.iter().enumerate() {
        let numbers = row.as_array().filter(|row| row.len() == width);
        let refuse = || {
            fields.refuse(
                &format!("rows[{place}]"),
                row,
                format!("an array of {width} finite numbers, one a feature"),
            )
        };
        for value in numbers.ok_or_else(refuse)? {
            let finite = number(value).map(|value| value as f32).filter(|value| value.is_finite());
            values.push(finite.ok_or_else(refuse)?);
        }
    }
    let mut best = Vec::with_capacity(rows.len());
    for (place, level) in
        fields.array("best", "levels, one a row", rows.len(), rows.len())?.iter().enumerate()
    {
        best.push(match level.as_integer() {
            Some(-1) => None,
            Some(level) if (0..levels as i64).contains(&level) => Some(level as u8),
            _ => {
                let allowed = format!("-1 (no engine was right) or 0 to {}", levels - 1);
                return Err(fields.refuse(&format!("best[{place}]"), level, allowed));
            }
        });
    }
    let most = MAX_K.min(rows.len());
    let k = fields.count("k", 1, most as u64)?.unwrap_or(5.min(most as u64)) as usize;
    Premodel::new(scales, levels, k, values, best).map_err(|error| {
        fields.refuse("rows", &Value::from(error.to_string()), "a premodel that can be built")
    })
}
