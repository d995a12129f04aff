//! File, environment and flags laid over each other, each value held against the table of keys, all
//! mistakes kept.
//!
//! Pure: texts come in, a checked [`RawConfig`] and a list of problems go out. The `config` crate
//! does the layering; lines come from a second look at the file, because that crate forgets them.

use std::collections::HashMap;
use std::ffi::OsString;

use config::{Environment, File, FileFormat, Map, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::keys::{self, KEYS, SECTIONS, Unset};
use super::problem::{ConfigProblem, shown};
use super::raw::RawConfig;
use super::suggest;
use super::values::{ENVIRONMENT, printed, typed};
use super::variables::{self, Meaning};

/// The flag that may stand for a whole `[[camera]]`.
const SOURCE_FLAG: &str = "--source";
/// Most cameras in one configuration.
const MAX_CAMERAS: usize = 64;

/// One value set by a flag.
pub(super) struct Flag {
    /// The flag as typed.
    pub(super) flag: &'static str,
    /// Dotted path of the key; `camera.x` means every camera.
    pub(super) key: &'static str,
    /// The value.
    pub(super) value: ValueKind,
}

/// Values and where each came from.
pub(super) struct Reading {
    file: Option<String>,
    /// Lines of keys and tables by their place, `camera[0].name`.
    lines: HashMap<String, usize>,
    /// Flag or variable by place, for values that are not from the file.
    origins: HashMap<String, String>,
    /// Names of the cameras, as far as they have one.
    names: Vec<Option<String>>,
    odd_keys: bool,
    /// For `${NAME}` in sources.
    environment: Vec<(OsString, OsString)>,
    problems: Vec<(Option<usize>, String, ConfigProblem)>,
}

impl Reading {
    /// Reads everything. The raw form is there unless the file is no TOML; it is complete, defaults
    /// included, even if there are problems.
    pub(super) fn read(
        file: Option<(&str, &str)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: Vec<Flag>,
    ) -> (Self, Option<RawConfig>) {
        let mut reading = Self {
            file: file.map(|(name, _)| name.to_owned()),
            lines: HashMap::new(),
            origins: HashMap::new(),
            names: Vec::new(),
            odd_keys: false,
            environment: environment.into_iter().collect(),
            problems: Vec::new(),
        };
        let text = file.map_or("", |(_, text)| text);
        let raw = match DeTable::parse(text) {
            Err(error) => {
                let line = error.span().map(|span| line_of(text, span.start));
                reading.whole_file(
                    line,
                    format!("is not valid TOML: {}", error.message().replace('\n', ", ")),
                );
                None
            }
            Ok(table) => {
                let cameras = reading.survey(text, "", table.get_ref());
                if reading.odd_keys {
                    None
                } else {
                    reading
                        .layered(text, cameras, reading.environment.clone(), flags)
                        .and_then(|top| reading.checked(top))
                }
            }
        };
        (reading, raw)
    }

    /// What the environment says of `name`; nothing if it is not UTF-8.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let (_, value) = self.environment.iter().find(|(known, _)| known == name)?;
        value.to_str().map(str::to_owned)
    }

    /// Notes the line of every key and table; returns the number of cameras.
    fn survey(&mut self, text: &str, section: &str, table: &DeTable<'_>) -> usize {
        let mut cameras = 0;
        for (key, value) in table {
            let at = join(section, key.get_ref());
            // The `config` crate reads `"camera[9]"` as a path and would make room for ten cameras.
            if key.get_ref().is_empty()
                || !key.get_ref().chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
            {
                self.odd_keys = true;
                let line = Some(line_of(text, key.span().start));
                self.whole_file(
                    line,
                    "has a key with other signs than letters, digits, `-` and `_`".into(),
                );
                continue;
            }
            self.lines.insert(at.clone(), line_of(text, key.span().start));
            match value.get_ref() {
                DeValue::Table(inner) => _ = self.survey(text, &at, inner),
                DeValue::Array(items) => {
                    if at == "camera" {
                        cameras = items.len();
                    }
                    for (index, item) in items.iter().enumerate() {
                        let at = format!("{at}[{index}]");
                        self.lines.insert(at.clone(), line_of(text, item.span().start));
                        if let DeValue::Table(inner) = item.get_ref() {
                            self.survey(text, &at, inner);
                        }
                    }
                }
                DeValue::Integer(number)
                    if i64::from_str_radix(number.as_str(), number.radix()).is_err() =>
                {
                    self.problem(&at, Some(number.as_str().into()), "is too large a number", None);
                }
                _ => {}
            }
        }
        cameras
    }

    fn layered(
        &mut self,
        text: &str,
        cameras: usize,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: Vec<Flag>,
    ) -> Option<Map<String, Value>> {
        let variables = self.variables(environment);
        let variables = Environment::with_prefix("SQUINT")
            .prefix_separator("_")
            .separator("__")
            .source(Some(variables));
        let cameras = if flags.iter().any(|flag| flag.flag == SOURCE_FLAG) {
            cameras.max(1)
        } else {
            cameras
        };
        let mut builder = config::Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(variables);
        for Flag { flag, key, value } in flags {
            let value = Value::new(Some(&flag.to_owned()), value);
            let places = match key.strip_prefix("camera.") {
                Some(_) if flag == SOURCE_FLAG && cameras > 1 => {
                    self.problems.push((
                        None,
                        String::new(),
                        ConfigProblem {
                            file: flag.into(),
                            line: None,
                            key: String::new(),
                            value: None,
                            allowed: format!("stands for one camera, the file has {cameras}"),
                            hint: Some("leave one of the two out".into()),
                        },
                    ));
                    Vec::new()
                }
                Some(leaf) => (0..cameras).map(|index| format!("camera[{index}].{leaf}")).collect(),
                None => vec![key.to_owned()],
            };
            for place in places {
                builder = match builder.set_override(place, value.clone()) {
                    Ok(builder) => builder,
                    Err(error) => {
                        self.whole_file(None, shown(&error.to_string()));
                        return None;
                    }
                };
            }
        }
        match builder.build() {
            Ok(built) => match built.cache.kind {
                ValueKind::Table(top) => Some(top),
                _ => Some(Map::new()),
            },
            Err(_) if !self.problems.is_empty() => None,
            Err(error) => {
                self.whole_file(None, shown(&error.to_string()));
                None
            }
        }
    }

    /// The variables that set a key, spelt as the `config` crate wants them: `_` within a name is a
    /// `-` in the file.
    fn variables(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Map<String, String> {
        let mut known = Map::new();
        for (name, value) in environment {
            let name = shown(&name.to_string_lossy());
            let mistake =
                match (variables::meaning(&name, &value.to_string_lossy()), value.into_string()) {
                    (Meaning::Setting(spelt), Ok(value)) => {
                        known.insert(format!("SQUINT_{spelt}"), value);
                        continue;
                    }
                    (Meaning::Setting(_), Err(_)) => ("holds bytes that are not UTF-8", None),
                    (Meaning::Slip(what, hint), _) => (what, hint),
                    (Meaning::Nothing | Meaning::Link | Meaning::Stranger, _) => continue,
                };
            let problem = ConfigProblem {
                file: format!("environment variable {name}"),
                line: None,
                key: String::new(),
                value: None,
                allowed: mistake.0.into(),
                hint: mistake.1,
            };
            self.problems.push((None, name, problem));
        }
        known
    }

    /// Holds everything against the table of keys, puts defaults in, and turns it into the raw
    /// form.
    fn checked(&mut self, top: Map<String, Value>) -> Option<RawConfig> {
        let table = self.table("", "", top);
        match toml::Value::Table(table).try_into() {
            Ok(raw) => Some(raw),
            Err(error) => {
                // Only if the table of keys and the raw form disagree, which a test rules out.
                self.whole_file(None, shown(error.message()));
                None
            }
        }
    }

    /// Checks one table. `section` is its path in the table of keys, `at` its place in the file.
    fn table(&mut self, section: &str, at: &str, table: Map<String, Value>) -> toml::Table {
        let mut out = toml::Table::new();
        for (name, value) in table {
            let (path, place) = (join(section, &name), join(at, &name));
            self.note_origin(&place, &path, &value);
            if let Some(known) = keys::section(&path) {
                if known.repeats {
                    out.insert(name, toml::Value::Array(self.repeated(&path, &place, value)));
                } else if let ValueKind::Table(inner) = value.kind {
                    out.insert(name, toml::Value::Table(self.table(&path, &place, inner)));
                } else {
                    self.problem(&place, None, &format!("must be a table, [{path}]"), None);
                }
            } else if let Some(key) = keys::find(&path) {
                match typed(key, &value) {
                    Some(good) => _ = out.insert(name, good),
                    None => {
                        self.problem(
                            &place,
                            Some(printed(&value.kind)),
                            &format!("must be {}", key.allowed()),
                            None,
                        );
                    }
                }
            } else {
                self.problem(&place, None, "is not a key", suggest::key(section, &name));
            }
        }
        self.fill(section, at, &mut out);
        out
    }

    fn repeated(&mut self, path: &str, at: &str, value: Value) -> Vec<toml::Value> {
        let ValueKind::Array(items) = value.kind else {
            self.problem(at, None, &format!("must be written [[{path}]]"), None);
            return Vec::new();
        };
        if items.len() > MAX_CAMERAS {
            self.problem(
                at,
                None,
                &format!("has {} tables, at most {MAX_CAMERAS} are allowed", items.len()),
                None,
            );
        }
        let mut out = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{at}[{index}]");
            let ValueKind::Table(table) = item.kind else {
                self.names.push(None);
                self.problem(&place, None, &format!("must be written [[{path}]]"), None);
                continue;
            };
            self.names.push(match table.get("name").map(|value| &value.kind) {
                Some(ValueKind::String(name)) => Some(shown(name)),
                _ => None,
            });
            out.push(toml::Value::Table(self.table(path, &place, table)));
        }
        out
    }

    /// Puts in what was left out (or was wrong), so that the rest can be checked too.
    fn fill(&mut self, section: &str, at: &str, out: &mut toml::Table) {
        for key in KEYS
            .iter()
            .filter(|key| key.section() == section && !out.contains_key(key.name()))
            .collect::<Vec<_>>()
        {
            match key.unset {
                Unset::Required => {
                    let place = join(at, key.name());
                    self.problem(
                        &place,
                        None,
                        "is missing",
                        Some(format!("for example {} = {}", key.name(), key.example)),
                    );
                }
                Unset::Nothing(_) => {}
                Unset::Text(text) => {
                    _ = out.insert(key.name().into(), toml::Value::String(text.into()))
                }
                Unset::Integer(number) => {
                    _ = out.insert(key.name().into(), toml::Value::Integer(number))
                }
                Unset::Flag(flag) => _ = out.insert(key.name().into(), toml::Value::Boolean(flag)),
            }
        }
        for inner in
            SECTIONS.iter().filter(|inner| !inner.optional && parent(inner.path) == section)
        {
            let name = inner.path.rsplit('.').next().unwrap_or(inner.path);
            if !out.contains_key(name) {
                let table = self.table(inner.path, &join(at, name), Map::new());
                out.insert(name.into(), toml::Value::Table(table));
            }
        }
    }

    fn note_origin(&mut self, place: &str, path: &str, value: &Value) {
        match value.origin() {
            Some(ENVIRONMENT) => {
                _ = self
                    .origins
                    .insert(place.into(), format!("environment variable {}", keys::variable(path)))
            }
            Some(flag) => _ = self.origins.insert(place.into(), flag.into()),
            None => {}
        }
    }

    /// Notes a mistake at `place`, unless that place has one already.
    pub(super) fn problem(
        &mut self,
        place: &str,
        value: Option<String>,
        allowed: &str,
        hint: Option<String>,
    ) {
        if self.problems.iter().any(|(_, at, _)| at == place) {
            return;
        }
        let (file, line) = match self.origins.get(place) {
            Some(origin) => (origin.clone(), None),
            None => (self.file_name(), self.line(place)),
        };
        let problem = ConfigProblem {
            file,
            line,
            key: shown(&self.label(place)),
            value,
            allowed: allowed.into(),
            hint,
        };
        self.problems.push((line, place.into(), problem));
    }

    fn whole_file(&mut self, line: Option<usize>, what: String) {
        let problem = ConfigProblem {
            file: self.file_name(),
            line,
            key: String::new(),
            value: None,
            allowed: what,
            hint: None,
        };
        self.problems.push((line, String::new(), problem));
    }

    fn file_name(&self) -> String {
        self.file.clone().unwrap_or_else(|| "configuration".into())
    }

    /// The line of a place, or of the nearest table around it.
    fn line(&self, place: &str) -> Option<usize> {
        let mut place = place;
        loop {
            if let Some(line) = self.lines.get(place) {
                return Some(*line);
            }
            place = &place[..place.rfind(['.', '['])?];
        }
    }

    /// A place as people read it: `camera[0].name` is `camera[door].name`, or `camera[#1].name`
    /// without a name.
    fn label(&self, place: &str) -> String {
        let Some((index, rest)) =
            place.strip_prefix("camera[").and_then(|tail| tail.split_once(']'))
        else {
            return place.into();
        };
        let number = index.parse::<usize>().unwrap_or(0);
        match self.names.get(number) {
            Some(Some(name)) => format!("camera[{name}]{rest}"),
            _ => format!("camera[#{}]{rest}", number + 1),
        }
    }

    /// All mistakes in the order of the file; those from elsewhere first.
    pub(super) fn into_problems(mut self) -> Vec<ConfigProblem> {
        self.problems.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        self.problems.into_iter().map(|(_, _, problem)| problem).collect()
    }
}

fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
