//! Steps over bytes in Thrift's compact form, of which Parquet's headers and footers are made.
//! Pure.
//!
//! What is looked through here first, the Parquet library need not be trusted with: it makes room
//! for as many values as are
//! claimed. <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md> has
//! the form.

/// Kinds of values.
pub(super) const I32: u8 = 5;
pub(super) const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

/// Longest list, for values that have none.
pub(super) const NO_LISTS: u64 = 0;
/// Deepest nesting; a footer has 6.
const MAX_DEPTH: u32 = 10;

/// What is left.
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn skip(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for place in 0..10 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A number that must not be negative.
    pub(super) fn whole(&mut self) -> Option<u64> {
        let zigzag = self.varint()?;
        (zigzag & 1 == 0).then_some(zigzag >> 1).filter(|value| *value <= i32::MAX as u64)
    }

    /// The kind of the next field of a struct and, in `id`, its number; `Some(None)` at the end of
    /// the struct.
    pub(super) fn field(&mut self, id: &mut u64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => self.whole()?,
            step => id.checked_add(u64::from(step))?,
        };
        Some(Some(byte & 0x0f))
    }

    /// The kind and the number of a list's values.
    pub(super) fn list(&mut self) -> Option<(u8, u64)> {
        let byte = self.byte()?;
        let count = match byte >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Some((byte & 0x0f, count))
    }

    /// Steps over a value of this kind, whose lists have at most `longest` values each. `None` if
    /// they have more.
    pub(super) fn value(&mut self, kind: u8, longest: u64) -> Option<()> {
        self.nested(kind, longest, 0)
    }

    fn nested(&mut self, kind: u8, longest: u64, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match kind {
            1 | 2 => Some(()), // true and false have no bytes of their own as fields
            3 => self.skip(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            LIST | 10 => {
                let (kind, count) = self.list()?;
                if count > longest {
                    return None;
                }
                // As values of a list they do have one.
                (0..count).try_for_each(|_| {
                    if kind <= 2 { self.skip(1) } else { self.nested(kind, longest, depth + 1) }
                })
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.nested(kind, longest, depth + 1)?;
                }
                Some(())
            }
            _ => None, // maps: Parquet has none
        }
    }
}
