//! Reads files of comma-separated records, and refuses a record that is too long while it is read.

use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

use super::read::{larger, typed};

/// All of `path`, as [`super::typed_bytes`], of a file of comma-separated records. Refused, too, as
/// soon as a record is longer than `most` bytes: a parser would hold it several times over. Quotes
/// as in RFC 4180.
pub(crate) fn records(path: &Path, limit: u64, most: usize) -> Result<Vec<u8>> {
    let file = typed(path)?;
    if file.metadata()?.len() > limit {
        return Err(larger(limit));
    }
    let watched = Watched { inner: file, place: Place::Start, length: 0, line: 1, record: 1, most };
    let mut found = Vec::new();
    watched.take(limit.saturating_add(1)).read_to_end(&mut found)?;
    if found.len() as u64 > limit { Err(larger(limit)) } else { Ok(found) }
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
            let what = format!(
                "line {line}: longer than {most} bytes; is a quote not closed, or is it another file?"
            );
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
            "a\"b,1\nc,1\nd,1\ne,1\n",  // a quote inside a field is none
            "\"a\"\"b\",1\nc,1\nd,1\n", // two are one of the field's own
        ] {
            assert_eq!(ask(text), Ok(text.len()), "{text}");
        }
        for (text, line) in
            [("file,no\n12345678901\n", 2), ("a,1\n\"b,1\nc,1\nd,1\n", 2), ("12345678901", 1)]
        {
            assert!(
                ask(text).unwrap_err().starts_with(&format!("line {line}: longer than 10 bytes")),
                "{text}"
            );
        }
        assert!(ask(&"a\n".repeat(501)).unwrap_err().contains("larger than 1000 bytes"));
        let mut endless = Watched {
            inner: std::io::repeat(0),
            place: Place::Start,
            length: 0,
            line: 1,
            record: 1,
            most: 1 << 16,
        };
        let endless = endless.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(endless.to_string().contains("line 1: longer than 65536 bytes"), "{endless}");
    }
}
