//! The server: how many requests are answered at the same time, and on which threads.
//!
//! A thread for each endpoint ([`super::acceptor`]) collects requests; a complete request gets a
//! slot here and a thread for its response. Slots are counted apart for the port, the socket,
//! watchers and changes, so that none of them can take those of another. A client that is slow,
//! silent or hostile holds up its own connection for a moment and nothing else; the frame path does
//! not know this module.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::debug;

use super::acceptor::Listener;
use super::peer::Group;
use super::protocol::{self, Answer, JSON_LINES, Method, Refusal, Request};
use super::route::{self, Endpoint, Reply};
use super::wire::{self, Ending, Wire};
use super::{ControlError, Steering};
use crate::config::Control;
use crate::socket::Listening;

/// Questions through the loopback port that are answered at a time; anybody on the machine may ask
/// there.
const PORT_SEATS: usize = 4;
/// Questions over the socket that are answered at a time.
const SOCKET_SEATS: usize = 4;
/// Those who watch, and may do so for days.
const WATCH_SEATS: usize = 3;
/// Those who change something: each may wait for engines that are loaded.
const CHANGE_SEATS: usize = 3;
/// Clients that were answered and have not closed their end; beyond that they are not waited for.
const PARTING: usize = 16;
/// A client that has taken nothing of its answer for this long loses its seat if others wait for
/// one.
const FAIR_SHARE: Duration = Duration::from_millis(250);
/// Between two lines for those who watch.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// How long the end waits for connections that are being answered, a reload for one.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// The endpoints and all who came in. Ends with its [`Stop`](crate::pipeline::clock::Stop) or when
/// dropped; the socket file goes with it.
pub struct Server {
    shared: Arc<Shared>,
    acceptors: Vec<JoinHandle<()>>,
    port: Option<u16>,
}

pub(super) struct Shared {
    steering: Arc<dyn Steering>,
    group: Group,
    pub(super) ending: Ending,
    seats: Mutex<Vec<Arc<Place>>>,
    left: Condvar,
    parting: AtomicUsize,
}

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    Port,
    Socket,
    Watch,
    Change,
}

impl Errand {
    fn of(request: &Request, endpoint: Endpoint) -> Self {
        match (endpoint, request.method) {
            (Endpoint::Port, _) => Self::Port,
            (Endpoint::Unix(_), Method::Post) => Self::Change,
            (Endpoint::Unix(_), Method::Get)
                if request.path == "/status" && request.query == "watch" =>
            {
                Self::Watch
            }
            (Endpoint::Unix(_), Method::Get) => Self::Socket,
        }
    }

    const fn seats(self) -> usize {
        match self {
            Self::Port => PORT_SEATS,
            Self::Socket => SOCKET_SEATS,
            Self::Watch => WATCH_SEATS,
            Self::Change => CHANGE_SEATS,
        }
    }

    /// What is said to one for whom there is no seat; `None`: it waits for one.
    fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Port | Self::Socket => None,
            Self::Watch => Some(Refusal::new(
                503,
                format!("{WATCH_SEATS} watch already; ask for /status without watch"),
            )),
            Self::Change => Some(Refusal::new(
                503,
                format!("{CHANGE_SEATS} changes are under way already; try again in a moment"),
            )),
        }
    }
}

/// A seat that is taken.
struct Place {
    errand: Errand,
    /// When its answer began to be sent; unset while it is made.
    sending: Mutex<Option<Instant>>,
    /// Others want the seat.
    wanted: AtomicBool,
}

impl Server {
    /// Listens where `places` says, if anywhere, until `stop`.
    pub fn start(
        places: &Control,
        steering: Arc<dyn Steering>,
        stop: &crate::pipeline::clock::Stop,
    ) -> Result<Self, ControlError> {
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
        let shared = Arc::new(Shared {
            steering,
            group: Group::new(&places.group),
            ending: Ending::with(stop),
            seats: Mutex::default(),
            left: Condvar::new(),
            parting: AtomicUsize::new(0),
        });
        let mut server = Self { shared, acceptors: Vec::new(), port };
        for listener in listeners {
            let shared = Arc::clone(&server.shared);
            let name =
                if matches!(listener, Listener::Unix(_)) { "control" } else { "control-http" };
            let endpoint =
                thread::Builder::new().name(name.into()).spawn(move || listener.mind(&shared));
            server.acceptors.push(endpoint.map_err(ControlError::Thread)?);
        }
        Ok(server)
    }

