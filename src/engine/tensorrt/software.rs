//! NVIDIA's software on this machine, opened in the order in which nothing can crash: a driver that
//! works and has a GPU first, then TensorRT, then the shim that fits it, then a runtime, which
//! takes plans.
//!
//! An edge module. What was opened stays open for as long as the process lives, and the same wishes
//! get the same again. What is missing is an ordinary state with a sentence of its own; it is
//! looked for again the next time.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::super::places::{doubt, first, near};
use super::log::Log;
use super::raw::build::Builder;
use super::raw::cuda::Driver;
use super::raw::device::{Device, Turn};
use super::raw::library::{Entry, Library};
use super::raw::session::{Failure, Session, Slot};
use super::raw::shim::{Runtime, Shim, Tensor};
use super::version::{self, SHIMS, Version};
use crate::{events, files};

/// The GPU that engines run on: the one whose load NVML tells of.
const GPU: i32 = 0;
/// TensorRT's libraries, in the order in which they are tried.
pub const LIBRARIES: [&str; 3] = ["libnvinfer.so.8", "libnvinfer.so.10", "libnvinfer.so.11"];

/// Which files to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The driver's library.
    pub cuda: PathBuf,
    /// TensorRT's library, if the user names one: libnvinfer, its lean runtime, or TensorRT-RTX.
    /// The first of [`LIBRARIES`] otherwise.
    pub library: Option<PathBuf>,
    /// The shim, if the user names one; see [`shim_places`] otherwise.
    pub shim: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { cuda: "libcuda.so.1".into(), library: None, shim: None }
    }
}

/// What was found on the way, as far as it went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The newest CUDA that the driver serves, "12.2".
    pub cuda: Option<String>,
    /// The GPUs, by number.
    pub gpus: Vec<Gpu>,
    /// TensorRT's library as it was opened.
    pub library: Option<PathBuf>,
    /// Its version.
    pub version: Option<String>,
    /// The shim.
    pub shim: Option<PathBuf>,
    /// Version of the headers that the shim was built with.
    pub headers: Option<String>,
    /// What is missing; with nothing missing TensorRT can be used.
    pub missing: Option<Missing>,
}

/// A GPU as the driver tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// Compute capability, "8.7".
    pub capability: String,
    /// Host and device share memory, as on a Jetson.
    pub integrated: bool,
}

/// Why TensorRT cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// There is no driver. The usual state of a machine without an NVIDIA GPU.
    #[error("no NVIDIA driver ({0})")]
    Driver(String),
    /// The driver does not work.
    #[error("the NVIDIA driver does not work: {0}")]
    Broken(String),
    /// The driver has nothing to drive.
    #[error("the NVIDIA driver sees no GPU")]
    Gpu,
    /// There is no TensorRT.
    #[error("no TensorRT: {0}; install it, or name its library with `engines.tensorrt`")]
    Library(String),
    /// TensorRT is of a version that no shim serves.
    #[error("TensorRT {0} is not supported; 8, 10, 11 and RTX from 1.5 on are")]
    Version(String),
    /// There is no shim for this TensorRT.
    #[error("no TensorRT shim for {library} ({reason}): build it with scripts/shims")]
    Shim {
        /// TensorRT's library.
        library: String,
        /// What was tried.
        reason: String,
    },
    /// Everything is there and TensorRT refuses to work.
    #[error("TensorRT makes no runtime: {0}")]
    Refused(String),
    /// Vendor code crashed or hung, in a process of its own.
    #[error("{0}")]
    Crashed(String),
}

/// What an engine needs of all this.
pub(super) struct Software {
    pub(super) device: &'static Device,
    pub(super) gpu: Gpu,
    pub(super) version: Version,
    pub(super) log: &'static Log,
    /// TensorRT's library as it was opened.
    pub(super) library: PathBuf,
    opened: Library,
    shim_library: Library,
    shim: &'static Shim,
    create: Entry,
    runtime: Mutex<Option<Runtime>>,
}

