//! Admits ensembles to the catalogue: members there, no cycle, all with the same labels.
//!
//! Pure. Works from the bottom up: an ensemble enters once all its members are in; what is left
//! over at the end is refused with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::manifest::{Kind, Manifest};
use super::{Entry, Findings};

/// Most networks behind one ensemble, nested ones counted.
const MAX_NETWORKS: usize = 16;

/// Moves the usable ones of `waiting` into `entries`.
pub(super) fn admit(
    entries: &mut BTreeMap<String, Entry>,
    mut waiting: BTreeMap<String, Manifest>,
    findings: &mut Findings,
) {
    let mut sizes: BTreeMap<String, usize> = entries.keys().map(|id| (id.clone(), 1)).collect();
    loop {
        let ready = waiting
            .iter()
            .find(|(_, manifest)| members(manifest).all(|member| entries.contains_key(member)));
        let Some(id) = ready.map(|(id, _)| id.clone()) else { break };
        let Some(manifest) = waiting.remove(&id) else { break };
        let networks: usize = members(&manifest).filter_map(|member| sizes.get(member)).sum();
        match same_labels(&manifest, entries) {
            Err(text) => findings.error(Some(&id), text),
            Ok(_) if networks > MAX_NETWORKS => {
                findings.error(
                    Some(&id),
                    format!(
                        "`ensemble.members` come to {networks} networks, allowed are {MAX_NETWORKS}"
                    ),
                );
            }
            Ok(first) => {
                sizes.insert(id.clone(), networks);
                entries.insert(id, Entry { labels: Arc::clone(&first.labels), manifest });
            }
        }
    }
    for (id, manifest) in &waiting {
        let missing: Vec<_> =
            members(manifest).filter(|member| !entries.contains_key(*member)).collect();
        let dangling = missing.iter().find(|member| !waiting.contains_key(**member));
        let text = match (dangling, cycle(id, &waiting)) {
            (Some(member), _) => format!(
                "`ensemble.members` names `{member}`, which is not there or was refused itself"
            ),
            (None, Some(path)) => format!("`ensemble.members` lead back to it: {path}"),
            (None, None) => format!(
                "`ensemble.members` names `{}`, which was refused itself",
                missing.join("`, `")
            ),
        };
        findings.error(Some(id), text);
    }
}

fn members(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let members = match &manifest.kind {
        Kind::Ensemble(ensemble) => ensemble.members.as_slice(),
        Kind::Network(_) => &[],
    };
    members.iter().map(|(id, _)| id.as_str())
}

/// The first member, if all others have its labels.
fn same_labels(manifest: &Manifest, entries: &BTreeMap<String, Entry>) -> Result<Entry, String> {
    let mut found = members(manifest).filter_map(|member| entries.get(member));
    let first = found.next().ok_or_else(|| "`ensemble.members` is empty".to_owned())?;
    match found.find(|entry| entry.labels.sha256 != first.labels.sha256) {
        None => Ok(first.clone()),
        Some(other) => Err(format!(
            "`{}` and `{}` have different labels files, so their answers cannot be averaged",
            first.manifest.id, other.manifest.id
        )),
    }
}

/// The way from `start` back to itself, as text.
fn cycle(start: &str, waiting: &BTreeMap<String, Manifest>) -> Option<String> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        for member in waiting.get(id).into_iter().flat_map(members) {
            if member == start {
                let mut path = vec![start, id];
                while let Some(before) =
                    path.last().filter(|at| **at != start).and_then(|at| came_from.get(at))
                {
                    path.push(before);
                }
                path.reverse();
                return Some(path.join(" -> "));
            }
            if !came_from.contains_key(member) {
                came_from.insert(member, id);
                open.push(member);
            }
        }
    }
    None
}
