//! Folders that go away again, and names that nobody can guess.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, Hasher};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder of our own in the one for temporary files, which nobody else can read. It is gone when
/// this is.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// Makes one whose name begins with `name`.
    pub(crate) fn make(name: &str) -> Result<Self> {
        loop {
            let folder = std::env::temp_dir().join(format!("{name}-{:016x}", unguessable()));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self(folder)),
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("{}: cannot be removed: {error}", self.0.display());
        }
    }
}

/// A number that nobody can guess: the standard library keys its maps with it.
pub(crate) fn unguessable() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_temporary_folder_is_ours_alone_and_goes_with_all_that_is_in_it() {
        let (one, other) =
            (Temporary::make("squint-test").unwrap(), Temporary::make("squint-test").unwrap());
        assert_ne!(one.path(), other.path());
        assert_eq!(fs::metadata(one.path()).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(one.path().join("file"), "x").unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists());
    }
}
