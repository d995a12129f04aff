//! Begins a recording: the head of a trace, and the papers of a crew. Nothing is decided here.

use std::path::Path;

use toml::Table;

use super::board::Board;
use super::kit::{self, Kit};
use crate::error::Error;
use crate::features;
use crate::pipeline::{Crew, Member};
use crate::trace::event::Enlisted;
use crate::trace::write::Recorder;
use crate::trace::{Head, Papers, VERSION};

/// Begins a trace in `path`, with `crew` on duty. Errors if that cannot be written to.
pub(crate) fn start(path: &Path, kit: &Kit, board: &Board, crew: &Crew) -> Result<Recorder, Error> {
    let head = Head {
        v: VERSION,
        squint: env!("CARGO_PKG_VERSION").into(),
        schema: features::schema().into(),
        inventory: board.inventory().clone(),
        cameras: kit.config.cameras.iter().map(|camera| camera.name.to_string()).collect(),
    };
    let papers = papers(kit, crew)?;
    let recorder = Recorder::start(path, &head).map_err(Error::io(path.display()))?;
    recorder.tape().announce(papers);
    Ok(recorder)
}

/// What `crew`, made of `kit`, works by.
pub(crate) fn papers(kit: &Kit, crew: &Crew) -> Result<Papers, Error> {
    let accuracy = |id: &str| {
        let members: &[Member] = crew.budget.as_ref().map_or(&[], |budget| &budget.engines);
        members.iter().find(|member| member.id == id).and_then(|member| member.accuracy)
    };
    let enlisted = |id: &str| {
        let info =
            kit::engine_info(&kit.catalog, id).ok_or_else(|| Error::Bug(format!("a crew with `{id}`, which is not installed")))?;
        let runtime = kit.runtimes().of(&kit.catalog, id);
        Ok(Enlisted { id: info.id, sha256: info.sha256, labels_sha256: info.labels_sha256, accuracy: accuracy(id), runtime })
    };
    let engines = crew.engines.iter().map(|(id, _)| enlisted(id)).collect::<Result<_, Error>>()?;
    let kept = crew.budget.as_ref().and_then(|budget| budget.kept.as_ref()).map(|kept| kept.to_json());
    Ok(Papers { policy: kit::policy_text(&kit.config)?, engines, budget: budget(&kit.config.to_toml())?, kept })
}

/// The section `[budget]` of a configuration, without the place of the state file, which means nothing elsewhere.
fn budget(config: &str) -> Result<String, Error> {
    let bug = |what: &dyn std::fmt::Display| Error::Bug(format!("a configuration that cannot be printed: {what}"));
    let mut config: Table = config.parse().map_err(|error| bug(&error))?;
    let mut section = config.remove("budget").unwrap_or_else(|| Table::new().into());
    if let Some(section) = section.as_table_mut() {
        section.remove("state-file");
    }
    toml::to_string(&Table::from_iter([("budget".to_owned(), section)])).map_err(|error| bug(&error))
}
