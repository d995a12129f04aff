//! One engine of the catalogue as the pipeline owns it: from frame to answer, alone or as an
//! ensemble.
//!
//! An edge module only because it reads the clock for [`LookTimes`]; the decisions are in
//! [`super::preprocess`] and [`super::score`]. Preprocessing writes straight into the memory that
//! an engine takes its input from. The members of an ensemble look one after the other, each with
//! its own preprocessing. A network is shown a few pictures when it is loaded, and refused if its
//! scores are not what its manifest says ([`super::proof`]).

use std::time::{Duration, Instant};

use super::catalog::Catalog;
use super::manifest::{Kind, Manifest, Network, Scores};
use super::preprocess::{PreprocessError, Preprocessor};
use super::proof::{self, Verdict};
use super::{Answer, Backend, Engine, EngineError, Look, LookTimes, score};
use crate::frame::{Frame, Framing};

/// One network with its preprocessing and buffers.
struct Part {
    id: String,
    preprocessor: Preprocessor,
    engine: Box<dyn Engine>,
    kind: Scores,
    weight: f32,
    scores: Vec<f32>,
}

/// An engine of the catalogue, loaded.
pub struct Looker {
    parts: Vec<Part>,
    /// What one member said; unused by a single network.
    member: Answer,
}

/// Says which backend runs a network.
pub type Choose<'a> = dyn Fn(&Manifest, &Network) -> Result<&'a dyn Backend, EngineError> + 'a;

/// An engine that was loaded.
pub struct Loaded {
    /// The engine.
    pub look: Box<dyn Look>,
    /// What is odd about it and yet possible, a sentence each: for the log.
    pub remarks: Vec<String>,
}

/// Loads engine `id` with the backend that its manifest asks for. Slow; not for the frame path.
/// Never substitutes anything.
pub fn load(
    catalog: &Catalog,
    id: &str,
    backends: &[&dyn Backend],
) -> Result<Box<dyn Look>, EngineError> {
    let loaded = load_by(catalog, id, &|manifest, network| {
        let backend = backends.iter().find(|backend| backend.name() == network.runtime).copied();
        backend.ok_or_else(|| {
            refuse(
                catalog,
                &manifest.id,
                format!("this build has no backend `{}`", network.runtime),
            )
        })
    });
    loaded.map(|loaded| loaded.look)
}

/// The same with the backends that `choose` says.
pub fn load_by(catalog: &Catalog, id: &str, choose: &Choose<'_>) -> Result<Loaded, EngineError> {
    let mut remarks = Vec::new();
    let looker = Looker::load(catalog, id, choose, &mut remarks)?;
    Ok(Loaded { look: Box::new(looker), remarks })
}

fn refuse(catalog: &Catalog, id: &str, reason: String) -> EngineError {
    EngineError::Model { id: id.to_owned(), path: catalog.folder().display().to_string(), reason }
}

impl Looker {
    fn load(
        catalog: &Catalog,
        id: &str,
        choose: &Choose<'_>,
        remarks: &mut Vec<String>,
    ) -> Result<Self, EngineError> {
        let networks = catalog.networks(id);
        if networks.is_empty() {
            return Err(refuse(catalog, id, catalog.unknown(id)));
        }
        let mut parts = Vec::with_capacity(networks.len());
        let pictures = proof::pictures().map_err(|error| refuse(catalog, id, error.to_string()))?;
        for (manifest, weight) in networks {
            let Kind::Network(network) = &manifest.kind else { continue };
            let mut part = Part {
                id: manifest.id.clone(),
                preprocessor: Preprocessor::new(&network.input, &network.view),
                engine: choose(manifest, network)?.load(manifest)?,
                kind: network.scores,
                weight,
                scores: vec![0.0; network.classes],
            };
            match part.prove(network, &pictures)? {
                Verdict::Fine => {}
                Verdict::Odd(what) => remarks.push(format!("engine `{}` {what}", part.id)),
                Verdict::Wrong(reason) => {
                    let path =
                        catalog.folder().join(&part.id).join("engine.toml").display().to_string();
                    return Err(EngineError::Model { id: part.id, path, reason });
                }
            }
            parts.push(part);
        }
        let classes = parts.first().map_or(0, |part| part.scores.len());
        Ok(Self { parts, member: Answer::with_classes(classes) })
    }
}

impl Part {
    /// A first run on `pictures`.
    fn prove(&mut self, network: &Network, pictures: &[Frame]) -> Result<Verdict, EngineError> {
        let (mut scores, mut failed) = (Vec::with_capacity(pictures.len()), 0);
        for picture in pictures {
            match self.run(picture, &Framing::default()) {
                Ok(_) => scores.push(self.scores.clone()),
                Err(EngineError::NotFinite { .. }) => failed += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(proof::judge(network, &scores, failed))
    }

    /// Prepares and runs; the scores are in `scores`. When it was prepared, and the device's own
    /// time.
    fn run(
        &mut self,
        frame: &Frame,
        framing: &Framing,
    ) -> Result<(Instant, Option<Duration>), EngineError> {
        self.preprocessor.prepare(frame, framing, self.engine.input()).map_err(
            |error| match error {
                PreprocessError::Length { want, got } => {
                    EngineError::Shape { id: self.id.clone(), want, got }
                }
            },
        )?;
        let prepared = Instant::now();
        Ok((prepared, self.engine.run(&mut self.scores)?))
    }

    fn look(
        &mut self,
        frame: &Frame,
        framing: &Framing,
        answer: &mut Answer,
        times: &mut LookTimes,
    ) -> Result<(), EngineError> {
        let start = Instant::now();
        let (prepared, device) = self.run(frame, framing)?;
        let ran = Instant::now();
        score::fill(answer, &self.scores, self.kind);
        times.preprocess += prepared - start;
        times.run += ran - prepared;
        times.rank += ran.elapsed();
        if let Some(device) = device {
            *times.device.get_or_insert_default() += device;
        }
        Ok(())
    }
}

impl Look for Looker {
    fn look(
        &mut self,
        frame: &Frame,
        framing: &Framing,
        answer: &mut Answer,
    ) -> Result<LookTimes, EngineError> {
        let mut times = LookTimes::default();
        if let [only] = self.parts.as_mut_slice() {
            only.look(frame, framing, answer, &mut times)?;
            return Ok(times);
        }
        answer.probabilities.clear();
        for part in &mut self.parts {
            part.look(frame, framing, &mut self.member, &mut times)?;
            let start = Instant::now();
            score::add(answer, &self.member, part.weight);
            times.rank += start.elapsed();
        }
        let start = Instant::now();
        score::rank(answer);
        times.rank += start.elapsed();
        Ok(times)
    }
}
