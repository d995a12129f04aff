//! The folder that plans lie in: what is there, what counts, and the bytes once they are checked.
//!
//! An edge module: reads files and decides by [`super::sidecar`] alone.
//! `<folder>/<engine>/<stem>.engine` is a plan, `.json` beside it its sidecar, `.failed.json` the
//! memory of a failed build. A plan counts only with a sidecar that fits it: the sidecar is written
//! last. TensorRT trusts plans blindly, so nobody else may be able to write them: owner root or
//! ourselves, and not writable by group or others. [`Writer`] changes the folder, one process at a
//! time; [`prune`] says what can go.

pub mod prune;
mod write;

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::name::{Capability, Sha256};
use super::sidecar::{MAX_PLAN, MAX_TEXT, Mismatch, Sidecar, Target, TextError};
use crate::engine::manifest::is_id;
use crate::engine::tensorrt::version::Version;
use crate::files;
pub use write::Writer;

/// Largest timing cache that is read, bytes.
const MAX_TIMING: u64 = 64 << 20;
/// Most files of one engine that are looked at.
const MAX_FILES: usize = 1024;

/// Why a file of the folder does not count, or the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system says no.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        reason: io::Error,
    },
    /// Neither root's nor ours.
    #[error("{} belongs to user {uid}, so it is not trusted; plans must belong to root or to the user who runs Squint", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// Others may write it.
    #[error("{} can be written by others (mode {mode:o}), so it is not trusted; chmod go-w", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A link, a folder, a pipe.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Cut off, or grown.
    #[error("{} has {found} bytes, its sidecar says {told}; it is built anew", path.display())]
    Length {
        /// The plan.
        path: PathBuf,
        /// As the sidecar says.
        told: u64,
        /// As it is.
        found: u64,
    },
    /// Not the bytes that were built.
    #[error("{} is not the plan that was built (sha256 {found}, its sidecar says {told}); it is built anew", path.display())]
    Sha256 {
        /// The plan.
        path: PathBuf,
        /// As the sidecar says.
        told: Sha256,
        /// As it is.
        found: Sha256,
    },
    /// Moved or renamed.
    #[error("{} tells of {told}; it was moved or renamed", path.display())]
    Misplaced {
        /// The sidecar.
        path: PathBuf,
        /// What it is about.
        told: String,
    },
    /// The sidecar is of no use.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Another process is building.
    #[error("{}: another process is building or pruning there; wait until it has ended", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
}

impl CacheError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Io { path, reason }
    }
}

/// A plan that counts, as far as can be told without reading it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What is known of it.
    pub sidecar: Sidecar,
    /// The plan.
    pub path: PathBuf,
}

/// A failed build.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    /// What is remembered.
    pub failure: Failure,
    /// The file.
    pub path: PathBuf,
}

/// Files that do not count.
#[derive(Debug)]
pub struct Broken {
    /// The sidecar or memory.
    pub path: PathBuf,
    /// Why.
    pub why: CacheError,
}

/// All that lies there for one engine; plans newest first.
#[derive(Debug, Default)]
pub struct Listing {
    /// Plans that count.
    pub plans: Vec<Entry>,
    /// Builds that failed.
    pub failed: Vec<Failed>,
    /// What does not count.
    pub broken: Vec<Broken>,
}

