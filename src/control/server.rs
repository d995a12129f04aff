//! The server: an accept thread for each door, at most eight connection threads in all, and patience with a limit for everything.
//!
//! A client that is slow, silent or hostile holds up its own thread for a few seconds, nothing else: the frame path knows nothing of this
//! room. Every wait is cut into ticks, so that all of it ends within a tenth of a second once told to stop.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use log::debug;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::protocol::{self, Answer, BODY_LIMIT, HEAD_LIMIT, JSON_LINES, Parsed, Refusal, Request};
use super::route::{self, Door, Reply};
use super::{ControlError, Steering};
use crate::config::Control;
use crate::pipeline::clock::Stop;
use crate::socket::Listening;

/// Connections in all; the next one is told so and closed.
const SEATS: usize = 8;
/// Of these, for the loopback port, which anybody on the machine may fill.
const PORT_SEATS: usize = 4;
/// Of these, for those who watch, and may do so for days.
const WATCH_SEATS: usize = 3;
/// Time for a client to send its whole request, and time to take an answer or a line.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time for a client that was answered to close its end, so that nothing it still sends destroys the answer on its way.
const FAREWELL: Duration = Duration::from_millis(200);
/// Longest wait in one go.
const TICK: Duration = Duration::from_millis(50);
/// Between two lines for those who watch.
const WATCH_EVERY: Duration = Duration::from_secs(1);
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
    stop: Stop,
    closing: AtomicBool,
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
        let (stop, closing) = (stop.clone(), AtomicBool::new(false));
        let shared = Arc::new(Shared { steering, stop, closing, taken: Mutex::default(), left: Condvar::new() });
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
        self.shared.closing.store(true, Ordering::Release);
        for door in self.doors.drain(..) {
            let _ = door.join();
        }
        let taken = self.shared.taken();
        drop(self.shared.left.wait_timeout_while(taken, LAST_WAIT, |taken| taken.all > 0));
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.closing.load(Ordering::Acquire) || self.stop.is_stopped()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits; false if it is over before `until`.
    fn wait(&self, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.is_over() {
                return false;
            }
            if left.is_zero() {
                return true;
            }
            if !matches!(self.stop.signal().recv_timeout(left.min(TICK)), Err(RecvTimeoutError::Timeout)) {
                return false;
            }
        }
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
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK.as_nanos().try_into().expect("less than a second") };
        while !shared.is_over() {
            let waited = poll(&mut [PollFd::new(&self.fd(), PollFlags::IN)], Some(&tick));
            match waited.map_err(io::Error::from).and_then(|ready| if ready > 0 { self.accept().map(Some) } else { Ok(None) }) {
                Ok(None) => (),
                Ok(Some((wire, door))) => admit(wire, door, shared),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => (),
                // Out of descriptors, mostly. Whoever waits at the door goes on waiting there.
                Err(error) => {
                    debug!("a control connection could not be accepted: {error}");
                    shared.wait(Instant::now() + 2 * TICK);
                }
            }
        }
    }
}

/// Gives the connection a thread, or says that there is none.
fn admit(mut wire: Box<dyn Wire>, door: Door, shared: &Arc<Shared>) {
    let Some(seat) = shared.sit_down(door) else { return turn_away(wire) };
    let spawned = thread::Builder::new().name("control-client".into()).spawn(move || serve(wire.as_mut(), seat));
    if let Err(error) = spawned {
        debug!("no thread for a control connection, which is closed: {error}");
    }
}

/// A few bytes fit into any socket's buffer: this does not wait, or hardly.
fn turn_away(mut wire: Box<dyn Wire>) {
    let answer = Answer::from(Refusal::new(503, "too many connections at once; try again in a moment")).to_bytes();
    let brief = Duration::from_millis(1);
    let told = wire.limit(brief).and_then(|()| wire.write_all(&answer)).and_then(|()| wire.close_write());
    // what has come already is taken, or it would destroy the answer on its way
    if told.is_ok() {
        let _ = wire.read(&mut [0; 4096]);
    }
}

