//! Photos in folders that are named by class.
//!
//! How folders are named is decided once for all folders of a set: by index, by key, or by name. A
//! set that can be read in two ways is refused, since folders called 1, 2 and 5 are other classes
//! by index than by name.

use std::path::{Path, PathBuf};

use super::{Naming, Photo};
use crate::engine::Labels;
use crate::error::Error;
use crate::source::{Foreign, is_image};

/// What to do about folders whose names are not clear.
const WAYS_OUT: &str = "or name a table with --labels";

/// The photos in the sub-folders of `images`; hidden ones are left out.
pub(super) fn photos(
    images: &Path,
    naming: Option<Naming>,
    known: &Labels,
) -> Result<Vec<Photo>, Error> {
    let folders: Vec<_> = entries(images)?
        .into_iter()
        .filter(|(name, path)| path.is_dir() && !name.starts_with('.'))
        .collect();
    let names: Vec<&str> = folders.iter().map(|(name, _)| name.as_str()).collect();
    let classes = classes(&names, naming, known)
        .map_err(|reason| Error::File { path: images.to_owned(), reason })?;
    let mut photos = Vec::new();
    for ((folder, path), class) in folders.iter().zip(classes) {
        let found = pictures(path)?;
        if found.is_empty() {
            log::warn!("{}: no photo of class {class} in it", path.display());
        }
        photos.extend(found.into_iter().map(|(name, path)| Photo {
            path,
            name: format!("{folder}/{name}").into(),
            class,
        }));
    }
    Ok(photos)
}

/// The class of each folder, all named in the same way: `wanted`, or the only one that fits all of
/// them.
fn classes(folders: &[&str], wanted: Option<Naming>, known: &Labels) -> Result<Vec<u32>, String> {
    if folders.is_empty() {
        return Err(format!(
            "there are no folders named by class in it; make one for each class, {WAYS_OUT}"
        ));
    }
    let read = |naming: Naming| -> Result<Vec<u32>, String> {
        let class = |folder: &&str| {
            naming.class(folder, known).map_err(|reason| format!("{folder:?}: {reason}"))
        };
        folders.iter().map(class).collect()
    };
    if let Some(naming) = wanted {
        return read(naming).map_err(|reason| {
            format!("by {} (--folders) not every folder is a class: {reason}", naming.word())
        });
    }
    let tried = Naming::ALL.map(|naming| (naming, read(naming)));
    let fitting: Vec<(Naming, &Vec<u32>)> = tried
        .iter()
        .filter_map(|(naming, classes)| Some((*naming, classes.as_ref().ok()?)))
        .collect();
    let Some(&(first, classes)) = fitting.first() else {
        let reasons: Vec<_> = tried
            .iter()
            .filter_map(|(naming, classes)| {
                Some(format!("by {}, {}", naming.title(), classes.as_ref().err()?))
            })
            .collect();
        return Err(format!(
            "the folders are not all named in one way: {}. Name all by class index, wnid or class name of the engines, {WAYS_OUT}",
            reasons.join("; ")
        ));
    };
    let differs = |(naming, other): &(Naming, &Vec<u32>)| {
        let at = classes.iter().zip(other.iter()).position(|(a, b)| a != b)?;
        Some((*naming, at, other[at]))
    };
    match fitting.iter().find_map(differs) {
        None => Ok(classes.clone()),
        Some((second, at, class)) => {
            let (folder, one, two) = (folders[at], first.word(), second.word());
            Err(format!(
                "the folders' names can be read in two ways: {folder:?} is class {} by {one} and class {class} by {two}; say which \
                 with --folders {one} or --folders {two}, {WAYS_OUT}",
                classes[at]
            ))
        }
    }
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let read = || -> std::io::Result<Vec<_>> {
        folder
            .read_dir()?
            .map(|entry| {
                entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
            })
            .collect()
    };
    let mut entries = read().map_err(Error::io(folder.display()))?;
    entries.sort();
    Ok(entries)
}

/// Everything in `folder` that has the name of a picture, also what will turn out to be none.
/// Pictures of kinds that are not read are logged.
pub(super) fn pictures(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let (mut found, mut foreign) = (entries(folder)?, Foreign::default());
    found.iter().for_each(|(_, path)| foreign.note(path));
    found.retain(|(_, path)| is_image(path));
    if let Some(told) = foreign.sentence() {
        log::warn!("{}: {told}", folder.display());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(text: &str) -> Labels {
        Labels::parse(text.as_bytes()).expect("labels")
    }

    #[test]
    fn one_way_of_naming_holds_for_all_folders() {
        let coins = known("1\n10\n2\n20\n5\n");
        assert_eq!(
            classes(&["1", "2", "5", "10", "20"], None, &coins),
            Ok(vec![0, 2, 4, 1, 3]),
            "10 and 20 are no indices"
        );
        let digits = known("0\n1\n2\n");
        assert_eq!(classes(&["0", "2"], None, &digits), Ok(vec![0, 2]), "index and name agree");
        let animals = known("n1\ttench, Tinca tinca\nn2\tcrane\nn3\tcrane\n");
        assert_eq!(classes(&["n1", "n3"], None, &animals), Ok(vec![0, 2]));
        assert_eq!(classes(&["0", "2"], None, &animals), Ok(vec![0, 2]));
        assert_eq!(classes(&["Tench"], None, &animals), Ok(vec![0]));
    }

    #[test]
    fn a_set_that_can_be_read_in_two_ways_is_refused_and_a_word_says_which() {
        let coins = known("1\n10\n2\n20\n5\n");
        let refused = classes(&["1", "2"], None, &coins).expect_err("two ways");
        assert!(refused.contains("\"1\" is class 1 by index and class 0 by name"), "{refused}");
        assert!(
            refused.contains("--folders index or --folders name") && refused.contains("--labels"),
            "{refused}"
        );
        assert_eq!(classes(&["1", "2"], Some(Naming::Name), &coins), Ok(vec![0, 2]));
        assert_eq!(classes(&["1", "2"], Some(Naming::Index), &coins), Ok(vec![1, 2]));
        let refused = classes(&["1", "20"], Some(Naming::Index), &coins).expect_err("no index");
        assert!(
            refused.contains("--folders") && refused.contains("\"20\": allowed are 0 to 4"),
            "{refused}"
        );
    }

    #[test]
    fn a_set_that_mixes_ways_or_has_a_folder_of_no_class_is_refused_with_each_reason() {
        let animals = known("n1\ttench, Tinca tinca\nn2\tcrane\nn3\theron\n");
        for (folders, said) in [
            (&["0", "n2", "heron"][..], "by class_index, \"n2\""),
            (&["tench", "dragon"], "by class_name, \"dragon\": the engines know no such class"),
            (&["1", "2", "3"], "\"3\": allowed are 0 to 2; is it counted from 1?"),
            (&[], "there are no folders named by class"),
        ] {
            let refused = classes(folders, None, &animals).expect_err(said);
            assert!(refused.contains(said) && refused.contains("--labels"), "{refused}");
        }
    }
}
