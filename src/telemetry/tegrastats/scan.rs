//! What one line of tegrastats says: a scanner of words that takes what it knows, skips what it
//! does not, and says what it skipped.
//!
//! Pure, and for bytes that nobody vouches for: it looks at no more than [`LINE_LIMIT`] bytes,
//! never panics and allocates nothing. There is no stable grammar from JetPack 3 to 7, so no field
//! is expected at any place; a value is told by its shape and belongs to the name before it. Only
//! the present value of a rail is taken: the mean counts from the start of tegrastats.

use super::number::{frequency, is_off, megabytes, number, power, temperature};
use crate::units::{Celsius, Megahertz, Milliwatts};

/// Most bytes of a line that are looked at; the longest known line has some 900.
pub const LINE_LIMIT: usize = 4096;
/// Longest name of a rail or zone, bytes.
pub const NAME_LIMIT: usize = 32;

/// One field of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// A power rail: `VDD_IN 4878/2411`. The same name may come more than once.
    Rail {
        /// ASCII, 1..=[`NAME_LIMIT`] bytes.
        name: &'a str,
        /// Now.
        power: Milliwatts,
    },
    /// A thermal zone: `GPU@38.5C`.
    Zone {
        /// ASCII, 1..=[`NAME_LIMIT`] bytes.
        name: &'a str,
        /// Now; `None` if the sensor is switched off, which reads -256.
        temperature: Option<Celsius>,
    },
    /// The GPU: `GR3D_FREQ 15%@114`. Both are missing where they are not printed (without root, or
    /// in JetPack 7 at times).
    Gpu {
        /// Share of its time that is used, 0..=1.
        load: Option<f32>,
        /// The fastest of its clocks. A clock of 0 is a GPU that is switched off: `None`.
        clock: Option<Megahertz>,
    },
    /// The processors that are on: `CPU [1%@1833,off]`.
    Cpu {
        /// Mean share of their time that is used, 0..=1.
        load: Option<f32>,
        /// The fastest of their clocks.
        clock: Option<Megahertz>,
    },
    /// `RAM 1101/7850MB`.
    Memory {
        /// Total less used, MiB.
        available_mib: f32,
    },
    /// Left out, and why.
    Skipped {
        /// As it stands in the line, name and value.
        text: &'a [u8],
        /// Why.
        why: Skip,
    },
}

/// Why something is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Known, and nobody asks for it: date, swap, memory clock, video engines.
    NotNeeded,
    /// A channel of the power monitor with nothing behind it (`NC`).
    Unconnected,
    /// Not of any known shape.
    Unknown,
    /// Beyond [`LINE_LIMIT`].
    TooLong,
}

/// Hands every field of `line` to `take`, from left to right.
pub fn scan<'a>(line: &'a [u8], mut take: impl FnMut(Token<'a>)) {
    let (line, beyond) = cut(line);
    let mut names: Option<(usize, &'a [u8])> = None;
    let mut at = 0;
    while let Some((from, to)) = next_word(line, at) {
        at = to;
        let word = &line[from..to];
        if let Some(token) = zone(word) {
            give_up(&mut names, &mut take);
            take(token);
        } else if is_name(word) && !is_off(word) {
            give_up(&mut names, &mut take);
            names = Some((from, word));
        } else if let Some((start, name)) = names.take() {
            take(value(name, word, &line[start..to]));
        } else {
            take(Token::Skipped { text: word, why: alone(word) });
        }
    }
    give_up(&mut names, &mut take);
    if !beyond.is_empty() {
        take(Token::Skipped { text: beyond, why: Skip::TooLong });
    }
}

/// A name that got no value.
fn give_up<'a>(name: &mut Option<(usize, &'a [u8])>, take: &mut impl FnMut(Token<'a>)) {
    if let Some((_, text)) = name.take() {
        // `MTS fg 0% bg 0%` has a title of its own.
        let why = if text == b"MTS" { Skip::NotNeeded } else { Skip::Unknown };
        take(Token::Skipped { text, why });
    }
}

/// The part that is looked at, and the rest. The cut is made between words: half a number is
/// another number.
fn cut(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii_end();
    if line.len() <= LINE_LIMIT {
        return (line, b"");
    }
    let words = line[..LINE_LIMIT].iter().rposition(u8::is_ascii_whitespace).unwrap_or(0);
    line.split_at(words)
}

