//! Begins a recording: the head of a trace, and the inputs of an engine set. It decides nothing.

use std::path::Path;

use toml::Table;

use super::board::Board;
use super::context::{self, AppContext};
use crate::budget::Member;
use crate::error::Error;
use crate::features;
use crate::pipeline::EngineSet;
use crate::trace::event::TraceEngine;
use crate::trace::write::Recorder;
use crate::trace::{Head, Session, VERSION};

/// Begins a trace in `path`, with `engine_set` in force. Errors if that cannot be written to.
pub(crate) fn start(
    path: &Path,
    context: &AppContext,
    board: &Board,
    engine_set: &EngineSet,
) -> Result<Recorder, Error> {
    let head = Head {
        v: VERSION,
        squint: env!("CARGO_PKG_VERSION").into(),
        schema: features::schema().into(),
        inventory: board.inventory().clone(),
        cameras: context.config.cameras.iter().map(|camera| camera.name.to_string()).collect(),
    };
    let session = session(context, engine_set)?;
    let recorder = Recorder::start(path, &head).map_err(Error::io(path.display()))?;
    recorder.trace_queue().announce(session);
    Ok(recorder)
}

/// What `engine_set`, made of `context`, works by.
pub(crate) fn session(context: &AppContext, engine_set: &EngineSet) -> Result<Session, Error> {
    let accuracy = |id: &str| {
        let members: &[Member] = engine_set.budget.as_ref().map_or(&[], |budget| &budget.engines);
        members.iter().find(|member| member.id == id).and_then(|member| member.accuracy)
    };
    let enlisted = |id: &str| {
        let info = context::engine_info(&context.catalog, id).ok_or_else(|| {
            Error::Bug(format!("an engine set with `{id}`, which is not installed"))
        })?;
        let runtime = context.runtimes().of(&context.catalog, id);
        Ok(TraceEngine {
            id: info.id,
            sha256: info.sha256,
            labels_sha256: info.labels_sha256,
            accuracy: accuracy(id),
            runtime,
        })
    };
    let engines =
        engine_set.engines.iter().map(|(id, _)| enlisted(id)).collect::<Result<_, Error>>()?;
    let learned = engine_set
        .budget
        .as_ref()
        .and_then(|budget| budget.learned.as_ref())
        .map(|learned| learned.to_json());
    Ok(Session {
        policy: context::policy_text(&context.config)?,
        engines,
        budget: budget(&context.config.to_toml())?,
        learned,
    })
}

/// The section `[budget]` of a configuration, without the place of the state file, which means
/// nothing elsewhere.
fn budget(config: &str) -> Result<String, Error> {
    let bug = |what: &dyn std::fmt::Display| {
        Error::Bug(format!("a configuration that cannot be printed: {what}"))
    };
    let mut config: Table = config.parse().map_err(|error| bug(&error))?;
    let mut section = config.remove("budget").unwrap_or_else(|| Table::new().into());
    if let Some(section) = section.as_table_mut() {
        section.remove("state-file");
    }
    toml::to_string(&Table::from_iter([("budget".to_owned(), section)]))
        .map_err(|error| bug(&error))
}
