//! Changes the folder of plans, one process at a time.
//!
//! An edge module. A kill at any moment leaves nothing that counts: every file is written beside
//! its name and renamed, the plan first and the sidecar last, and what a killed build left is swept
//! away by the next one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::super::failure::Failure;
use super::super::name::Capability;
use super::super::sidecar::{Measured, Sidecar, Target};
use super::{Cache, CacheError, Entry, names, trusted};
use crate::engine::tensorrt::version::Version;
use crate::files::{self, UNFINISHED};

/// The one who may change the folder, as long as it lives; the lock goes with the process, however
/// that ends.
#[derive(Debug)]
pub struct Writer {
    cache: Cache,
    lock: File,
}

impl Drop for Writer {
    /// A child process between its birth and its program holds the lock, too, unless it is given up
    /// for all.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Cache {
    /// Makes the folder if need be, locks it, sweeps it. [`CacheError::Busy`] while another process
    /// writes there.
    pub fn writer(&self) -> Result<Writer, CacheError> {
        make(&self.folder)?;
        let path = self.folder.join("lock");
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o640)
            .custom_flags(flags)
            .open(&path);
        let lock = lock.map_err(CacheError::io(&path))?;
        match lock.try_lock() {
            Ok(()) => (),
            Err(fs::TryLockError::WouldBlock) => {
                return Err(CacheError::Busy { path: self.folder.clone() });
            }
            Err(fs::TryLockError::Error(reason)) => return Err(CacheError::Io { path, reason }),
        }
        let writer = Writer { cache: self.clone(), lock };
        writer.sweep()?;
        Ok(writer)
    }
}

/// Makes a folder for us and our group; refuses one that others may write.
fn make(folder: &Path) -> Result<(), CacheError> {
    DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(CacheError::io(folder))?;
    trusted(folder, &folder.metadata().map_err(CacheError::io(folder))?)
}

impl Writer {
    /// The folder, to read.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    fn path(&self, model: &str, target: &Target, end: &str) -> PathBuf {
        self.cache.folder.join(model).join(target.key.stem() + end)
    }

    /// Keeps a plan. Forgets that its build ever failed. An older plan of the same name is gone as
    /// soon as this begins.
    pub fn keep(&self, sidecar: &Sidecar, plan: &[u8]) -> Result<Entry, CacheError> {
        let Sidecar { model, target, .. } = sidecar;
        make(&self.cache.folder.join(model))?;
        let (path, json) = (self.path(model, target, ".engine"), self.path(model, target, ".json"));
        files::remove(&json).map_err(CacheError::io(&json))?;
        files::write_state(&path, plan).map_err(CacheError::io(&path))?;
        files::write_state(&json, sidecar.to_json().as_bytes()).map_err(CacheError::io(&json))?;
        self.forget(model, target)?;
        Ok(Entry { sidecar: sidecar.clone(), path })
    }

    /// Notes how fast a plan is.
    pub fn note(&self, entry: &mut Entry, measured: Measured) -> Result<(), CacheError> {
        entry.sidecar.measured = Some(measured);
        let json = entry.path.with_extension("json");
        files::write_state(&json, entry.sidecar.to_json().as_bytes()).map_err(CacheError::io(&json))
    }

    /// Remembers a failed build.
    pub fn fail(&self, failure: &Failure) -> Result<(), CacheError> {
        make(&self.cache.folder.join(&failure.model))?;
        let path = self.path(&failure.model, &failure.target, ".failed.json");
        files::write_state(&path, failure.to_json().as_bytes()).map_err(CacheError::io(&path))
    }

    /// Forgets a failed build.
    pub fn forget(&self, model: &str, target: &Target) -> Result<(), CacheError> {
        let path = self.path(model, target, ".failed.json");
        files::remove(&path).map_err(CacheError::io(&path))
    }

    /// Keeps what a build measured of kernels, for the next one.
    pub fn keep_timing(
        &self,
        tensorrt: Version,
        capability: Capability,
        bytes: &[u8],
    ) -> Result<(), CacheError> {
        let path = self.cache.timing_path(tensorrt, capability);
        files::write_state(&path, bytes).map_err(CacheError::io(&path))
    }

    /// Removes a file of the folder with what belongs to it: of a plan the sidecar first, of a
    /// sidecar the plan last.
    pub fn remove(&self, path: &Path) -> Result<(), CacheError> {
        let gone = |path: &Path| files::remove(path).map_err(CacheError::io(path));
        let is_memory = path.to_string_lossy().ends_with(".failed.json");
        if is_memory {
            return gone(path);
        }
        gone(&path.with_extension("json"))?;
        gone(&path.with_extension("engine"))
    }

    /// Removes what a killed build left: files that are not whole, and plans without a sidecar.
    fn sweep(&self) -> Result<(), CacheError> {
        let folders = self.cache.models()?.into_iter().map(|model| self.cache.folder.join(model));
        for folder in std::iter::once(self.cache.folder.clone()).chain(folders) {
            for name in names(&folder)? {
                let path = folder.join(&name);
                let alone = name.ends_with(".engine") && !path.with_extension("json").exists();
                if name.ends_with(UNFINISHED) || alone {
                    files::remove(&path).map_err(CacheError::io(&path))?;
                }
            }
        }
        Ok(())
    }
}
