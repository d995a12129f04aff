//! Who can write a file, or put another in its place: asked of what Squint finds by itself and then
//! runs, such as libraries.
//!
//! Whoever can write the program, or a folder above it, can make it do anything. So what it finds
//! is trusted if nobody can write that who cannot write the program as well. Root and the user who
//! runs it can write anything that matters to it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

/// Most links on the way, as in the kernel.
const MAX_LINKS: usize = 40;

/// Somebody other than root and ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    User(u32),
    Group(u32),
    Everybody,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user {id}"),
            Self::Group(id) => write!(f, "group {id}"),
            Self::Everybody => f.write_str("everybody"),
        }
    }
}

/// A part of the way to a file that somebody can write who cannot write the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Untrusted {
    /// The file itself or a folder above it.
    pub(crate) path: PathBuf,
    /// Who can write it.
    pub(crate) by: Writer,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} can be written by {}, who cannot write this program",
            self.path.display(),
            self.by
        )
    }
}

/// Looks for somebody who can write `path` or a folder above it, also those that links lead
/// through, and who cannot write this program. `None`: it can be trusted. Errors if there is no
/// such path, or no telling.
pub(crate) fn untrusted(path: &Path) -> Result<Option<Untrusted>> {
    // A program whose file is gone, as after an upgrade, knows nobody but root and ourselves.
    let program = std::env::current_exe().and_then(|program| writers(&program)).unwrap_or_default();
    let known: Vec<Writer> = program.into_iter().map(|found| found.by).collect();
    Ok(writers(path)?.into_iter().find(|found| !known.contains(&found.by)))
}

/// The flags to open `path` with, so that no symbolic link is followed but one of root's or our
/// own. Errors if it is somebody else's: root, who runs a service's configuration by hand, must not
/// write where the service's user points.
pub(crate) fn links_of_ours(path: &Path) -> Result<OFlags> {
    let Ok(facts) = fs::symlink_metadata(path) else { return Ok(OFlags::NOFOLLOW) };
    let (owner, me) = (facts.uid(), rustix::process::geteuid().as_raw());
    match facts.is_symlink() {
        false => Ok(OFlags::NOFOLLOW),
        true if owner == 0 || owner == me => Ok(OFlags::empty()),
        true => {
            let what = format!(
                "is a symbolic link of user {owner}, and is not followed; name the file itself"
            );
            Err(Error::new(ErrorKind::InvalidInput, what))
        }
    }
}

/// Everybody who can write `path` or something above it, but for root and ourselves.
fn writers(path: &Path) -> Result<Vec<Untrusted>> {
    let me = rustix::process::geteuid().as_raw();
    let mut found = Vec::new();
    for path in way(path)? {
        let facts = fs::symlink_metadata(&path)?;
        found.extend(
            writers_of(facts.uid(), facts.gid(), facts.mode(), me)
                .map(|by| Untrusted { path: path.clone(), by }),
        );
    }
    Ok(found)
}

/// The same of one file with this owner, group and mode. The sticky bit is no help: others could
/// put a new file there.
fn writers_of(uid: u32, gid: u32, mode: u32, me: u32) -> impl Iterator<Item = Writer> {
    let user = (uid != 0 && uid != me).then_some(Writer::User(uid));
    let group = (gid != 0 && mode & 0o020 != 0).then_some(Writer::Group(gid));
    let others = (mode & 0o002 != 0).then_some(Writer::Everybody);
    [user, group, others].into_iter().flatten()
}

/// The file that `path` leads to and every folder on the way to it, through all links; the links
/// themselves are not in it.
fn way(path: &Path) -> Result<Vec<PathBuf>> {
    let names = |path: &Path| -> Vec<OsString> {
        path.components().map(|part| part.as_os_str().to_owned()).collect()
    };
    let mut left: VecDeque<OsString> = names(&std::path::absolute(path)?).into();
    let (mut at, mut way, mut links) = (PathBuf::from("/"), vec![PathBuf::from("/")], 0);
    while let Some(name) = left.pop_front() {
        match Path::new(&name).components().next() {
            Some(Component::RootDir) => at = "/".into(),
            Some(Component::ParentDir) => drop(at.pop()),
            Some(Component::Normal(name)) => {
                let next = at.join(name);
                if fs::symlink_metadata(&next)?.is_symlink() {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Error::from(rustix::io::Errno::LOOP));
                    }
                    names(&fs::read_link(&next)?)
                        .into_iter()
                        .rev()
                        .for_each(|name| left.push_front(name));
                } else {
                    at.clone_from(&next);
                    way.push(next);
                }
            }
            _ => {}
        }
    }
    Ok(way)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn root_and_ourselves_may_write_and_everybody_else_is_named() {
        let writers = |uid, gid, mode| writers_of(uid, gid, mode, 1000).collect::<Vec<_>>();
        assert_eq!(writers(0, 0, 0o755), []);
        assert_eq!(writers(1000, 1000, 0o644), []);
        assert_eq!(writers(0, 0, 0o775), [], "root's own group");
        assert_eq!(writers(1001, 1001, 0o644), [Writer::User(1001)]);
        assert_eq!(writers(0, 50, 0o2775), [Writer::Group(50)]);
        assert_eq!(
            writers(0, 0, 0o1777),
            [Writer::Everybody],
            "the sticky bit keeps nobody from adding files"
        );
        assert_eq!(
            writers(1001, 50, 0o666),
            [Writer::User(1001), Writer::Group(50), Writer::Everybody]
        );
    }

    #[test]
    fn every_folder_on_the_way_counts_also_those_that_links_lead_through() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        for name in ["open", "real", "real/lib"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("real/lib/x.so"), "").unwrap();
        fs::set_permissions(at("open"), Permissions::from_mode(0o757)).unwrap();
        symlink("open/hop", at("link")).unwrap();
        symlink("../real/lib", at("open/hop")).unwrap();
        let way = way(&at("link/x.so")).unwrap();
        for name in ["open", "real", "real/lib", "real/lib/x.so"] {
            assert!(way.contains(&at(name)), "{name}: {way:?}");
        }
        let bad =
            |path: &str| writers(&at(path)).unwrap().iter().any(|found| found.path == at("open"));
        assert!(bad("link/x.so") && !bad("real/lib/x.so"));
        symlink("loop", at("loop")).unwrap();
        assert!(writers(&at("loop")).is_err() && writers(&at("nothing")).is_err());
    }

    #[test]
    fn a_link_of_somebody_else_is_not_followed_and_one_of_ours_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink("file", at("link")).unwrap();
        assert_eq!(links_of_ours(&at("file")).unwrap(), OFlags::NOFOLLOW);
        assert_eq!(links_of_ours(&at("nothing")).unwrap(), OFlags::NOFOLLOW);
        assert_eq!(links_of_ours(&at("link")).unwrap(), OFlags::empty());
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(at("link"), Some(12), None).unwrap();
            let error = links_of_ours(&at("link")).unwrap_err().to_string();
            assert!(error.contains("is a symbolic link of user 12"), "{error}");
        }
    }

    #[test]
    fn this_program_can_be_trusted_to_itself() {
        assert_eq!(untrusted(&std::env::current_exe().unwrap()).unwrap(), None);
    }
}
