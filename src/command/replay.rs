//! `squint replay`: a recording's decisions made again, or made otherwise; prints what came of it.

use std::io::Write;
use std::time::Instant;

use log::LevelFilter;
use serde_json::{Value, json};

use crate::cli::ReplayArgs;
use crate::config::{self, Overrides};
use crate::daemon::context;
use crate::error::{Error, Kind};
use crate::escape::Escaped;
use crate::print;
use crate::source::Secret;
use crate::trace::verify::{self, Count, Replayed};
use crate::trace::what_if::{Change, Side, WhatIfReport};
use crate::trace::{Reader, verify::ReplayError};

/// Replays. `zero`: any moment, it stands for the start. An error with nothing more to say if
/// anything turned out otherwise.
pub(crate) fn replay(args: &ReplayArgs, zero: Instant) -> Result<(), Error> {
    log::set_max_level(log::max_level().min(LevelFilter::Warn));
    let change = change(args)?;
    let failed = |error: ReplayError| match error {
        ReplayError::Trace(error) => Error::Unfit(error.to_string()),
        ReplayError::Policy(error) => error.into(),
    };
    let mut reader = Reader::open(&args.trace).map_err(|error| failed(error.into()))?;
    let replayed = verify::replay(&mut reader, change, zero).map_err(failed)?;
    let mut out = print::raw();
    let told = if args.json {
        writeln!(out, "{}", as_json(&replayed))
    } else {
        print::page().write_all(as_text(&replayed).as_bytes())
    };
    told.and_then(|()| out.flush()).map_err(Error::io(print::STDOUT))?;
    if replayed.is_identical() { Ok(()) } else { Err(Error::Told(Kind::Differs)) }
}

/// What is supposed to be otherwise, if anything.
fn change(args: &ReplayArgs) -> Result<Option<Change>, Error> {
    if args.policy.is_none() && args.config.is_none() {
        return Ok(None);
    }
    let flags = Overrides {
        policy: args.policy.clone(),
        calibration: args.calibration.clone(),
        ..Overrides::default()
    };
    let config = match config::load(args.config.as_deref(), &flags) {
        Ok(config) => config,
        // A configuration without a camera will do here.
        Err(_) => config::load(
            args.config.as_deref(),
            &Overrides { source: Some(Secret::new("test")), ..flags },
        )?,
    };
    let policy = args.policy.as_ref().map(|_| context::read_policy(&config)).transpose()?;
    Ok(Some(Change { policy, budget: args.config.as_ref().map(|_| config.budget) }))
}

fn as_json(replayed: &Replayed) -> Value {
    let count = |count: Count| json!({"all": count.all, "identical": count.identical});
    let differences: Vec<_> = replayed
        .differences
        .iter()
        .map(|it| json!({"line": it.line, "what": it.what, "recorded": it.recorded, "again": it.again}))
        .collect();
    let mut value = json!({
        "v": 1,
        "events": replayed.events,
        "missing": replayed.missing,
        "whole": replayed.whole,
        "frames": {"settled": replayed.frames.0, "dropped": replayed.frames.1},
        "decisions": count(replayed.decisions),
        "grants": count(replayed.grants),
        "steps": count(replayed.steps),
        "steps_unchecked": replayed.steps_unchecked,
        "identical": replayed.is_identical(),
        "differences": differences,
    });
    if let Some(supposed) = &replayed.supposed {
        value["what_if"] = json!({
            "frames": supposed.frames,
            "same": supposed.same,
            "unknown": supposed.unknown,
            "other": others(supposed),
            "not_followed": supposed.not_followed,
            "recorded": side_json(supposed, &supposed.recorded),
            "supposed": side_json(supposed, &supposed.supposed),
        });
    }
    value
}