/// What has been opened in this process, by which wishes, and what was found on the way.
static OPENED: Mutex<Vec<(Options, Found, &'static Software)>> = Mutex::new(Vec::new());

/// Where a shim ([`Version::shim`]) is looked for without a wish: in the checkout that the program
/// was built in (`target/shims/`), or in an installation.
pub fn shim_places(shim: &str) -> Vec<PathBuf> {
    near("target/shims", &format!("libsquint-{shim}.so"))
}

/// The shims that are there, for whichever TensorRT.
pub fn shims_here() -> Vec<PathBuf> {
    SHIMS.into_iter().filter_map(|shim| first(shim_places(shim))).collect()
}

/// Opens what is not open yet. `found` tells how far it went.
pub(super) fn open(options: &Options, found: &mut Found) -> Result<&'static Software, Missing> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known, software)) = opened.iter().find(|(known, _, _)| known == options) {
        found.clone_from(known);
        return Ok(software);
    }
    let software = steps(options, found)?;
    let (version, gpu) = (software.version, &software.gpu);
    log::info!(event = events::RUNTIME_LOADED; "{} on {} (compute capability {})", version.title(), gpu.name, gpu.capability);
    opened.push((options.clone(), found.clone(), software));
    Ok(software)
}

fn steps(options: &Options, found: &mut Found) -> Result<&'static Software, Missing> {
    let library = Library::open(&options.cuda).map_err(Missing::Driver)?;
    let driver = Driver::of(&library).map_err(Missing::Broken)?;
    let broken = |error: super::error::CudaError| match error.code {
        100 => Missing::Gpu,
        _ => Missing::Broken(error.to_string()),
    };
    driver.init().map_err(broken)?;
    found.cuda = driver.version().ok().map(version::cuda);
    for number in 0..driver.count().map_err(broken)? {
        let about = driver.about(number).map_err(broken)?;
        let capability = format!("{}.{}", about.capability.0, about.capability.1);
        found.gpus.push(Gpu { name: about.name, capability, integrated: about.integrated });
    }
    let gpu = found.gpus.first().cloned().ok_or(Missing::Gpu)?;
    let device = Device::open(driver, GPU).map_err(broken)?;

    let library = nvinfer(options.library.as_deref())?;
    found.library = Some(library.name.clone());
    let number = library.nvinfer_version().map_err(Missing::Library)?;
    let version =
        Version::from_number(number).ok_or_else(|| Missing::Version(number.to_string()))?;
    found.version = Some(version.to_string());
    let wanted = version.shim().ok_or_else(|| Missing::Version(version.to_string()))?;
    let create = library.entry("createInferRuntime_INTERNAL").map_err(Missing::Library)?;

    let no_shim = |reason| Missing::Shim { library: library.name.display().to_string(), reason };
    let place = match &options.shim {
        Some(place) => {
            named(place).map_err(no_shim)?;
            place.clone()
        }
        None => first(shim_places(wanted))
            .ok_or_else(|| no_shim(format!("libsquint-{wanted}.so is not there")))?,
    };
    let log: &'static Log = Box::leak(Box::new(Log::new()));
    let shim_library = Library::open(&place).map_err(no_shim)?;
    let shim = Shim::of(&shim_library, log).map_err(no_shim)?;
    found.shim = Some(place);
    let headers = Version::from_number(shim.headers);
    found.headers = headers.map(|version| version.to_string());
    if headers.and_then(Version::shim) != Some(wanted) {
        let built = headers.map_or_else(|| shim.headers.to_string(), |version| version.to_string());
        return Err(no_shim(format!(
            "the one that is there was built with the headers of {built}, this is {version}"
        )));
    }

    let software = Software {
        device,
        gpu,
        version,
        log,
        library: library.name.clone(),
        opened: library,
        shim_library,
        shim,
        create,
        runtime: Mutex::new(None),
    };
    let turn = device.enter().map_err(broken)?;
    drop(software.runtime(&turn).map_err(Missing::Refused)?);
    drop(turn);
    Ok(Box::leak(Box::new(software)))
}

