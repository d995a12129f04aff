//! Whether this process has descriptors to spare for another camera.
//!
//! GLib ends the whole process when it cannot make a pipe for one of its own wake-ups (`Creating pipes for GWakeup: Too many open
//! files`), so a pipeline must not be opened into a shortage: the camera waits and is tried again, and the others go on.

use std::fs;
use std::io;

use rustix::process::{Resource, getrlimit};

/// What the opening of a pipeline may take for a while: its bus and its wake-ups, a device or a few sockets, libraries being loaded.
const NEEDED: u64 = 32;

/// Fails, with what to do, where fewer than [`NEEDED`] descriptors are left.
pub(super) fn descriptors() -> Result<(), String> {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return Ok(()) };
    match taken(limit) {
        Ok(taken) if limit.saturating_sub(taken) >= NEEDED => Ok(()),
        // A process that cannot even count them.
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            log::debug!("open descriptors cannot be counted: {error}");
            Ok(())
        }
        counted => Err(format!(
            "out of descriptors: {} of {limit} are taken and a camera needs up to {NEEDED}; raise the limit (LimitNOFILE= of the unit)",
            counted.unwrap_or(limit)
        )),
    }
}

/// Descriptors in use below `limit`. Those above it, from before the limit was lowered, are in nobody's way.
fn taken(limit: u64) -> io::Result<u64> {
    let mut taken = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
        taken += u64::from(number.is_some_and(|number| number < limit));
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_room_may_open_a_camera_and_what_is_open_is_counted() {
        descriptors().unwrap();
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let held: Vec<_> = (0..10).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(taken(limit).unwrap() >= held.len() as u64 + 3, "the standard ones too");
        assert_eq!(taken(0).unwrap(), 0, "none below a limit of none");
    }
}