/// What there is for a target.
#[derive(Clone, Debug, PartialEq)]
pub enum Best<'a> {
    /// Just that.
    Fits(&'a Entry),
    /// Something that runs here and may serve until the right one is built.
    Serves(&'a Entry, Vec<Mismatch>),
    /// Nothing that runs here; the newest plan, if any, and why not.
    Nothing(Option<(&'a Entry, Vec<Mismatch>)>),
}

impl Listing {
    /// The best plan for `target`: one that fits, else the newest that still serves.
    pub fn best(&self, target: &Target) -> Best<'_> {
        let judged: Vec<_> =
            self.plans.iter().map(|entry| (entry, entry.sidecar.mismatches(target))).collect();
        if let Some((entry, _)) = judged.iter().find(|(_, mismatches)| mismatches.is_empty()) {
            return Best::Fits(entry);
        }
        match judged.iter().find(|(_, mismatches)| mismatches.iter().all(Mismatch::still_serves)) {
            Some((entry, mismatches)) => Best::Serves(entry, mismatches.clone()),
            None => Best::Nothing(judged.into_iter().next()),
        }
    }

    /// The build for `target`, if it failed before and nothing has changed.
    pub fn failure(&self, target: &Target) -> Option<&Failure> {
        self.failed.iter().map(|failed| &failed.failure).find(|failure| failure.holds(target))
    }
}

/// See the module. Nothing is created before something is to be written.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Of a folder that may not be there yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The engines that there is a folder for, sorted.
    pub fn models(&self) -> Result<Vec<String>, CacheError> {
        let mut models: Vec<String> =
            names(&self.folder)?.into_iter().filter(|name| is_id(name)).collect();
        models.retain(|model| {
            self.folder.join(model).symlink_metadata().is_ok_and(|facts| facts.is_dir())
        });
        Ok(models)
    }

    /// What lies there for an engine. Plans are not read, only looked at.
    pub fn list(&self, model: &str) -> Result<Listing, CacheError> {
        let mut listing = Listing::default();
        let folder = self.folder.join(model);
        if !is_id(model) || !folder.exists() {
            return Ok(listing);
        }
        for folder in [&self.folder, &folder] {
            trusted(folder, &folder.symlink_metadata().map_err(CacheError::io(folder))?)?;
        }
        for name in names(&folder)? {
            let path = folder.join(&name);
            if let Some(stem) = name.strip_suffix(".failed.json") {
                match self.failed(model, stem, &path) {
                    Ok(failure) => listing.failed.push(Failed { failure, path }),
                    Err(why) => listing.broken.push(Broken { path, why }),
                }
            } else if let Some(stem) = name.strip_suffix(".json") {
                match self.entry(model, stem, &path) {
                    Ok(entry) => listing.plans.push(entry),
                    Err(why) => listing.broken.push(Broken { path, why }),
                }
            }
        }
        listing.plans.sort_by(|a, b| {
            b.sidecar.built_at_s.cmp(&a.sidecar.built_at_s).then_with(|| a.path.cmp(&b.path))
        });
        Ok(listing)
    }

    /// The same, slowly: every plan is read, and one that is not what was built does not count.
    pub fn list_whole(&self, model: &str) -> Result<Listing, CacheError> {
        let Listing { plans, failed, mut broken } = self.list(model)?;
        let mut whole = Vec::with_capacity(plans.len());
        for entry in plans {
            match self.read(&entry) {
                Ok(_) => whole.push(entry),
                Err(why) => broken.push(Broken { path: entry.path, why }),
            }
        }
        Ok(Listing { plans: whole, failed, broken })
    }

    fn entry(&self, model: &str, stem: &str, path: &Path) -> Result<Entry, CacheError> {
        let sidecar = Sidecar::from_json(&text(path)?, &path.display().to_string())?;
        placed(path, model, stem, &sidecar.model, &sidecar.target)?;
        let plan = path.with_file_name(format!("{stem}.engine"));
        let facts = plan.symlink_metadata().map_err(CacheError::io(&plan))?;
        regular(&plan, &facts)?;
        same_length(&plan, &sidecar, facts.len())?;
        Ok(Entry { sidecar, path: plan })
    }

    fn failed(&self, model: &str, stem: &str, path: &Path) -> Result<Failure, CacheError> {
        let failure = Failure::from_json(&text(path)?, &path.display().to_string())?;
        placed(path, model, stem, &failure.model, &failure.target)?;
        Ok(failure)
    }

    /// The bytes of a plan, after every check; the only way to TensorRT.
    pub fn read(&self, entry: &Entry) -> Result<Vec<u8>, CacheError> {
        let (path, sidecar) = (&entry.path, &entry.sidecar);
        let bytes = bytes(path, MAX_PLAN)?;
        same_length(path, sidecar, bytes.len() as u64)?;
        let found = Sha256::of(&bytes);
        match found == sidecar.plan_sha256 {
            true => Ok(bytes),
            false => Err(CacheError::Sha256 {
                path: path.clone(),
                told: sidecar.plan_sha256.clone(),
                found,
            }),
        }
    }

    /// What earlier builds by this TensorRT for such a GPU measured of kernels; `None` without, or
    /// if it is of no use.
    pub fn timing(&self, tensorrt: Version, capability: Capability) -> Option<Vec<u8>> {
        bytes(&self.timing_path(tensorrt, capability), MAX_TIMING).ok()
    }

    fn timing_path(&self, tensorrt: Version, capability: Capability) -> PathBuf {
        self.folder.join(format!("trt{tensorrt}-sm{}{}.timing", capability.major, capability.minor))
    }
}

/// Sorted; none if the folder is not there.
fn names(folder: &Path) -> Result<Vec<String>, CacheError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(CacheError::io(folder))?,
    };
    let mut names: Vec<String> = entries
        .take(MAX_FILES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// A sidecar counts only where it was written.
fn placed(
    path: &Path,
    model: &str,
    stem: &str,
    told_model: &str,
    target: &Target,
) -> Result<(), CacheError> {
    let told = target.key.stem();
    match told_model == model && told == stem {
        true => Ok(()),
        false => Err(CacheError::Misplaced {
            path: path.to_owned(),
            told: format!("{told_model}/{told}"),
        }),
    }
}

fn same_length(path: &Path, sidecar: &Sidecar, found: u64) -> Result<(), CacheError> {
    match found == sidecar.plan_bytes {
        true => Ok(()),
        false => Err(CacheError::Length { path: path.to_owned(), told: sidecar.plan_bytes, found }),
    }
}

fn trusted(path: &Path, facts: &Metadata) -> Result<(), CacheError> {
    let (path, uid, mode) = (path.to_owned(), facts.uid(), facts.mode() & 0o7777);
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        Err(CacheError::Owner { path, uid })
    } else if mode & 0o022 != 0 {
        Err(CacheError::Writable { path, mode })
    } else {
        Ok(())
    }
}

fn regular(path: &Path, facts: &Metadata) -> Result<(), CacheError> {
    if facts.is_file() {
        trusted(path, facts)
    } else {
        Err(CacheError::NotAFile { path: path.to_owned() })
    }
}

/// All of a trusted regular file. What was opened is what is checked, whatever happens to the name
/// meanwhile.
fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>, CacheError> {
    regular(path, &path.symlink_metadata().map_err(CacheError::io(path))?)?;
    let file = files::state(path).map_err(CacheError::io(path))?;
    let facts = file.metadata().map_err(CacheError::io(path))?;
    regular(path, &facts)?;
    let mut bytes = Vec::with_capacity(usize::try_from(facts.len().min(limit)).unwrap_or(0) + 1);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(CacheError::io(path))?;
    if bytes.len() as u64 > limit {
        let what = format!("larger than {limit} bytes, the most that is read of such a file");
        return Err(CacheError::io(path)(io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    Ok(bytes)
}

fn text(path: &Path) -> Result<String, CacheError> {
    let invalid = |error: std::string::FromUtf8Error| {
        io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())
    };
    String::from_utf8(bytes(path, MAX_TEXT as u64)?)
        .map_err(|error| CacheError::io(path)(invalid(error)))
}
