//! How the packets of an RTSP camera travel: over TCP, UDP, multicast or HTTP, and which way is
//! tried next.
//!
//! Pure. `auto` tries TCP first, because nothing is lost there; a camera that refuses it, or
//! accepts a way and sends nothing, is asked for the next one. What has worked is tried first when
//! the camera is opened again.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use gstreamer as gst;

/// The key `camera.transport`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// TCP, then UDP, then multicast, until one works.
    #[default]
    Auto,
    /// Interleaved in the connection of RTSP itself.
    Tcp,
    /// UDP to this machine.
    Udp,
    /// UDP to a group.
    Multicast,
    /// RTSP in HTTP, through firewalls.
    Http,
}

impl Transport {
    /// As in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Multicast => "multicast",
            Self::Http => "http",
        }
    }

    /// What the word stands for.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Auto, Self::Tcp, Self::Udp, Self::Multicast, Self::Http]
            .into_iter()
            .find(|known| known.as_str() == word)
    }

    /// The value of rtspsrc's `protocols`. The first way of `auto` is TCP.
    pub(super) const fn protocols(self) -> &'static str {
        match self {
            Self::Auto | Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Multicast => "udp-mcast",
            // rtspsrc wants both: RTP goes through the connection, and that through HTTP.
            Self::Http => "tcp+http",
        }
    }
}

impl fmt::Display for Transport {
    /// As people write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "any transport",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Multicast => "multicast",
            Self::Http => "HTTP",
        })
    }
}

/// The ways of `auto`, best first.
const AUTO: [Transport; 3] = [Transport::Tcp, Transport::Udp, Transport::Multicast];

/// Which way is taken, and which have failed since one last worked.
#[derive(Debug)]
pub(super) struct Ways {
    asked: Transport,
    worked: Option<Transport>,
    failed: Vec<Transport>,
}

impl Ways {
    pub(super) fn new(asked: Transport) -> Self {
        Self { asked, worked: None, failed: Vec::new() }
    }

    /// What the configuration asks for.
    pub(super) fn asked(&self) -> Transport {
        self.asked
    }

    /// The way to take now.
    pub(super) fn now(&self) -> Transport {
        if self.asked != Transport::Auto {
            return self.asked;
        }
        let order = self.worked.into_iter().chain(AUTO);
        order.into_iter().find(|way| !self.failed.contains(way)).unwrap_or(AUTO[0])
    }

    /// Frames came this way.
    pub(super) fn works(&mut self, way: Transport) {
        self.worked = Some(way);
        self.failed.clear();
    }

    /// The camera refused this way, or sent nothing. The next one; `None` if all have failed: the
    /// round begins again.
    pub(super) fn fails(&mut self, way: Transport) -> Option<Transport> {
        self.failed.push(way);
        if self.asked == Transport::Auto && AUTO.iter().any(|way| !self.failed.contains(way)) {
            return Some(self.now());
        }
        self.failed.clear();
        None
    }
}

/// How far rtspsrc has come with its camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    /// Connects, asks what there is.
    Asking,
    /// Asks for a transport.
    Choosing,
    /// The camera has agreed and is to send.
    Awaiting,
    /// Packets come.
    Receiving,
}

/// The [`Stage`], shared by GStreamer's threads and the source's owner.
#[derive(Debug)]
pub(super) struct Progress(AtomicU8);

impl Default for Progress {
    fn default() -> Self {
        Self(AtomicU8::new(Stage::Asking as u8))
    }
}

impl Progress {
    /// Whether the transport is to blame if nothing comes now.
    pub(super) fn blames_transport(&self) -> bool {
        let stage = self.0.load(Ordering::Acquire);
        stage == Stage::Choosing as u8 || stage == Stage::Awaiting as u8
    }

    pub(super) fn reach(&self, stage: Stage) {
        self.0.fetch_max(stage as u8, Ordering::AcqRel);
    }

    /// A message of the bus. rtspsrc tells of a SETUP as progress with `request` before it has told
    /// that `open` is complete.
    pub(super) fn hear(&self, message: &gst::Message) {
        let progress = match message.view() {
            gst::MessageView::Progress(progress) => progress,
            // What the camera describes leaves none of the protocols that were allowed: it sends to
            // a group only.
            gst::MessageView::Error(error)
                if error.debug().is_some_and(|debug| debug.contains("no protocols left")) =>
            {
                return self.reach(Stage::Choosing);
            }
            _ => return,
        };
        let (kind, code, _) = progress.get();
        match (kind, code) {
            (gst::ProgressType::Continue, "request") => self.reach(Stage::Choosing),
            (gst::ProgressType::Complete, "open" | "request") => self.reach(Stage::Awaiting),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Transport::{Auto, Http, Multicast, Tcp, Udp};

    #[test]
    fn auto_tries_every_way_in_turn_and_begins_with_what_worked() {
        let mut ways = Ways::new(Auto);
        assert_eq!(ways.now(), Tcp);
        assert_eq!(ways.fails(Tcp), Some(Udp));
        assert_eq!(ways.now(), Udp);
        ways.works(Udp);
        assert_eq!(ways.now(), Udp, "remembered");
        assert_eq!(ways.fails(Udp), Some(Tcp), "no packet came: TCP first");
        assert_eq!(ways.fails(Tcp), Some(Multicast));
        assert_eq!(ways.fails(Multicast), None, "a loss");
        assert_eq!(ways.now(), Udp, "the next round begins with what worked");
    }

    #[test]
    fn a_way_that_was_asked_for_is_the_only_one() {
        for asked in [Tcp, Udp, Multicast, Http] {
            let mut ways = Ways::new(asked);
            assert_eq!((ways.now(), ways.fails(asked), ways.now()), (asked, None, asked));
            assert_eq!(Transport::named(asked.as_str()), Some(asked));
        }
        assert_eq!((Transport::named("auto"), Transport::named("rtp")), (Some(Auto), None));
    }

    #[test]
    fn only_between_setup_and_the_first_packet_is_the_transport_to_blame() {
        let progress = Progress::default();
        assert!(!progress.blames_transport(), "a camera that is off");
        for (stage, blamed) in [
            (Stage::Choosing, true),
            (Stage::Awaiting, true),
            (Stage::Receiving, false),
            (Stage::Asking, false),
        ] {
            progress.reach(stage);
            assert_eq!(progress.blames_transport(), blamed, "{stage:?}");
        }
    }
}
