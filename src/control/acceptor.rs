//! Accepts connections at one endpoint of the server and collects their requests, on one thread.
//!
//! A connection that has sent nothing yet costs no thread, only a descriptor and a few kilobytes;
//! [`WAITING`] may wait at a time. If more come, the oldest unfinished one is closed, after a
//! quarter of a second at the earliest: so nobody can fill all places and stay, and a slow but
//! honest client still has its time. If the system has too few descriptors left, new connections
//! stay in the queue of the socket.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;
use rustix::event::{PollFd, PollFlags, poll};

use super::peer::Peer;
use super::protocol::{self, Answer, BODY_LIMIT, HEAD_LIMIT, Method, Parsed, Refusal, Request};
use super::route::Endpoint;
use super::server::Shared;
use super::wire::{self, FAREWELL, PATIENCE, TICK, Wire, timespec};
use crate::socket::Listening;
use crate::{events, limits};

/// Connections at a endpoint that have not been answered yet.
const WAITING: usize = 64;
/// Before one of them goes because others come.
const FAIR_SHARE: Duration = Duration::from_millis(250);
/// Let in at a time, before those inside are heard.
const BATCH: usize = 16;
/// Between two answers through a endpoint: they cost time on the processor, and engines need it
/// more than those who ask without end.
const PACE: Duration = Duration::from_millis(10);
/// What is to be read is there already.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Where it listens.
pub(super) enum Listener {
    Unix(Listening),
    Tcp(TcpListener),
}

/// A connection that has not been answered.
struct Caller {
    wire: Box<dyn Wire>,
    endpoint: Endpoint,
    since: Instant,
    stage: Stage,
}

/// How far it has come.
enum Stage {
    /// It has said so much.
    Asking(Vec<u8>),
    /// It has said everything and waits for a seat.
    Whole(Request),
    /// It was refused, and may close its end until then, so that nothing it still sends destroys
    /// the answer on its way.
    Parting(Instant),
}

