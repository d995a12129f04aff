//! Looks at the pages of a column before the Parquet library does: it makes room for as many bytes
//! as a page claims to have.
//!
//! Pure: walks over bytes that others have read. A page begins with a header, of which two numbers
//! count here; the rest is stepped over. <https://github.com/apache/parquet-format> has the format.

use super::thrift::{Bytes, I32, NO_LISTS};

/// Most bytes that the pages of one column of a row group may have, once unpacked: 256 rows of 64
/// KiB.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// Refuses `chunk`, all pages of one column of a row group, if they claim more than [`MAX_BYTES`]
/// or do not end where it ends.
pub(super) fn check(chunk: &[u8]) -> Result<(), String> {
    let mut rest = Bytes::new(chunk);
    let mut total = 0;
    while !rest.is_empty() {
        let (unpacked, packed) = header(&mut rest).ok_or("a page without a proper header")?;
        total += unpacked;
        if total > MAX_BYTES {
            return Err(format!("its pages claim {total} bytes, at most {MAX_BYTES} are read"));
        }
        rest.skip(packed).ok_or("a page that is longer than its column")?;
    }
    Ok(())
}

/// Unpacked and packed length of a page, both told by its header, which is stepped over.
fn header(rest: &mut Bytes<'_>) -> Option<(u64, u64)> {
    let (mut unpacked, mut packed) = (None, None);
    let mut id = 0;
    while let Some(kind) = rest.field(&mut id)? {
        match (id, kind) {
            (2, I32) => unpacked = Some(rest.whole()?),
            (3, I32) => packed = Some(rest.whole()?),
            _ => rest.value(kind, NO_LISTS)?,
        }
    }
    unpacked.zip(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page header with these lengths, each below 64, and a nested header, in front of `packed`
    /// bytes.
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
