//! A table of labels: a line a photo, with its file and its class.
//!
//! Pure: parses bytes that others have read and looks for nothing on the disk. Separated by commas,
//! semicolons or tabs, as the first line is. Errors name the line.

use std::collections::HashMap;
use std::path::Path;

use super::{MAX_ROWS, Naming};
use crate::engine::Labels;
use crate::error::Error;

/// One line of a labels file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number, from 1.
    pub line: u64,
    /// The file, without `./`.
    pub file: Box<str>,
    /// Its class, 0-based.
    pub class: u32,
}

/// Where what is in a table.
struct Columns {
    separator: u8,
    file: usize,
    /// All that tell the class, in the order in which they count.
    classes: Vec<(Naming, usize)>,
}

/// The lines of a labels file that holds `bytes`, for engines that tell `known` classes apart.
///
/// Columns: `file`, the path inside the folder of photos, and `class_index` (0-based), `wnid` or
/// `class_name`. If there are several of these they must agree; others are ignored. Errors with
/// [`Error::File`] if a line is wrong, a file is listed twice, nothing is listed, or too much.
pub fn lines(bytes: &[u8], csv: &Path, known: &Labels) -> Result<Vec<Listed>, Error> {
    let refuse = |reason: String| Error::File { path: csv.to_owned(), reason };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        refuse(format!("line {line}: not UTF-8; save the file as UTF-8"))
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let columns = columns(text).map_err(|reason| refuse(format!("line 1: {reason}")))?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(columns.separator)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut seen: HashMap<Box<str>, u64> = HashMap::new();
    let mut listed = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| refuse(error.to_string()))?;
        let line = row.position().map_or(0, csv::Position::line);
        let wrong = |reason: String| refuse(format!("line {line}: {reason}"));
        let name = row.get(columns.file).unwrap_or_default();
        let file = inside(name).ok_or_else(|| {
            wrong(format!("file {name:?}: allowed is a path inside the folder of photos"))
        })?;
        let class = class(&row, &columns, known).map_err(wrong)?;
        if let Some(before) = seen.insert(file.clone(), line) {
            return Err(wrong(format!("file {file:?} is listed already in line {before}")));
        }
        if listed.len() == MAX_ROWS {
            return Err(refuse(format!("more than {MAX_ROWS} rows")));
        }
        listed.push(Listed { line, file, class });
    }
    if listed.is_empty() {
        return Err(refuse("no labels in it".into()));
    }
    Ok(listed)
}

/// Finds the columns in the first line, separated by what makes most of it.
fn columns(text: &str) -> Result<Columns, String> {
    let needed = "a header with the column file and one of class_index, wnid, class_name is needed";
    let first = text.lines().next().unwrap_or_default();
    if first.trim_start().starts_with(['{', '[']) {
        return Err(format!("this is JSON; wanted is a CSV: {needed}"));
    }
    let mut told = Vec::new();
    for separator in [b',', b';', b'\t'] {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .trim(csv::Trim::All)
            .from_reader(first.as_bytes());
        let Ok(header) = reader.headers() else { continue };
        let at = |title: &str| header.iter().position(|column| column.eq_ignore_ascii_case(title));
        let classes: Vec<_> = Naming::ALL
            .into_iter()
            .filter_map(|naming| Some((naming, at(naming.title())?)))
            .collect();
        if let (Some(file), false) = (at("file"), classes.is_empty()) {
            return Ok(Columns { separator, file, classes });
        }
        if header.len() > told.len() {
            told =
                header.iter().map(|column| column.chars().take(40).collect::<String>()).collect();
        }
    }
    let told: Vec<_> = told.iter().take(8).map(|column| format!("{column:?}")).collect();
    Err(format!(
        "{needed}; found are {}",
        if told.is_empty() { "none".into() } else { told.join(", ") }
    ))
}

/// The class of a line, on which all columns agree.
fn class(row: &csv::StringRecord, columns: &Columns, known: &Labels) -> Result<u32, String> {
    let mut found: Option<(Naming, &str, u32)> = None;
    for &(naming, at) in &columns.classes {
        let (title, value) = (naming.title(), row.get(at).unwrap_or_default());
        match (found, naming.class(value, known)) {
            (None, Ok(class)) => found = Some((naming, value, class)),
            (None, Err(reason)) => return Err(format!("{title} {value:?}: {reason}")),
            // A name that several classes have, or one of another list, says nothing against an
            // index.
            (Some(_), Err(_)) => {}
            (Some((_, _, before)), Ok(class)) if class == before => {}
            (Some((first, was, before)), Ok(class)) => {
                let first = first.title();
                let shift = if class.abs_diff(before) == 1 {
                    "; is one counted from 1? the first class is 0"
                } else {
                    ""
                };
                return Err(format!(
                    "{first} {was:?} and {title} {value:?} are different classes, {before} and {class}{shift}"
                ));
            }
        }
    }
    found.map(|(_, _, class)| class).ok_or_else(|| "no class".into())
}

/// A path without `.`; `None` if it is empty, absolute or leads up.
fn inside(name: &str) -> Option<Box<str>> {
    if name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == "..") {
        return None;
    }
    if !name.starts_with("./") && !name.contains("/./") && !name.contains("//") {
        return Some(name.into());
    }
    let parts: Vec<_> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.is_empty()).then(|| parts.join("/").into())
}
