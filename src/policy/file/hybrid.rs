//! The table `[hybrid]`. Engines by their place in the list of ids.

use toml::Value;

use super::super::clues::Logistic;
use super::super::hybrid::{Hybrid, MAX_POOL, Member, State, entry_width};
use super::error::PolicyError;
use super::fields::Fields;
use super::kinds::{Ids, logistic, scales};
use crate::engine::EngineIdx;

/// Takes the table apart. Every number is finite and every list as long as the decisions expect.
pub(super) fn hybrid(fields: &mut Fields, ids: &mut Ids) -> Result<Hybrid, PolicyError> {
    let allowed = "the chance of a right answer that one ms must buy, above 0, up to 1";
    let price =
        fields.number("price", 1e-9, 1.0)?.ok_or_else(|| fields.missing("price", allowed))? as f32;
    let scales = scales(fields, 0)?;
    let mut names: Vec<String> = Vec::new();
    let mut members: Vec<Member> = Vec::new();
    for mut member in fields.tables("pool", &["engine", "ms", "right", "time-ms"], 1, MAX_POOL)? {
        let id = member.text("engine", "the id of an engine")?;
        names.push(id.clone());
        let engine = EngineIdx(ids.new_place(id, &member, "engine")? as u8);
        let allowed = "the mean time of a look in training, ms, above 0";
        let ms =
            member.number("ms", 1e-6, 1e9)?.ok_or_else(|| member.missing("ms", allowed))? as f32;
        let width = entry_width(scales.len());
        let (right, time_ms) =
            (member.numbers("right", width, width)?, member.numbers("time-ms", width, width)?);
        members.push(Member { engine, ms, right, time_ms });
    }

    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut states: Vec<State> = Vec::new();
    for mut state in
        fields.tables("states", &["asked", "right", "then"], 1, (1 << members.len()) - 1)?
    {
        let mut asked = 0u8;
        for (at, id) in
            state.array("asked", "ids of the pool", 1, members.len())?.iter().enumerate()
        {
            let place = id.as_str().and_then(|id| known.iter().position(|known| *known == id));
            match place.filter(|place| asked >> place & 1 == 0) {
                Some(place) => asked |= 1 << place,
                None => {
                    return Err(state.refuse(
                        &format!("asked[{at}]"),
                        id,
                        "the id of an engine of the pool, each once",
                    ));
                }
            }
        }
        if states.iter().any(|held| held.asked == asked) {
            return Err(state.refuse(
                "asked",
                &Value::from("(these engines)"),
                "each set of engines once",
            ));
        }
        let right = logistic(&mut state, "right")?;
        let mut models = state.table("then", &known)?;
        let mut then = arrayvec::ArrayVec::<Option<Logistic>, MAX_POOL>::new();
        for (place, id) in known.iter().enumerate() {
            let model = match models.as_mut().filter(|models| models.has(id)) {
                Some(models) if asked >> place & 1 == 1 => {
                    return Err(models.refuse(
                        id,
                        &Value::from("(weights)"),
                        "only engines that are not among `asked`",
                    ));
                }
                Some(models) => Some(logistic(models, id)?),
                None => None,
            };
            then.push(model);
        }
        states.push(State { asked, right, then });
    }
    Ok(Hybrid { members: members.into_iter().collect(), price, scales, states })
}