    /// The port that is listened on.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl Drop for Server {
    /// Closes the endpoints and waits for those inside, but not for long.
    fn drop(&mut self) {
        self.shared.ending.end();
        for endpoint in self.acceptors.drain(..) {
            let _ = endpoint.join();
        }
        let seats = self.shared.seats();
        drop(self.shared.left.wait_timeout_while(seats, LAST_WAIT, |seats| !seats.is_empty()));
    }
}

impl Shared {
    fn seats(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a whole request a thread for its answer. What is given back has to wait for a seat.
    pub(super) fn admit(
        self: &Arc<Self>,
        wire: Box<dyn Wire>,
        request: Request,
        endpoint: Endpoint,
    ) -> Option<(Box<dyn Wire>, Request)> {
        let errand = Errand::of(&request, endpoint);
        let Some(seat) = self.sit_down(errand) else {
            let Some(refusal) = errand.refusal() else { return Some((wire, request)) };
            wire::turn_away(wire, refusal);
            return None;
        };
        let spawned = thread::Builder::new()
            .name("control-client".into())
            .spawn(move || serve(wire, &request, endpoint, seat));
        if let Err(error) = spawned {
            debug!("no thread for a control connection, which is closed: {error}");
        }
        None
    }

    fn sit_down(self: &Arc<Self>, errand: Errand) -> Option<ClientSlot> {
        let mut seats = self.seats();
        let taken = || seats.iter().filter(|place| place.errand == errand);
        if taken().count() < errand.seats() {
            let place = Arc::new(Place {
                errand,
                sending: Mutex::new(None),
                wanted: AtomicBool::new(false),
            });
            seats.push(Arc::clone(&place));
            return Some(ClientSlot { shared: Arc::clone(self), place });
        }
        if matches!(errand, Errand::Port | Errand::Socket) {
            // The one that has dawdled over its answer for longest goes.
            let since =
                |place: &Arc<Place>| *place.sending.lock().unwrap_or_else(PoisonError::into_inner);
            let oldest =
                taken().filter(|place| since(place).is_some()).min_by_key(|place| since(place));
            if let Some(oldest) = oldest
                .filter(|place| since(place).is_some_and(|since| since.elapsed() >= FAIR_SHARE))
            {
                oldest.wanted.store(true, Ordering::Release);
            }
        }
        None
    }
}

/// One connection's right to a thread.
struct ClientSlot {
    shared: Arc<Shared>,
    place: Arc<Place>,
}

impl ClientSlot {
    /// Sends the whole answer, unless others want the seat before the client has taken it; then
    /// gives the seat free and the client a moment to close its end.
    fn finish(self, wire: &mut dyn Wire, bytes: &[u8]) {
        *self.place.sending.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let shared = Arc::clone(&self.shared);
        let over = || shared.ending.is_over() || self.place.wanted.load(Ordering::Acquire);
        if wire::send(wire, bytes, &over).and_then(|()| wire.close_write()).is_err() {
            return;
        }
        drop(self);
        if shared.parting.fetch_add(1, Ordering::AcqRel) < PARTING {
            wire::part(wire, &shared.ending);
        }
        shared.parting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut seats = self.shared.seats();
        seats.retain(|place| !Arc::ptr_eq(place, &self.place));
        drop(seats);
        self.shared.left.notify_all();
    }
}

/// The answer to one request.
fn serve(mut wire: Box<dyn Wire>, request: &Request, endpoint: Endpoint, seat: ClientSlot) {
    let shared = Arc::clone(&seat.shared);
    let wire = wire.as_mut();
    let reply = catch_unwind(AssertUnwindSafe(|| {
        route::route(request, endpoint, &shared.group, &*shared.steering)
    }));
    match reply {
        Ok(Reply::Answer(answer)) => seat.finish(wire, &answer.to_bytes()),
        Ok(Reply::Watch) => {
            // Panics end the thread and with it the connection, which is all that there is to do
            // about them.
            let _ = watch(wire, &shared);
        }
        Err(_) => {
            let bug = Refusal::new(
                500,
                "squint panicked over this request; please report it with the lines of the log",
            );
            seat.finish(wire, &Answer::from(bug).to_bytes());
        }
    }
}

/// A state a second until the client leaves, takes nothing for two seconds, or all is over.
fn watch(wire: &mut dyn Wire, shared: &Shared) -> io::Result<()> {
    let over = || shared.ending.is_over();
    wire::send(wire, &protocol::endless_head(JSON_LINES), &over)?;
    loop {
        let next = Instant::now() + WATCH_EVERY;
        wire::send(wire, route::line(&shared.steering.state()).as_bytes(), &over)?;
        if !wire::is_still_there(wire, &shared.ending, next) {
            return wire.close_write();
        }
    }
}
