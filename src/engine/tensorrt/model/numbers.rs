//! The numbers in a tensor, read and written. Pure.

use super::find::shown;
use super::proto::Tensor;
use super::{MAX_NUMBERS, Refused};

/// Kinds of numbers, as onnx.proto counts them (`TensorProto.DataType`).
pub(super) const FLOAT: i32 = 1;
pub(super) const UINT8: i32 = 2;
pub(super) const INT8: i32 = 3;
pub(super) const INT32: i32 = 6;
pub(super) const FLOAT16: i32 = 10;

impl Tensor {
    /// What it is called.
    pub(super) fn called(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The kind of its numbers; 0 if it is not said.
    pub(super) fn kind(&self) -> i32 {
        self.data_type.unwrap_or(0)
    }

    fn refused(&self, why: impl Into<String>) -> Refused {
        Refused::Tensor { tensor: shown(self.called()), why: why.into() }
    }

    /// How many numbers its sides promise.
    fn count(&self) -> Result<usize, Refused> {
        let sides = self.dims.iter().map(|side| usize::try_from(*side).ok());
        let count = sides.into_iter().try_fold(1_usize, |product, side| product.checked_mul(side?));
        count.filter(|count| *count <= MAX_NUMBERS).ok_or_else(|| {
            self.refused(format!(
                "has sides {:?}; at most {MAX_NUMBERS} numbers are rewritten",
                self.dims.get(..8).unwrap_or(&self.dims)
            ))
        })
    }

    /// `found`, if they are as many as its sides promise.
    fn whole<T>(&self, found: Vec<T>) -> Result<Vec<T>, Refused> {
        match self.count()? {
            count if count == found.len() => Ok(found),
            count => Err(self
                .refused(format!("has {} numbers where its sides promise {count}", found.len()))),
        }
    }

    /// Its numbers, of float32.
    pub(super) fn floats(&self) -> Result<Vec<f32>, Refused> {
        if self.kind() != FLOAT {
            return Err(self.refused(format!("is of kind {}, not float32", self.kind())));
        }
        self.whole(match &self.raw_data {
            Some(raw) => {
                raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            None => self.float_data.clone(),
        })
    }

    /// Its numbers, of int8, uint8 or int32.
    pub(super) fn integers(&self) -> Result<Vec<i32>, Refused> {
        let raw = self.raw_data.as_deref();
        let bytes = |of: fn(u8) -> i32| raw.map(|raw| raw.iter().map(|byte| of(*byte)).collect());
        let (found, range): (Option<Vec<i32>>, _) = match self.kind() {
            INT8 => (bytes(|byte| i32::from(byte.cast_signed())), -128..=127),
            UINT8 => (bytes(i32::from), 0..=255),
            INT32 => (
                raw.map(|raw| {
                    raw.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()
                }),
                i32::MIN..=i32::MAX,
            ),
            other => {
                return Err(self
                    .refused(format!("is of kind {other}; int8, uint8 and int32 are understood")));
            }
        };
        let found = self.whole(found.unwrap_or_else(|| self.int32_data.clone()))?;
        match found.iter().find(|number| !range.contains(number)) {
            Some(number) => Err(self.refused(format!("holds {number}, which its kind cannot"))),
            None => Ok(found),
        }
    }
}

/// A tensor of float32.
pub(super) fn of_floats(name: String, dims: Vec<i64>, values: &[f32]) -> Tensor {
    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Tensor {
        name: Some(name),
        dims,
        data_type: Some(FLOAT),
        raw_data: Some(raw),
        ..Tensor::default()
    }
}

/// The nearest in half precision, as its bits; ties go to even. What is beyond its range becomes
/// its largest number: a bound that is never reached stays one. Infinity and NaN stay what they
/// are. Source: IEEE 754-2008, binary16.
pub(super) fn half_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = u16::try_from(bits >> 16 & 0x8000).unwrap_or(0);
    let size = value.abs();
    let magnitude = if value.is_nan() {
        0x7e00
    } else if value.is_infinite() {
        0x7c00
    } else if size >= 65504.0 {
        0x7bff
    } else if size < f32::from_bits(0x3880_0000) {
        // Below 2^-14: a whole number of 2^-24, to which the processor rounds when 0.5 is added:
        // there float32 steps by that much.
        (size + 0.5).to_bits() - 0.5_f32.to_bits()
    } else {
        let shifted = size.to_bits() - (112 << 23);
        (shifted + 0xfff + (shifted >> 13 & 1)) >> 13
    };
    sign | u16::try_from(magnitude).unwrap_or(0x7e00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_the_nearest_and_keeps_within_its_range() {
        let two = |exponent: i32| 2.0_f32.powi(exponent);
        for (value, bits) in [
            (0.0, 0x0000),
            (-0.0, 0x8000),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (0.1, 0x2e66),
            (6.0, 0x4600),
            (65504.0, 0x7bff),
            (65519.0, 0x7bff),
            (-1e9, 0xfbff),
            (two(-14), 0x0400),
            (two(-24), 0x0001),
            (two(-25), 0x0000),       // half a step: to even
            (1.5 * two(-24), 0x0002), // and up to even
            (two(-14) - two(-26), 0x0400),
            (1.0 + two(-11), 0x3c00),
            (1.0 + 3.0 * two(-11), 0x3c02),
            (f32::INFINITY, 0x7c00),
        ] {
            assert_eq!(half_bits(value), bits, "{value}");
        }
        assert_eq!(half_bits(f32::NAN), 0x7e00);
    }

    #[test]
    fn numbers_are_read_from_either_place_and_must_be_as_many_as_the_sides_say() {
        let tensor = |kind, dims: &[i64]| Tensor {
            data_type: Some(kind),
            dims: dims.to_vec(),
            ..Tensor::default()
        };
        let raw = |kind, dims: &[i64], raw: &[u8]| Tensor {
            raw_data: Some(raw.to_vec()),
            ..tensor(kind, dims)
        };
        assert_eq!(raw(INT8, &[2], &[0xff, 0x7f]).integers().unwrap(), [-1, 127]);
        assert_eq!(raw(UINT8, &[2, 1], &[0xff, 0x7f]).integers().unwrap(), [255, 127]);
        assert_eq!(raw(INT32, &[], &[0xfe, 0xff, 0xff, 0xff]).integers().unwrap(), [-2]);
        assert_eq!(Tensor { int32_data: vec![-3], ..tensor(INT8, &[]) }.integers().unwrap(), [-3]);
        assert_eq!(
            Tensor { float_data: vec![0.5], ..tensor(FLOAT, &[1]) }.floats().unwrap(),
            [0.5]
        );
        assert_eq!(of_floats("x".into(), vec![2], &[1.0, 2.0]).floats().unwrap(), [1.0, 2.0]);
        for bad in [
            raw(INT8, &[3], &[1, 2]),
            raw(INT8, &[-1], &[]),
            raw(INT8, &[i64::MAX, i64::MAX], &[1]),
            raw(INT8, &[1 << 40], &[1]),
            raw(INT32, &[2], &[1, 0, 0, 0]),
            Tensor { int32_data: vec![300], ..tensor(UINT8, &[]) },
            raw(10, &[1], &[0, 0]),
        ] {
            assert!(bad.integers().is_err() && bad.floats().is_err(), "{bad:?}");
        }
    }
}