/// One connection, from the first byte to the last.
fn serve(wire: &mut dyn Wire, mut seat: Seat) {
    let shared = Arc::clone(&seat.shared);
    let request = match receive(wire, &shared) {
        Ok(Some(request)) => request,
        Ok(None) => return,
        Err(refusal) => return finish(wire, &Answer::from(refusal).to_bytes(), &shared),
    };
    let reply = catch_unwind(AssertUnwindSafe(|| match route::route(&request, seat.door, &*shared.steering) {
        Reply::Watch => seat.watch().map_or_else(|refusal| Reply::Answer(refusal.into()), |()| Reply::Watch),
        reply => reply,
    }));
    match reply {
        Ok(Reply::Answer(answer)) => finish(wire, &answer.to_bytes(), &shared),
        Ok(Reply::Watch) => {
            // Panics end the thread and with it the connection, which is all that there is to do about them.
            let _ = watch(wire, &shared);
        }
        Err(_) => {
            let bug = Refusal::new(500, "squint panicked over this request; please report it with the lines of the log");
            finish(wire, &Answer::from(bug).to_bytes(), &shared);
        }
    }
}

/// A state a second until the client leaves, takes nothing for two seconds, or all is over.
fn watch(wire: &mut dyn Wire, shared: &Shared) -> io::Result<()> {
    send(wire, &protocol::endless_head(JSON_LINES), shared)?;
    loop {
        let next = Instant::now() + WATCH_EVERY;
        send(wire, route::line(&shared.steering.state()).as_bytes(), shared)?;
        if !shared.wait(next) {
            return wire.close_write();
        }
    }
}

/// The request, or nothing if the client left or all is over before it was there.
fn receive(wire: &mut dyn Wire, shared: &Shared) -> Result<Option<Request>, Refusal> {
    let until = Instant::now() + PATIENCE;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refusal::new(408, format!("the whole request must be there within {} s", PATIENCE.as_secs())));
        }
        if shared.is_over() || wire.limit(left.min(TICK)).is_err() {
            return Ok(None);
        }
        let room = (HEAD_LIMIT + BODY_LIMIT).saturating_sub(bytes.len()).min(chunk.len());
        match wire.read(&mut chunk[..room]) {
            Ok(0) => return Ok(None),
            Ok(count) => {
                bytes.extend_from_slice(&chunk[..count]);
                if let Parsed::Whole(request) = protocol::parse(&bytes)? {
                    return Ok(Some(request));
                }
            }
            Err(error) if is_patience(&error) => (),
            Err(_) => return Ok(None),
        }
    }
}

/// Sends the last bytes of a connection and lets the client close its end.
fn finish(wire: &mut dyn Wire, bytes: &[u8], shared: &Shared) {
    if send(wire, bytes, shared).and_then(|()| wire.close_write()).is_err() {
        return;
    }
    let until = Instant::now() + FAREWELL;
    let mut chunk = [0; 4096];
    while !shared.is_over() && wire.limit(TICK).is_ok() && Instant::now() < until {
        match wire.read(&mut chunk) {
            Ok(1..) => (),
            Err(error) if is_patience(&error) => (),
            Ok(0) | Err(_) => return,
        }
    }
}

fn send(wire: &mut dyn Wire, mut bytes: &[u8], shared: &Shared) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || shared.is_over() {
            return Err(ErrorKind::TimedOut.into());
        }
        wire.limit(left.min(TICK))?;
        match wire.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_patience(&error) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Either kind of connection.
trait Wire: Read + Write + Send {
    /// Longest wait of a read or a write; more than zero.
    fn limit(&self, wait: Duration) -> io::Result<()>;
    /// Says that nothing more will be written.
    fn close_write(&self) -> io::Result<()>;
}

impl Wire for UnixStream {
    fn limit(&self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(wait)).and_then(|()| self.set_write_timeout(Some(wait)))
    }

    fn close_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Wire for TcpStream {
    fn limit(&self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(wait)).and_then(|()| self.set_write_timeout(Some(wait)))
    }

    fn close_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}
