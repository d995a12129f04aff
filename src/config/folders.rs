//! Where `engines` and `calibration` are looked for when nobody says.

use std::path::{Path, PathBuf};

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

/// The first folder called `name` that is there; `name` itself if there is none, so that the error that follows names it.
pub fn find_folder(name: &str) -> PathBuf {
    let executable = std::env::current_exe().ok();
    let found = candidates(name, executable.as_deref()).into_iter().find(|path| path.is_dir());
    found.unwrap_or_else(|| PathBuf::from(name))
}

/// Where `name` is looked for, in order: the working directory, the folders around the executable from the inside out (a source tree),
/// `../share/squint` beside the executable (an unpacked archive), `/usr/share/squint`, `/usr/local/share/squint`.
fn candidates(name: &str, executable: Option<&Path>) -> Vec<PathBuf> {
    let around = executable.into_iter().flat_map(|path| path.ancestors().skip(1)).map(|folder| folder.join(name));
    let beside = executable.and_then(|path| Some(path.parent()?.parent()?.join("share/squint").join(name)));
    let system = ["/usr/share/squint", "/usr/local/share/squint"].map(|folder| Path::new(folder).join(name));
    std::iter::once(PathBuf::from(name)).chain(around).chain(beside).chain(system).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_looked_for_from_here_outwards() {
        let paths = candidates("engines", Some(Path::new("/opt/squint/bin/squint")));
        let expected = [
            "engines",
            "/opt/squint/bin/engines",
            "/opt/squint/engines",
            "/opt/engines",
            "/engines",
            "/opt/squint/share/squint/engines",
            "/usr/share/squint/engines",
            "/usr/local/share/squint/engines",
        ];
        assert_eq!(paths, expected.map(PathBuf::from));
        assert_eq!(candidates("engines", None).len(), 3, "without a known executable");
    }
}
