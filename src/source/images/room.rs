//! Memory for decoding pictures: counted before it is taken, for one picture and for all threads
//! together.
//!
//! A picture that would take more than [`MOST`] is refused before anything is decoded. Several
//! threads share [`MOST`]: whoever finds too little waits until another one has finished. Nothing
//! waits while it holds some, so nobody waits for ever.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Most memory that decoding may take at a time, bytes: the file where it is read as a whole,
/// everything that the decoder keeps, the picture as it turns out, and as RGB.
pub(super) const MOST: u64 = 512 << 20;

static TAKEN: Mutex<u64> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// So many bytes, until dropped.
#[derive(Debug)]
pub(super) struct Room(u64);

impl Room {
    /// Takes `bytes` for a picture of this size, as soon as they are free. Refused above [`MOST`],
    /// with what it would take.
    pub(super) fn take(width: u32, height: u32, bytes: u64) -> Result<Self, String> {
        if bytes > MOST {
            let (would, most) = (bytes.div_ceil(1 << 20), MOST >> 20);
            return Err(format!(
                "{width}x{height} pixels of this kind take {would} MiB to decode, at most {most} MiB are allowed"
            ));
        }
        let taken = FREED.wait_while(taken(), |taken| *taken + bytes > MOST);
        *taken.unwrap_or_else(PoisonError::into_inner) += bytes;
        Ok(Self(bytes))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *taken() -= self.0;
        FREED.notify_all();
    }
}

fn taken() -> MutexGuard<'static, u64> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_refused_with_both_figures() {
        let error = Room::take(16_000, 16_000, MOST + 1).unwrap_err();
        assert_eq!(
            error,
            "16000x16000 pixels of this kind take 513 MiB to decode, at most 512 MiB are allowed"
        );
    }

    #[test]
    fn threads_never_hold_more_than_there_is_and_all_get_their_turn() {
        let most = Mutex::new(0);
        std::thread::scope(|scope| {
            for number in 0..32 {
                let most = &most;
                scope.spawn(move || {
                    let room = Room::take(1, 1, MOST / 5 * (1 + number % 5)).unwrap();
                    let now = *taken();
                    let mut most = most.lock().unwrap();
                    *most = now.max(*most);
                    drop((most, room));
                });
            }
        });
        assert!(*most.lock().unwrap() <= MOST);
    }
}
