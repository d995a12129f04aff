//! A look into the bytes of an ONNX model before anything else sees them.
//!
//! Pure. Walks the protobuf far enough to refuse what is no model at all and what is cut short, and
//! to find whether it keeps weights in other files (external data). Those are put into the model by
//! [`super::external`], or refused: the runtime itself opens no file.

/// Deepest nesting of graphs inside graphs that is followed.
pub(super) const DEPTH: usize = 16;

/// What kind of message is being read. Numbers below are ONNX's field numbers (onnx.proto, IR
/// version 3 and later).
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Sparse,
    Tensor,
}

impl Message {
    pub(super) fn inside(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Node, 5) => Some(Self::Attribute),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => {
                Some(Self::Tensor)
            }
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Some(Self::Sparse),
            _ => None,
        }
    }
}

/// What was met on the way.
#[derive(Default)]
struct Met {
    graphs: usize,
    fields: usize,
    external: bool,
}

/// Refuses bytes that are no ONNX model; true if some of its weights are kept in other files.
pub(super) fn check(bytes: &[u8]) -> Result<bool, String> {
    met(bytes).map(|met| met.external)
}

/// Refuses bytes that are no self-contained ONNX model. Tells how many fields there are in all
/// messages that are looked into, which bounds what reading them all takes.
pub(in crate::engine) fn fields(bytes: &[u8]) -> Result<usize, String> {
    match met(bytes)? {
        Met { external: true, .. } => Err("keeps weights in other files (external data), and plans are built from single files; the CPU runs it as it is, or save it as one"
            .to_owned()),
        met => Ok(met.fields),
    }
}

fn met(bytes: &[u8]) -> Result<Met, String> {
    let mut met = Met::default();
    walk(bytes, Message::Model, DEPTH, &mut met)?;
    if met.graphs == 0 {
        return Err("holds no ONNX graph; is it an ONNX file?".to_owned());
    }
    Ok(met)
}

fn walk(mut bytes: &[u8], message: Message, depth: usize, met: &mut Met) -> Result<(), String> {
    let cut = || "is cut short or damaged, or no ONNX file".to_owned();
    if depth == 0 {
        return Err("nests graphs too deeply".to_owned());
    }
    while !bytes.is_empty() {
        met.fields += 1;
        let tag = varint(&mut bytes).ok_or_else(cut)?;
        let (field, wire) = (tag >> 3, tag & 7);
        match wire {
            0 => {
                let value = varint(&mut bytes).ok_or_else(cut)?;
                met.external |= message == Message::Tensor && field == 14 && value != 0;
            }
            1 | 5 => bytes = bytes.get(if wire == 1 { 8 } else { 4 }..).ok_or_else(cut)?,
            2 => {
                let length = varint(&mut bytes)
                    .and_then(|length| usize::try_from(length).ok())
                    .ok_or_else(cut)?;
                let (inner, rest) = bytes.split_at_checked(length).ok_or_else(cut)?;
                met.external |= message == Message::Tensor && field == 13;
                if let Some(inside) = message.inside(field) {
                    met.graphs += usize::from(matches!(inside, Message::Graph));
                    walk(inner, inside, depth - 1, met)?;
                }
                bytes = rest;
            }
            _ => return Err(cut()),
        }
    }
    Ok(())
}

pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// ModelProto { graph { initializer { data_location: EXTERNAL } } }
    const EXTERNAL: [u8; 6] = [0x3a, 4, 0x2a, 2, 0x70, 1];

    #[test]
    fn a_model_that_wants_other_files_is_told_from_one_that_holds_everything() {
        assert_eq!(check(&EXTERNAL), Ok(true));
        assert!(fields(&EXTERNAL).unwrap_err().contains("external data"));
        let mut own = EXTERNAL;
        own[5] = 0;
        assert_eq!(check(&own), Ok(false));
        assert!(fields(&own).is_ok());
    }

    #[test]
    fn every_truncation_and_every_other_file_is_refused() {
        for length in 0..EXTERNAL.len() {
            assert!(check(&EXTERNAL[..length]).is_err(), "{length} bytes");
        }
        assert!(check(b"#!/bin/sh\nexit\n").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&bytes);
        }
    }
}
