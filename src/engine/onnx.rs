//! ONNX Runtime on the CPU, through the crate `ort`. The library is found at run time; without it
//! this backend is simply absent.
//!
//! An edge module: loads a library and runs models. One runtime a process: the first that loads
//! stays, a second path is refused. Models and their data files are read and hashed here and handed
//! over as bytes, so that what was checked is what runs.

mod external;
mod library;
pub(super) mod scan;
mod tensors;

use std::path::Path;
use std::time::Duration;

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::{Outlet, TensorElementType};

use super::catalog::{MAX_MODEL, mismatch};
use super::fit::{self, Element, Holds};
use super::manifest::{Kind, Manifest, Network, Steps};
use super::{Backend, Engine, EngineError, hash};
use crate::files;
use library::Loaded;
use tensors::Input;

pub use library::places;

/// Runs before a model counts as loaded.
const WARM_UP: usize = 3;

/// The backend's name in manifests.
pub const NAME: &str = "onnxruntime";

/// The backend. Cheap to make; the library is loaded by the first `probe` or `load`.
#[derive(Clone, Debug)]
pub struct OnnxRuntime {
    library: Option<std::path::PathBuf>,
    threads: usize,
}

impl OnnxRuntime {
    /// `library`: path of libonnxruntime.so if the user names one; otherwise the usual places are
    /// tried (see [`places`]). `threads`: threads inside each network, 1..=64.
    pub fn new(library: Option<&Path>, threads: usize) -> Self {
        Self { library: library.map(Path::to_path_buf), threads: threads.clamp(1, 64) }
    }

    fn runtime(&self, id: &str) -> Result<&'static Loaded, EngineError> {
        library::load(self.library.as_deref()).map_err(|reason| EngineError::RuntimeMissing {
            id: id.to_owned(),
            library: "libonnxruntime.so",
            reason,
        })
    }

    fn session(&self, runtime: &Loaded, id: &str, bytes: &[u8]) -> ort::Result<Session> {
        // Arena and memory pattern stay on, as by default. Without them three int8 networks held
        // about 68 instead of 87 MB, but took 2 to 4 % more CPU time in the one quiet round that
        // was measured (x86-64, ONNX Runtime 1.32.0).
        let mut builder = Session::builder(&runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_intra_threads(self.threads)?
            .with_inter_threads(1)?
            .with_parallel_execution(false)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            // A processor without VNNI overflows where it multiplies int8 weights, see
            // docs/reference/engines.md: it multiplies uint8 ones instead. Others are not
            // concerned.
            .with_precise_qmm()?
            .with_log_id(id)?;
        builder.commit_from_memory(bytes)
    }
}

impl Backend for OnnxRuntime {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self) -> Result<String, EngineError> {
        self.runtime("*")
            .map(|loaded| format!("ONNX Runtime {} ({})", loaded.version, loaded.path.display()))
    }

    fn load(&self, manifest: &Manifest) -> Result<Box<dyn Engine>, EngineError> {
        let id = manifest.id.as_str();
        let Kind::Network(network) = &manifest.kind else {
            return Err(model_error(
                id,
                Path::new("engine.toml"),
                "an ensemble is no network; load its members",
            ));
        };
        let refuse = |reason: &str| model_error(id, &network.file, reason);
        let runtime = self.runtime(id)?;
        let bytes = whole(network).map_err(|(path, reason)| model_error(id, path, &reason))?;
        let mut session =
            self.session(runtime, id, &bytes).map_err(|error| refuse(&plain(&error)))?;
        drop(bytes);
        let inputs: Vec<_> = session.inputs().iter().map(tensor).collect();
        let element = fit::input(&inputs, network).map_err(|reason| refuse(&reason))?;
        let input =
            Input::new(element, network.input.shape()).map_err(|error| refuse(&plain(&error)))?;
        let output = output(&mut session, network, &input).map_err(|reason| refuse(&reason))?;
        let mut engine = OnnxEngine::new(id, session, network, input, output)
            .map_err(|error| refuse(&plain(&error)))?;
        engine.input().fill(0.0);
        let mut scores = vec![0.0; network.classes];
        for _ in 0..WARM_UP {
            match engine.run(&mut scores) {
                Ok(_) | Err(EngineError::NotFinite { .. }) => {}
                Err(error) => {
                    return Err(refuse(&format!("a first run on a black picture failed: {error}")));
                }
            }
        }
        Ok(Box::new(engine))
    }
}

fn model_error(id: &str, path: &Path, reason: &str) -> EngineError {
    EngineError::Model {
        id: id.to_owned(),
        path: path.display().to_string(),
        reason: reason.to_owned(),
    }
}

