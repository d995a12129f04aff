//! What was meant: the known key or variable nearest to one that does not exist.
//!
//! Pure.

use super::keys::{KEYS, Key, SECTIONS};

/// What somebody who typed `name` in `section` may have meant, as a sentence.
pub(super) fn key(section: &str, name: &str) -> Option<String> {
    let leaf = |path: &'static str| match path.rsplit_once('.') {
        Some((parent, leaf)) => (parent, leaf),
        None => ("", path),
    };
    let here = || {
        let keys =
            KEYS.iter().map(|key| key.path).chain(SECTIONS.iter().map(|section| section.path));
        keys.map(leaf).filter(|(parent, _)| *parent == section).map(|(_, leaf)| leaf)
    };
    let tidy = name.replace('_', "-").to_lowercase();
    let distance = |leaf: &str| strsim::damerau_levenshtein(&tidy, leaf);
    if let Some(least) =
        here().map(distance).min().filter(|least| *least <= (tidy.len() / 3).max(1))
    {
        let meant: Vec<_> =
            here().filter(|leaf| distance(leaf) == least).map(|leaf| format!("`{leaf}`")).collect();
        return Some(format!("did you mean {}?", meant.join(" or ")));
    }
    if let Some(elsewhere) = KEYS.iter().find(|key| key.name() == tidy && key.section() != section)
    {
        return Some(match elsewhere.section() {
            "" => format!("`{}` belongs to the top of the file", elsewhere.name()),
            "camera" => format!("`{}` belongs into a [[camera]] table", elsewhere.name()),
            table => format!("`{}` belongs into [{table}]", elsewhere.name()),
        });
    }
    let mut all: Vec<_> = here().collect();
    all.sort_unstable();
    Some(format!("known here: {}", all.join(", ")))
}

/// The environment variable nearest to `name`, which was meant to be one.
pub(super) fn variable(name: &str) -> Option<String> {
    nearest(name, 4)
}

/// The environment variable that `name` is but for a slip of the finger: one letter in four at
/// most.
pub(super) fn slip(name: &str) -> Option<String> {
    nearest(name, (name.len().saturating_sub("SQUINT_".len()) / 4).clamp(1, 4))
}

fn nearest(name: &str, most: usize) -> Option<String> {
    let variables = KEYS.iter().filter_map(Key::variable);
    let (distance, nearest) =
        variables.map(|variable| (strsim::damerau_levenshtein(name, &variable), variable)).min()?;
    (distance <= most).then(|| format!("did you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_gets_the_key_that_was_meant() {
        let cases = [
            ("camera", "stall-aftr-ms", "did you mean `stall-after-ms`?"),
            ("camera", "stal-after-ms", "did you mean `stale-after-ms` or `stall-after-ms`?"),
            ("camera", "deadline_ms", "did you mean `deadline-ms`?"),
            ("", "polcy", "did you mean `policy`?"),
            ("", "cameras", "did you mean `camera`?"),
            ("", "threads", "`threads` belongs into [engines]"),
            ("engines", "source", "`source` belongs into a [[camera]] table"),
            ("camera", "policy", "`policy` belongs to the top of the file"),
            (
                "engines",
                "zzz",
                "known here: deadline-ms, folder, onnxruntime, plans, runtime, tensorrt, tensorrt-shim, threads",
            ),
        ];
        for (section, typed, expected) in cases {
            assert_eq!(key(section, typed).as_deref(), Some(expected), "{typed} in [{section}]");
        }
        assert_eq!(
            variable("SQUINT_ENGINES_THREADS").as_deref(),
            Some("did you mean `SQUINT_ENGINES__THREADS`?")
        );
    }
}
