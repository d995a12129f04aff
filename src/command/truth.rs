//! Labels of photos: which class each file shows. From CSV; for `run --labels` and `train`; for `profile` also
//! by wnid or class name, and from folders named by class.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::engine::{Labels, TOP};
use crate::error::Error;
use crate::files;
use crate::observe::Accuracy;
use crate::report::{Outcome, Report};
use crate::stats;

/// Largest labels file that is read, rows.
const MAX_ROWS: usize = 5_000_000;
/// Largest labels file that is read, bytes.
const MAX_BYTES: u64 = 512 << 20;

/// True class by file name.
#[derive(Debug)]
pub struct Truth {
    classes: HashMap<Box<str>, u32>,
    seen: u64,
    top1: u64,
    top5: u64,
}

#[derive(Deserialize)]
struct Row {
    file: Box<str>,
    class_index: u32,
}

impl Truth {
    /// Reads a CSV with the columns `file` and `class_index` (0-based, in the order of the engines' labels); others are ignored.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(&read(path)?, path)
    }

    /// The same from bytes that `path` holds. Errors with [`Error::File`] if a line is wrong, a file is listed as two classes, nothing
    /// is listed or too much.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let refuse = |reason: String| Error::File { path: path.to_owned(), reason };
        let mut reader = csv::Reader::from_reader(bytes);
        let mut classes = HashMap::new();
        for row in reader.deserialize::<Row>() {
            let Row { file, class_index } =
                row.map_err(|error| refuse(format!("{error}; a header with the columns file,class_index is needed")))?;
            if let Some(other) = classes.insert(file.clone(), class_index)
                && other != class_index
            {
                return Err(refuse(format!("{file} is listed twice, as class {other} and as class {class_index}")));
            }
            if classes.len() > MAX_ROWS {
                return Err(refuse(format!("more than {MAX_ROWS} rows")));
            }
        }
        if classes.is_empty() {
            return Err(refuse("no labels in it".into()));
        }
        Ok(Self { classes, seen: 0, top1: 0, top5: 0 })
    }

    /// The class of `file`.
    pub(crate) fn class_of(&self, file: &str) -> Option<u32> {
        self.classes.get(file).copied()
    }

    /// Counts a report, if its file has a label. No answer is a wrong answer.
    pub(crate) fn note(&mut self, report: &Report) {
        let Some(class) = report.file.as_deref().and_then(|file| self.class_of(file)) else { return };
        self.seen += 1;
        if matches!(report.outcome, Outcome::Answered | Outcome::Reused) {
            let answer = &report.journey.answer;
            let place = answer.top[..answer.ranked.min(TOP)].iter().position(|top| top.class == class);
            self.top1 += u64::from(place == Some(0));
            self.top5 += u64::from(place.is_some());
        }
    }

    /// What was counted; `None` without a labelled frame.
    pub(crate) fn accuracy(&self) -> Option<Accuracy> {
        if self.seen == 0 {
            return None;
        }
        let share = |hits: u64| hits as f64 / self.seen as f64;
        let (low, high) = stats::wilson95(self.top1, self.seen);
        Some(Accuracy { n: self.seen, top1: share(self.top1), top1_ci95: [low, high], top5: share(self.top5) })
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
/// With `labels`, a CSV with the column `file` and one of `class_index`, `wnid` and `class_name` (the first of these that is there
/// counts); without, photos lie in sub-folders that are named in one of these ways.
pub(crate) fn photos(images: &Path, labels: Option<&Path>, known: &Labels) -> Result<(Vec<Photo>, usize), Error> {
    let (mut photos, unlabelled) = match labels {
        Some(csv) => listed(images, csv, known)?,
        None => (in_folders(images, known)?, 0),
    };
    photos.sort_by(|a, b| a.name.cmp(&b.name));
    if photos.is_empty() {
        return Err(Error::Usage(format!("no photo in {} has a label", images.display())));
    }
    Ok((photos, unlabelled))
}

/// One line of a labels file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number, from 1.
    pub line: u64,
    /// The file, as written.
    pub file: Box<str>,
    /// Its class, 0-based.
    pub class: u32,
}

