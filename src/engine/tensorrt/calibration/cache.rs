//! TensorRT's calibration cache: one scale a tensor, as text. Pure: reads and writes bytes that
//! others keep.
//!
//! First line `TRT-<version>-<algorithm>`, such as `TRT-8201-EntropyCalibration2`; then
//! `name: hhhhhhhh` a tensor, the scale as IEEE-754 single, eight hex digits, most significant
//! first. Names may hold blanks, colons and brackets, so a line is split at its last `": "`. Good
//! for one network and one TensorRT, on any GPU. What is read and written again is the same, byte
//! for byte.

use std::collections::HashSet;
use std::fmt;

use super::super::version::Version;

/// Longest cache that is read, bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Most tensors.
const MAX_TENSORS: usize = 65_536;
/// Longest name, bytes.
const MAX_NAME: usize = 1024;
/// Largest number in the first line: that of TensorRT 99.99.99.
const MAX_VERSION: u32 = 999_999;

/// Why bytes are no calibration cache that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// Too long.
    #[error("{bytes} bytes, a calibration cache has at most {MAX_BYTES}")]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// Not text.
    #[error("not UTF-8 at byte {at}; is it a calibration cache?")]
    NotText {
        /// Where.
        at: usize,
    },
    /// A line that cannot be.
    #[error("line {line}: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what is right.
        what: String,
    },
    /// Made by another TensorRT.
    #[error("made by TensorRT {made}, this is {here}; `squint engines calibrate` makes it anew")]
    OtherVersion {
        /// Which made it.
        made: Version,
        /// Which is here.
        here: Version,
    },
    /// TensorRT 11 and RTX calibrate nothing.
    #[error(
        "calibration caches are for TensorRT 8 and 10, this is {here}: give the model Q/DQ nodes, as the shipped int8 engines have, or use fp16"
    )]
    NotTaken {
        /// Which is here.
        here: Version,
    },
}

/// How the scales were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// By entropy, the older way.
    Entropy,
    /// By entropy; the usual one for images.
    Entropy2,
    /// By the largest value.
    MinMax,
    /// By percentile.
    Legacy,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Entropy, Self::Entropy2, Self::MinMax, Self::Legacy];

    /// The word in the first line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entropy => "EntropyCalibration",
            Self::Entropy2 => "EntropyCalibration2",
            Self::MinMax => "MinMaxCalibration",
            Self::Legacy => "LegacyCalibration",
        }
    }
}

/// The scale of one tensor: what one step of int8 stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// The tensor, as the network calls it.
    pub tensor: String,
    /// Above 0, finite.
    pub scale: f32,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationCache {
    /// The digits of the first line: 8201, 101601.
    number: u32,
    version: Version,
    algorithm: Algorithm,
    scales: Vec<Scale>,
}

