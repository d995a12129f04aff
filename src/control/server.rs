//! The server: an accept thread for each door, at most eight connection threads in all, and patience with a limit for everything.
//!
//! A client that is slow, silent or hostile holds up its own thread for a few seconds, nothing else: the frame path knows nothing of this
//! room. How long a single connection is waited for is told in `wire`.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{debug, warn};
use rustix::event::{PollFd, PollFlags, poll};

use super::protocol::{self, Answer, JSON_LINES, Refusal};
use super::route::{self, Door, Reply};
use super::wire::{self, Ending, TICK, Wire, timespec};
use super::{ControlError, Steering};
use crate::config::Control;
use crate::events;
use crate::pipeline::clock::Stop;
use crate::socket::Listening;

/// Connections in all; the next one is told so and closed.
const SEATS: usize = 8;
/// Of these, for the loopback port, which anybody on the machine may fill.
const PORT_SEATS: usize = 4;
/// Of these, for those who watch, and may do so for days.
const WATCH_SEATS: usize = 3;
/// Between two lines for those who watch.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Between two who are let in through a door: answers cost time on the processor, and engines need it more than those who ask without end.
const PACE: Duration = Duration::from_millis(10);
/// How long the end waits for connections that are being answered, a reload for one.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// The doors and all who came in. Ends with its [`Stop`] or when dropped; the socket file goes with it.
pub struct Server {
    shared: Arc<Shared>,
    doors: Vec<JoinHandle<()>>,
    port: Option<u16>,
}

struct Shared {
    steering: Arc<dyn Steering>,
    ending: Ending,
    taken: Mutex<Taken>,
    left: Condvar,
}

/// Seats that are taken.
#[derive(Default)]
struct Taken {
    all: usize,
    port: usize,
    watching: usize,
}

impl Server {
    /// Listens where `places` says, if anywhere, until `stop`.
    pub fn start(places: &Control, steering: Arc<dyn Steering>, stop: &Stop) -> Result<Self, ControlError> {
        let mut listeners = Vec::new();
        if let Some(path) = &places.socket {
            listeners.push(Listener::Unix(Listening::open(path)?));
        }
        let mut port = None;
        if let Some(asked) = places.http_port {
            let failed = |source| ControlError::Port { port: asked, source };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, asked)).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            port = Some(listener.local_addr().map_err(failed)?.port());
            listeners.push(Listener::Tcp(listener));
        }
        let shared = Shared { steering, ending: Ending::with(stop), taken: Mutex::default(), left: Condvar::new() };
        let shared = Arc::new(shared);
        let mut server = Self { shared, doors: Vec::new(), port };
        for listener in listeners {
            let shared = Arc::clone(&server.shared);
            let name = if matches!(listener, Listener::Unix(_)) { "control" } else { "control-http" };
            let door = thread::Builder::new().name(name.into()).spawn(move || listener.mind(&shared));
            server.doors.push(door.map_err(ControlError::Thread)?);
        }
        Ok(server)
    }

    /// The port that is listened on.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl Drop for Server {
    /// Closes the doors and waits for those inside, but not for long.
    fn drop(&mut self) {
        self.shared.ending.end();
        for door in self.doors.drain(..) {
            let _ = door.join();
        }
        let taken = self.shared.taken();
        drop(self.shared.left.wait_timeout_while(taken, LAST_WAIT, |taken| taken.all > 0));
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sit_down(self: &Arc<Self>, door: Door) -> Option<Seat> {
        let mut taken = self.taken();
        let port = usize::from(door == Door::Port);
        if taken.all == SEATS || taken.port + port > PORT_SEATS {
            return None;
        }
        taken.all += 1;
        taken.port += port;
        Some(Seat { shared: Arc::clone(self), door, watching: false })
    }
}

/// One connection's right to a thread.
struct Seat {
    shared: Arc<Shared>,
    door: Door,
    watching: bool,
}

