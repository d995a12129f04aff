//! Who is at the other end of the control socket, and whether it may change something.
//!
//! Whoever may connect may read; the permissions of the socket's file decide that. Changing
//! anything is for root, for the user that Squint runs as, and for the members of one group
//! (`control.group`). The kernel names the user at the other end; the system's own data base of
//! users, which need not be a file, names the groups. An edge module: it asks the kernel and that
//! data base, on the thread of the connection.

use std::ffi::CString;
use std::os::unix::net::UnixStream;

use nix::unistd::{self, Gid, Uid, User};
use rustix::net::sockopt::socket_peercred;

use super::protocol::Refusal;

/// A process at the other end, as it was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// Effective user and group; `None` if the kernel does not say.
    who: Option<(Uid, Gid)>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> Self {
        let who = socket_peercred(stream).ok();
        Self {
            who: who.map(|who| (Uid::from_raw(who.uid.as_raw()), Gid::from_raw(who.gid.as_raw()))),
        }
    }
}

/// The group whose members may change something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    name: String,
}

impl Group {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// An error with what to do about it, unless `peer` may change something.
    pub(super) fn admits(&self, peer: Peer) -> Result<(), Refusal> {
        let name = &self.name;
        let Some((uid, gid)) = peer.who else {
            return Err(Refusal::new(
                403,
                "the kernel does not say who asks, so nothing is changed; use sudo",
            ));
        };
        if uid.is_root() || uid == Uid::effective() {
            return Ok(());
        }
        let group = match unistd::Group::from_name(name) {
            Ok(Some(group)) => group.gid,
            Ok(None) => {
                return Err(Refusal::new(
                    403,
                    format!(
                        "changing anything is for root, as long as there is no group {name}; use sudo"
                    ),
                ));
            }
            Err(error) => {
                return Err(Refusal::new(
                    403,
                    format!(
                        "the members of the group {name} cannot be looked up ({error}); use sudo"
                    ),
                ));
            }
        };
        if gid == group || is_member(uid, group) {
            return Ok(());
        }
        Err(Refusal::new(
            403,
            format!(
                "changing anything is for members of the group {name}: join it (`sudo usermod -aG {name} $USER`) or use sudo"
            ),
        ))
    }
}

/// True if the user belongs to the group, whichever groups the asking process has given up.
fn is_member(uid: Uid, group: Gid) -> bool {
    let Ok(Some(user)) = User::from_uid(uid) else { return false };
    let Ok(name) = CString::new(user.name) else { return false };
    user.gid == group
        || unistd::getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32) -> Peer {
        Peer { who: Some((Uid::from_raw(uid), Gid::from_raw(gid))) }
    }

    /// A user of no system.
    const STRANGER: u32 = 3_999_999_991;

    #[test]
    fn root_and_the_user_of_the_daemon_may_change_things_and_strangers_may_not() {
        let group = Group::new("no-such-group-here");
        assert_eq!(group.admits(peer(0, STRANGER)), Ok(()));
        assert_eq!(group.admits(peer(Uid::effective().as_raw(), STRANGER)), Ok(()));
        let refused = group.admits(peer(STRANGER, STRANGER)).unwrap_err();
        assert_eq!(refused.status, 403);
        assert!(refused.message.contains("no group no-such-group-here"), "{refused}");
        assert_eq!(group.admits(Peer { who: None }).unwrap_err().status, 403);
    }

    #[test]
    fn a_member_of_the_group_may_by_its_group_of_the_moment_and_by_the_data_base_of_users() {
        let daemon = Group::new("daemon");
        let (Ok(Some(group)), Ok(Some(user))) =
            (unistd::Group::from_name("daemon"), User::from_name("daemon"))
        else {
            return eprintln!("SKIPPED: this system has no user daemon");
        };
        assert_eq!(
            daemon.admits(peer(STRANGER, group.gid.as_raw())),
            Ok(()),
            "it has taken the group on"
        );
        assert_eq!(daemon.admits(peer(user.uid.as_raw(), STRANGER)), Ok(()), "it is a member");
        let refused = daemon.admits(peer(STRANGER, STRANGER)).unwrap_err();
        assert!(refused.message.contains("sudo usermod -aG daemon $USER"), "{refused}");
    }
}