impl CalibrationCache {
    /// Reads a cache. Untrusted: everything is checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, CalibrationError> {
        if bytes.len() > MAX_BYTES {
            return Err(CalibrationError::TooLong { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| CalibrationError::NotText { at: error.valid_up_to() })?;
        let refuse = |line: usize, what: String| CalibrationError::Line { line, what };
        let Some(body) = text.strip_suffix('\n') else {
            return Err(refuse(
                text.lines().count().max(1),
                "it has no end; the file is cut off".into(),
            ));
        };
        let mut lines = body.split('\n').enumerate().map(|(index, line)| (index + 1, line));
        let head = lines.next().map_or("", |(_, line)| line);
        let (number, version, algorithm) = read_head(head).map_err(|what| refuse(1, what))?;
        let (mut scales, mut seen) = (Vec::new(), HashSet::new());
        for (line, text) in lines {
            if scales.len() == MAX_TENSORS {
                return Err(refuse(line, format!("more than {MAX_TENSORS} tensors")));
            }
            let (tensor, scale) = read_line(text).map_err(|what| refuse(line, what))?;
            if !seen.insert(tensor) {
                return Err(refuse(line, format!("{tensor:?} is there twice")));
            }
            scales.push(Scale { tensor: tensor.to_owned(), scale });
        }
        if scales.is_empty() {
            return Err(refuse(1, "no tensor follows".into()));
        }
        Ok(Self { number, version, algorithm, scales })
    }

    /// Which TensorRT made it.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The scales, in the order of the file.
    pub fn scales(&self) -> &[Scale] {
        &self.scales
    }

    /// Refuses a cache that another TensorRT made: scales belong to the network as that release
    /// fused it. 11 and RTX take none, they want Q/DQ nodes in the model.
    pub fn check(&self, here: Version) -> Result<(), CalibrationError> {
        if here.types_strongly() {
            Err(CalibrationError::NotTaken { here })
        } else if self.version != here {
            Err(CalibrationError::OtherVersion { made: self.version, here })
        } else {
            Ok(())
        }
    }
}

/// As TensorRT writes it.
impl fmt::Display for CalibrationCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "TRT-{}-{}", self.number, self.algorithm.name())?;
        self.scales.iter().try_for_each(|Scale { tensor, scale }| {
            writeln!(f, "{tensor}: {:08x}", scale.to_bits())
        })
    }
}

fn read_head(line: &str) -> Result<(u32, Version, Algorithm), String> {
    let odd = || {
        format!(
            "is {}; a calibration cache begins like `TRT-8201-EntropyCalibration2`",
            brief(line)
        )
    };
    let (number, word) =
        line.strip_prefix("TRT-").and_then(|rest| rest.split_once('-')).ok_or_else(odd)?;
    let is_plain = !number.starts_with('0') && number.bytes().all(|c| c.is_ascii_digit());
    let number: u32 =
        number.parse().ok().filter(|number| is_plain && *number <= MAX_VERSION).ok_or_else(odd)?;
    let version = i32::try_from(number).ok().and_then(Version::from_number).ok_or_else(odd)?;
    let algorithm = Algorithm::ALL.into_iter().find(|known| known.name() == word);
    let known = Algorithm::ALL.map(Algorithm::name).join(", ");
    let algorithm =
        algorithm.ok_or_else(|| format!("the algorithm is {}; known are {known}", brief(word)))?;
    Ok((number, version, algorithm))
}

fn read_line(line: &str) -> Result<(&str, f32), String> {
    let (tensor, digits) = line
        .rsplit_once(": ")
        .ok_or_else(|| format!("is {}; it must be `name: hhhhhhhh`", brief(line)))?;
    if tensor.is_empty() || tensor.len() > MAX_NAME || tensor.chars().any(char::is_control) {
        return Err(format!(
            "the name is {}; it must have 1 to {MAX_NAME} bytes, none of control",
            brief(tensor)
        ));
    }
    let is_hex =
        digits.len() == 8 && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let bits = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex);
    let bits = bits.ok_or_else(|| {
        format!("the scale is {}; it must be 8 lower-case hex digits", brief(digits))
    })?;
    let scale = f32::from_bits(bits);
    match scale.is_finite() && scale > 0.0 {
        true => Ok((tensor, scale)),
        false => {
            Err(format!("the scale is {digits}, that is {scale}; it must be finite and above 0"))
        }
    }
}

