//! The shapes of values in a line of tegrastats. Pure; each answers `None` to bytes of another
//! shape.
//!
//! No number has more than nine digits on either side of its point, so all of them are finite.

/// A number at the beginning of `bytes`, and what follows it.
pub(super) fn number(bytes: &[u8]) -> Option<(f32, &[u8])> {
    let unsigned = bytes.strip_prefix(b"-");
    let (whole, rest) = digits(unsigned.unwrap_or(bytes))?;
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(after) => {
            let (fraction, rest_after) = digits(after)?;
            (fraction / 10f64.powi((after.len() - rest_after.len()) as i32), rest_after)
        }
        None => (0.0, rest),
    };
    let value = (whole + fraction) as f32;
    Some((if unsigned.is_some() { -value } else { value }, rest))
}

/// One to nine digits, and what follows them.
fn digits(bytes: &[u8]) -> Option<(f64, &[u8])> {
    let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at_checked(count).filter(|_| (1..=9).contains(&count))?;
    Some((digits.iter().fold(0.0, |sum, digit| sum * 10.0 + f64::from(digit - b'0')), rest))
}

/// `off`, of a core or an engine.
pub(super) fn is_off(word: &[u8]) -> bool {
    word == b"off"
}

/// `P%` at the beginning, as a share 0..=1, and what follows it.
pub(super) fn percent(bytes: &[u8]) -> Option<(f32, &[u8])> {
    let (percent, rest) = number(bytes)?;
    let rest = rest.strip_prefix(b"%")?;
    (0.0..=100.0).contains(&percent).then_some((percent / 100.0, rest))
}

/// `P%@MHZ`, `P%`, `@MHZ`, `P%@[MHZ,…]`, `@[MHZ,…]`: a share 0..=1, and the fastest clock in MHz.
pub(super) fn frequency(word: &[u8]) -> Option<(Option<f32>, Option<f32>)> {
    let (load, rest) = match percent(word) {
        Some((load, rest)) => (Some(load), rest),
        None => (None, word),
    };
    let clocks = match rest.strip_prefix(b"@") {
        Some(clocks) => clocks,
        None => return load.filter(|_| rest.is_empty()).map(|load| (Some(load), None)),
    };
    let clocks = match clocks.strip_prefix(b"[") {
        Some(list) => list.strip_suffix(b"]")?,
        None => clocks,
    };
    let mut fastest = 0.0f32;
    for clock in clocks.split(|byte| *byte == b',') {
        let (mhz, b"") = number(clock)? else { return None };
        fastest = fastest.max(mhz);
    }
    Some((load, Some(fastest)))
}

/// `cur/avg`, `curmW/avgmW`, `curmW/avgmW/peakmW`: the first, in mW. A unit may be missing on any
/// side.
pub(super) fn power(word: &[u8]) -> Option<f32> {
    fn one(part: &[u8]) -> Option<f32> {
        let (value, b"" | b"mW") = number(part)? else { return None };
        Some(value)
    }
    let mut parts = word.split(|byte| *byte == b'/');
    let (now, _mean) = (one(parts.next()?)?, one(parts.next()?)?);
    match parts.next() {
        Some(peak) => one(peak).filter(|_| parts.next().is_none()).map(|_| now),
        None => Some(now),
    }
}

/// `TC` or `TC/PEAKC`: the first, in degrees Celsius.
pub(super) fn temperature(word: &[u8]) -> Option<f32> {
    let (now, rest) = number(word)?;
    match rest {
        b"C" => Some(now),
        _ => match number(rest.strip_prefix(b"C/")?)? {
            (_peak, b"C") => Some(now),
            _ => None,
        },
    }
}

/// `used/total` with a unit of memory at the end: both in MiB, for that is what tegrastats calls
/// MB.
pub(super) fn megabytes(word: &[u8]) -> Option<(f32, f32)> {
    let (used, rest) = number(word)?;
    let (total, unit) = number(rest.strip_prefix(b"/")?)?;
    let scale = match unit {
        b"kB" => 1.0 / 1024.0,
        b"MB" => 1.0,
        b"GB" => 1024.0,
        _ => return None,
    };
    Some((used * scale, total * scale))
}
