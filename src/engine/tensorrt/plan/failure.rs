//! The memory of a build that failed, so that it is not tried for ever. Pure.
//!
//! Lies where the plan would, as `.failed.json`. It holds until something that may matter changes:
//! the model, TensorRT, the GPU, its driver, the precision, the calibration, an option or how the
//! model is rewritten. Then, or when a person asks for it, the build is tried again.

use serde::{Deserialize, Serialize};

use super::sidecar::Target;
use super::text::{self, Check, RawTarget, TextError, VERSION};

/// Longest cause that is kept, bytes.
const MAX_CAUSE: usize = 4096;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The engine.
    pub model: String,
    /// What was to be built.
    pub target: Target,
    /// What was said; the last lines of TensorRT's log.
    pub cause: String,
    /// When it failed last, seconds since 1970.
    pub at_s: u64,
    /// How often it failed so.
    pub times: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Raw {
    v: u32,
    model: String,
    target: RawTarget,
    cause: String,
    at_unix_s: u64,
    times: u32,
}

impl Failure {
    /// After a build for `target` failed, which `before` remembers if it did so already.
    pub fn after(
        before: Option<&Self>,
        model: &str,
        target: &Target,
        cause: &str,
        at_s: u64,
    ) -> Self {
        let times = before
            .filter(|before| before.holds(target))
            .map_or(1, |before| before.times.saturating_add(1));
        // The end of a long log says most.
        let mut from = cause.len().saturating_sub(MAX_CAUSE);
        while !cause.is_char_boundary(from) {
            from += 1;
        }
        Self {
            model: model.to_owned(),
            target: target.clone(),
            cause: cause[from..].trim().to_owned(),
            at_s,
            times,
        }
    }

    /// True if the same build would be tried.
    pub fn holds(&self, wanted: &Target) -> bool {
        self.target == *wanted
    }

    /// As JSON, for people too.
    pub fn to_json(&self) -> String {
        let Self { model, target, cause, at_s, times } = self;
        let (model, cause) = (model.clone(), cause.clone());
        let raw = Raw {
            v: VERSION,
            model,
            target: RawTarget::of(target),
            cause,
            at_unix_s: *at_s,
            times: *times,
        };
        serde_json::to_string_pretty(&raw).expect("plain numbers and texts") + "\n"
    }

    /// Reads what [`Self::to_json`] wrote. `origin` is the file's name for the errors. Untrusted:
    /// everything is checked.
    pub fn from_json(text: &str, origin: &str) -> Result<Self, TextError> {
        let raw: Raw = text::read(text, origin)?;
        let check = Check { origin };
        check.within("cause: length", raw.cause.len(), 0..=MAX_CAUSE)?;
        Ok(Self {
            model: check.model(raw.model)?,
            target: raw.target.resolve(check)?,
            cause: raw.cause,
            at_s: check.within("at-unix-s", raw.at_unix_s, 0..=1 << 40)?,
            times: check.within("times", raw.times, 1..=u32::MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::name::Precision;
    use super::super::sidecar::tests::target;
    use super::*;

    #[test]
    fn a_failure_holds_until_something_changes_and_counts_itself() {
        let first = Failure::after(None, "lite0-224", &target(), "out of memory", 10);
        let again = Failure::after(Some(&first), "lite0-224", &target(), "out of memory", 20);
        assert_eq!((first.times, again.times, again.at_s), (1, 2, 20));
        assert!(again.holds(&target()));
        type Change = fn(&mut Target);
        let changes: [Change; 5] = [
            |t| t.key.precision = Precision::Fp32,
            |t| t.key.tensorrt.patch = 2,
            |t| t.driver = Some("L4T 32.7.5".into()),
            |t| t.flags = vec!["workspace-512-mib".into()],
            |t| t.rewriting = Some(2),
        ];
        for change in changes {
            let mut wanted = target();
            change(&mut wanted);
            assert!(!again.holds(&wanted), "{wanted:?}");
            assert_eq!(
                Failure::after(Some(&again), "lite0-224", &wanted, "x", 30).times,
                1,
                "another build, counted anew"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_a_long_log_keeps_its_end() {
        let failure =
            Failure::after(None, "lite0-224", &target(), &("é".repeat(4000) + "the end\n"), 10);
        assert!(failure.cause.ends_with("the end") && failure.cause.len() <= MAX_CAUSE);
        assert_eq!(Failure::from_json(&failure.to_json(), "x.failed.json").unwrap(), failure);
        let spoilt = failure.to_json().replace("\"times\": 1", "\"times\": 0");
        assert!(
            Failure::from_json(&spoilt, "x")
                .unwrap_err()
                .to_string()
                .contains("times is \"0\", allowed is 1 to")
        );
    }
}