/// Looks at a library that the user names, before it is opened. A bare name is the loader's affair.
fn named(library: &Path) -> Result<(), String> {
    if library.components().count() > 1 && library.exists() {
        files::regular(library).map_err(|error| format!("{}: {error}", library.display()))?;
        doubt(library);
    }
    Ok(())
}

/// The library that the user names, or the first that is there.
fn nvinfer(library: Option<&Path>) -> Result<Library, Missing> {
    if let Some(library) = library {
        named(library).map_err(Missing::Library)?;
        return Library::open(library).map_err(Missing::Library);
    }
    let mut reasons = Vec::new();
    for name in LIBRARIES {
        match Library::open(Path::new(name)) {
            Ok(library) => return Ok(library),
            // The loader names the file that it did not find: another one is a library that this
            // one needs.
            Err(reason) if reason.starts_with(name) && reason.contains("No such file") => {}
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() {
        reasons.push(format!("none of {} is installed", LIBRARIES.join(", ")));
    }
    Err(Missing::Library(reasons.join("; ")))
}

impl Software {
    /// What builds plans; a lean runtime has none.
    pub(super) fn builder(&self) -> Result<Builder, String> {
        Builder::of(
            &self.shim_library,
            self.shim,
            self.opened.entry("createInferBuilder_INTERNAL")?,
        )
    }

    /// The runtime of the context in which `turn` is, made if there is none; locked, for it serves
    /// one at a time, and so that the log says whom it is about. The error is what the log says.
    pub(super) fn runtime(&self, turn: &Turn) -> Result<MutexGuard<'_, Option<Runtime>>, String> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        self.log.drain();
        if !runtime.as_ref().is_some_and(|runtime| runtime.belongs_to(turn)) {
            *runtime = self.shim.runtime(self.create, turn);
        }
        match runtime.is_some() {
            true => Ok(runtime),
            false => Err(or(self.log.drain(), "it does not say why")),
        }
    }

    /// A plan, taken by the runtime, with memory for the tensors that `choose` picks, after
    /// `warm_up` runs on zeros; and room for what a run gives. The error is in words.
    pub(super) fn session(
        &self,
        turn: &Turn,
        plan: impl AsRef<[u8]>,
        choose: impl FnOnce(&[Tensor]) -> Result<[Slot; 2], String>,
        warm_up: usize,
    ) -> Result<(Session, Vec<f32>), String> {
        let mut runtime = self.runtime(turn)?;
        let taken = runtime.as_mut().and_then(|runtime| runtime.plan(plan.as_ref()));
        drop(plan);
        let refused = || {
            format!(
                "TensorRT {} refuses this plan: {}",
                self.version,
                or(self.log.drain(), "it does not say why")
            )
        };
        let mut taken = taken.ok_or_else(refused)?;
        let [input, output] = choose(&taken.tensors()?)?;
        let mut session =
            Session::new(turn, taken, input, output).map_err(|failure| self.words(failure))?;
        drop(runtime);
        let mut scores = vec![0.0; output.values];
        for _ in 0..warm_up {
            session.run(&mut scores).map_err(|failure| {
                format!("a first run on zeros failed: {}", self.words(failure))
            })?;
        }
        Ok((session, scores))
    }

    /// What failed, with what the log says of it, which is then empty.
    pub(super) fn words(&self, failure: Failure) -> String {
        let what = match failure {
            Failure::Cuda(error) => error.to_string(),
            Failure::Refused(what) => format!("TensorRT: {what}"),
            Failure::Lost(Some(error)) => format!("the GPU's context is lost: {error}"),
            Failure::Lost(None) => "the GPU's context is gone".to_owned(),
        };
        let log = self.log.drain();
        if log.is_empty() { what } else { format!("{what} ({log})") }
    }
}

/// `text`, or `otherwise` if it is empty.
pub(super) fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}
