//! `squint simulate`: drives the budget over a simulated board and prints how it fared.

use std::io::Write;
use std::path::Path;

use crate::cli::SimulateArgs;
use crate::error::Error;
use crate::simulate::oracle::Trials;
use crate::simulate::scenario::{MAX_BYTES, SHIPPED, Scenario};
use crate::simulate::squint::Squint;
use crate::simulate::versus::{Match, Summary, of_seeds, play, total};
use crate::simulate::{engines, plot, table};
use crate::{files, print};

/// Runs the scenarios asked for with every seed.
pub(crate) fn simulate(args: &SimulateArgs) -> Result<(), Error> {
    let scenarios = scenarios(args)?;
    let (policy, pool, trials) = (engines::policy(), engines::pool(), Trials::default());
    let mut summaries: Vec<Summary> = Vec::new();
    for scenario in &scenarios {
        let mut matches: Vec<Match> = Vec::new();
        for seed in args.first_seed..args.first_seed + args.seeds {
            matches.push(play(
                scenario,
                seed,
                &policy,
                &pool,
                &mut Squint::new(scenario, &pool),
                &trials,
            ));
        }
        if let (Some(folder), Some(first)) = (&args.svg, matches.first()) {
            let file = folder.join(format!("{}.svg", scenario.name));
            std::fs::create_dir_all(folder)
                .and_then(|()| files::write(&file, plot::plot(scenario, first).as_bytes()))
                .map_err(Error::io(file.display()))?;
        }
        summaries.push(of_seeds(&scenario.name, &matches));
    }
    if scenarios.len() > 1 {
        summaries.push(total(&summaries));
    }
    let text = if args.json {
        let json = serde_json::json!({ "seeds": args.seeds, "first_seed": args.first_seed, "scenarios": summaries });
        format!("{json:#}\n")
    } else {
        table::table(&summaries)
    };
    if args.json {
        print::raw().write_all(text.as_bytes())
    } else {
        print::page().write_all(text.as_bytes())
    }
    .map_err(Error::io(print::STDOUT))
}

/// Those named, or all that are built in.
fn scenarios(args: &SimulateArgs) -> Result<Vec<Scenario>, Error> {
    let refused = |error: crate::simulate::scenario::ScenarioError| Error::Usage(error.to_string());
    if args.scenario.is_empty() || args.all {
        let mut all = Scenario::shipped().map_err(|error| Error::Bug(error.to_string()))?;
        for name in
            args.scenario.iter().filter(|name| SHIPPED.iter().all(|(known, _)| known != name))
        {
            all.push(Scenario::parse(&read(Path::new(name))?, name).map_err(refused)?);
        }
        return Ok(all);
    }
    let one = |name: &String| match SHIPPED.iter().find(|(known, _)| known == name) {
        Some((_, text)) => Scenario::parse(text, name).map_err(refused),
        None => Scenario::parse(&read(Path::new(name))?, name).map_err(refused),
    };
    args.scenario.iter().map(one).collect()
}

/// The text of a scenario file, of which no more is read than one may have.
fn read(path: &Path) -> Result<String, Error> {
    let names = || SHIPPED.map(|(name, _)| name).join(", ");
    let refused = |reason: std::io::Error| Error::File {
        path: path.to_owned(),
        reason: format!("{reason}; a file, or one of {}", names()),
    };
    files::typed_text(path, MAX_BYTES as u64).map_err(refused)
}
