//! Where shared objects that Squint brings along may lie: in the checkout that the program was
//! built in, or in an installation.
//!
//! An edge module. What is found here is run, so the current folder has no say, and a file counts
//! only if nobody can write it who cannot write the program as well.

use std::path::{Path, PathBuf};

use crate::{events, files};

/// Folders that belong to this program, in order: `below` in the checkout that it was built in,
/// `lib/squint` beside its folder, then `/usr/lib/squint` and `/usr/local/lib/squint`.
pub(super) fn near(below: &str, file: &str) -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    places(below, file, files::checkout().as_deref(), program.as_deref())
}

fn places(
    below: &str,
    file: &str,
    checkout: Option<&Path>,
    program: Option<&Path>,
) -> Vec<PathBuf> {
    let built = checkout.map(|folder| folder.join(below));
    let beside = program.and_then(|program| Some(program.parent()?.parent()?.join("lib/squint")));
    let system = ["/usr/lib/squint", "/usr/local/lib/squint"].map(PathBuf::from);
    let mut places: Vec<PathBuf> = Vec::new();
    for place in built.into_iter().chain(beside).chain(system).map(|folder| folder.join(file)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The first of `places` that is a file and can be trusted. Those that cannot be are named in the
/// log.
pub(super) fn first(places: Vec<PathBuf>) -> Option<PathBuf> {
    places.into_iter().filter(|place| place.is_file()).find(|place| trusted(place))
}

fn trusted(place: &Path) -> bool {
    let why = match files::untrusted(place) {
        Ok(None) => return true,
        Ok(Some(why)) => why.to_string(),
        Err(error) => error.to_string(),
    };
    log::warn!(event = events::LIBRARY_DOUBTED; "{} is left alone: {why}", place.display());
    false
}

/// Says so if `named`, which the user chose, can be written by somebody who cannot write the
/// program. A choice is obeyed all the same.
pub(super) fn doubt(named: &Path) {
    if let Ok(Some(why)) = files::untrusted(named) {
        log::warn!(event = events::LIBRARY_DOUBTED; "{} is opened because it is named, but {why}", named.display());
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_can_be_written_by_others_is_passed_over() {
        // Beside this program: the folder for temporary files can be written by everybody.
        let program = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let [open, ours] = ["open.so", "ours.so"].map(|name| folder.path().join(name));
        fs::write(&open, "").unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o666)).unwrap();
        if files::untrusted(&open).unwrap().is_none() {
            return eprintln!(
                "skipped: everybody can write this very program, or a folder above it"
            );
        }
        assert_eq!(first(vec![folder.path().join("none.so"), open.clone(), ours.clone()]), None);
        fs::write(&ours, "").unwrap();
        fs::set_permissions(&ours, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(first(vec![folder.path().to_path_buf(), open, ours.clone()]), Some(ours));
    }

    #[test]
    fn a_library_is_looked_for_in_the_checkout_of_the_program_beside_it_and_in_the_system() {
        let names = |checkout: Option<&str>, program: &str| {
            let places = places(".deps", "x.so", checkout.map(Path::new), Some(Path::new(program)));
            places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>()
        };
        let expected = [
            "/src/.deps/x.so",
            "/src/target/lib/squint/x.so",
            "/usr/lib/squint/x.so",
            "/usr/local/lib/squint/x.so",
        ];
        assert_eq!(names(Some("/src"), "/src/target/release/squint"), expected);
        assert_eq!(
            names(None, "/usr/bin/squint"),
            ["/usr/lib/squint/x.so", "/usr/local/lib/squint/x.so"]
        );
        assert_eq!(names(None, "/opt/s/bin/squint")[0], "/opt/s/lib/squint/x.so");
    }
}
