//! Weights that a model keeps in other files (ONNX external data), put into the model.
//!
//! Pure: bytes in, bytes out. The runtime is then handed one piece of memory, as for any other
//! model: it opens no file, and what was checked is what runs. Files are those of the manifest,
//! found by the name that the model has for them.

use super::scan::{DEPTH, Message, varint};

/// Largest model with its weights, bytes: what protobuf allows.
const MAX_BYTES: usize = (1 << 31) - 1;
/// Fields of a tensor: its bytes, and where they are if they are elsewhere.
const RAW_DATA: u64 = 9;
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;

/// A piece of the model to be.
enum Piece<'a> {
    /// Of the model or of a data file.
    Old(&'a [u8]),
    /// A tag and a length.
    New(Vec<u8>),
}

impl Piece<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Old(bytes) => bytes,
            Self::New(bytes) => bytes,
        }
    }
}

/// The model in one piece. `model` went through [`super::scan::check`]; `files`: names as the model
/// has them, and what they hold.
pub(super) fn inlined(model: &[u8], files: &[(&str, &[u8])]) -> Result<Vec<u8>, String> {
    let mut used = vec![false; files.len()];
    let pieces = rebuilt(model, Message::Model, DEPTH, files, &mut used)?;
    let length = length(&pieces);
    if length > MAX_BYTES {
        return Err(format!("comes to {length} bytes with its weights; ONNX allows {MAX_BYTES}"));
    }
    if let Some(unused) = used.iter().position(|used| !used) {
        return Err(format!(
            "keeps no weights in {:?}; take that file out of `[[model.data]]`",
            files[unused].0
        ));
    }
    let mut whole = Vec::with_capacity(length);
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece.bytes()));
    Ok(whole)
}

fn length(pieces: &[Piece<'_>]) -> usize {
    pieces.iter().map(|piece| piece.bytes().len()).sum()
}

fn rebuilt<'a>(
    bytes: &'a [u8],
    message: Message,
    depth: usize,
    files: &[(&str, &'a [u8])],
    used: &mut [bool],
) -> Result<Vec<Piece<'a>>, String> {
    let cut = || "is cut short or damaged, or no ONNX file".to_owned();
    if depth == 0 {
        return Err("nests graphs too deeply".to_owned());
    }
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    let (mut place, mut is_external) = (Place::default(), false);
    while !rest.is_empty() {
        let start = rest;
        let tag = varint(&mut rest).ok_or_else(cut)?;
        let (field, wire) = (tag >> 3, tag & 7);
        let mut inner = None;
        match wire {
            0 => {
                let value = varint(&mut rest).ok_or_else(cut)?;
                if message == Message::Tensor && field == DATA_LOCATION {
                    is_external = value != 0;
                    continue;
                }
            }
            1 | 5 => rest = rest.get(if wire == 1 { 8 } else { 4 }..).ok_or_else(cut)?,
            2 => {
                let length = varint(&mut rest)
                    .and_then(|length| usize::try_from(length).ok())
                    .ok_or_else(cut)?;
                let (own, after) = rest.split_at_checked(length).ok_or_else(cut)?;
                (inner, rest) = (Some(own), after);
            }
            _ => return Err(cut()),
        }
        match (inner, message.inside(field)) {
            (Some(entry), _) if message == Message::Tensor && field == EXTERNAL_DATA => {
                place.note(entry).ok_or_else(cut)?
            }
            (Some(own), Some(inside)) => {
                let own = rebuilt(own, inside, depth - 1, files, used)?;
                pieces.push(Piece::New(head(tag, length(&own))));
                pieces.extend(own);
            }
            _ => pieces.push(Piece::Old(&start[..start.len() - rest.len()])),
        }
    }
    if is_external {
        let bytes = place.find(files, used)?;
        pieces.push(Piece::New(head(RAW_DATA << 3 | 2, bytes.len())));
        pieces.push(Piece::Old(bytes));
    }
    Ok(pieces)
}

/// A tag and a length, as protobuf writes them.
fn head(tag: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12);
    for mut value in [tag, length as u64] {
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }
    bytes
}

/// Where a tensor's bytes are.
#[derive(Default)]
struct Place<'a> {
    location: Option<&'a str>,
    offset: u64,
    length: Option<u64>,
}

impl<'a> Place<'a> {
    /// One entry, a key and a value; `None` if it is damaged.
    fn note(&mut self, mut entry: &'a [u8]) -> Option<()> {
        let (mut key, mut value) = ("", "");
        while !entry.is_empty() {
            let tag = varint(&mut entry)?;
            let length = varint(&mut entry).and_then(|length| usize::try_from(length).ok())?;
            let (text, rest) = entry.split_at_checked(length)?;
            match tag {
                0x0a => key = std::str::from_utf8(text).ok()?,
                0x12 => value = std::str::from_utf8(text).ok()?,
                _ => return None,
            }
            entry = rest;
        }
        match key {
            "location" => self.location = Some(value),
            "offset" => self.offset = value.parse().ok()?,
            "length" => self.length = Some(value.parse().ok()?),
            _ => {}
        }
        Some(())
    }

