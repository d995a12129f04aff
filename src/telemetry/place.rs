//! Where the thread that reads sensors is at this moment, and which files it stays away from. An
//! edge module of two thread-local variables.
//!
//! A driver may hang over a file of sysfs for ever, and a thread that hangs there cannot be ended.
//! So whoever waits for such a thread has to know which file it is at, and the thread that takes
//! its place has to leave that file alone until the first one comes back from it. Threads that
//! nobody waits for note nothing down.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

thread_local! {
    static HERE: RefCell<Option<Arc<Place>>> = const { RefCell::new(None) };
}

/// Files that threads hang over.
#[derive(Debug, Default)]
pub(super) struct Hung(Mutex<BTreeSet<PathBuf>>);

impl Hung {
    fn paths(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.paths().len()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<PathBuf> {
        self.paths().iter().cloned().collect()
    }
}

/// Where one thread is.
#[derive(Debug)]
pub(super) struct Place {
    at: Mutex<At>,
    hung: Arc<Hung>,
}

#[derive(Debug, Default)]
struct At {
    file: Option<(Arc<Path>, Instant)>,
    /// Nobody waits for the thread any more.
    given_up: bool,
}

impl Place {
    /// Of a thread that stays away from what is `hung`.
    pub(super) fn new(hung: &Arc<Hung>) -> Arc<Self> {
        Arc::new(Self { at: Mutex::default(), hung: Arc::clone(hung) })
    }

    /// The calling thread is this one from now on.
    pub(super) fn take(self: &Arc<Self>) {
        HERE.with(|here| *here.borrow_mut() = Some(Arc::clone(self)));
    }

    /// Gives the thread up if it has been at one file for `limit`: which one. It is left alone
    /// until the thread comes back from it.
    pub(super) fn give_up(&self, limit: Duration) -> Option<Arc<Path>> {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, _) = at.file.clone().filter(|(_, since)| since.elapsed() >= limit)?;
        at.given_up = true;
        self.hung.paths().insert(file.to_path_buf());
        Some(file)
    }
}

/// Does something with a file that may hang there; `None` if it is to be left alone.
pub(super) fn at<T>(file: &Arc<Path>, act: impl FnOnce() -> T) -> Option<T> {
    let Some(place) = HERE.with(|here| here.borrow().clone()) else { return Some(act()) };
    {
        let known = place.hung.paths();
        if !known.is_empty() && known.contains(&**file) {
            return None;
        }
    }
    let note = |file| {
        let mut at = place.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.file = file;
        at.given_up
    };
    note(Some((Arc::clone(file), Instant::now())));
    let done = act();
    if note(None) {
        // Back at last: whoever reads now may try it again.
        place.hung.paths().remove(&**file);
    }
    Some(done)
}
