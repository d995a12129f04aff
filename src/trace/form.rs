//! Single values in a trace: words for closed sets, base64 for glimpses, `null` for what is no
//! number. Pure.

use serde::{Deserialize, Deserializer, Serializer, de};

/// A word of a closed set.
pub(super) trait Word: Sized + Copy + 'static {
    /// All of them.
    const EVERY: &'static [Self];
    /// The word.
    fn word(self) -> &'static str;
}

macro_rules! words {
    ($($kind:ty),*) => {
        $(impl Word for $kind {
            const EVERY: &'static [Self] = &<$kind>::ALL;

            fn word(self) -> &'static str {
                self.name()
            }
        })*
    };
}

words!(crate::policy::Code, crate::report::Outcome, crate::report::DropReason);

/// `serde(with)` for a [`Word`].
pub(super) mod word {
    use super::*;

    pub(crate) fn serialize<W: Word, S: Serializer>(value: &W, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.word())
    }

    pub(crate) fn deserialize<'de, W: Word, D: Deserializer<'de>>(from: D) -> Result<W, D::Error> {
        let word = std::borrow::Cow::<'de, str>::deserialize(from)?;
        W::EVERY.iter().copied().find(|known| known.word() == word).ok_or_else(|| {
            let allowed: Vec<_> = W::EVERY.iter().map(|known| known.word()).collect();
            let shown: String = word.chars().take(40).collect();
            de::Error::custom(format!(
                "`{}` is none of {}",
                shown.escape_debug(),
                allowed.join(", ")
            ))
        })
    }
}

/// `serde(with)` for a figure that may be no number, which JSON writes as `null`.
pub(super) mod figure {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &f32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f32(*value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
        Ok(Option::<f32>::deserialize(from)?.unwrap_or(f32::NAN))
    }
}

/// `serde(with)` for a glimpse, in base64.
pub(super) mod glimpse {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::features::{GLIMPSE_HEIGHT, GLIMPSE_WIDTH, Glimpse};

    /// Bytes of a glimpse.
    const BYTES: usize = GLIMPSE_WIDTH * GLIMPSE_HEIGHT;
    /// Characters of a glimpse.
    const CHARACTERS: usize = BYTES.div_ceil(3) * 4;

    pub(crate) fn serialize<S: Serializer>(value: &Glimpse, to: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; CHARACTERS];
        let length = STANDARD.encode_slice(value, &mut text).map_err(serde::ser::Error::custom)?;
        to.serialize_str(str::from_utf8(&text[..length]).map_err(serde::ser::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Glimpse, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        let refused = || {
            de::Error::custom(format!(
                "a glimpse must be {BYTES} bytes in base64, {CHARACTERS} characters"
            ))
        };
        if text.len() != CHARACTERS {
            return Err(refused());
        }
        STANDARD
            .decode(&*text)
            .ok()
            .and_then(|bytes| Glimpse::try_from(bytes).ok())
            .ok_or_else(refused)
    }
}