/// What ONNX Runtime said, on one line and without the places in its own source.
fn plain<T>(error: &ort::Error<T>) -> String {
    let text = error.to_string();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(400) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// The model with all its weights, each file read once and held against its sha256; with an error,
/// the file.
fn whole(network: &Network) -> Result<Vec<u8>, (&Path, String)> {
    let mut left = MAX_MODEL;
    let mut read = |file, said: &str| -> Result<Vec<u8>, (&Path, String)> {
        let bytes = files::bytes(file, left).map_err(|reason| (file, reason.to_string()))?;
        left = left.saturating_sub(bytes.len() as u64);
        let found = hash::of_bytes(&bytes);
        if found == said { Ok(bytes) } else { Err((file, mismatch(file, said, &found))) }
    };
    let model = read(&network.file, &network.sha256)?;
    let is_external = scan::check(&model).map_err(|reason| (network.file.as_path(), reason))?;
    if !is_external && network.data.is_empty() {
        return Ok(model);
    }
    let held = network
        .data
        .iter()
        .map(|data| read(&data.file, &data.sha256))
        .collect::<Result<Vec<_>, _>>()?;
    let files: Vec<(&str, &[u8])> = network
        .data
        .iter()
        .zip(&held)
        .map(|(data, bytes)| (data.location.as_str(), bytes.as_slice()))
        .collect();
    external::inlined(&model, &files).map_err(|reason| (network.file.as_path(), reason))
}

/// Which output is read, and its sides. Sides that the model leaves open are found by a run, if
/// they could be the classes.
fn output(session: &mut Session, network: &Network, input: &Input) -> Result<fit::Output, String> {
    let told: Vec<_> = session.outputs().iter().map(tensor).collect();
    let fitting = fit::output(&told, network)?;
    let is_open =
        told.iter().any(|one| one.name == fitting.name && one.dims.iter().any(|side| *side < 0));
    drop(told);
    if !is_open {
        return Ok(fitting);
    }
    let failed =
        |error: &ort::Error| format!("a first run on a black picture failed: {}", plain(error));
    let dims: Vec<i64> = {
        let outputs = session.run([input.value()]).map_err(|error| failed(&error))?;
        outputs
            .get(fitting.name.as_str())
            .and_then(|value| value.dtype().tensor_shape().map(|shape| shape.to_vec()))
            .unwrap_or_default()
    };
    let told: Vec<_> = session.outputs().iter().map(tensor).collect();
    let told = told
        .into_iter()
        .map(|one| if one.name == fitting.name { fit::Tensor { dims: &dims, ..one } } else { one });
    fit::output(&told.collect::<Vec<_>>(), network)
}

/// What ONNX Runtime tells of an input or output.
fn tensor(outlet: &Outlet) -> fit::Tensor<'_> {
    let kind = outlet.dtype();
    let holds = match kind.tensor_type() {
        Some(TensorElementType::Float32) => Holds::Numbers(Element::Float32),
        Some(TensorElementType::Float16) => Holds::Numbers(Element::Float16),
        Some(TensorElementType::Uint8) => Holds::Numbers(Element::Uint8),
        Some(TensorElementType::Int8) => Holds::Numbers(Element::Int8),
        Some(TensorElementType::Float64) => Holds::Other("float64".into()),
        Some(kind) => Holds::Other(kind.to_string()),
        None => Holds::Nothing,
    };
    fit::Tensor {
        name: outlet.name(),
        holds,
        dims: kind.tensor_shape().map_or(&[][..], |shape| shape),
    }
}

/// One loaded model with its tensors.
struct OnnxEngine {
    id: String,
    session: Session,
    input: Input,
    options: RunOptions<HasSelectedOutputs>,
    element: Element,
    steps: Option<Steps>,
    classes: usize,
}

impl OnnxEngine {
    fn new(
        id: &str,
        session: Session,
        network: &Network,
        input: Input,
        output: fit::Output,
    ) -> ort::Result<Self> {
        let fit::Output { name, shape, element } = output;
        let selector = OutputSelector::no_default()
            .with(&name)
            .preallocate(name, tensors::empty(element, &shape)?);
        let options = RunOptions::new()?.with_outputs(selector);
        Ok(Self {
            id: id.to_owned(),
            session,
            input,
            options,
            element,
            steps: network.steps,
            classes: network.classes,
        })
    }
}

impl Engine for OnnxEngine {
    fn input(&mut self) -> &mut [f32] {
        self.input.values()
    }

    fn run(&mut self, output: &mut [f32]) -> Result<Option<Duration>, EngineError> {
        if output.len() != self.classes {
            return Err(EngineError::Shape {
                id: self.id.clone(),
                want: self.classes,
                got: output.len(),
            });
        }
        let failed =
            |error: ort::Error| EngineError::Run { id: self.id.clone(), reason: plain(&error) };
        self.input.hand_over();
        let outputs =
            self.session.run_with_options([self.input.value()], &self.options).map_err(failed)?;
        let count = tensors::read(&outputs[0], self.element, self.steps, output).map_err(failed)?;
        if count != self.classes {
            return Err(EngineError::Shape { id: self.id.clone(), want: self.classes, got: count });
        }
        match output.iter().position(|score| !score.is_finite()) {
            Some(class) => Err(EngineError::NotFinite { id: self.id.clone(), class }),
            None => Ok(None),
        }
    }
}
