//! What a plan is built for, as a [`Key`], and the file name that tells it. Pure.
//!
//! `0a1b2c3d4e5f-trt8.2.1-sm62-fp16-b1-gpu.engine`: the first 12 hex digits of the model's sha256,
//! TensorRT, compute capability, precision, batch, device. The name is for people and for finding
//! files; what counts is the sidecar beside it ([`super::sidecar`]), which holds the whole sha256
//! and the calibration.

use std::fmt;
use std::str::FromStr;

use crate::engine::tensorrt::version::Version;

/// Largest batch of a plan, pictures.
pub const MAX_BATCH: u16 = 1024;
/// Hex digits of the model's sha256 in a file name.
const SHORT: usize = 12;
/// Most DLA cores of a board.
const MAX_DLA: u8 = 16;

/// Text that is none of what it should be; says what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowed is {0}")]
pub struct Odd(pub &'static str);

/// A sha256, as 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(String);

impl Sha256 {
    /// Of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(crate::engine::hash::of_bytes(bytes))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits.
    pub fn short(&self) -> &str {
        &self.0[..SHORT]
    }
}

impl FromStr for Sha256 {
    type Err = Odd;

    fn from_str(text: &str) -> Result<Self, Odd> {
        match text.len() == 64 && is_lower_hex(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(Odd("64 lower-case hex digits")),
        }
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for Version {
    type Err = Odd;

    fn from_str(text: &str) -> Result<Self, Odd> {
        let mut parts = text.split('.').map(number::<u16>);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => {
                Ok(Self { major, minor, patch })
            }
            _ => Err(Odd("three numbers, like 8.2.1")),
        }
    }
}

/// Digits alone, and as they are printed: no sign, no leading zero.
fn number<N: FromStr + fmt::Display>(text: &str) -> Option<N> {
    text.parse().ok().filter(|number: &N| number.to_string() == text)
}

/// The compute capability of a GPU: 6.2 for a TX2, in names `sm62`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capability {
    /// Before the point.
    pub major: u8,
    /// Behind it, 0..=9.
    pub minor: u8,
}

impl FromStr for Capability {
    type Err = Odd;

    fn from_str(text: &str) -> Result<Self, Odd> {
        let parts = text
            .split_once('.')
            .and_then(|(major, minor)| Some((number::<u8>(major)?, number::<u8>(minor)?)));
        match parts {
            Some((major @ 1..=99, minor @ 0..=9)) => Ok(Self { major, minor }),
            _ => Err(Odd("a compute capability like 6.2")),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What TensorRT may compute in, beside float32. Not [`crate::engine::manifest::Precision`], which
/// is that of the weights in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// Nothing else.
    Fp32,
    /// Half precision where it is faster.
    Fp16,
    /// 8 bit integers where it is faster, half precision for the rest.
    Int8,
}

impl Precision {
    /// `fp32`, `fp16`, `int8`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        }
    }
}

impl FromStr for Precision {
    type Err = Odd;

    fn from_str(text: &str) -> Result<Self, Odd> {
        [Self::Fp32, Self::Fp16, Self::Int8]
            .into_iter()
            .find(|one| one.name() == text)
            .ok_or(Odd("fp32, fp16 or int8"))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which part of the board runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Device {
    /// The GPU.
    Gpu,
    /// A deep-learning accelerator core, by number.
    Dla(u8),
}

impl FromStr for Device {
    type Err = Odd;

    fn from_str(text: &str) -> Result<Self, Odd> {
        match (text, text.strip_prefix("dla").and_then(number::<u8>)) {
            ("gpu", _) => Ok(Self::Gpu),
            (_, Some(core)) if core < MAX_DLA => Ok(Self::Dla(core)),
            _ => Err(Odd("gpu, dla0 ... dla15")),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpu => f.write_str("gpu"),
            Self::Dla(core) => write!(f, "dla{core}"),
        }
    }
}

/// What a plan is built for. Two plans with equal keys do the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The model file.
    pub source: Sha256,
    /// The TensorRT that builds it; no other reads it.
    pub tensorrt: Version,
    /// The GPU's compute capability.
    pub capability: Capability,
    /// What may be computed in.
    pub precision: Precision,
    /// Pictures a run, 1..=[`MAX_BATCH`].
    pub batch: u16,
    /// Who runs it.
    pub device: Device,
    /// The calibration cache that scales come from; `None` without int8, or where the model brings
    /// its own scales (Q/DQ).
    pub calibration: Option<Sha256>,
}

impl Key {
    /// The file name without its end.
    pub fn stem(&self) -> String {
        let Self { source, tensorrt, capability, precision, batch, device, calibration: _ } = self;
        let Capability { major, minor } = capability;
        format!("{}-trt{tensorrt}-sm{major}{minor}-{precision}-b{batch}-{device}", source.short())
    }
}

/// What a file name tells. Only a hint: names can be given by anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// First 12 digits of the model's sha256.
    pub source: String,
    /// As in [`Key`].
    pub tensorrt: Version,
    /// As in [`Key`].
    pub capability: Capability,
    /// As in [`Key`].
    pub precision: Precision,
    /// As in [`Key`].
    pub batch: u16,
    /// As in [`Key`].
    pub device: Device,
}

impl FromStr for Name {
    type Err = Odd;

    /// Reads what [`Key::stem`] wrote, and nothing else.
    fn from_str(stem: &str) -> Result<Self, Odd> {
        let read = || {
            let parts: Vec<&str> = stem.split('-').collect();
            let [source, tensorrt, capability, precision, batch, device] = parts.as_slice() else {
                return None;
            };
            let digits = capability.strip_prefix("sm")?;
            let (major, minor) = digits
                .is_ascii()
                .then(|| digits.split_at_checked(digits.len().checked_sub(1)?))
                .flatten()?;
            Some(Self {
                source: (source.len() == SHORT && is_lower_hex(source))
                    .then(|| (*source).to_owned())?,
                tensorrt: tensorrt.strip_prefix("trt")?.parse().ok()?,
                capability: format!("{major}.{minor}").parse().ok()?,
                precision: precision.parse().ok()?,
                batch: batch
                    .strip_prefix('b')
                    .and_then(number)
                    .filter(|batch| (1..=MAX_BATCH).contains(batch))?,
                device: device.parse().ok()?,
            })
        };
        read().ok_or(Odd("a name like 0a1b2c3d4e5f-trt8.2.1-sm62-fp16-b1-gpu"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn keys() -> impl Strategy<Value = Key> {
        let version = (1..40_u16, 0..100_u16, 0..100_u16)
            .prop_map(|(major, minor, patch)| Version { major, minor, patch });
        let capability =
            (1..=99_u8, 0..=9_u8).prop_map(|(major, minor)| Capability { major, minor });
        let precision =
            prop_oneof![Just(Precision::Fp32), Just(Precision::Fp16), Just(Precision::Int8)];
        let device = prop_oneof![Just(Device::Gpu), (0..MAX_DLA).prop_map(Device::Dla)];
        (any::<u64>(), version, capability, precision, 1..=MAX_BATCH, device, any::<Option<u8>>())
            .prop_map(|(seed, tensorrt, capability, precision, batch, device, calibration)| Key {
                source: Sha256::of(&seed.to_le_bytes()),
                tensorrt,
                capability,
                precision,
                batch,
                device,
                calibration: calibration.map(|seed| Sha256::of(&[seed])),
            })
    }

    #[test]
    fn a_name_tells_what_the_plan_is_for() {
        let key = Key {
            source: Sha256::of(b"model"),
            tensorrt: Version { major: 8, minor: 2, patch: 1 },
            capability: Capability { major: 6, minor: 2 },
            precision: Precision::Fp16,
            batch: 1,
            device: Device::Gpu,
            calibration: None,
        };
        assert_eq!(
            key.stem(),
            format!("{}-trt8.2.1-sm62-fp16-b1-gpu", &Sha256::of(b"model").as_str()[..12])
        );
    }

    #[test]
    fn names_that_were_never_given_are_refused() {
        let good = "0a1b2c3d4e5f-trt8.2.1-sm62-fp16-b1-dla0";
        assert!(good.parse::<Name>().is_ok());
        let odd = [
            ("0a1b2c3d4e5f", "0A1B2C3D4E5F"),
            ("8.2.1", "8.2"),
            ("8.2.1", "8.02.1"),
            ("8.2.1", "8.2.1.0"),
            ("sm62", "sm"),
            ("sm62", "sm6é"),
            ("fp16", "bf16"),
            ("b1", "b0"),
            ("b1", "b+1"),
            ("b1", "b1025"),
            ("dla0", "dla16"),
            ("dla0", "dla0-x"),
        ];
        for (was, is) in odd {
            assert!(good.replace(was, is).parse::<Name>().is_err(), "{is}");
        }
    }

    proptest! {
        #[test]
        fn every_key_has_a_name_that_is_read_again(key in keys()) {
            let Key { source, tensorrt, capability, precision, batch, device, calibration: _ } = key.clone();
            let name = Name { source: source.short().to_owned(), tensorrt, capability, precision, batch, device };
            prop_assert_eq!(key.stem().parse::<Name>(), Ok(name));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,60}") {
            let _ = (text.parse::<Name>(), text.parse::<Sha256>(), text.parse::<Version>(), text.parse::<Capability>());
            let _ = (text.parse::<Precision>(), text.parse::<Device>());
        }
    }
}
