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

/// All of `path`, as [`bytes`], of a file of comma-separated records. Refused, too, as soon as a record is longer than `most` bytes: a
/// parser would hold it several times over. Quotes as in RFC 4180.
pub(crate) fn records(path: &Path, limit: u64, most: usize) -> Result<Vec<u8>> {
    let mut watched = Watched::new(File::open(path)?, most);
    let facts = watched.inner.metadata()?;
    if facts.is_file() && facts.len() > limit {
        return bytes(path, limit); // which says so
    }
    let mut found = Vec::new();
    watched.by_ref().take(limit.saturating_add(1)).read_to_end(&mut found)?;
    if found.len() as u64 > limit { bytes(path, limit) } else { Ok(found) }
}

/// Where in a record a byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of a field.
    Start,
    Plain,
    Quoted,
    /// Behind a quote that ends a quoted field, unless another one follows.
    AfterQuote,
}

/// Counts the bytes of each record while they are read.
struct Watched<R> {
    inner: R,
    place: Place,
    length: usize,
    line: u64,
    /// The line that the record begins in.
    record: u64,
    most: usize,
}

impl<R> Watched<R> {
    fn new(inner: R, most: usize) -> Self {
        Self { inner, place: Place::Start, length: 0, line: 1, record: 1, most }
    }

    fn watch(&mut self, byte: u8) -> Result<()> {
        let quoted = self.place == Place::Quoted;
        self.line += u64::from(byte == b'\n');
        self.length += 1;
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::AfterQuote,
            (Place::Quoted, _) | (Place::Start | Place::AfterQuote, b'"') => Place::Quoted,
            (_, b',' | b'\n' | b'\r') => Place::Start,
            _ => Place::Plain,
        };
        if !quoted && matches!(byte, b'\n' | b'\r') {
            (self.length, self.record) = (0, self.line);
        }
        if self.length > self.most {
            let (line, most) = (self.record, self.most);
            let what = format!("line {line}: longer than {most} bytes; is a quote not closed, or is it another file?");
            return Err(Error::new(ErrorKind::InvalidData, what));
        }
        Ok(())
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.inner.read(buffer)?;
        buffer[..count].iter().try_for_each(|byte| self.watch(*byte))?;
        Ok(count)
    }
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
    fn a_record_is_read_up_to_its_limit_and_its_line_is_named_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        let ask = |text: &str| {
            std::fs::write(&path, text).unwrap();
            records(&path, 1000, 10).map(|found| found.len()).map_err(|error| error.to_string())
        };
        for text in [
            "file,no\na,1\n\"b,\nc\",2\n",
            "a\"b,1\nc,1\nd,1\ne,1\n", // a quote inside a field is none
            "\"a\"\"b\",1\nc,1\nd,1\n", // two are one of the field's own
        ] {
            assert_eq!(ask(text), Ok(text.len()), "{text}");
        }
        for (text, line) in [("file,no\n12345678901\n", 2), ("a,1\n\"b,1\nc,1\nd,1\n", 2), ("12345678901", 1)] {
            assert!(ask(text).unwrap_err().starts_with(&format!("line {line}: longer than 10 bytes")), "{text}");
        }
        assert!(ask(&"a\n".repeat(501)).unwrap_err().contains("larger than 1000 bytes"));
        let mut endless = Watched::new(std::io::repeat(b'x'), 1 << 16);
        let error = endless.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("line 1: longer than 65536 bytes"), "{error}");
    }

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
