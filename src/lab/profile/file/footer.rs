//! Looks at the footer of a Parquet file before the Parquet library does: it makes room for
//! whatever lists the footer claims. Pure.
//!
//! A footer of our own lists its columns, the groups of rows and the columns of each. Not for what
//! these say: the library reads them.

use super::thrift::{Bytes, LIST, STRUCT};

/// Largest footer, bytes. One of 50 000 photos and 10 engines has some 6 MB.
pub(super) const MAX_BYTES: u64 = 64 << 20;
/// Most columns, and names and values beside them.
const MAX_COLUMNS: u64 = 1024;
/// Most columns of all groups together: those of half a million photos and ten engines. Each takes
/// some 800 bytes of memory.
const MAX_CHUNKS: u64 = 500_000;
/// Longest list that says more of one column.
const MAX_DETAILS: u64 = 64;

/// Refuses a footer whose lists are longer than any of ours, or than it is itself.
pub(super) fn check(footer: &[u8]) -> Result<(), String> {
    let odd = || "its footer is no footer of a profile".to_owned();
    let mut rest = Bytes::new(footer);
    let (mut id, mut chunks) = (0, 0);
    while let Some(kind) = rest.field(&mut id).ok_or_else(odd)? {
        match (id, kind) {
            (4, LIST) => {
                let (kind, count) =
                    rest.list().filter(|(kind, _)| *kind == STRUCT).ok_or_else(odd)?;
                for _ in 0..count.min(MAX_CHUNKS + 1) {
                    debug_assert_eq!(kind, STRUCT);
                    chunks += group(&mut rest).ok_or_else(odd)?;
                    if chunks > MAX_CHUNKS {
                        return Err(format!(
                            "more than {MAX_CHUNKS} columns in all its groups of rows, the most that are read"
                        ));
                    }
                }
            }
            (_, kind) => rest.value(kind, MAX_COLUMNS).ok_or_else(odd)?,
        }
    }
    Ok(())
}

/// The columns of a group of rows, at least 1.
fn group(rest: &mut Bytes<'_>) -> Option<u64> {
    let (mut id, mut columns) = (0, 0);
    while let Some(kind) = rest.field(&mut id)? {
        match (id, kind) {
            (1, LIST) => {
                let (kind, count) = rest.list()?;
                if count > MAX_COLUMNS {
                    return None;
                }
                (0..count).try_for_each(|_| rest.value(kind, MAX_DETAILS))?;
                columns += count;
            }
            (_, kind) => rest.value(kind, MAX_DETAILS)?,
        }
    }
    Some(columns.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1, a list of `groups` as field 4, and whatever follows.
    fn footer(groups: &[u8]) -> Vec<u8> {
        [&[0x15, 0x02, 0x39][..], groups, &[0x00]].concat()
    }

    #[test]
    fn lists_are_as_long_as_they_say_and_not_too_long() {
        let column = [0x15, 0x02, 0x00];
        let group = [&[0x19, 0x2c][..], &column, &column, &[0x00]].concat();
        assert_eq!(check(&footer(&[&[0x2c][..], &group, &group].concat())), Ok(()));
        for groups in [
            &[&[0x3c][..], &group].concat()[..],   // three claimed, one there
            &[0xfc, 0xff, 0xff, 0xff, 0xff, 0x07], // two thousand millions
            &[0x1c, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07], // of columns
            &[0x1c, 0x19, 0x1c, 0x39, 0xf5, 0x80, 0x08, 0x00], // of details
        ] {
            assert!(check(&footer(groups)).unwrap_err().contains("no footer"), "{groups:x?}");
        }
        let nested = [vec![0x1c; 64], vec![0; 64]].concat();
        assert!(check(&nested).is_err());
        assert!(check(&[]).is_err());
    }

    #[test]
    fn more_columns_than_any_profile_has_are_refused_with_the_limit() {
        let group = [&[0x19, 0xfc, 0xe8, 0x07][..], &[0x00; 1000], &[0x00]].concat();
        let groups = [vec![0xfc, 0xf5, 0x03], group.repeat(501)].concat();
        assert!(check(&footer(&groups)).unwrap_err().contains("more than 500000 columns"));
    }
}
