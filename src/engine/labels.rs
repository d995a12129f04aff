//! Labels files: one class a line, `key<TAB>name` or just `name`, in the order of the network's
//! scores.
//!
//! Pure: parses bytes that others have read. A file of another form (JSON, a numbered list,
//! `key,name`) would be taken for names and shift or spoil every answer, so it is recognised and
//! refused with what to write.

use std::collections::HashMap;

use super::{Label, Labels, MAX_CLASSES, hash};

/// What is wanted, for messages.
const WANTED: &str =
    "write one class a line, `name` or `key<TAB>name`, in the order of the model's scores";
/// Least lines from which a rule that all of them follow is no chance.
const LEAST: usize = 2;

impl Labels {
    /// Reads a labels file. Errors name the line, counted from 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
            let what = if utf16 {
                "UTF-16, not UTF-8".into()
            } else {
                format!("not UTF-8 at byte {}", error.valid_up_to())
            };
            format!("{what}; save the file as UTF-8")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end_matches(['\n', '\r']);
        if let Some(form) = other_form(text) {
            return Err(format!("{form}; {WANTED}"));
        }
        let mut classes = Vec::new();
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let (key, name) = line.split_once('\t').unwrap_or(("", line));
            let (key, name) = (key.trim(), name.trim());
            if name.is_empty() && key.is_empty() {
                return Err(format!(
                    "line {} is empty; take it out, or name the class there: {WANTED}",
                    index + 1
                ));
            }
            if name.is_empty() {
                return Err(format!("line {} has no name; {WANTED}", index + 1));
            }
            if classes.len() == MAX_CLASSES {
                return Err(format!("more than {MAX_CLASSES} classes"));
            }
            if !key.is_empty()
                && let Some(before) = lines.insert(key, index + 1)
            {
                return Err(format!(
                    "line {} has the key `{}` of line {before}; each class has its own",
                    index + 1,
                    shown(key)
                ));
            }
            classes.push(Label { key: key.to_owned(), name: name.to_owned() });
        }
        if classes.is_empty() {
            return Err(format!("no class in it; {WANTED}"));
        }
        Ok(Self { classes, sha256: hash::of_bytes(bytes) })
    }

    /// What is odd and yet possible: two classes of one name and without keys to tell them apart,
    /// as in some lists of ImageNet.
    pub(super) fn doubt(&self) -> Option<String> {
        let mut lines: HashMap<(&str, &str), usize> = HashMap::new();
        self.classes.iter().enumerate().find_map(|(index, Label { key, name })| {
            let before = lines.insert((key, name), index + 1)?;
            Some(format!(
                "lines {before} and {} are both `{}`; if they are two classes, give each a key of its own (`key<TAB>name`), \
                 if one is too much, take it out",
                index + 1,
                shown(name)
            ))
        })
    }
}

/// What the text is, if it is clearly something else than a list of names.
fn other_form(text: &str) -> Option<String> {
    let first = text.lines().next().unwrap_or_default().trim();
    if text.trim_start().starts_with(['{', '[', '<']) || first.starts_with("item {") {
        return Some("is JSON, XML or another structured file, not a list of names".into());
    }
    let lines = text.lines().map(str::trim);
    if text.lines().count() < LEAST {
        return None;
    }
    let all = |is: &dyn Fn(&str) -> bool| lines.clone().all(is);
    if all(&|line| line.starts_with('"') || line.starts_with('\''))
        && all(&|line| line.ends_with(['"', '\'', ',']))
    {
        return Some("has its names in quotes".into());
    }
    if all(&|line| line.starts_with("- ")) {
        return Some("is a YAML list".into());
    }
    for start in [0, 1] {
        if lines.clone().enumerate().all(|(index, line)| numbered(line) == Some(index + start)) {
            return Some(format!(
                "numbers its lines (`{}`); leave the numbers out or, if they belong to the names, put a key and a tab before each",
                shown(first)
            ));
        }
    }
    let keyed = |line: &str| {
        let (key, rest) = line.split_at_checked(9).unwrap_or((line, ""));
        key.starts_with('n')
            && key[1..].bytes().all(|c| c.is_ascii_digit())
            && rest.starts_with([',', ';', ' ', ':'])
    };
    if all(&keyed) {
        return Some(format!("has no tab behind its keys (`{}`)", shown(first)));
    }
    let backwards = |line: &str| {
        line.rsplit_once([',', ';', '\t'])
            .and_then(|(_, number)| number.trim().parse::<usize>().ok())
    };
    if [0, 1].iter().any(|start| {
        lines.clone().enumerate().all(|(index, line)| backwards(line) == Some(index + start))
    }) {
        return Some(format!("has a number behind each name (`{}`); leave it out", shown(first)));
    }
    None
}