impl Seat {
    fn watch(&mut self) -> Result<(), Refusal> {
        let mut taken = self.shared.taken();
        if taken.watching == WATCH_SEATS {
            return Err(Refusal::new(503, format!("{WATCH_SEATS} watch already; ask for /status without watch")));
        }
        taken.watching += 1;
        self.watching = true;
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.shared.taken();
        taken.all -= 1;
        taken.port -= usize::from(self.door == Door::Port);
        taken.watching -= usize::from(self.watching);
        drop(taken);
        self.shared.left.notify_all();
    }
}

enum Listener {
    Unix(Listening),
    Tcp(TcpListener),
}

impl Listener {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listening) => listening.listener().as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }

    fn accept(&self) -> io::Result<(Box<dyn Wire>, Door)> {
        Ok(match self {
            Self::Unix(listening) => (Box::new(listening.listener().accept()?.0), Door::Unix),
            Self::Tcp(listener) => (Box::new(listener.accept()?.0), Door::Port),
        })
    }

    /// The accept thread: lets in until it is over.
    fn mind(self, shared: &Arc<Shared>) {
        // Told once until somebody comes in again.
        let mut full = false;
        while !shared.ending.is_over() {
            let waited = poll(&mut [PollFd::new(&self.fd(), PollFlags::IN)], Some(&timespec(TICK)));
            match waited.map_err(io::Error::from).and_then(|ready| if ready > 0 { self.accept().map(Some) } else { Ok(None) }) {
                Ok(None) => (),
                Ok(Some((wire, door))) => {
                    full = false;
                    admit(wire, door, shared);
                    shared.ending.pause(PACE);
                }
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => (),
                // Out of descriptors, mostly. Whoever waits at the door goes on waiting there.
                Err(error) => {
                    if !std::mem::replace(&mut full, true) {
                        warn!(event = events::READERS_WAIT, sink = "control"; "control socket: nobody can be let in: {error}");
                    }
                    shared.ending.pause(2 * TICK);
                }
            }
        }
    }
}

/// Gives the connection a thread, or says that there is none.
fn admit(mut wire: Box<dyn Wire>, door: Door, shared: &Arc<Shared>) {
    let Some(seat) = shared.sit_down(door) else { return wire::turn_away(wire) };
    let spawned = thread::Builder::new().name("control-client".into()).spawn(move || serve(wire.as_mut(), seat));
    if let Err(error) = spawned {
        debug!("no thread for a control connection, which is closed: {error}");
    }
}

/// One connection, from the first byte to the last.
fn serve(wire: &mut dyn Wire, mut seat: Seat) {
    let shared = Arc::clone(&seat.shared);
    let ending = &shared.ending;
    let request = match wire::receive(wire, ending) {
        Ok(Some(request)) => request,
        Ok(None) => return,
        Err(refusal) => return wire::finish(wire, &Answer::from(refusal).to_bytes(), ending),
    };
    let reply = catch_unwind(AssertUnwindSafe(|| match route::route(&request, seat.door, &*shared.steering) {
        Reply::Watch => seat.watch().map_or_else(|refusal| Reply::Answer(refusal.into()), |()| Reply::Watch),
        reply => reply,
    }));
    match reply {
        Ok(Reply::Answer(answer)) => wire::finish(wire, &answer.to_bytes(), ending),
        Ok(Reply::Watch) => {
            // Panics end the thread and with it the connection, which is all that there is to do about them.
            let _ = watch(wire, &shared);
        }
        Err(_) => {
            let bug = Refusal::new(500, "squint panicked over this request; please report it with the lines of the log");
            wire::finish(wire, &Answer::from(bug).to_bytes(), ending);
        }
    }
}

/// A state a second until the client leaves, takes nothing for two seconds, or all is over.
fn watch(wire: &mut dyn Wire, shared: &Shared) -> io::Result<()> {
    let ending = &shared.ending;
    wire::send(wire, &protocol::endless_head(JSON_LINES), ending)?;
    loop {
        let next = Instant::now() + WATCH_EVERY;
        wire::send(wire, route::line(&shared.steering.state()).as_bytes(), ending)?;
        if !wire::is_still_there(wire, ending, next) {
            return wire.close_write();
        }
    }
}
