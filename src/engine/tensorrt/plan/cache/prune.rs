//! Which plans can go: those that no installed engine wants, and of the rest all but the newest.
//! Pure, but for what it is handed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::super::name::Sha256;
use super::Listing;

/// What is to stay.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// The models of the installed engines, by engine.
    pub installed: BTreeMap<String, Sha256>,
    /// How many plans of an engine, the newest; all without.
    pub newest: Option<usize>,
}

/// Why something can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its engine is not installed.
    NoEngine,
    /// Its engine has another model by now.
    OtherModel,
    /// There are enough newer ones.
    Older,
    /// It does not count.
    Broken,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEngine => "no such engine is installed",
            Self::OtherModel => "the engine has another model now",
            Self::Older => "there are newer ones",
            Self::Broken => "it does not count",
        })
    }
}

/// Something that can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superfluous {
    /// The plan, or what else lies there; its companions go with it.
    pub path: PathBuf,
    /// Why.
    pub why: Why,
    /// Bytes of the plan.
    pub bytes: u64,
}

/// What can go of what lies there for `model`.
pub fn superfluous(model: &str, listing: &Listing, keep: &Keep) -> Vec<Superfluous> {
    let unwanted = |source: &Sha256| match keep.installed.get(model) {
        None => Some(Why::NoEngine),
        Some(installed) if installed != source => Some(Why::OtherModel),
        Some(_) => None,
    };
    let mut kept = 0;
    let plans = listing.plans.iter().filter_map(|entry| {
        let why = unwanted(&entry.sidecar.target.key.source).or_else(|| {
            kept += 1;
            keep.newest.is_some_and(|most| kept > most).then_some(Why::Older)
        })?;
        Some(Superfluous { path: entry.path.clone(), why, bytes: entry.sidecar.plan_bytes })
    });
    let plans: Vec<Superfluous> = plans.collect();
    let failed = listing.failed.iter().filter_map(|failed| {
        Some(Superfluous {
            path: failed.path.clone(),
            why: unwanted(&failed.failure.target.key.source)?,
            bytes: 0,
        })
    });
    let broken = listing.broken.iter().map(|broken| Superfluous {
        path: broken.path.clone(),
        why: Why::Broken,
        bytes: 0,
    });
    plans.into_iter().chain(failed).chain(broken).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::sidecar::tests::sidecar;
    use super::super::Entry;
    use super::*;

    fn listing(ages: &[(u64, &[u8])]) -> Listing {
        let plans = ages.iter().map(|(built_at_s, model)| {
            let mut sidecar = sidecar();
            (sidecar.built_at_s, sidecar.target.key.source) = (*built_at_s, Sha256::of(model));
            Entry { sidecar, path: format!("{built_at_s}.engine").into() }
        });
        Listing { plans: plans.collect(), ..Listing::default() }
    }

    fn told(keep: &Keep, listing: &Listing) -> Vec<(String, Why)> {
        let gone = superfluous("lite0-224", listing, keep);
        gone.into_iter().map(|gone| (gone.path.display().to_string(), gone.why)).collect()
    }

    #[test]
    fn what_no_installed_engine_wants_goes_and_the_rest_stays() {
        let listing = listing(&[(30, b"new"), (20, b"old"), (10, b"new")]);
        let installed = |model: &[u8]| Keep {
            installed: [("lite0-224".into(), Sha256::of(model))].into(),
            newest: None,
        };
        assert_eq!(told(&installed(b"new"), &listing), [("20.engine".into(), Why::OtherModel)]);
        assert_eq!(told(&Keep::default(), &listing).len(), 3, "the engine is gone");
    }

    #[test]
    fn the_newest_are_counted_among_those_that_are_wanted() {
        let listing = listing(&[(40, b"old"), (30, b"new"), (20, b"new"), (10, b"new")]);
        let keep =
            Keep { installed: [("lite0-224".into(), Sha256::of(b"new"))].into(), newest: Some(2) };
        assert_eq!(
            told(&keep, &listing),
            [("40.engine".into(), Why::OtherModel), ("10.engine".into(), Why::Older)]
        );
    }
}
