//! Between the `log` macros and whoever takes the lines: a bounded queue and one thread, so that no
//! camera ever waits for the log.
//!
//! The macros put a line in the queue and go on. The thread named `log` takes them out, cuts bursts
//! of equal faults short ([`super::limit`]) and hands the rest to the [`Outlet`]; only that thread
//! waits for a stopped journald or a stalled terminal. When the queue is full, lines are dropped
//! and counted, and the next one that gets in says how many.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::journal::{Journal, Refused};
use super::limit::{Gap, Limiter};
use super::line::Line;
use super::terminal::Terminal;

/// Lines that wait at most.
pub const ROOM: usize = 512;
/// Of these, kept free for warnings and errors.
const RESERVED: usize = 64;
/// How long `flush` waits at most.
pub const FLUSH_LIMIT: Duration = Duration::from_millis(500);
/// Between two tries at a journal that is away.
const PAUSE: Duration = Duration::from_millis(100);

/// Where lines go.
pub enum Outlet {
    /// The journal.
    Journal(Journal),
    /// People, or a file.
    Terminal(Terminal),
}

/// The logger of a process. Dropping it ends its thread once everything is written, without waiting
/// for that.
pub struct Logger {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A line, a wish or the end.
    news: Condvar,
    /// Nothing left to do.
    quiet: Condvar,
    thread: OnceLock<ThreadId>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Line>,
    dropped: u64,
    /// The thread is at work.
    busy: bool,
    /// Somebody flushes: what the limiter holds is wanted too.
    wrap_up: bool,
    closed: bool,
}

/// What the thread does next.
enum Task {
    Write(Box<Line>),
    /// Lines were dropped and none has come since.
    TellDropped(u64),
    WrapUp,
    /// It is the moment that was asked for.
    LookAround,
    End,
}

impl Logger {
    /// Starts the thread. `window`: bursts of equal faults are cut short, see [`super::limit`].
    pub fn start(outlet: Outlet, window: Option<Duration>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.lock().queue.reserve(ROOM);
        let mut thread =
            Writer { shared: Arc::clone(&shared), outlet, limiter: window.map(Limiter::new) };
        let handle = thread::Builder::new().name("log".into()).spawn(move || thread.run())?;
        let _ = shared.thread.set(handle.thread().id());
        Ok(Self { shared })
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.news.notify_all();
    }
}

impl Log for Logger {
    /// Everything of Squint's, warnings of `ort`, nothing else. The level is a matter of
    /// [`log::set_max_level`].
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let most = match metadata.target().split("::").next() {
            Some("squint") => LevelFilter::Trace,
            Some("ort") => LevelFilter::Warn,
            _ => LevelFilter::Off,
        };
        metadata.level() <= most
    }

    /// Never waits.
    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.shared.put(Line::of(record));
        }
    }

    /// Waits until everything is written, what the limiter holds included, but no longer than
    /// [`FLUSH_LIMIT`].
    fn flush(&self) {
        if self.shared.thread.get() != Some(&thread::current().id()) {
            self.shared.drain(FLUSH_LIMIT);
        }
    }
}

impl Shared {
    /// Nothing that holds the lock can panic half-way: poison is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, mut line: Line) {
        let mut state = self.lock();
        let room = if line.level <= Level::Warn { ROOM } else { ROOM - RESERVED };
        if state.queue.len() >= room {
            state.dropped += 1;
            return;
        }
        line.missing = std::mem::take(&mut state.dropped);
        state.queue.push_back(line);
        drop(state);
        self.news.notify_one();
    }

    fn drain(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut state = self.lock();
        state.wrap_up = true;
        self.news.notify_one();
        while state.busy || state.wrap_up || state.dropped > 0 || !state.queue.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.quiet.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What to do next; waits for it, but not beyond `until`.
    fn next(&self, until: Option<Instant>) -> Task {
        let mut state = self.lock();
        loop {
            state.busy = true;
            if let Some(line) = state.queue.pop_front() {
                return Task::Write(Box::new(line));
            }
            if state.dropped > 0 {
                return Task::TellDropped(std::mem::take(&mut state.dropped));
            }
            if std::mem::take(&mut state.wrap_up) {
                return Task::WrapUp;
            }
            if state.closed {
                return Task::End;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Task::LookAround;
            }
            state.busy = false;
            self.quiet.notify_all();
            state = match left {
                Some(left) => {
                    self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.news.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// A pause before another try; true if there is to be none, because nobody wants the lines any
    /// more.
    fn pause(&self) -> bool {
        let state = self.lock();
        state.closed
            || self.news.wait_timeout(state, PAUSE).unwrap_or_else(PoisonError::into_inner).0.closed
    }
}

/// The thread.
struct Writer {
    shared: Arc<Shared>,
    outlet: Outlet,
    limiter: Option<Limiter<Line>>,
}

impl Writer {
    fn run(&mut self) {
        loop {
            let due = self.limiter.as_ref().and_then(Limiter::next_due);
            match self.shared.next(due) {
                Task::Write(line) => self.take(*line),
                Task::TellDropped(count) => self.write(&Line::of_dropped(count)),
                Task::WrapUp => self.tell(Limiter::wrap_up),
                Task::LookAround => (),
                Task::End => return self.tell(Limiter::wrap_up),
            }
            self.tell(Limiter::due);
        }
    }

    fn take(&mut self, mut line: Line) {
        if line.missing > 0 {
            self.write(&Line::of_dropped(line.missing));
        }
        if let (Some(limiter), Some(event)) = (&mut self.limiter, line.event) {
            if let Some(fault) = event.ends() {
                let gap = limiter.relieve(&line.key(fault), line.at);
                line.mention(gap, format_args!("`{fault}`"));
            } else if event.is_limited() && line.level <= Level::Warn {
                let (key, at) = (line.key(event), line.at);
                let Some((admitted, gap)) = limiter.admit(&key, line, at) else { return };
                line = admitted;
                line.mention(gap, format_args!("like this"));
            }
        }
        self.write(&line);
    }

    /// Writes what `ask` hands out.
    fn tell(&mut self, ask: impl Fn(&mut Limiter<Line>, Instant) -> Option<(Line, Option<Gap>)>) {
        while let Some((mut line, gap)) =
            self.limiter.as_mut().and_then(|limiter| ask(limiter, Instant::now()))
        {
            line.mention(gap, format_args!("like this"));
            self.write(&line);
        }
    }

    fn write(&mut self, line: &Line) {
        match &mut self.outlet {
            Outlet::Terminal(terminal) => terminal.write(line),
            Outlet::Journal(journal) => loop {
                match journal.send(line) {
                    Ok(()) => return,
                    Err(Refused::Away) => {
                        if self.shared.pause() {
                            return;
                        }
                    }
                    Err(Refused::TooLong) => {
                        self.shared.lock().dropped += 1;
                        return;
                    }
                }
            },
        }
    }
}
