//! Which files a folder or a pattern names, and which of them are pictures that Squint does not
//! read.
//!
//! Everything with a picture's name is taken, also what will turn out to be none: it is then
//! counted and named, not overlooked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::spec::{IMAGE_ENDINGS, is_image, is_pattern};

/// Endings of pictures that are not read, lower case.
const FOREIGN_ENDINGS: [&str; 30] = [
    "3fr", "arw", "avif", "cr2", "cr3", "dng", "erf", "gif", "heic", "heics", "heif", "hif", "ico",
    "jp2", "jxl", "nef", "nrw", "orf", "pef", "pgm", "ppm", "psd", "raf", "raw", "rw2", "sr2",
    "srw", "svg", "tif", "tiff",
];

/// Files that look like pictures of kinds that are not read, counted by ending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Foreign(BTreeMap<String, usize>);

impl Foreign {
    /// Counts `path` if its ending is that of such a picture.
    pub(crate) fn note(&mut self, path: &Path) {
        let ending = path
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default()
            .to_ascii_lowercase();
        if FOREIGN_ENDINGS.contains(&ending.as_str()) {
            *self.0.entry(ending).or_default() += 1;
        }
    }

    /// What to do about them; `None` if there are none.
    pub(crate) fn sentence(&self) -> Option<String> {
        let total: usize = self.0.values().sum();
        let kinds: Vec<String> =
            self.0.iter().map(|(ending, count)| format!("{count} .{ending}")).collect();
        match total {
            0 => None,
            1 => Some(format!("{} file is not read; convert it to JPEG or PNG", kinds.join(", "))),
            _ => Some(format!(
                "{} files are not read; convert them to JPEG or PNG",
                kinds.join(", ")
            )),
        }
    }
}

/// What a pattern names.
#[derive(Debug)]
pub(super) struct Listing {
    /// What is cut from the front of a path to make a frame's name.
    pub(super) folder: PathBuf,
    /// Sorted by path, never empty.
    pub(super) files: Vec<PathBuf>,
    pub(super) foreign: Foreign,
}

/// The files of `pattern`: a folder, a pattern or a file. The error says why there are none.
pub(super) fn list(pattern: &str) -> Result<Listing, String> {
    let path = Path::new(pattern);
    let endings = IMAGE_ENDINGS.join(", ");
    let (folder, all) = if path.is_dir() {
        let entries = path.read_dir().and_then(|entries| {
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()
        });
        (path.to_owned(), entries.map_err(|e| format!("the folder cannot be read: {e}"))?)
    } else if is_pattern(pattern) && !path.exists() {
        let paths = glob::glob(pattern).map_err(|e| format!("the pattern is wrong: {e}"))?;
        (fixed_part(path), paths.filter_map(Result::ok).collect::<Vec<_>>())
    } else {
        path.symlink_metadata().map_err(|e| format!("cannot be opened: {e}"))?;
        (path.parent().unwrap_or(path).to_owned(), vec![path.to_owned()])
    };
    let total = all.len();
    let mut foreign = Foreign::default();
    all.iter().for_each(|path| foreign.note(path));
    let mut files: Vec<_> = all.into_iter().filter(|path| is_image(path)).collect();
    files.sort_unstable();
    let others = || foreign.sentence().map_or_else(String::new, |told| format!("; {told}"));
    match files.is_empty() {
        true if total == 0 => Err(format!("no file is there; images end in {endings}")),
        true => Err(format!(
            "none of {total} entries is an image file; images end in {endings}{}",
            others()
        )),
        false => Ok(Listing { folder, files, foreign }),
    }
}

/// The folders of a pattern before the first one with a wildcard.
fn fixed_part(pattern: &Path) -> PathBuf {
    pattern
        .components()
        .take_while(|part| !is_pattern(&part.as_os_str().to_string_lossy()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_part_without_wildcards() {
        for (pattern, fixed) in
            [("/a/b/*.jpg", "/a/b"), ("a/*/c.jpg", "a"), ("*.jpg", ""), ("/?/x", "/")]
        {
            assert_eq!(fixed_part(Path::new(pattern)), Path::new(fixed), "{pattern}");
        }
    }

    #[test]
    fn an_empty_place_and_a_wrong_pattern_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        assert!(list(&at("")).unwrap_err().contains("no file is there; images end in jpg"));
        std::fs::write(at("readme.txt"), "x").unwrap();
        assert!(list(&at("")).unwrap_err().contains("none of 1 entries"));
        assert!(list(&at("*.png")).unwrap_err().contains("no file is there"));
        assert!(list(&at("a***b")).unwrap_err().contains("the pattern is wrong"));
        assert!(list(&at("gone.jpg")).unwrap_err().contains("cannot be opened"));
        for name in ["1.heic", "2.HEIC", "a.tif"] {
            std::fs::write(at(name), "x").unwrap();
        }
        let told = list(&at("")).unwrap_err();
        assert!(
            told.ends_with("2 .heic, 1 .tif files are not read; convert them to JPEG or PNG"),
            "{told}"
        );
    }

    #[test]
    fn whatever_has_the_name_of_a_picture_is_taken_and_other_pictures_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("folder.jpg")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("link.png")).unwrap();
        for name in ["a.bmp", "b.gif", "notes.txt"] {
            std::fs::write(at(name), "x").unwrap();
        }
        let listing = list(dir.path().to_str().unwrap()).unwrap();
        assert_eq!(listing.files, ["a.bmp", "folder.jpg", "link.png"].map(at));
        assert_eq!(
            listing.foreign.sentence().unwrap(),
            "1 .gif file is not read; convert it to JPEG or PNG"
        );
    }
}
