//! Labels of photos: which class each file shows. From a table (`run --labels`, `profile --labels`)
//! or from folders named by class.
//!
//! One reader for all commands: [`table`] reads the file, [`folders`] decides once for all folders
//! of a set how they are named, [`count`] holds answers against the labels during a run. A label
//! that belongs to no photo is never passed over in silence.

mod count;
mod folders;
mod table;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

pub(crate) use count::GroundTruth;
pub use table::{Listed, lines};

use clap::ValueEnum;

use crate::engine::{Label, Labels};
use crate::error::Error;
use crate::files;

/// Largest labels file that is read, rows.
const MAX_ROWS: usize = 5_000_000;
/// Largest labels file that is read, bytes.
const MAX_BYTES: u64 = 128 << 20;
/// Longest line that is read, bytes. Memory then stays below some five times the file's size.
const MAX_RECORD: usize = 1 << 16;

/// How classes are called: in a column of a table of labels, or as names of folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Naming {
    /// By the class's index, 0-based
    Index,
    /// By the key in the engines' labels file, such as a WordNet id
    Wnid,
    /// By name, whole or the first one before a comma, in upper or lower case
    Name,
}

impl Naming {
    const ALL: [Self; 3] = [Self::Index, Self::Wnid, Self::Name];

    /// The column of a table.
    const fn title(self) -> &'static str {
        match self {
            Self::Index => "class_index",
            Self::Wnid => "wnid",
            Self::Name => "class_name",
        }
    }

    /// The word on the command line.
    const fn word(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Wnid => "wnid",
            Self::Name => "name",
        }
    }

    /// The class that `value` means.
    fn class(self, value: &str, known: &Labels) -> Result<u32, String> {
        let (value, count) = (value.trim(), known.classes.len());
        if self == Self::Index {
            let class = value.parse().ok().filter(|class| (*class as usize) < count);
            return class.ok_or_else(|| {
                let one_more = value.parse() == Ok(count);
                let hint =
                    if one_more { "; is it counted from 1? the first class is 0" } else { "" };
                format!("allowed are 0 to {}{hint}", count.saturating_sub(1))
            });
        }
        let found = |is: &dyn Fn(&Label) -> bool| -> Vec<usize> {
            known
                .classes
                .iter()
                .enumerate()
                .filter(|(_, label)| is(label))
                .map(|(class, _)| class)
                .collect()
        };
        let classes = match self {
            Self::Wnid => found(&|label| !label.key.is_empty() && label.key == value),
            _ => match found(&|label| label.name.eq_ignore_ascii_case(value)) {
                none if none.is_empty() => found(&|label| {
                    label
                        .name
                        .split(',')
                        .next()
                        .is_some_and(|first| first.trim().eq_ignore_ascii_case(value))
                }),
                some => some,
            },
        };
        match classes.as_slice() {
            [class] => Ok(*class as u32),
            [] => Err("the engines know no such class".into()),
            [one, two, ..] => Err(format!("could be class {one} or {two}; write class_index")),
        }
    }
}

/// A photo and what it shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Photo {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its path inside the folder of photos.
    pub(crate) name: Box<str>,
    /// The right class.
    pub(crate) class: u32,
}

/// The labelled photos of `images`, sorted by name, and how many photos there are without a label.
///
/// With `labels`, a table as [`lines`] reads it; without, photos lie in sub-folders that are all
/// named in one of the same ways: `naming`, or the only one that fits all.
pub(crate) fn photos(
    images: &Path,
    labels: Option<&Path>,
    naming: Option<Naming>,
    known: &Labels,
) -> Result<(Vec<Photo>, usize), Error> {
    let (mut photos, unlabelled) = match labels {
        Some(csv) => listed(images, csv, known)?,
        None => (folders::photos(images, naming, known)?, 0),
    };
    photos.sort_by(|a, b| a.name.cmp(&b.name));
    if photos.is_empty() {
        return Err(Error::Usage(format!("no photo in {} has a label", images.display())));
    }
    Ok((photos, unlabelled))
}

/// The file's bytes.
fn read(csv: &Path) -> Result<Vec<u8>, Error> {
    files::records(csv, MAX_BYTES, MAX_RECORD).map_err(|error| Error::File {
        path: csv.to_owned(),
        reason: format!("cannot be read: {error}"),
    })
}

fn listed(images: &Path, csv: &Path, known: &Labels) -> Result<(Vec<Photo>, usize), Error> {
    let there = folders::pictures(images)?;
    let mut photos = Vec::new();
    for Listed { line, file, class } in lines(&read(csv)?, csv, known)? {
        let path = images.join(&*file);
        if !path.is_file() {
            let hint = hint(&file, there.iter().map(|(name, _)| name.as_str()));
            let reason = format!("line {line}: file {file:?} is not in {}{hint}", images.display());
            return Err(Error::File { path: csv.to_owned(), reason });
        }
        photos.push(Photo { path, name: file, class });
    }
    let seen: HashSet<&str> = photos.iter().map(|photo| &*photo.name).collect();
    let unlabelled = there.iter().filter(|(name, _)| !seen.contains(name.as_str())).count();
    Ok((photos, unlabelled))
}

/// What a name that belongs to no photo was meant to be, as an ending of a message; empty if
/// nothing is near.
fn hint<'a>(name: &str, photos: impl Iterator<Item = &'a str>) -> String {
    let base = |name: &str| name.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
    // A letter and its accent may be one character or two.
    let accents = |name: &str| name.chars().filter(|c| ('\u{300}'..='\u{36f}').contains(c)).count();
    let wanted = base(name);
    let distance = |photo: &str| strsim::damerau_levenshtein(&base(photo), &wanted);
    // Of very many only some are looked at: it is a hint.
    let near = photos.take(2_000).map(|photo| (distance(photo), photo)).min();
    let Some((distance, photo)) = near else { return String::new() };
    let accents = accents(name).abs_diff(accents(photo));
    match distance {
        _ if distance > 1 + wanted.chars().count() / 8 + 2 * accents => String::new(),
        _ if accents > 0 => {
            format!("; there is {photo:?}, whose accents are written in other characters")
        }
        _ => format!("; there is {photo:?}"),
    }
}

#[cfg(test)]
mod tests;
