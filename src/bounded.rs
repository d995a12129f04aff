//! Reads files that others wrote, and of each no more than its limit.
//!
//! An edge room: every file that is parsed in memory comes through here or through a reader with a limit of its own. The limits stand
//! beside the parsers.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// All of `path`, which may be a pipe. [`ErrorKind::InvalidData`] if there are more than `limit` bytes.
pub(crate) fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let larger = || {
        let what = format!("larger than {limit} bytes, the most that is read of such a file; is it the right one?");
        Err(Error::new(ErrorKind::InvalidData, what))
    };
    let file = File::open(path)?;
    let facts = file.metadata()?;
    if facts.is_file() && facts.len() > limit {
        return larger();
    }
    let mut bytes = Vec::with_capacity(usize::try_from(facts.len().min(limit)).unwrap_or(0) + 1);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { larger() } else { Ok(bytes) }
}

/// The same, as text.
pub(crate) fn text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(bytes(path, limit)?)
        .map_err(|error| Error::new(ErrorKind::InvalidData, format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_refused_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(text(&path, 3).unwrap(), "abc");
        let error = text(&path, 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("larger than 2 bytes"), "{error}");
        assert!(text(Path::new("/dev/zero"), 4096).unwrap_err().to_string().contains("larger than 4096"), "without an end");
        std::fs::write(&path, b"a\xff").unwrap();
        assert!(text(&path, 9).unwrap_err().to_string().contains("byte 1"));
        assert_eq!(text(folder.path(), 9).unwrap_err().kind(), ErrorKind::IsADirectory);
    }
}
