//! Labels files: one class a line, `key<TAB>name` or just `name`, in the order of the network's scores.
//!
//! Pure: parses bytes that others have read.

use super::{Label, Labels, MAX_CLASSES, hash};

impl Labels {
    /// Reads a labels file. Errors name the line, counted from 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end_matches(['\n', '\r']);
        let mut classes = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let (key, name) = line.split_once('\t').unwrap_or(("", line));
            let (key, name) = (key.trim(), name.trim());
            if name.is_empty() {
                return Err(format!("line {} has no name; write `key<TAB>name` or `name`", index + 1));
            }
            if classes.len() == MAX_CLASSES {
                return Err(format!("more than {MAX_CLASSES} classes"));
            }
            classes.push(Label { key: key.to_owned(), name: name.to_owned() });
        }
        if classes.is_empty() {
            return Err("no class in it; write one a line".to_owned());
        }
        Ok(Self { classes, sha256: hash::of_bytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_optional_and_line_ends_do_not_matter() {
        let labels = Labels::parse(b"n01440764\ttench, Tinca tinca\r\ngoldfish\r\n\n").unwrap();
        let pairs: Vec<_> = labels.classes.iter().map(|label| (label.key.as_str(), label.name.as_str())).collect();
        assert_eq!(pairs, [("n01440764", "tench, Tinca tinca"), ("", "goldfish")]);
    }

    #[test]
    fn a_line_without_a_name_an_empty_file_and_bytes_that_are_no_text_are_refused() {
        assert!(Labels::parse(b"one\n\nthree\n").unwrap_err().contains("line 2"));
        assert!(Labels::parse(b"n1\t\n").unwrap_err().contains("line 1"));
        assert!(Labels::parse(b"\n\n").unwrap_err().contains("no class"));
        assert!(Labels::parse(b"a\xff").unwrap_err().contains("byte 1"));
    }
}