fn read(csv: &Path) -> Result<Vec<u8>, Error> {
    files::typed_bytes(csv, MAX_BYTES)
        .map_err(|error| Error::File { path: csv.to_owned(), reason: format!("cannot be read: {error}") })
}

/// The lines of a labels file that holds `bytes`, as for [`photos`]; nothing is looked for on the disk. Errors with [`Error::File`]
/// that names the line.
pub fn lines(bytes: &[u8], csv: &Path, known: &Labels) -> Result<Vec<Listed>, Error> {
    let refuse = |reason: String| Error::File { path: csv.to_owned(), reason };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        refuse(format!("line {line}: not UTF-8; save the file as UTF-8"))
    })?;
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().map_err(|error| refuse(error.to_string()))?.clone();
    let column = |name: &str| header.iter().position(|title| title.trim() == name);
    let key = ["class_index", "wnid", "class_name"].into_iter().find_map(|name| Some((name, column(name)?)));
    let (Some(file), Some((title, key))) = (column("file"), key) else {
        return Err(refuse("line 1: a header with the column file and one of class_index, wnid, class_name is needed".into()));
    };
    let mut seen: HashMap<Box<str>, u64> = HashMap::new();
    let mut listed = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| refuse(error.to_string()))?;
        let line = row.position().map_or(0, csv::Position::line);
        let (name, value) = (row.get(file).unwrap_or_default(), row.get(key).unwrap_or_default());
        let class = class_of(value, title, known).map_err(|reason| refuse(format!("line {line}: {title} {value:?}: {reason}")))?;
        if let Some(before) = seen.insert(name.into(), line) {
            return Err(refuse(format!("line {line}: file {name:?} is listed already in line {before}")));
        }
        if listed.len() == MAX_ROWS {
            return Err(refuse(format!("more than {MAX_ROWS} rows")));
        }
        listed.push(Listed { line, file: name.into(), class });
    }
    if listed.is_empty() {
        return Err(refuse("no labels in it".into()));
    }
    Ok(listed)
}

fn listed(images: &Path, csv: &Path, known: &Labels) -> Result<(Vec<Photo>, usize), Error> {
    let mut photos = Vec::new();
    for Listed { line, file, class } in lines(&read(csv)?, csv, known)? {
        let path = images.join(&*file);
        if !path.is_file() {
            let reason = format!("line {line}: file {file:?} is not in {}", images.display());
            return Err(Error::File { path: csv.to_owned(), reason });
        }
        photos.push(Photo { path, name: file, class });
    }
    let seen: HashSet<&str> = photos.iter().map(|photo| &*photo.name).collect();
    let unlabelled = pictures(images)?.iter().filter(|(name, _)| !seen.contains(name.as_str())).count();
    Ok((photos, unlabelled))
}

fn in_folders(images: &Path, known: &Labels) -> Result<Vec<Photo>, Error> {
    let mut photos = Vec::new();
    for (folder, path) in entries(images)? {
        if !path.is_dir() || folder.starts_with('.') {
            continue;
        }
        let titles = ["class_index", "wnid", "class_name"];
        let class = titles.iter().find_map(|title| class_of(&folder, title, known).ok()).ok_or_else(|| Error::File {
            path: path.clone(),
            reason: "the folder's name is no class index, wnid or class name of the engines; or name a file with --labels".into(),
        })?;
        let found = pictures(&path)?;
        if found.is_empty() {
            log::warn!("{}: no photo of class {class} in it", path.display());
        }
        photos.extend(found.into_iter().map(|(name, path)| Photo { path, name: format!("{folder}/{name}").into(), class }));
    }
    Ok(photos)
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let read = || -> std::io::Result<Vec<_>> {
        folder
            .read_dir()?
            .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
            .collect()
    };
    read().map_err(Error::io(folder.display()))
}

fn pictures(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let is_picture = |path: &Path| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        ["jpg", "jpeg", "png", "webp", "bmp"].contains(&ending.as_str()) && path.is_file()
    };
    Ok(entries(folder)?.into_iter().filter(|(_, path)| is_picture(path)).collect())
}