fn side_json(supposed: &WhatIfReport, side: &Side) -> Value {
    let engines: serde_json::Map<_, _> = supposed
        .engines
        .iter()
        .zip(&side.looks)
        .map(|(id, looks)| {
            (id.clone(), json!({"looks": looks, "share": share(*looks, supposed.frames)}))
        })
        .collect();
    json!({
        "engines": engines,
        "escalated": side.escalated,
        "withheld": side.withheld,
        "unseen": side.unseen,
        "looked_ms": side.looked_ms,
        "energy_mj": (side.energy_unknown == 0).then_some(side.energy_mj),
        "looks_without_energy": side.energy_unknown,
    })
}

/// Frames that would have gone another way, as far as is known.
fn others(supposed: &WhatIfReport) -> u64 {
    supposed.frames.saturating_sub(supposed.same).saturating_sub(supposed.unknown)
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

fn as_text(replayed: &Replayed) -> String {
    let Replayed { decisions, grants, steps, .. } = replayed;
    let mut text = format!("{} decisions, {} identical\n", decisions.all, decisions.identical);
    text += &format!("{} grants, {} identical\n", grants.all, grants.identical);
    text += &format!("{} steps of the budget, {} identical\n", steps.all, steps.identical);
    text += &format!(
        "{} frames settled, {} dropped by the scheduler\n",
        replayed.frames.0, replayed.frames.1
    );
    if replayed.missing > 0 {
        text += &format!(
            "{} events are missing: the disk was too slow for the recording",
            replayed.missing
        );
        text += &match replayed.steps_unchecked {
            0 => "\n".to_owned(),
            steps => format!("; {steps} steps of the budget after that cannot be taken again\n"),
        };
    }
    if !replayed.whole {
        text += "the trace breaks off before its end\n";
    }
    for it in &replayed.differences {
        text += &format!(
            "line {}: {} differs\n  recorded {}\n  again    {}\n",
            it.line,
            Escaped(&it.what),
            Escaped(&it.recorded),
            Escaped(&it.again)
        );
    }
    if let Some(supposed) = &replayed.supposed {
        text += &what_if(supposed);
    }
    text
}

fn what_if(supposed: &WhatIfReport) -> String {
    let WhatIfReport { frames, same, unknown, not_followed, recorded, supposed: would, .. } =
        supposed;
    let percent = |part: u64| 100.0 * share(part, *frames);
    let mut text =
        format!("\nwhat if: of {frames} frames {same} the same way ({:.1} %), ", percent(*same));
    text += &format!("{} another ({:.1} %), ", others(supposed), percent(others(supposed)));
    text += &format!(
        "{unknown} unknown, since an answer was never made ({:.1} %)\n",
        percent(*unknown)
    );
    if *not_followed > 0 {
        text += &format!("{not_followed} frames could not be followed from beginning to end\n");
    }
    let width = supposed.engines.iter().map(|id| id.chars().count() + 6).max().unwrap_or(0).max(24);
    text += &format!("{:width$}  {:>16}  {:>16}\n", "", "recorded", "what if");
    let mut row = |name: &str, was: String, would: String| {
        text += &format!("{name:width$}  {was:>16}  {would:>16}\n")
    };
    for ((id, was), would) in supposed.engines.iter().zip(&recorded.looks).zip(&would.looks) {
        let shown = |looks: u64| format!("{looks} ({:.1} %)", percent(looks));
        row(&format!("looks {}", Escaped(id)), shown(*was), shown(*would));
    }
    row("escalated", recorded.escalated.to_string(), would.escalated.to_string());
    row("withheld by the budget", recorded.withheld.to_string(), would.withheld.to_string());
    row("seen by no engine", recorded.unseen.to_string(), would.unseen.to_string());
    row("looks, ms a frame", each(recorded.looked_ms, *frames), each(would.looked_ms, *frames));
    let energy = |side: &Side| match side.energy_unknown {
        0 => each(side.energy_mj, *frames),
        unknown if unknown < side.looks.iter().sum::<u64>() => {
            format!("at least {}", each(side.energy_mj, *frames))
        }
        _ => "unknown".to_owned(),
    };
    row("looks, mJ a frame", energy(recorded), energy(would));
    text
}

fn each(sum: f64, frames: u64) -> String {
    if frames == 0 { "-".into() } else { format!("{:.2}", sum / frames as f64) }
}