/// As shown in a message.
fn brief(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "TRT-8201-EntropyCalibration2\ninput: 3c010a14\n(Unnamed Layer* 0) [Constant]: out: 4000889d\n";

    fn refusal(text: &str) -> String {
        CalibrationCache::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_cache_is_read_and_written_again_byte_for_byte() {
        let cache = CalibrationCache::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(cache.to_string(), GOOD);
        assert_eq!(
            (cache.version().to_string().as_str(), cache.algorithm()),
            ("8.2.1", Algorithm::Entropy2)
        );
        let [first, second] = cache.scales() else { panic!("{cache:?}") };
        assert_eq!(first.tensor, "input");
        assert_eq!(second.tensor, "(Unnamed Layer* 0) [Constant]: out", "split at the last colon");
        assert!((second.scale - 2.0083).abs() < 1e-4);
    }

    #[test]
    fn a_cache_of_another_tensorrt_is_refused_with_both_versions() {
        let cache = CalibrationCache::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(cache.check("8.2.1".parse().unwrap()), Ok(()));
        let other = cache.check("8.5.2".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(
            other,
            "made by TensorRT 8.2.1, this is 8.5.2; `squint engines calibrate` makes it anew"
        );
        let ten = CalibrationCache::parse(GOOD.replace("8201", "100304").as_bytes()).unwrap();
        assert_eq!(ten.check("10.3.4".parse().unwrap()), Ok(()));
        let newer = ten.check("11.4.0".parse().unwrap()).unwrap_err().to_string();
        let words = "calibration caches are for TensorRT 8 and 10, this is 11.4.0: give the model Q/DQ nodes";
        assert!(newer.starts_with(words), "{newer}");
    }

    #[test]
    fn what_is_no_cache_is_refused_by_line_with_what_it_should_be() {
        for (was, is, words) in [
            (
                "TRT-8201-",
                "TRT-",
                "line 1: is \"TRT-EntropyCalibration2\"; a calibration cache begins like",
            ),
            ("8201", "+8201", "line 1: is"),
            ("8201", "12", "line 1: is"),
            (
                "Calibration2",
                "Calibration9",
                "line 1: the algorithm is \"EntropyCalibration9\"; known are",
            ),
            ("input: ", "input:", "line 2: is \"input:3c010a14\"; it must be `name: hhhhhhhh`"),
            ("input: ", ": ", "line 2: the name is \"\""),
            ("input", "in\tput", "line 2: the name is"),
            (
                "3c010a14",
                "3C010A14",
                "line 2: the scale is \"3C010A14\"; it must be 8 lower-case hex digits",
            ),
            ("3c010a14", "3c010a1", "line 2: the scale is"),
            (
                "3c010a14",
                "00000000",
                "line 2: the scale is 00000000, that is 0; it must be finite and above 0",
            ),
            ("3c010a14", "bc010a14", "that is -0.007"),
            ("3c010a14", "7f800000", "that is inf"),
            ("3c010a14", "7fc00000", "that is NaN"),
            ("(Unnamed Layer* 0) [Constant]: out", "input", "line 3: \"input\" is there twice"),
            ("\n(Unn", "\n\n(Unn", "line 3: is \"\""),
            ("\ninput", "\r\ninput", "line 1: the algorithm is \"EntropyCalibration2\\r\""),
            ("9d\n", "9d", "line 3: it has no end; the file is cut off"),
        ] {
            let text = refusal(&GOOD.replacen(was, is, 1));
            assert!(text.contains(words), "{text}\n{words}");
        }
        assert!(refusal("").contains("cut off"));
        assert!(refusal("TRT-8201-MinMaxCalibration\n").contains("no tensor follows"));
        assert_eq!(CalibrationCache::parse(b"TRT\xff\n"), Err(CalibrationError::NotText { at: 3 }));
        assert_eq!(
            CalibrationCache::parse(&vec![b'a'; MAX_BYTES + 1]),
            Err(CalibrationError::TooLong { bytes: MAX_BYTES + 1 })
        );
    }

    proptest! {
        #[test]
        fn every_cache_survives_being_written(
            scales in prop::collection::btree_map("[ -~]{1,40}", 1..0x7f80_0000_u32, 1..20),
            kind in 0..4_usize,
        ) {
            let body: String = scales.iter().map(|(tensor, bits)| format!("{tensor}: {bits:08x}\n")).collect();
            let text = format!("TRT-8601-{}\n{body}", Algorithm::ALL[kind].name());
            let cache = CalibrationCache::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(cache.to_string(), text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = CalibrationCache::parse(&bytes);
        }
    }
}
