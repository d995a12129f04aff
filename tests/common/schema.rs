//! Reads the tables of docs/reference/records.md and holds JSON against them.

#![allow(unreachable_pub)]

use std::collections::BTreeSet;

use serde_json::Value;

pub struct Row {
    pub path: String,
    kind: String,
    range: String,
    per_camera: bool,
    always: bool,
}

pub struct Schema {
    pub rows: Vec<Row>,
    words: Vec<(String, Vec<String>)>,
}

/// The cells of the first table below `heading`, header and rule left out; backticks removed.
pub fn cells(doc: &str, heading: &str) -> Vec<Vec<String>> {
    let section = doc.lines().skip_while(|line| *line != heading).skip(1);
    let table =
        section.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cell = |text: &str| text.trim().replace('`', "");
    table.skip(2).map(|line| line.trim_matches('|').split('|').map(cell).collect()).collect()
}

/// The first column of a table.
pub fn words(doc: &str, heading: &str) -> Vec<String> {
    cells(doc, heading).into_iter().map(|mut row| row.swap_remove(0)).collect()
}

/// The fenced block opened by "```json `name`".
pub fn example(doc: &str, name: &str) -> Value {
    let opening = format!("```json {name}\n");
    let text = doc
        .split_once(&opening)
        .and_then(|(_, rest)| rest.split_once("```"))
        .map(|(text, _)| text)
        .unwrap();
    serde_json::from_str(text).unwrap()
}

impl Schema {
    pub fn read(doc: &str, heading: &str) -> Self {
        let row = |cells: Vec<String>| {
            let last = cells.len() - 1;
            let at = |index: usize| cells[index].clone();
            Row {
                path: at(0),
                kind: at(1),
                range: at(3),
                per_camera: last == 5 && cells[4] == "yes",
                always: cells[last] == "never",
            }
        };
        let lists = ["## Outcomes", "## Codes", "## Drops", "### Stages", "## Limits"];
        let words = lists.map(|heading| {
            (heading.trim_start_matches(['#', ' ']).to_lowercase(), words(doc, heading))
        });
        Self { rows: cells(doc, heading).into_iter().map(row).collect(), words: words.into() }
    }

    /// Panics where `value` differs from the tables; adds the rows met to `seen`, those of a camera
    /// with `camera:` before them.
    pub fn check(&self, value: &Value, seen: &mut BTreeSet<String>) {
        self.visit(value, "", seen);
    }

    fn visit(&self, value: &Value, path: &str, seen: &mut BTreeSet<String>) {
        let within = camera_field(path);
        if !path.is_empty() && within != Some("") {
            let row = self
                .row(within.unwrap_or(path))
                .unwrap_or_else(|| panic!("{path} is not documented"));
            if within.is_some() {
                assert!(row.per_camera, "{path} is not documented as a field of a camera");
            }
            seen.insert(format!("{}{}", if within.is_some() { "camera:" } else { "" }, row.path));
            self.check_value(row, path, value);
        } else if within == Some("") {
            seen.insert("cameras.<camera>".into());
        }
        match value {
            Value::Object(fields) => {
                for row in self.rows.iter().filter(|row| row.always && !row.path.ends_with('>')) {
                    let (parent, name) = row.path.rsplit_once('.').unwrap_or(("", &row.path));
                    let expected = match within {
                        Some(inner) => row.per_camera && same(parent, inner),
                        None => same(parent, path),
                    };
                    let entry = name.ends_with("[]");
                    assert!(
                        !expected || entry || fields.contains_key(name),
                        "{path}: {name} is missing"
                    );
                }
                for (name, field) in fields {
                    let path =
                        if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.visit(field, &path, seen);
                }
            }
            Value::Array(entries) => {
                entries.iter().for_each(|entry| self.visit(entry, &format!("{path}[]"), seen))
            }
            _ => (),
        }
    }

    fn row(&self, path: &str) -> Option<&Row> {
        self.rows.iter().find(|row| same(&row.path, path))
    }

    fn check_value(&self, row: &Row, path: &str, value: &Value) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        assert!(
            kind == row.kind || (kind == "integer" && row.kind == "number"),
            "{path} is {kind}, documented as {}",
            row.kind
        );
        if let Some((_, allowed)) =
            self.words.iter().find(|(name, _)| row.range == format!("[{name}](#{name})"))
        {
            let word = if value.is_string() {
                value.as_str().unwrap()
            } else {
                path.rsplit('.').next().unwrap()
            };
            assert!(
                allowed.iter().any(|known| known == word),
                "{path}: `{word}` is not documented"
            );
        } else if !row.range.is_empty() {
            let (number, (low, high)) = (value.as_f64().unwrap(), range(&row.range));
            assert!(
                (low..=high).contains(&number),
                "{path} is {number}, documented as {}",
                row.range
            );
        }
        if let Some(reason) = path.strip_prefix("drops.").or(path.strip_prefix("dropped.")) {
            assert!(
                self.words[2].1.iter().any(|known| known == reason),
                "{path} is not documented"
            );
        }
    }
}

/// `0..`, `0..=1` or a single number.
fn range(text: &str) -> (f64, f64) {
    let number = |text: &str| text.parse().unwrap();
    match text.split_once("..") {
        None => (number(text), number(text)),
        Some((low, "")) => (number(low), f64::INFINITY),
        Some((low, high)) => (number(low), number(high.trim_start_matches('='))),
    }
}

/// True if `path` is what `pattern` means; `<...>` stands for one name.
fn same(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (pattern.split('.'), path.split('.'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found || wanted.starts_with('<') => (),
            _ => return false,
        }
    }
}

/// What follows `cameras.<camera>` in a path.
fn camera_field(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("cameras.")?;
    Some(rest.split_once('.').map_or("", |(_, field)| field))
}

/// The rows that `seen` lacks.
pub fn unseen(schema: &Schema, seen: &BTreeSet<String>) -> Vec<String> {
    let everywhere = schema.rows.iter().map(|row| row.path.clone());
    let by_camera =
        schema.rows.iter().filter(|row| row.per_camera).map(|row| format!("camera:{}", row.path));
    everywhere.chain(by_camera).filter(|path| !seen.contains(path)).collect()
}
