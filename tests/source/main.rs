//! Where frames come from: clips, networks, folders, cameras, and what each does when it is ill.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// clips to the last frame, or paced by the clock
mod clips;
// cameras and films over HTTP
mod http;
// folders, patterns and single photos, broken files among them
mod images;
// live sources in health and in every sickness of videotestsrc
mod live;
// a network camera that answers, dies, comes back, wants a password
mod rtsp;
// USB cameras that give something else than plain video
mod v4l2;
// picture files of every form, read or refused within counted memory
mod pictures;