    fn find<'f>(&self, files: &[(&str, &'f [u8])], used: &mut [bool]) -> Result<&'f [u8], String> {
        let location =
            self.location.ok_or("keeps weights in another file and does not say in which")?;
        let shown: String = location.chars().take(120).collect();
        let plain = plain(location).ok_or_else(|| {
            format!("keeps weights in {shown:?}; only files beside the model are read: export it anew into a folder of its own")
        })?;
        let file = files.iter().position(|(name, _)| *name == plain).ok_or_else(|| {
            format!(
                "keeps weights in {shown:?}, which the manifest does not name; put that file beside the model and write [[model.data]] \
                 with file = {shown:?} (its path as seen from engine.toml){} and sha256 as `sha256sum` prints it, or save the model as \
                 a single file",
                if files.is_empty() { "" } else { " for it, too," }
            )
        })?;
        used[file] = true;
        let bytes = files[file].1;
        let start = usize::try_from(self.offset).ok();
        let end = match self.length {
            Some(length) => {
                self.offset.checked_add(length).and_then(|end| usize::try_from(end).ok())
            }
            None => Some(bytes.len()),
        };
        start.zip(end).and_then(|(start, end)| bytes.get(start..end)).ok_or_else(|| {
            let length = self.length.map_or("the rest".into(), |length| format!("{length} bytes"));
            format!(
                "wants {length} of {shown:?} from byte {} on, which has {}; is it the file of this model?",
                self.offset,
                bytes.len()
            )
        })
    }
}

/// The path without `.`; `None` if it is absolute or leads up.
fn plain(location: &str) -> Option<String> {
    let parts = location.split('/').filter(|part| !matches!(*part, "" | "."));
    let is_inside = !location.starts_with('/')
        && location.split('/').all(|part| part != "..")
        && !location.contains(['\\', '\0']);
    let path = parts.collect::<Vec<_>>().join("/");
    (is_inside && !path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
        [head(number << 3 | 2, bytes.len()), bytes.to_vec()].concat()
    }

    fn entry(key: &str, value: &str) -> Vec<u8> {
        field(EXTERNAL_DATA, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
    }

    /// A model of one constant called `w`, whose place these entries tell.
    fn model(entries: &[(&str, &str)]) -> Vec<u8> {
        let entries: Vec<u8> = entries.iter().flat_map(|(key, value)| entry(key, value)).collect();
        field(7, &field(5, &[field(8, b"w"), entries, vec![0x70, 1]].concat()))
    }

    fn whole(bytes: &[u8]) -> Vec<u8> {
        field(7, &field(5, &[field(8, b"w"), field(RAW_DATA, bytes)].concat()))
    }

    #[test]
    fn weights_come_from_the_file_that_the_model_names() {
        let files: [(&str, &[u8]); 1] = [("m.data", b"0123456789")];
        let piece =
            model(&[("location", "./m.data"), ("offset", "2"), ("length", "3"), ("checksum", "x")]);
        assert_eq!(inlined(&piece, &files).unwrap(), whole(b"234"));
        assert_eq!(
            inlined(&model(&[("location", "m.data")]), &files).unwrap(),
            whole(b"0123456789")
        );
    }

    #[test]
    fn other_places_are_refused_and_what_to_write_is_said() {
        let files: [(&str, &[u8]); 1] = [("m.data", b"0123456789")];
        for (entries, why) in [
            (&[("location", "/etc/passwd")][..], "only files beside the model are read"),
            (&[("location", "../m.data")], "only files beside the model are read"),
            (&[("location", "a/../../m.data")], "only files beside the model are read"),
            (
                &[("location", "n.data")],
                "keeps weights in \"n.data\", which the manifest does not name",
            ),
            (&[("offset", "2")], "does not say in which"),
            (
                &[("location", "m.data"), ("offset", "8"), ("length", "3")],
                "wants 3 bytes of \"m.data\" from byte 8 on, which has 10",
            ),
            (
                &[("location", "m.data"), ("offset", "18446744073709551615"), ("length", "2")],
                "which has 10",
            ),
            (&[("location", "m.data"), ("offset", "-1")], "damaged"),
        ] {
            let refused = inlined(&model(entries), &files).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        assert!(
            inlined(&whole(b"12"), &files).unwrap_err().contains("keeps no weights in \"m.data\"")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_rebuilt_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = inlined(&bytes, &[("m.data", b"0123")]);
        }
    }
}