/// The number that a line begins with, if a sign or blank and more text follow. A tab makes it a
/// key, which is allowed.
fn numbered(line: &str) -> Option<usize> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = line.split_at(digits);
    let name = rest.trim_start_matches([',', ';', ':', '=', ')', '.', ' ']);
    (!name.is_empty() && name.len() < rest.len()).then(|| number.parse().ok()).flatten()
}

/// Part of a file in a message: short, without control characters.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_optional_and_line_ends_do_not_matter() {
        let labels = Labels::parse(b"n01440764\ttench, Tinca tinca\r\ngoldfish\r\n\n").unwrap();
        let pairs: Vec<_> =
            labels.classes.iter().map(|label| (label.key.as_str(), label.name.as_str())).collect();
        assert_eq!(pairs, [("n01440764", "tench, Tinca tinca"), ("", "goldfish")]);
    }

    #[test]
    fn a_line_without_a_name_an_empty_file_and_bytes_that_are_no_text_are_refused() {
        assert!(Labels::parse(b"one\n\nthree\n").unwrap_err().contains("line 2"));
        assert!(Labels::parse(b"n1\t\n").unwrap_err().contains("line 1"));
        assert!(Labels::parse(b"\n\n").unwrap_err().contains("no class"));
        assert!(Labels::parse(b"a\xff").unwrap_err().contains("byte 1"));
        assert!(Labels::parse(&[0xff, 0xfe, b'a', 0]).unwrap_err().contains("UTF-16"));
    }

    #[test]
    fn a_file_of_another_form_is_refused_with_the_form_that_is_wanted() {
        for (text, why) in [
            ("[\"tench\", \"goldfish\"]", "JSON"),
            ("{\n\"0\": \"tench\"\n}", "JSON"),
            ("{0: 'tench',\n 1: 'goldfish'}", "JSON"),
            ("item {\n  name: \"tench\"\n}", "structured file"),
            ("\"tench\",\n\"goldfish\"\n", "in quotes"),
            ("- tench\n- goldfish\n", "YAML"),
            ("0,tench\n1,goldfish\n", "numbers its lines (`0,tench`)"),
            ("0: tench\n1: goldfish\n", "numbers its lines"),
            ("1 tench\n2 goldfish\n", "numbers its lines"),
            ("1) tench\n2) goldfish\n", "numbers its lines"),
            ("n01440764 tench, Tinca tinca\nn01443537 goldfish\n", "no tab behind its keys"),
            ("n01440764,tench\nn01443537,goldfish\n", "no tab behind its keys"),
            ("tench,0\ngoldfish,1\n", "a number behind each name"),
            ("k1\ttench\nk1\tgoldfish\n", "line 2 has the key `k1` of line 1"),
            ("tench\n\ngoldfish\n", "line 2 is empty"),
        ] {
            let refused = Labels::parse(text.as_bytes()).expect_err(text);
            assert!(refused.contains(why), "{text}: {refused}");
            assert!(
                why.contains("line 2 has") || refused.contains("one class a line"),
                "{refused}"
            );
        }
    }

    #[test]
    fn names_that_are_or_begin_with_numbers_are_names() {
        for text in [
            "0\n1\n2\n",
            "20 km/h\n30 km/h\n",
            "1\n10\n2\n20\n5\n",
            "0\ttench\n1\tgoldfish\n",
            "7 up\n",
        ] {
            assert!(Labels::parse(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn two_classes_of_one_name_are_told_unless_keys_tell_them_apart() {
        let doubt = |text: &str| Labels::parse(text.as_bytes()).unwrap().doubt();
        assert!(doubt("crane\ntench\ncrane\n").unwrap().contains("lines 1 and 3 are both `crane`"));
        assert_eq!(doubt("n1\tcrane\nn2\tcrane\n"), None);
    }
}