/// Where the next word begins and ends. A parenthesis opens a new one: `0/252kB(lfb 252kB)`.
fn next_word(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let from = at + line.get(at..)?.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let rest = &line[from + 1..];
    let length = rest
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || *byte == b'(')
        .unwrap_or(rest.len());
    Some((from, from + 1 + length))
}

/// Starts with a letter; letters, digits, `_`, `-` and `.` follow.
fn is_name(word: &[u8]) -> bool {
    word.first().is_some_and(u8::is_ascii_alphabetic) && is_plain(word)
}

fn is_plain(word: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=NAME_LIMIT).contains(&word.len()) && word.iter().all(plain)
}

/// `NAME@T C`, `NAME@T C/PEAK C`.
fn zone(word: &[u8]) -> Option<Token<'_>> {
    let at = word.iter().position(|byte| *byte == b'@')?;
    let (name, degrees) = (&word[..at], &word[at + 1..]);
    let temperature = temperature(degrees).filter(|_| is_plain(name))?;
    Some(Token::Zone {
        name: str::from_utf8(name).ok()?,
        temperature: (temperature > -256.0).then_some(Celsius(temperature)),
    })
}

/// What `word` means after `name`; `text` is both.
fn value<'a>(name: &'a [u8], word: &'a [u8], text: &'a [u8]) -> Token<'a> {
    let skipped = |why| Token::Skipped { text, why };
    let is_memory = matches!(name, b"RAM" | b"SWAP" | b"IRAM");
    if let Some(power) = power(word).filter(|_| !is_memory) {
        return match str::from_utf8(name) {
            Ok("NC") => skipped(Skip::Unconnected),
            Ok(name) => Token::Rail { name, power: Milliwatts(power) },
            Err(_) => skipped(Skip::Unknown),
        };
    }
    if let Some((used, total)) = megabytes(word) {
        return match name {
            b"RAM" if used <= total => Token::Memory { available_mib: total - used },
            _ => skipped(if is_memory { Skip::NotNeeded } else { Skip::Unknown }),
        };
    }
    match name {
        b"CPU" | b"cpu" if word.starts_with(b"[") => cpu(word).unwrap_or(skipped(Skip::Unknown)),
        b"GR3D_FREQ" | b"GR3D" => match frequency(word) {
            Some((load, clock)) => {
                Token::Gpu { load, clock: clock.filter(|mhz| *mhz > 0.0).map(Megahertz) }
            }
            None => skipped(if is_off(word) { Skip::NotNeeded } else { Skip::Unknown }),
        },
        // An engine or another clock: NVENC 115, NVDEC off, VIC 59%@423, OFA_FREQ @1556, EMC_FREQ
        // 0%@1866, fg 0%.
        _ if is_off(word)
            || frequency(word).is_some()
            || matches!(number(word), Some((_, b""))) =>
        {
            skipped(Skip::NotNeeded)
        }
        _ => skipped(Skip::Unknown),
    }
}

/// `[P%@MHZ,off,…]`; before JetPack 3.2 `[P%,…]@MHZ`, one clock for all. One core that cannot be
/// read does not take the others along.
fn cpu(word: &[u8]) -> Option<Token<'_>> {
    let end = word.iter().rposition(|byte| *byte == b']')?;
    let (list, after) = (word.get(1..end)?, &word[end + 1..]);
    let mut fastest = match after {
        b"" => 0.0,
        shared => frequency(shared)?.1?,
    };
    let (mut sum, mut cores) = (0.0, 0u16);
    for (load, mhz) in list.split(|byte| *byte == b',').filter_map(frequency) {
        if let Some(load) = load {
            sum += load;
            cores += 1;
        }
        fastest = fastest.max(mhz.unwrap_or(0.0));
    }
    let load = (cores > 0).then(|| sum / f32::from(cores));
    Some(Token::Cpu { load, clock: (fastest > 0.0).then_some(Megahertz(fastest)) })
}

/// Why a word without a name before it is left out.
fn alone(word: &[u8]) -> Skip {
    let is_made_of = |separator: u8, parts: usize| {
        let mut split = word.split(|byte| *byte == separator);
        split.clone().count() == parts
            && split.all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
    };
    let is_aside = word.starts_with(b"(") || word.ends_with(b")");
    let is_date = is_made_of(b'-', 3) || is_made_of(b':', 3);
    if is_aside || is_date { Skip::NotNeeded } else { Skip::Unknown }
}

#[cfg(test)]
mod tests;
