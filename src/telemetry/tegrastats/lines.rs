//! Cuts a stream of bytes into lines without ever holding more than one line's limit. Pure.

use super::scan::LINE_LIMIT;

/// Lines in the making.
pub(super) struct Lines {
    line: Vec<u8>,
    /// True until the end of a line that began before we came.
    torn: bool,
}

impl Lines {
    /// `torn`: the stream may begin in the middle of a line, which is then left out.
    pub(super) fn new(torn: bool) -> Self {
        Self { line: Vec::with_capacity(LINE_LIMIT + 1), torn }
    }

    /// Hands every line that `bytes` ends to `take`, without its end. Of a longer one than
    /// [`LINE_LIMIT`] it is only the beginning, one byte more than the limit. A line without an end
    /// is not handed over: its last number may be half a number.
    pub(super) fn add(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            if !std::mem::take(&mut self.torn) {
                take(&self.line);
            }
            self.line.clear();
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT + 1 - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(lines: &mut Lines, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut got = Vec::new();
        pieces.iter().for_each(|piece| lines.add(piece, |line| got.push(line.to_vec())));
        got
    }

    #[test]
    fn pieces_become_lines_and_an_unfinished_one_waits() {
        let mut lines = Lines::new(false);
        assert_eq!(cut(&mut lines, &[b"ab", b"c\nd", b"e\n\nf"]), [&b"abc"[..], b"de", b""]);
        assert_eq!(cut(&mut lines, &[b"\n"]), [b"f"]);
    }

    #[test]
    fn a_line_that_began_earlier_is_left_out() {
        assert_eq!(cut(&mut Lines::new(true), &[b"8/9", b"0\nabc\n"]), [b"abc"]);
    }

    #[test]
    fn an_endless_line_takes_no_more_room_than_its_limit() {
        let mut lines = Lines::new(false);
        let room = lines.line.capacity();
        for _ in 0..1000 {
            assert!(cut(&mut lines, &[&[b'x'; 1024]]).is_empty());
        }
        let got = cut(&mut lines, &[b"\nabc\n"]);
        assert_eq!(
            (got[0].len(), &got[1][..], lines.line.capacity()),
            (LINE_LIMIT + 1, &b"abc"[..], room)
        );
    }
}
