//! The words for what the daemon, its engines and its cameras are doing: phase, mode, engine
//! health, camera phase. Pure.
//!
//! The pipeline steers by them, the service decides by them, status, metrics and log print them:
//! each word is written once, here.

use serde::{Deserialize, Serialize};

use crate::budget;

/// An enum whose words are the same in JSON, in metrics and on the screen.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word in JSON, in metrics and on the screen.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// What the word stands for.
            pub fn named(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.name() == word)
            }
        }
    };
}

words! {
    /// Where the daemon stands in its life.
    Phase {
        /// Engines are being loaded, cameras opened for the first time.
        #[default] Starting "starting",
        /// At work.
        Running "running",
        /// Told to stop; the frames on their way are finished.
        Stopping "stopping",
    }
}

words! {
    /// How hard Squint may look.
    Mode {
        /// As the policy says.
        #[default] Auto "auto",
        /// Only the cheapest engine of the policy may look.
        Eco "eco",
        /// Engines rest; every frame is abstained.
        Paused "paused",
        /// The budget mode [`budget::Mode::Saver`], whatever configuration and schedule say.
        Saver "saver",
        /// Likewise [`budget::Mode::Balanced`].
        Balanced "balanced",
        /// Likewise [`budget::Mode::Performance`].
        Performance "performance",
        /// Likewise [`budget::Mode::Unlimited`].
        Unlimited "unlimited",
    }
}

impl Mode {
    /// The mode of the budget that it commands; `None`: as configured.
    pub fn budget(self) -> Option<budget::Mode> {
        match self {
            Self::Auto | Self::Eco | Self::Paused => None,
            Self::Saver => Some(budget::Mode::Saver),
            Self::Balanced => Some(budget::Mode::Balanced),
            Self::Performance => Some(budget::Mode::Performance),
            Self::Unlimited => Some(budget::Mode::Unlimited),
        }
    }

    /// The next mode that is more generous or, if not `generous`, thriftier, see
    /// [`budget::Mode::ALL`]. `holds` is the budget's mode now, which `auto` does not tell. `eco`
    /// and `paused` lie below all of them. `None`: there is none beyond.
    pub fn next(self, holds: budget::Mode, generous: bool) -> Option<Self> {
        const MODES: [Mode; 4] = [Mode::Saver, Mode::Balanced, Mode::Performance, Mode::Unlimited];
        let from = match self {
            Self::Eco | Self::Paused => return generous.then_some(MODES[0]),
            _ => self.budget().unwrap_or(holds),
        };
        let at = MODES.iter().position(|mode| mode.budget() == Some(from))?;
        let next = if generous { at.checked_add(1)? } else { at.checked_sub(1)? };
        MODES.get(next).copied()
    }
}

words! {
    /// How an engine is.
    EngineHealth {
        /// Warm and asked.
        #[default] Ready "ready",
        /// Failed; not asked for a while.
        Aside "aside",
        /// A run goes on beyond its deadline; not asked until it returns.
        Stuck "stuck",
        /// Could not be loaded; not asked at all.
        Unusable "unusable",
    }
}

words! {
    /// How a camera is.
    CameraPhase {
        /// Being opened.
        #[default] Opening "opening",
        /// Frames come.
        Delivering "delivering",
        /// Lost; opened again after a pause.
        Retrying "retrying",
        /// A finite source that has come to its end.
        Ended "ended",
        /// The camera does not let this user in; asked again after minutes, or at a reload.
        Refused "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_follow_each_other_from_thrifty_to_generous() {
        let holds = budget::Mode::Performance;
        let row = |start: Mode, generous| {
            std::iter::successors(Some(start), |mode| mode.next(holds, generous))
                .map(Mode::name)
                .collect::<Vec<_>>()
        };
        assert_eq!(row(Mode::Auto, false), ["auto", "balanced", "saver"]);
        assert_eq!(row(Mode::Auto, true), ["auto", "unlimited"]);
        assert_eq!(row(Mode::Saver, true), ["saver", "balanced", "performance", "unlimited"]);
        assert_eq!((row(Mode::Paused, false), row(Mode::Eco, true)[1]), (vec!["paused"], "saver"));
    }

    #[test]
    fn words_are_those_of_the_json() {
        for health in EngineHealth::ALL {
            assert_eq!(serde_json::to_string(health).unwrap(), format!("\"{}\"", health.name()));
            assert_eq!(EngineHealth::named(health.name()), Some(*health));
        }
        assert_eq!((Mode::named("paused"), Mode::named("Paused")), (Some(Mode::Paused), None));
    }
}
