//! Writes whole lines to a file: what a full disk cut off is taken back, where it can be.
//!
//! An edge, below the sinks. [`put`] is for a file of our own, [`Lines`] for standard output,
//! whatever that is: a file, a pipe, a terminal. It can be cut back only if it is a file and nobody
//! has written to it or emptied it meanwhile; otherwise the rest of the torn line is what is
//! written next.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// What became of some lines.
pub(super) struct Put {
    /// Bytes of the lines that are in the file whole.
    pub(super) whole: usize,
    /// Bytes of the line after them that are in the file and could not be taken back.
    pub(super) torn: usize,
    /// Why the rest is not there.
    pub(super) error: Option<io::Error>,
}

/// Writes `lines`, up to the first failure. Of a regular file what is there of the line that failed
/// is cut off, see [`cut_back`].
pub(super) fn put(file: &mut File, lines: &[u8], regular: bool) -> Put {
    let mut done = 0;
    let error = loop {
        if done == lines.len() {
            return Put { whole: done, torn: 0, error: None };
        }
        match file.write(&lines[done..]) {
            Ok(0) => break ErrorKind::WriteZero.into(),
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => break error,
        }
    };
    let whole = lines[..done].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let torn = done - whole;
    let cut = torn > 0 && regular && cut_back(file, torn as u64).unwrap_or(false);
    Put { whole, torn: if cut { 0 } else { torn }, error: Some(error) }
}

/// Takes back the `bytes` that were written last, unless they are no longer the end of the file:
/// somebody else has written to it, or has emptied it (logrotate with `copytruncate`), and then its
/// end is not ours to cut. True if they are gone.
fn cut_back(file: &mut File, bytes: u64) -> io::Result<bool> {
    let (at, length) = (file.stream_position()?, file.metadata()?.len());
    if at != length || at < bytes {
        return Ok(false);
    }
    file.set_len(length - bytes)?;
    file.seek(SeekFrom::Start(length - bytes))?;
    Ok(true)
}

/// Standard output. Each write takes whole lines, from the first on, or fails; so whoever is
/// refused knows what was taken.
pub struct Lines {
    file: File,
    regular: bool,
    terminal: bool,
    /// Whoever reads too slowly is waited for, even if the pipe says that it does not wait.
    patient: bool,
    /// The rest of a line whose beginning is out. It was taken.
    rest: Vec<u8>,
}

impl Lines {
    /// Lines on `file`. `patient`: wait for a slow reader even where the file was set to not wait.
    pub fn on(file: File, patient: bool) -> Self {
        let kind = file.metadata().map(|found| found.file_type());
        let regular = kind.as_ref().is_ok_and(|kind| kind.is_file());
        let terminal =
            kind.is_ok_and(|kind| kind.is_char_device()) && io::IsTerminal::is_terminal(&file);
        Self { file, regular, terminal, patient, rest: Vec::new() }
    }

    /// A terminal that has gone away is a reader that has.
    fn told(&self, error: io::Error) -> io::Error {
        if self.terminal && error.raw_os_error() == Some(Errno::IO.raw_os_error()) {
            ErrorKind::BrokenPipe.into()
        } else {
            error
        }
    }

    fn put(&mut self, lines: &[u8]) -> Put {
        // Emptied by somebody else while it is not open for appending: the next byte would stand
        // behind a hole.
        if self.regular
            && let (Ok(at), Ok(found)) = (self.file.stream_position(), self.file.metadata())
            && at > found.len()
        {
            let _ = self.file.seek(SeekFrom::End(0));
        }
        let mut put = put(&mut self.file, lines, self.regular);
        while self.patient
            && put.error.as_ref().is_some_and(|error| error.kind() == ErrorKind::WouldBlock)
        {
            let _ = poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None);
            let done = put.whole + put.torn;
            let more = self::put(&mut self.file, &lines[done..], self.regular);
            // What follows the bytes that are out begins within a line.
            let out = done + more.whole + more.torn;
            let whole = lines[..out].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            put = Put { whole, torn: out - whole, error: more.error };
        }
        put
    }

    /// Writes the rest of a torn line, if there is one.
    fn mend(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            let Put { whole, torn, error } = self.put(&rest);
            self.rest.extend_from_slice(&rest[whole + torn..]);
            if let Some(error) = error {
                return Err(self.told(error));
            }
        }
        Ok(())
    }
}

impl Write for Lines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.mend()?;
        let Put { whole, torn, error } = self.put(lines);
        match error {
            Some(error) if whole == 0 && torn == 0 => Err(self.told(error)),
            _ if torn > 0 => {
                let end = lines[whole..]
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map_or(lines.len(), |at| whole + at + 1);
                self.rest.extend_from_slice(&lines[whole + torn..end]);
                Ok(end)
            }
            _ => Ok(whole),
        }
    }

    /// An error if a line is still torn.
    fn flush(&mut self) -> io::Result<()> {
        self.mend()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn only_the_very_end_of_a_file_is_cut_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        for append in [false, true] {
            std::fs::write(&path, "").unwrap();
            let mut file = OpenOptions::new().append(append).write(true).open(&path).unwrap();
            file.write_all(b"one\ntw").unwrap();
            assert!(cut_back(&mut file, 2).unwrap());
            file.write_all(b"2\nthr").unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"one\n2\nthr");
            // Emptied by somebody else: nothing is cut, nothing is filled up with NULs.
            std::fs::write(&path, "").unwrap();
            assert!(!cut_back(&mut file, 3).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), b"");
        }
    }

    #[test]
    fn a_file_that_somebody_emptied_gets_no_hole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut lines = Lines::on(File::create(&path).unwrap(), true);
        lines.write_all(b"one\n").unwrap();
        std::fs::write(&path, "").unwrap();
        lines.write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two\n");
    }

    #[test]
    fn a_pipe_that_does_not_wait_is_waited_for_and_no_line_is_torn() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let line = [&[b'x'; 4999][..], b"\n"].concat();
        let expected = line.repeat(100);
        let all = expected.clone();
        let reading = std::thread::spawn(move || {
            let mut got = Vec::new();
            io::Read::read_to_end(&mut reader, &mut got).unwrap();
            got
        });
        let mut lines = Lines::on(File::from(std::os::fd::OwnedFd::from(writer)), true);
        lines.write_all(&all).unwrap();
        lines.flush().unwrap();
        drop(lines);
        assert!(reading.join().unwrap() == expected);
    }
}
