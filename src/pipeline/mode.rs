//! How hard Squint may look at the moment, by order of whoever runs it.

/// What the engines may do. Changed at run time; `auto` after every start and reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The policy decides.
    #[default]
    Auto,
    /// Only the cheapest engine of the policy that is fit may look.
    Eco,
    /// No engine looks; frames are reported as abstained, reason `paused`.
    Paused,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Eco, Self::Paused];

    /// The word used on the command line, in status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Eco => "eco",
            Self::Paused => "paused",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|mode| mode.name() == word).ok_or_else(|| {
            let words = Self::ALL.map(Self::name).join(", ");
            format!("there is no mode `{}`; the modes are {words}", word.escape_debug())
        })
    }
}