impl Listener {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listening) => listening.listener().as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }

    fn accept(&self) -> io::Result<(Box<dyn Wire>, Endpoint)> {
        Ok(match self {
            Self::Unix(listening) => {
                let stream = listening.listener().accept()?.0;
                let peer = Peer::of(&stream);
                (Box::new(stream), Endpoint::Unix(peer))
            }
            Self::Tcp(listener) => (Box::new(listener.accept()?.0), Endpoint::Port),
        })
    }

    /// The thread of the endpoint, until it is over.
    pub(super) fn mind(self, shared: &Arc<Shared>) {
        let mut callers: VecDeque<Caller> = VecDeque::with_capacity(WAITING + 1);
        let mut ready = Vec::with_capacity(WAITING + 1);
        // Told once until somebody comes in again.
        let mut shut = false;
        let mut next_answer = Instant::now();
        while !shared.ending.is_over() {
            let room = callers.len() < WAITING || callers.iter().any(Caller::may_go);
            self.listen(&callers, room, &mut ready);
            if ready.first().is_some_and(|callers| *callers) {
                match self.let_in(&mut callers) {
                    Ok(()) => shut = false,
                    // Mostly for want of descriptors. New connections stay in the socket's queue.
                    Err(error) => {
                        if !std::mem::replace(&mut shut, true) {
                            warn!(event = events::READERS_WAIT, sink = "control"; "control socket: nobody can be let in: {error}");
                        }
                        shared.ending.pause(2 * TICK);
                    }
                }
            }
            let mut said = ready.iter().skip(1);
            callers = callers
                .into_iter()
                .filter_map(|caller| caller.hear(said.next() == Some(&true)))
                .collect();
            if Instant::now() >= next_answer && answer_one(&mut callers, shared) {
                next_answer = Instant::now() + PACE;
            }
        }
    }

    /// Waits a moment for news: first of the endpoint, if there is `room`, then of each caller, in
    /// their order.
    fn listen(&self, callers: &VecDeque<Caller>, room: bool, ready: &mut Vec<bool>) {
        ready.clear();
        let endpoint = self.fd();
        let wanted = |wanted: bool| if wanted { PollFlags::IN } else { PollFlags::empty() };
        let wires: Vec<_> =
            callers.iter().map(|caller| (caller.wire.as_fd(), !caller.is_whole())).collect();
        let mut polled: Vec<_> = std::iter::once(PollFd::new(&endpoint, wanted(room)))
            .chain(wires.iter().map(|(wire, listens)| PollFd::new(wire, wanted(*listens))))
            .collect();
        // Whoever waits for a seat or to be let in waits for somebody else to leave, which nobody
        // tells us of.
        let soon = !room || callers.iter().any(Caller::is_whole);
        if poll(&mut polled, Some(&timespec(if soon { PACE } else { TICK })))
            .is_ok_and(|count| count > 0)
        {
            ready.extend(polled.iter().map(|one| !one.revents().is_empty()));
        }
    }

    /// Lets in whoever waits at the endpoint, up to [`BATCH`] of them.
    fn let_in(&self, callers: &mut VecDeque<Caller>) -> io::Result<()> {
        for _ in 0..BATCH {
            if callers.len() >= WAITING {
                let Some(oldest) = callers.iter().position(Caller::may_go) else { return Ok(()) };
                if let Some(caller) = callers.remove(oldest) {
                    wire::turn_away(
                        caller.wire,
                        Refusal::new(
                            503,
                            "too many connections at once; send the request right away",
                        ),
                    );
                }
            }
            if !limits::client_fits() {
                return Err(io::Error::other("too few descriptors are left for the cameras"));
            }
            match self.accept() {
                Ok((wire, endpoint)) => {
                    let caller = Caller {
                        wire,
                        endpoint,
                        since: Instant::now(),
                        stage: Stage::Asking(Vec::new()),
                    };
                    // Most have sent everything by now.
                    callers.extend(caller.hear(true));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Gives the first who is through with its request, and for whom there is a seat, an answer. False
/// if there is none.
fn answer_one(callers: &mut VecDeque<Caller>, shared: &Arc<Shared>) -> bool {
    for at in 0..callers.len() {
        let Some(Caller { wire, endpoint, since, stage }) = callers.remove(at) else {
            return false;
        };
        let (wire, stage) = match stage {
            Stage::Whole(request) => match shared.admit(wire, request, endpoint) {
                None => return true,
                Some((wire, request)) => (wire, Stage::Whole(request)),
            },
            stage => (wire, stage),
        };
        callers.insert(at, Caller { wire, endpoint, since, stage });
    }
    false
}

impl Caller {
    fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Whole(_))
    }

    /// True if it may be sent away for others.
    fn may_go(&self) -> bool {
        match self.stage {
            Stage::Asking(_) => self.since.elapsed() >= FAIR_SHARE,
            Stage::Whole(_) => false,
            Stage::Parting(_) => true,
        }
    }

    /// Takes in what it says, if it `speaks` now. `None` if it is gone.
    fn hear(mut self, speaks: bool) -> Option<Self> {
        let mut chunk = [0; 4096];
        let room = match &self.stage {
            // What is told of one that is not listened to is that it has left; what it wanted
            // changed is changed all the same.
            Stage::Whole(request) if speaks && request.method == Method::Get => return None,
            Stage::Whole(_) => return Some(self),
            Stage::Asking(_) if !speaks && self.since.elapsed() >= PATIENCE => {
                let limit =
                    format!("the whole request must be there within {} s", PATIENCE.as_secs());
                return self.refused(Refusal::new(408, limit));
            }
            Stage::Parting(until) if Instant::now() >= *until => return None,
            _ if !speaks => return Some(self),
            Stage::Asking(bytes) => {
                (HEAD_LIMIT + BODY_LIMIT).saturating_sub(bytes.len()).min(chunk.len())
            }
            Stage::Parting(_) => chunk.len(),
        };
        self.wire.limit(AT_ONCE).ok()?;
        let count = match self.wire.read(&mut chunk[..room]) {
            Ok(0) => return None,
            Ok(count) => count,
            Err(error) if wire::is_patience(&error) => return Some(self),
            Err(_) => return None,
        };
        if let Stage::Asking(bytes) = &mut self.stage {
            bytes.extend_from_slice(&chunk[..count]);
            match protocol::parse(bytes) {
                Ok(Parsed::Whole(request)) => self.stage = Stage::Whole(request),
                Ok(Parsed::Partial) => (),
                Err(refusal) => return self.refused(refusal),
            }
        }
        Some(self)
    }

    /// Says why it is not answered. `None` if it does not take even that.
    fn refused(mut self, refusal: Refusal) -> Option<Self> {
        let bytes = Answer::from(refusal).to_bytes();
        self.wire
            .limit(AT_ONCE)
            .and_then(|()| self.wire.write_all(&bytes))
            .and_then(|()| self.wire.close_write())
            .ok()?;
        self.stage = Stage::Parting(Instant::now() + FAREWELL);
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn caller(age: Duration) -> (Caller, UnixStream) {
        let (wire, other) = UnixStream::pair().unwrap();
        let since = Instant::now().checked_sub(age).unwrap();
        (
            Caller {
                wire: Box::new(wire),
                endpoint: Endpoint::Port,
                since,
                stage: Stage::Asking(Vec::new()),
            },
            other,
        )
    }

    #[test]
    fn an_unfinished_request_may_be_sent_away_for_others_only_after_its_fair_share() {
        assert!(!caller(FAIR_SHARE / 2).0.may_go());
        let (old, mut client) = caller(FAIR_SHARE);
        assert!(old.may_go());
        client.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
        let whole = old.hear(true).unwrap();
        assert!(whole.is_whole() && !whole.may_go(), "one that waits for a slot stays");
    }

    #[test]
    fn one_that_is_not_through_in_time_is_told_so_and_one_that_left_is_forgotten() {
        let (silent, mut client) = caller(PATIENCE);
        let parting = silent.hear(false).unwrap();
        assert!(parting.may_go() && !parting.is_whole());
        drop(parting);
        let mut told = String::new();
        client.read_to_string(&mut told).unwrap();
        assert!(told.starts_with("HTTP/1.1 408") && told.contains("within 2 s"), "{told}");
        let (left, client) = caller(Duration::ZERO);
        drop(client);
        assert!(left.hear(true).is_none());
        for (request, stays) in
            [("GET /status HTTP/1.1\r\n\r\n", false), ("POST /reload HTTP/1.1\r\n\r\n", true)]
        {
            let (asked, mut client) = caller(Duration::ZERO);
            client.write_all(request.as_bytes()).unwrap();
            let whole = asked.hear(true).unwrap();
            drop(client);
            assert_eq!(whole.hear(true).is_some(), stays, "{request}");
        }
    }
}
