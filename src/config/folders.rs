//! Where `engines` and `calibration` are looked for when nobody says.

use std::path::{Path, PathBuf};

use crate::{events, files};

/// Folders that hold when the configuration names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// The engine catalogue.
    pub engines: PathBuf,
    /// Policy files and profiles.
    pub calibration: PathBuf,
}

impl Folders {
    /// Looks for both.
    pub fn find() -> Self {
        Self { engines: find_folder("engines"), calibration: find_folder("calibration") }
    }
}

/// The first folder called `name` that is there and that nobody can write who cannot write the
/// program; the one of an installation if there is none, so that the error that follows names it.
/// The current folder has no say: what is found is run.
pub fn find_folder(name: &str) -> PathBuf {
    let executable = std::env::current_exe().ok();
    let candidates = candidates(name, files::checkout().as_deref(), executable.as_deref());
    candidates
        .into_iter()
        .find(|path| path.is_dir() && is_trusted(path))
        .unwrap_or_else(|| Path::new(SYSTEM[0]).join(name))
}

/// Folders of an installation.
const SYSTEM: [&str; 2] = ["/usr/share/squint", "/usr/local/share/squint"];

/// Where `name` is looked for, in order: the checkout that the program was built in,
/// `../share/squint` beside the executable (an unpacked archive), `/usr/share/squint`,
/// `/usr/local/share/squint`.
fn candidates(name: &str, checkout: Option<&Path>, executable: Option<&Path>) -> Vec<PathBuf> {
    let built = checkout.map(|folder| folder.join(name));
    let beside =
        executable.and_then(|path| Some(path.parent()?.parent()?.join("share/squint").join(name)));
    built
        .into_iter()
        .chain(beside)
        .chain(SYSTEM.map(|folder| Path::new(folder).join(name)))
        .collect()
}

fn is_trusted(folder: &Path) -> bool {
    let why = match files::untrusted(folder) {
        Ok(None) => return true,
        Ok(Some(why)) => why.to_string(),
        Err(error) => error.to_string(),
    };
    log::warn!(event = events::LIBRARY_DOUBTED; "{} is left alone: {why}", folder.display());
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_looked_for_in_the_checkout_of_the_program_and_in_installations_and_nowhere_else()
    {
        let names = |checkout: Option<&str>, executable: Option<&str>| {
            let paths = candidates("engines", checkout.map(Path::new), executable.map(Path::new));
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let system = ["/usr/share/squint/engines", "/usr/local/share/squint/engines"];
        let expected = ["/src/engines", "/src/target/share/squint/engines", system[0], system[1]];
        assert_eq!(names(Some("/src"), Some("/src/target/release/squint")), expected);
        assert_eq!(
            names(None, Some("/opt/squint/bin/squint")),
            ["/opt/squint/share/squint/engines", system[0], system[1]]
        );
        assert_eq!(names(None, None), system, "without a known executable");
    }
}