/// The class that `value` means as a `title`: index, key, or name (whole, or its first word before a comma).
fn class_of(value: &str, title: &str, known: &Labels) -> Result<u32, String> {
    let (value, count) = (value.trim(), known.classes.len());
    if title == "class_index" {
        return value
            .parse()
            .ok()
            .filter(|class| (*class as usize) < count)
            .ok_or_else(|| format!("allowed are 0 to {}", count - 1));
    }
    let found = |is: &dyn Fn(&crate::engine::Label) -> bool| -> Vec<usize> {
        known.classes.iter().enumerate().filter(|(_, label)| is(label)).map(|(class, _)| class).collect()
    };
    let classes = match title {
        "wnid" => found(&|label| !label.key.is_empty() && label.key == value),
        _ => match found(&|label| label.name.eq_ignore_ascii_case(value)) {
            none if none.is_empty() => {
                found(&|label| label.name.split(',').next().is_some_and(|first| first.trim().eq_ignore_ascii_case(value)))
            }
            some => some,
        },
    };
    match classes.as_slice() {
        [class] => Ok(*class as u32),
        [] => Err("the engines know no such class".into()),
        [one, two, ..] => Err(format!("could be class {one} or {two}; write class_index")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Truth, Error> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).expect("written");
        Truth::read(&path)
    }

    #[test]
    fn labels_are_found_by_file_name_whatever_other_columns_say() {
        let truth = read("file,class_index,name\na.jpg,7,\"a, b\"\nb.jpg,9,c\n").expect("fine");
        assert_eq!((truth.class_of("a.jpg"), truth.class_of("b.jpg"), truth.class_of("c.jpg")), (Some(7), Some(9), None));
    }

    #[test]
    fn unusable_labels_are_refused_with_the_reason() {
        for (text, reason) in [
            ("file,class_index\n", "no labels"),
            ("name,number\na,1\n", "class_index"),
            ("file,class_index\na.jpg,-1\n", "class_index"),
            ("file,class_index\na.jpg,1\na.jpg,2\n", "listed twice"),
        ] {
            let error = read(text).expect_err("refused").to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn photos_are_labelled_by_index_wnid_name_or_folder_and_mistakes_name_line_and_value() {
        let known = Labels::parse(b"n1\ttench, Tinca tinca\nn2\tcrane\nn3\tcrane\n").expect("labels");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("images/n2")).expect("made");
        for name in ["a.png", "b.png", "n2/c.png"] {
            std::fs::write(at("images").join(name), "").expect("written");
        }
        let ask = |text: &[u8]| {
            std::fs::write(at("labels.csv"), text).expect("written");
            photos(&at("images"), Some(&at("labels.csv")), &known)
        };
        for text in ["class_index,file\n0,a.png\n", "file,wnid\na.png,n1\n", "file,class_name\na.png,Tench\n"] {
            let (found, unlabelled) = ask(text.as_bytes()).expect("fine");
            assert_eq!((&*found[0].name, found[0].class, found.len(), unlabelled), ("a.png", 0, 1, 1), "{text}");
        }
        for (text, said) in [
            (&b"file,class_index\na.png,3\n"[..], "line 2: class_index \"3\": allowed are 0 to 2"),
            (b"file,wnid\na.png,n1\nb.png,n9\n", "line 3: wnid \"n9\""),
            (b"file,class_name\na.png,crane\n", "could be class 1 or 2"),
            (b"file,wnid\ngone.png,n1\n", "line 2: file \"gone.png\" is not in"),
            (b"file,wnid\na.png,n1\na.png,n1\n", "line 3: file \"a.png\" is listed already in line 2"),
            (b"file,wnid\n\xff.png,n1\n", "line 2: not UTF-8"),
            (b"name,wnid\na.png,n1\n", "line 1: a header"),
        ] {
            let error = ask(text).expect_err("refused").to_string();
            assert!(error.contains(said), "{error}");
        }
        let (found, _) = photos(&at("images"), None, &known).expect("folders");
        assert_eq!((&*found[0].name, found[0].class, found.len()), ("n2/c.png", 1, 1));
        std::fs::create_dir(at("images/dragon")).expect("made");
        assert!(photos(&at("images"), None, &known).expect_err("refused").to_string().contains("dragon"));
    }
}
