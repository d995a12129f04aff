//! One change of the engine set, on a thread that can be abandoned.
//!
//! The files of a change may lie on a disk that hangs, and nothing can end a thread that hangs
//! there. So the caller waits for a limited time; then the change is refused, and a late result is
//! discarded. While engines load, their own threads have limits of their own. The number of threads
//! that still hang is reported.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded, select};

use crate::error::Error;
use crate::pipeline::clock::Stop;
use crate::pipeline::heartbeat::{Activity, Board};

/// Of the thread.
const NAME: &str = "reload";

/// How far a try has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It reads files and looks for libraries.
    Reading,
    /// Engines are loaded, which has a limit of its own.
    Loading,
    /// Nobody waits for it any more.
    GivenUp,
}

/// A try, as its thread sees it.
#[derive(Clone)]
pub(super) struct Change(Arc<Mutex<Stage>>);

impl Change {
    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything has been read: from here on it is put in force. An error if nobody waits for it
    /// any more.
    pub(super) fn begin_loading(&self) -> Result<(), Error> {
        let mut stage = self.stage();
        if *stage == Stage::GivenUp {
            return Err(Error::Unfit("it was given up".into()));
        }
        *stage = Stage::Loading;
        Ok(())
    }
}

/// What came of a try.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It came to its end.
    Done(Result<String, Error>),
    /// It hangs and is left behind.
    GivenUp(Duration),
    /// Squint stops.
    Stopped,
}

/// Tries of one daemon.
#[derive(Default)]
pub(super) struct Changes {
    /// Threads that were given up and have not come back.
    hanging: Arc<AtomicUsize>,
}

impl Changes {
    /// How many threads hang.
    pub(super) fn hanging(&self) -> usize {
        self.hanging.load(Ordering::Acquire)
    }

    /// Does `change` on a thread of its own and waits for it: `limit` while it reads, for as long
    /// as they take while engines load.
    pub(super) fn make(
        &self,
        board: &Board,
        stop: &Stop,
        limit: Duration,
        change: impl FnOnce(&Change) -> Result<String, Error> + Send + 'static,
    ) -> Outcome {
        let progress = Change(Arc::new(Mutex::new(Stage::Reading)));
        let (say, heard) = bounded(1);
        let (mine, hanging, heartbeat) =
            (progress.clone(), Arc::clone(&self.hanging), board.heartbeat(NAME));
        let work = move || {
            // Without a limit for the watchdog: whoever waits for it has one, and does without it.
            heartbeat.begin(Activity::Reloading, Duration::MAX);
            let outcome = change(&mine);
            heartbeat.end();
            let given_up = *mine.stage() == Stage::GivenUp;
            if given_up {
                hanging.fetch_sub(1, Ordering::AcqRel);
            }
            let _ = say.send(outcome);
        };
        if let Err(error) = std::thread::Builder::new().name(NAME.into()).spawn(work) {
            return Outcome::Done(Err(Error::io("no thread for it")(error)));
        }
        let over = crossbeam_channel::after(limit);
        let gone = || Outcome::Done(Err(Error::Bug("the thread of a reload panicked".into())));
        select! {
            recv(heard) -> outcome => return outcome.map_or_else(|_| gone(), Outcome::Done),
            recv(stop.signal()) -> _ => return Outcome::Stopped,
            recv(over) -> _ => (),
        }
        {
            let mut stage = progress.stage();
            if *stage == Stage::Reading {
                // It may be through by now and only not have said so.
                match heard.try_recv() {
                    Ok(outcome) => return Outcome::Done(outcome),
                    Err(error) if error.is_disconnected() => return gone(),
                    Err(_) => (),
                }
                *stage = Stage::GivenUp;
                self.hanging.fetch_add(1, Ordering::AcqRel);
                return Outcome::GivenUp(limit);
            }
        }
        select! {
            recv(heard) -> outcome => outcome.map_or_else(|_| gone(), Outcome::Done),
            recv(stop.signal()) -> _ => match heard.recv_timeout(Duration::ZERO) {
                Ok(outcome) => Outcome::Done(outcome),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Outcome::Stopped,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const SOON: Duration = Duration::from_secs(30);
    const BRIEF: Duration = Duration::from_millis(20);

    fn eventually(what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < SOON, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_change_that_hangs_over_a_file_is_given_up_and_what_it_finds_later_is_not_put_in_force() {
        let (changes, board, stop) = (Changes::default(), Board::default(), Stop::new());
        let (release, held) = bounded::<()>(0);
        let (say, heard) = bounded(1);
        let outcome = changes.make(&board, &stop, BRIEF, move |change| {
            let _ = held.recv();
            let late = change.begin_loading();
            say.send(late.is_err()).unwrap();
            Ok(String::new())
        });
        assert!(matches!(outcome, Outcome::GivenUp(BRIEF)), "{outcome:?}");
        assert_eq!(changes.hanging(), 1);
        assert!(board.beats().iter().any(|beat| &*beat.thread == NAME
            && beat.activity == Activity::Reloading
            && !beat.is_overdue()));
        let outcome = changes.make(&board, &stop, SOON, |_| Ok("in force".into()));
        assert!(
            matches!(outcome, Outcome::Done(Ok(what)) if what == "in force"),
            "the next one is not held up"
        );
        drop(release);
        assert_eq!(heard.recv_timeout(SOON), Ok(true), "it must not load engines any more");
        eventually("it has come back", || changes.hanging() == 0 && board.beats().is_empty());
    }

    #[test]
    fn engines_that_load_have_their_own_limit_and_a_stop_waits_for_nobody() {
        let (changes, board, stop) = (Changes::default(), Board::default(), Stop::new());
        let outcome = changes.make(&board, &stop, BRIEF, |change| {
            change.begin_loading()?;
            std::thread::sleep(4 * BRIEF);
            Ok("loaded".into())
        });
        assert!(matches!(outcome, Outcome::Done(Ok(what)) if what == "loaded"));
        let (_release, held) = bounded::<()>(0);
        stop.stop();
        assert!(matches!(
            changes.make(&board, &stop, SOON, move |_| held
                .recv()
                .map_or(Ok("".into()), |()| Ok("".into()))),
            Outcome::Stopped
        ));
    }
}
