//! Where shared objects that Squint brings along may lie: beside the program, in a checkout, or in an installation.
//!
//! An edge room: asks where the program and the current folder are. Looks at no file.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};

/// For the program's folder, the current folder and all above each: `<checkout>/FILE` and `lib/squint/FILE`; then `/usr/lib/squint/FILE`
/// and `/usr/local/lib/squint/FILE`. Each once.
pub(super) fn near(checkout: &str, file: &str) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = Vec::new();
    let program = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_path_buf));
    for start in [program, env::current_dir().ok()].into_iter().flatten() {
        for folder in start.ancestors() {
            places.extend([checkout, "lib/squint"].map(|below| folder.join(below).join(file)));
        }
    }
    places.extend(["/usr/lib/squint", "/usr/local/lib/squint"].map(|folder| Path::new(folder).join(file)));
    let mut seen = HashSet::new();
    places.retain(|place| seen.insert(place.clone()));
    places
}
