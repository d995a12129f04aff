//! What is installed: every `<folder>/<id>/engine.toml`, checked as far as that goes without
//! reading models.
//!
//! An edge module: reads manifests and labels, looks at files, runs nothing. One bad engine never
//! hides the others: whatever is wrong is collected as [`CatalogProblem`]s and the rest stays
//! usable. Hashes of models are checked by [`Catalog::verify`] and again by the backend on the very
//! bytes it loads.

mod ensembles;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::manifest::{self, Kind, Manifest, Network, is_id};
use super::{Labels, hash};
use crate::files;

/// Largest manifest read, bytes.
const MAX_MANIFEST: u64 = 256 << 10;
/// Largest labels file read, bytes.
const MAX_LABELS: u64 = 16 << 20;
/// Largest model accepted, bytes.
pub const MAX_MODEL: u64 = 2 << 30;
/// Most engines in one folder; those beyond are left out, with a word for each.
pub const MAX_INSTALLED: usize = 1024;
/// Folders beside the engines that hold what engines share.
const SHARED: [&str; 3] = ["build", "weights", "labels"];

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Worth a line; everything works.
    Warning,
    /// An engine cannot be used.
    Error,
}

/// Something wrong in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogProblem {
    /// The engine's folder name, if it is about one.
    pub engine: Option<String>,
    /// How bad.
    pub level: Level,
    /// What, and where.
    pub text: String,
}

