//! Files, read and written so that neither can hold Squint up or leave half of something behind.
//!
//! An edge module. [`bytes`] and [`text`] read regular files up to a limit and never wait: what is
//! a FIFO, a device or a folder is refused by that name. [`typed`], [`typed_text`] and [`records`]
//! are for commands that somebody types: they also take what the shell hands over, `/dev/stdin` and
//! `<(...)`. [`state_text`] reads what Squint itself keeps, through no link.
//!
//! [`write()`] and [`Output`] replace a file whole or not at all, [`write_state`] likewise what
//! Squint keeps; a [`Lock`] keeps two processes apart. [`untrusted`] tells who else could have
//! written what is found and run, [`links_of_ours`] which links are followed, and [`checkout`]
//! where the program was built.
//!
//! What the files hold is their owners' business; so are the limits, which stand beside the
//! parsers.

mod checkout;
mod lock;
mod read;
mod records;
mod temporary;
mod trust;
mod write;

pub(crate) use checkout::checkout;
pub(crate) use lock::Lock;
pub(crate) use read::{bytes, regular, state, state_text, text, typed, typed_text};
pub(crate) use records::records;
pub(crate) use temporary::{Temporary, unguessable};
pub(crate) use trust::{links_of_ours, untrusted};
pub(crate) use write::{Output, UNFINISHED, can_be_written, remove, write, write_state};

use std::fs::FileType;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What a path leads to, as an error says it.
fn kind(file_type: FileType) -> &'static str {
    match file_type {
        it if it.is_file() => "a regular file",
        it if it.is_dir() => "a folder",
        it if it.is_symlink() => "a symbolic link",
        it if it.is_fifo() => "a FIFO",
        it if it.is_socket() => "a socket",
        it if it.is_char_device() => "a character device",
        it if it.is_block_device() => "a block device",
        _ => "no regular file",
    }
}

/// The error about something that is none of the kinds which are `allowed`.
fn wrong_kind(file_type: FileType, allowed: &str) -> Error {
    let kind_of_error =
        if file_type.is_dir() { ErrorKind::IsADirectory } else { ErrorKind::InvalidInput };
    Error::new(kind_of_error, format!("is {}; {allowed}", kind(file_type)))
}

/// True for a path that names a descriptor which the shell opened: `/dev/stdin` and the like, and
/// `/dev/fd/63` for `<(...)`.
fn is_handed_over(path: &Path) -> bool {
    let named =
        ["/dev/stdin", "/dev/stdout", "/dev/stderr"].iter().any(|name| path == Path::new(name));
    named
        || path.parent().is_some_and(|folder| {
            folder == Path::new("/dev/fd") || folder == Path::new("/proc/self/fd")
        })
}
