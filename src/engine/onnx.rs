//! ONNX Runtime on the CPU, through the crate `ort`. The library is found at run time; without it this backend is simply absent.
//!
//! An edge room: loads a library and runs models. One runtime a process: the first that loads stays, a second path is refused.
//! Models are read and hashed here and handed over as bytes, so that what was checked is what runs.

mod library;
pub(super) mod scan;

use std::path::Path;
use std::time::Duration;

use ort::memory::Allocator;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::{Outlet, Tensor, TensorElementType};

use super::catalog::{MAX_MODEL, mismatch};
use super::fit::{self, Holds};
use super::manifest::{Kind, Manifest, Network};
use super::{Backend, Engine, EngineError, hash};
use crate::files;
use library::Loaded;

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
    /// `library`: path of libonnxruntime.so if the user names one; otherwise the usual places are tried (see [`places`]).
    /// `threads`: threads inside each network, 1..=64.
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
        // Arena and memory pattern stay on, as by default. Without them three int8 networks held about 68 instead of 87 MB, but
        // took 2 to 4 % more CPU time in the one quiet round that was measured (x86-64, ONNX Runtime 1.32.0).
        let mut builder = Session::builder(&runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_intra_threads(self.threads)?
            .with_inter_threads(1)?
            .with_parallel_execution(false)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_log_id(id)?;
        builder.commit_from_memory(bytes)
    }
}

impl Backend for OnnxRuntime {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self) -> Result<String, EngineError> {
        self.runtime("*").map(|loaded| format!("ONNX Runtime {} ({})", loaded.version, loaded.path.display()))
    }

    fn load(&self, manifest: &Manifest) -> Result<Box<dyn Engine>, EngineError> {
        let id = manifest.id.as_str();
        let Kind::Network(network) = &manifest.kind else {
            return Err(model_error(id, Path::new("engine.toml"), "an ensemble is no network; load its members"));
        };
        let refuse = |reason: &str| model_error(id, &network.file, reason);
        let runtime = self.runtime(id)?;
        let bytes = files::bytes(&network.file, MAX_MODEL).map_err(|reason| refuse(&reason.to_string()))?;
        let found = hash::of_bytes(&bytes);
        if found != network.sha256 {
            return Err(refuse(&mismatch(network, &found)));
        }
        scan::check(&bytes).map_err(|reason| refuse(&reason))?;
        let session = self.session(runtime, id, &bytes).map_err(|error| refuse(&plain(&error)))?;
        drop(bytes);
        let inputs: Vec<_> = session.inputs().iter().map(tensor).collect();
        fit::input(&inputs, network).map_err(|reason| refuse(&reason))?;
        let outputs: Vec<_> = session.outputs().iter().map(tensor).collect();
        let (output, shape) = fit::output(&outputs, network).map_err(|reason| refuse(&reason))?;
        let mut engine = OnnxEngine::new(id, session, network, &output, &shape).map_err(|error| refuse(&plain(&error)))?;
        engine.input().fill(0.0);
        let mut scores = vec![0.0; network.classes];
        for _ in 0..WARM_UP {
            match engine.run(&mut scores) {
                Ok(_) | Err(EngineError::NotFinite { .. }) => {}
                Err(error) => return Err(refuse(&format!("a first run on a black picture failed: {error}"))),
            }
        }
        Ok(Box::new(engine))
    }
}

fn model_error(id: &str, path: &Path, reason: &str) -> EngineError {
    EngineError::Model { id: id.to_owned(), path: path.display().to_string(), reason: reason.to_owned() }
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

/// What ONNX Runtime tells of an input or output.
fn tensor(outlet: &Outlet) -> fit::Tensor<'_> {
    let kind = outlet.dtype();
    let holds = match kind.tensor_type() {
        Some(TensorElementType::Float32) => Holds::Float32,
        Some(kind) => Holds::Other(kind.to_string()),
        None => Holds::Nothing,
    };
    fit::Tensor { name: outlet.name(), holds, dims: kind.tensor_shape().map_or(&[][..], |shape| shape) }
}

/// One loaded model with its tensors.
struct OnnxEngine {
    id: String,
    session: Session,
    input: Tensor<f32>,
    options: RunOptions<HasSelectedOutputs>,
    classes: usize,
}

impl OnnxEngine {
    fn new(id: &str, session: Session, network: &Network, output: &str, shape: &[usize]) -> ort::Result<Self> {
        let allocator = Allocator::default();
        let input = Tensor::<f32>::new(&allocator, network.input.shape())?;
        let scores = Tensor::<f32>::new(&allocator, shape.to_vec())?;
        let selector = OutputSelector::no_default().with(output).preallocate(output, scores);
        let options = RunOptions::new()?.with_outputs(selector);
        Ok(Self { id: id.to_owned(), session, input, options, classes: network.classes })
    }
}

impl Engine for OnnxEngine {
    fn input(&mut self) -> &mut [f32] {
        self.input.extract_tensor_mut().1
    }

    fn run(&mut self, output: &mut [f32]) -> Result<Option<Duration>, EngineError> {
        if output.len() != self.classes {
            return Err(EngineError::Shape { id: self.id.clone(), want: self.classes, got: output.len() });
        }
        let failed = |error: ort::Error| EngineError::Run { id: self.id.clone(), reason: plain(&error) };
        let outputs = self.session.run_with_options(ort::inputs![&self.input], &self.options).map_err(failed)?;
        let (_, scores) = outputs[0].try_extract_tensor::<f32>().map_err(failed)?;
        if scores.len() != self.classes {
            return Err(EngineError::Shape { id: self.id.clone(), want: self.classes, got: scores.len() });
        }
        output.copy_from_slice(scores);
        match output.iter().position(|score| !score.is_finite()) {
            Some(class) => Err(EngineError::NotFinite { id: self.id.clone(), class }),
            None => Ok(None),
        }
    }
}
