//! RFC 3339 in UTC with milliseconds, written into a fixed buffer: `2026-03-01T12:00:00.250Z`.
//! Pure; never allocates.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// 9999-12-31T23:59:59.999Z and 0000-01-01T00:00:00.000Z, milliseconds since 1970: all that four
/// digits of year can say.
const NEWEST_MS: i64 = 253_402_300_799_999;
const OLDEST_MS: i64 = -62_167_219_200_000;
const DAY_MS: i64 = 86_400_000;

/// A moment as 24 ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([u8; 24]);

impl Stamp {
    /// The moment, cut (not rounded) to milliseconds; a clock beyond the years 0 to 9999 is held at
    /// the nearest end.
    pub fn of(moment: SystemTime) -> Self {
        let millis = match moment.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(NEWEST_MS),
            Err(before) => {
                let nanos = i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX);
                i64::try_from((-nanos).div_euclid(1_000_000)).unwrap_or(OLDEST_MS)
            }
        };
        let millis = millis.clamp(OLDEST_MS, NEWEST_MS);
        let (year, month, day) = civil(millis.div_euclid(DAY_MS));
        let within = millis.rem_euclid(DAY_MS);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], within / 3_600_000);
        digits(&mut text[14..16], within / 60_000 % 60);
        digits(&mut text[17..19], within / 1000 % 60);
        digits(&mut text[20..23], within % 1000);
        Self(text)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII digits and separators are written")
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

fn digits(into: &mut [u8], mut number: i64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", civil_from_days).
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (
        year_of_era + era * 400 + i64::from(month <= 2),
        month,
        of_year - (153 * shifted_month + 2) / 5 + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn known_moments_are_written_as_rfc_3339() {
        // Checked against `date -u -d @N +%FT%T`.
        let known = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_868_799_001, "2000-02-29T23:59:59.001Z"),
            (1_709_208_000_250, "2024-02-29T12:00:00.250Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (millis, text) in known {
            assert_eq!(Stamp::of(UNIX_EPOCH + Duration::from_millis(millis)).as_str(), text);
        }
    }

    #[test]
    fn clocks_far_off_are_held_at_the_nearest_end() {
        let far = UNIX_EPOCH.checked_add(Duration::from_secs(1 << 50)).unwrap();
        assert_eq!(Stamp::of(far).as_str(), "9999-12-31T23:59:59.999Z");
        assert_eq!(
            Stamp::of(UNIX_EPOCH - Duration::from_nanos(1)).as_str(),
            "1969-12-31T23:59:59.999Z"
        );
        assert_eq!(
            Stamp::of(UNIX_EPOCH - Duration::from_secs(1 << 40)).as_str(),
            "0000-01-01T00:00:00.000Z"
        );
    }
}