impl fmt::Display for CatalogProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.engine {
            Some(engine) => write!(f, "engine `{engine}`: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// One usable engine.
#[derive(Clone, Debug)]
struct Entry {
    manifest: Manifest,
    labels: Arc<Labels>,
}

/// The usable engines of a folder, by name.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    folder: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// Collects problems.
#[derive(Default)]
struct Findings(Vec<CatalogProblem>);

impl Findings {
    fn error(&mut self, engine: Option<&str>, text: String) {
        self.0.push(CatalogProblem {
            engine: engine.map(str::to_owned),
            level: Level::Error,
            text,
        });
    }

    fn warning(&mut self, engine: Option<&str>, text: String) {
        self.0.push(CatalogProblem {
            engine: engine.map(str::to_owned),
            level: Level::Warning,
            text,
        });
    }
}

impl Catalog {
    /// Reads all manifests of `folder`. The catalogue holds what is usable, the problems all that
    /// is not.
    pub fn open(folder: &Path) -> (Self, Vec<CatalogProblem>) {
        let mut findings = Findings::default();
        let mut catalog = Self { folder: folder.to_path_buf(), entries: BTreeMap::new() };
        match fs::canonicalize(folder).and_then(|root| names(&root).map(|names| (root, names))) {
            Err(error) => {
                let what = "point `engines.folder` at the folder that holds the engines";
                findings.error(None, format!("{}: {error}; {what}", folder.display()));
            }
            Ok((root, names)) => catalog.fill(&root, &names, &mut findings),
        }
        (catalog, findings.0)
    }

    fn fill(&mut self, root: &Path, names: &[String], findings: &mut Findings) {
        let mut manifests: BTreeMap<String, Manifest> = BTreeMap::new();
        for name in names {
            if !root.join(name).join("engine.toml").exists() {
                if !SHARED.contains(&name.as_str()) {
                    findings.warning(
                        Some(name),
                        format!("{name}/ holds no engine.toml, so it is no engine"),
                    );
                }
                continue;
            }
            let manifest = match read_manifest(root, name) {
                Ok(manifest) => manifest,
                Err(text) => {
                    findings.error(Some(name), text);
                    continue;
                }
            };
            if manifest.id != *name {
                let id = &manifest.id;
                let taken = names.contains(id) && root.join(id).join("engine.toml").exists();
                let what = if taken {
                    format!(
                        "`id` is \"{id}\", which is the engine in {id}/; call this one \"{name}\""
                    )
                } else {
                    format!("`id` is \"{id}\" but the folder is {name}/; make them equal")
                };
                findings.error(Some(name), what);
            } else if manifests.len() == MAX_INSTALLED {
                let folder = self.folder.display();
                findings.error(Some(name), format!("more than {MAX_INSTALLED} engines; move some out of {folder} to use this one"));
            } else {
                manifests.insert(name.clone(), manifest);
            }
        }
        let mut shelf: BTreeMap<PathBuf, Result<Arc<Labels>, String>> = BTreeMap::new();
        let (mut ensembles, mut doubted) = (BTreeMap::new(), BTreeSet::new());
        for (id, mut manifest) in manifests {
            match &mut manifest.kind {
                Kind::Ensemble(_) => {
                    ensembles.insert(id, manifest);
                }
                Kind::Network(network) => match complete(network, root, &mut shelf) {
                    Ok(labels) => {
                        if doubted.insert(network.labels.clone())
                            && let Some(text) = labels.doubt()
                        {
                            findings.warning(
                                Some(&id),
                                format!("`output.labels`: {}: {text}", network.labels.display()),
                            );
                        }
                        self.entries.insert(id, Entry { manifest, labels });
                    }
                    Err(texts) => {
                        texts.into_iter().for_each(|text| findings.error(Some(&id), text))
                    }
                },
            }
        }
        ensembles::admit(&mut self.entries, ensembles, findings);
    }

    /// The folder it was read from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The usable engines' names, in alphabetical order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The manifest of a usable engine.
    pub fn get(&self, id: &str) -> Option<&Manifest> {
        self.entries.get(id).map(|entry| &entry.manifest)
    }

    /// The classes that a usable engine tells apart.
    pub fn labels(&self, id: &str) -> Option<Arc<Labels>> {
        self.entries.get(id).map(|entry| Arc::clone(&entry.labels))
    }

    /// What an engine is averaged from: ids and weights that sum to 1; empty for a single network.
    pub fn members(&self, id: &str) -> &[(String, f32)] {
        match self.get(id).map(|manifest| &manifest.kind) {
            Some(Kind::Ensemble(ensemble)) => &ensemble.members,
            _ => &[],
        }
    }

    /// The networks behind an engine and their weights, which sum to 1: itself, or an ensemble's
    /// members all the way down.
    pub fn networks(&self, id: &str) -> Vec<(&Manifest, f32)> {
        let mut found = Vec::new();
        self.collect(id, 1.0, &mut found);
        found
    }

    fn collect<'a>(&'a self, id: &str, share: f32, found: &mut Vec<(&'a Manifest, f32)>) {
        match self.get(id) {
            Some(Manifest { kind: Kind::Ensemble(ensemble), .. }) => {
                ensemble
                    .members
                    .iter()
                    .for_each(|(member, weight)| self.collect(member, share * weight, found));
            }
            Some(manifest) => found.push((manifest, share)),
            None => {}
        }
    }

    /// What policies pin: the sha256 of the model (with data files: [`Network::fingerprint`]), hex;
    /// for an ensemble the sha256 of its networks' and their weights.
    pub fn fingerprint(&self, id: &str) -> Option<String> {
        match self.networks(id).as_slice() {
            [] => None,
            [(Manifest { kind: Kind::Network(network), .. }, _)] => Some(network.fingerprint()),
            several => {
                let line = |(manifest, weight): &(&Manifest, f32)| match &manifest.kind {
                    Kind::Network(network) => {
                        format!("{} {} {weight}\n", manifest.id, network.fingerprint())
                    }
                    Kind::Ensemble(_) => String::new(),
                };
                Some(hash::of_bytes(several.iter().map(line).collect::<String>().as_bytes()))
            }
        }
    }

    /// Median and 95th percentile of a look as the manifest records them (the first record counts;
    /// members are summed). A first guess until this machine has measured its own.
    pub fn prior(&self, id: &str) -> Option<(Duration, Duration)> {
        let manifest = self.get(id)?;
        if let Some(first) = manifest.latency.first() {
            return Some((first.p50, first.p95));
        }
        self.members(id).iter().try_fold(
            None,
            |sum: Option<(Duration, Duration)>, (member, _)| {
                let (p50, p95) = self.prior(member)?;
                let (s50, s95) = sum.unwrap_or_default();
                Some(Some((s50 + p50, s95 + p95)))
            },
        )?
    }

    /// Slow: reads the models behind `ids` and compares their sha256. One problem for each file
    /// that is not what it should be.
    pub fn verify_files<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Vec<CatalogProblem> {
        let mut checked: BTreeMap<&Path, Result<String, String>> = BTreeMap::new();
        let mut findings = Findings::default();
        for id in ids {
            if self.get(id).is_none() {
                findings.error(Some(id), self.unknown(id));
            }
            for (manifest, _) in self.networks(id) {
                let Kind::Network(network) = &manifest.kind else { continue };
                for (file, sha256) in network.files() {
                    let read = || {
                        hash::of_file(file).map_err(|error| format!("{}: {error}", file.display()))
                    };
                    let text = match checked.entry(file).or_insert_with(read) {
                        Ok(found) if found == sha256 => continue,
                        Ok(found) => mismatch(file, sha256, found),
                        Err(text) => text.clone(),
                    };
                    if !findings.0.iter().any(|known| known.engine.as_deref() == Some(&manifest.id))
                    {
                        findings.error(Some(&manifest.id), text);
                    }
                }
            }
        }
        findings.0
    }

    /// What to tell somebody who asks for an engine that is not there.
    pub fn unknown(&self, id: &str) -> String {
        // Who types only the start of a name means that one, however long it is.
        let distance = |known: &str| match known.starts_with(id) {
            true => 0,
            false => strsim::damerau_levenshtein(known, id),
        };
        let near = self.ids().map(|known| (distance(known), known)).min();
        let folder = self.folder.display();
        match near {
            Some((distance, known)) if distance <= 1 + id.len() / 3 => {
                format!("there is no usable engine `{id}` in {folder}; did you mean `{known}`?")
            }
            Some(_) => {
                format!(
                    "there is no usable engine `{id}` in {folder}; there are {}",
                    self.ids().collect::<Vec<_>>().join(", ")
                )
            }
            None => {
                format!("there is no usable engine at all in {folder}; `squint check` says why")
            }
        }
    }
}

/// The words for a file whose hash is not the manifest's.
pub(super) fn mismatch(file: &Path, said: &str, found: &str) -> String {
    let file = file.display();
    format!(
        "{file} has sha256 {found}, the manifest says {said}; fetch the file again or correct its `sha256` in the manifest"
    )
}

/// Names of all sub-folders, sorted; hidden ones left out.
fn names(root: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read_manifest(root: &Path, name: &str) -> Result<Manifest, String> {
    if !is_id(name) {
        return Err(format!(
            "the folder is called {name:?}; an engine's name is 1 to 64 of a-z, 0-9, `.`, `_`, `-`"
        ));
    }
    let shown = format!("{name}/engine.toml");
    let path = root.join(&shown);
    let bytes = files::bytes(&path, MAX_MANIFEST).map_err(|error| format!("{shown}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown}: not UTF-8"))?;
    manifest::parse(&text, &path).map_err(|error| format!("{shown}: {}", error.problems.join("; ")))
}

/// Finds a network's files, reads its labels and counts them.
fn complete(
    network: &mut Network,
    root: &Path,
    shelf: &mut BTreeMap<PathBuf, Result<Arc<Labels>, String>>,
) -> Result<Arc<Labels>, Vec<String>> {
    let model = locate("model.file", &network.file, root, MAX_MODEL);
    let data = beside(network, root);
    let labels = locate("output.labels", &network.labels, root, MAX_LABELS).and_then(|path| {
        let bytes = || files::bytes(&path, MAX_LABELS).map_err(|error| error.to_string());
        let read = || bytes().and_then(|bytes| Labels::parse(&bytes)).map(Arc::new);
        let labels = shelf.entry(path.clone()).or_insert_with(read).clone();
        labels
            .map(|labels| (path.clone(), labels))
            .map_err(|text| format!("`output.labels`: {}: {text}", path.display()))
    });
    match (model, data, labels) {
        (Ok(file), Ok(data), Ok((path, labels))) => {
            network.file = file;
            network.data.iter_mut().zip(data).for_each(|(data, file)| data.file = file);
            network.labels = path;
            network.classes = labels.classes.len();
            Ok(labels)
        }
        (model, data, labels) => {
            Err([model.err(), data.err(), labels.err()].into_iter().flatten().collect())
        }
    }
}

/// The real places of a network's data files; together with the model they are bounded by
/// [`MAX_MODEL`].
fn beside(network: &Network, root: &Path) -> Result<Vec<PathBuf>, String> {
    let places =
        network.data.iter().map(|data| locate("model.data.file", &data.file, root, MAX_MODEL));
    let places = places.collect::<Result<Vec<_>, _>>()?;
    let files = places.iter().chain(Some(&network.file));
    let bytes: u64 = files.map(|file| fs::metadata(file).map_or(0, |facts| facts.len())).sum();
    if bytes > MAX_MODEL {
        return Err(format!(
            "`model.data`: model and data files have {bytes} bytes together, allowed are {MAX_MODEL}"
        ));
    }
    Ok(places)
}

/// The real place of a file, refused if it is missing, no regular file, too large or outside the
/// catalogue.
fn locate(key: &str, path: &Path, root: &Path, limit: u64) -> Result<PathBuf, String> {
    let real =
        fs::canonicalize(path).map_err(|error| format!("`{key}`: {}: {error}", path.display()))?;
    if !real.starts_with(root) {
        return Err(format!(
            "`{key}`: {} leads to {}, outside the catalogue {}",
            path.display(),
            real.display(),
            root.display()
        ));
    }
    let facts =
        fs::metadata(&real).map_err(|error| format!("`{key}`: {}: {error}", path.display()))?;
    match facts.is_file() {
        false => Err(format!("`{key}`: {} is not a regular file", path.display())),
        true if facts.len() > limit => Err(format!(
            "`{key}`: {} has {} bytes, allowed are {limit}",
            path.display(),
            facts.len()
        )),
        true => Ok(real),
    }
}
