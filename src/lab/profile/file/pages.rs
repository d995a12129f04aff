//! Looks at the pages of a column before the Parquet library does: it makes room for as many bytes as a page claims to have.
//!
//! Pure: walks over bytes that others have read. A page begins with a header in Thrift's compact form, of which two numbers count here;
//! the rest is stepped over. <https://github.com/apache/parquet-format> has the format.

/// Most bytes that the pages of one column of a row group may have, once unpacked: 256 rows of 64 KiB.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// Deepest nesting of a header; real ones have 3.
const MAX_DEPTH: u32 = 8;

/// Refuses `chunk`, all pages of one column of a row group, if they claim more than [`MAX_BYTES`] or do not end where it ends.
pub(super) fn check(chunk: &[u8]) -> Result<(), String> {
    let mut rest = Bytes(chunk);
    let mut total = 0;
    while !rest.0.is_empty() {
        let (unpacked, packed) = rest.header().ok_or("a page without a proper header")?;
        total += unpacked;
        if total > MAX_BYTES {
            return Err(format!("its pages claim {total} bytes, at most {MAX_BYTES} are read"));
        }
        rest.skip(packed).ok_or("a page that is longer than its column")?;
    }
    Ok(())
}

/// What is left.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    /// Unpacked and packed length of a page, both told by its header, which is stepped over.
    fn header(&mut self) -> Option<(u64, u64)> {
        let (mut unpacked, mut packed) = (None, None);
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (2, 5) => unpacked = Some(self.whole()?),
                (3, 5) => packed = Some(self.whole()?),
                _ => self.value(kind, 0)?,
            }
        }
        unpacked.zip(packed)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
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
    fn whole(&mut self) -> Option<u64> {
        let zigzag = self.varint()?;
        (zigzag & 1 == 0).then_some(zigzag >> 1).filter(|value| *value <= i32::MAX as u64)
    }

    /// The kind of the next field of a struct and, in `id`, its number; `Some(None)` at the end of the struct.
    fn field(&mut self, id: &mut u64) -> Option<Option<u8>> {
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

    /// Steps over a value of this kind.
    fn value(&mut self, kind: u8, depth: u32) -> Option<()> {
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
            12 => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.value(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None, // lists and maps: no page header has them
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page header with these lengths, each below 64, and a nested header, in front of `packed` bytes.
    fn page(unpacked: &[u8], packed: u8) -> Vec<u8> {
        let mut page = vec![0x15, 0x00, 0x15];
        page.extend(unpacked);
        page.extend([0x15, packed * 2, 0x2c, 0x15, 0x04, 0x18, 2, b'a', b'b', 0x11, 0x00, 0x00]);
        page.extend(vec![7; usize::from(packed)]);
        page
    }

    #[test]
    fn pages_are_walked_to_the_end_of_their_column() {
        let two = [page(&[20], 9), page(&[40], 3)].concat();
        assert_eq!(check(&two), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        for cut in 1..two.len() {
            assert!(check(&two[..cut]).is_err() || cut == page(&[20], 9).len(), "cut at {cut}");
        }
    }

    #[test]
    fn a_page_that_claims_too_much_is_refused_with_the_limit() {
        let error = check(&page(&[0xfe, 0xff, 0xff, 0xff, 0x0f], 1)).unwrap_err();
        assert!(error.contains("2147483647") && error.contains("16777216"), "{error}");
        assert!(check(&page(&[0x01], 1)).is_err(), "less than nothing");
        assert!(check(&[0x1c; 64]).is_err(), "nested without end");
        assert!(check(&[0xff; 64]).is_err(), "a number without end");
    }
}
