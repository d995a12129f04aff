//! What can be wrong with a policy file: always which file, which key, what it says, what it may
//! say. All are faults of configuration.

/// Why a policy file cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// Too long to be one.
    #[error("{file}: {bytes} bytes; a policy file has at most {limit}")]
    Size {
        /// The file.
        file: String,
        /// Its length.
        bytes: usize,
        /// Longest allowed.
        limit: usize,
    },
    /// Not TOML.
    #[error("{file}, line {line}: not TOML: {reason}")]
    Toml {
        /// The file.
        file: String,
        /// 1-based.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A key that means nothing here.
    #[error("{file}: unknown key `{key}`{hint}; allowed here: {allowed}")]
    UnknownKey {
        /// The file.
        file: String,
        /// The key with its tables.
        key: String,
        /// "; did you mean ...?", or empty.
        hint: String,
        /// What is allowed.
        allowed: String,
    },
    /// A key that must be there.
    #[error("{file}: `{key}` is missing; it is {allowed}")]
    MissingKey {
        /// The file.
        file: String,
        /// The key with its tables.
        key: String,
        /// What belongs there.
        allowed: String,
    },
    /// A value that cannot be used.
    #[error("{file}: `{key}` = {value}; allowed: {allowed}{hint}")]
    Value {
        /// The file.
        file: String,
        /// The key with its tables.
        key: String,
        /// What it says, shortened.
        value: String,
        /// What it may say.
        allowed: String,
        /// "; did you mean ...?", or empty.
        hint: String,
    },
    /// An engine that is not in use.
    #[error(
        "{file}: engine `{id}` is not installed{hint}; installed: {installed}; `squint engines` lists them"
    )]
    EngineMissing {
        /// The file.
        file: String,
        /// Its id.
        id: String,
        /// "; did you mean ...?", or empty.
        hint: String,
        /// All ids.
        installed: String,
    },
    /// An engine that is no longer the one that the policy was made with.
    #[error(
        "{file}: engine `{id}` has changed since this policy was made (sha256 {pinned} then, {found} now), so its figures no longer \
         hold; train it anew (`squint profile`, then `squint train --profile FILE --out {file}`), or put the old model back"
    )]
    EngineChanged {
        /// The file.
        file: String,
        /// Its id.
        id: String,
        /// In the policy file.
        pinned: String,
        /// Installed.
        found: String,
    },
    /// Features are computed in another way now.
    #[error(
        "{file}: `feature-schema` = \"{made}\"; this Squint measures \"{running}\", so what it was made with no longer holds; train it \
         anew (`squint profile`, then `squint train --profile FILE --out {file}`)"
    )]
    Schema {
        /// The file.
        file: String,
        /// In the policy file.
        made: String,
        /// Of this build.
        running: String,
    },
    /// Engines to be averaged that tell different classes apart.
    #[error(
        "{file}: `confidence.average` = true, but engines `{first}` and `{second}` have different labels; allowed: engines with the same labels file"
    )]
    Labels {
        /// The file.
        file: String,
        /// An engine.
        first: String,
        /// Another one.
        second: String,
    },
}

/// "; did you mean `nearest`?", if one of `known` comes near.
pub(super) fn hint<'k>(typed: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let near = known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(typed, word), word))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((likeness, word)) if likeness >= 0.8 && word != typed => {
            format!("; did you mean `{word}`?")
        }
        _ => String::new(),
    }
}

/// A list for reading.
pub(super) fn listed<'k>(words: impl IntoIterator<Item = &'k str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
