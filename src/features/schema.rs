//! What the features are called, what they may be, and which version of their formulas a policy
//! file was trained with.
//!
//! Not for the formulas: those stand in the files of their family. A changed formula, name or order
//! moves [`SCHEMA`].

/// Number of features.
pub const COUNT: usize = 34;

/// Names, in the order of [`super::Features::values`].
pub const NAMES: [&str; COUNT] = [
    "n_keypoints",
    "avg_brightness",
    "brightness_rms",
    "avg_perceived_brightness",
    "perceived_brightness_rms",
    "contrast",
    "edge_length1",
    "edge_length2",
    "edge_length3",
    "edge_length4",
    "edge_length5",
    "edge_length6",
    "edge_length7",
    "edge_angle1",
    "edge_angle2",
    "edge_angle3",
    "edge_angle4",
    "edge_angle5",
    "edge_angle6",
    "edge_angle7",
    "area_by_perim",
    "aspect_ratio",
    "hue1",
    "hue2",
    "hue3",
    "hue4",
    "hue5",
    "hue6",
    "hue7",
    "edge_density",
    "sharpness",
    "under_exposed",
    "over_exposed",
    "change",
];

/// Bounds of each feature, inclusive, for any frame whatever. In the order of [`NAMES`].
///
/// Shares are 0..=1, brightness is 0..=255. Where the bound is not obvious: keypoints never touch
/// each other and a working image has at most 25 600 pixels; a standard deviation on 0..=255 is at
/// most 127.5; area / perimeter / side is 0.5 for two pixels and near 0.25 for a large square; the
/// 4-neighbour Laplacian lies within +-1020.
pub const RANGES: [(f32, f32); COUNT] = {
    const SHARE: (f32, f32) = (0.0, 1.0);
    let mut ranges = [SHARE; COUNT];
    ranges[0] = (0.0, 6400.0);
    let mut index = 1;
    while index <= 4 {
        ranges[index] = (0.0, 255.0);
        index += 1;
    }
    ranges[5] = (0.0, 127.5);
    ranges[20] = (0.0, 0.5);
    ranges[21] = (0.1, 10.0);
    ranges[30] = (0.0, 1_040_400.0);
    ranges
};

/// Version of the feature definitions: the number moves with any change of a formula, a name or the
/// order.
pub const SCHEMA: &str = "squint-features-1";

/// FNV-1a (32 bits) of [`SCHEMA`] and every name of [`NAMES`], each followed by a line feed.
pub const SCHEMA_HASH: u32 = {
    let mut hash = line_hash(0x811c_9dc5, SCHEMA);
    let mut index = 0;
    while index < COUNT {
        hash = line_hash(hash, NAMES[index]);
        index += 1;
    }
    hash
};

const fn line_hash(mut hash: u32, line: &str) -> u32 {
    let bytes = line.as_bytes();
    let mut index = 0;
    while index <= bytes.len() {
        let byte = if index < bytes.len() { bytes[index] } else { b'\n' };
        hash = (hash ^ byte as u32).wrapping_mul(0x0100_0193);
        index += 1;
    }
    hash
}

const ID_LENGTH: usize = SCHEMA.len() + 9;
const ID: [u8; ID_LENGTH] = {
    let mut id = [b':'; ID_LENGTH];
    let mut index = 0;
    while index < SCHEMA.len() {
        id[index] = SCHEMA.as_bytes()[index];
        index += 1;
    }
    let mut digit = 0;
    while digit < 8 {
        id[SCHEMA.len() + 1 + digit] =
            b"0123456789abcdef"[(SCHEMA_HASH >> (28 - 4 * digit)) as usize & 15];
        digit += 1;
    }
    id
};

/// The id that policy files carry: `squint-features-1:` and [`SCHEMA_HASH`] as 8 hexadecimal
/// digits.
pub const fn schema() -> &'static str {
    match std::str::from_utf8(&ID) {
        Ok(id) => id,
        Err(_) => SCHEMA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_moves_when_names_or_order_do() {
        // If this fails, a name or the order changed: raise the number in SCHEMA, then store the
        // new id here.
        assert_eq!(schema(), "squint-features-1:a6b12f27");
    }

    #[test]
    fn ids_end_in_the_hash_and_names_are_distinct() {
        assert_eq!(schema(), format!("{SCHEMA}:{SCHEMA_HASH:08x}"));
        let distinct: std::collections::BTreeSet<_> = NAMES.iter().collect();
        assert_eq!(distinct.len(), COUNT);
        assert!(RANGES.iter().all(|(low, high)| low < high));
    }
}
