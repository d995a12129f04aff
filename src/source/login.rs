//! User and password that do not stand in the address: a file, or a credential of systemd.
//!
//! Read anew each time a camera is opened, so that a changed password is taken up without a
//! restart. What is read is put into the address that GStreamer gets and is kept nowhere else.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::SourceSpec;
use super::address::Address;
use super::secret::Secret;
use crate::files;

/// Longest password, bytes.
const LONGEST: u64 = 4096;
/// Where systemd puts the credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// What is to be added to an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user, if not in the address.
    pub user: Option<Secret>,
    /// Where the password lies, if not in the address.
    pub password: Option<PasswordAt>,
}

/// Where a password lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordAt {
    /// A file that holds nothing else; a line end behind it does not count.
    File(PathBuf),
    /// A credential of this name, see `LoadCredential=` in systemd.exec(5).
    Credential(String),
}

impl PasswordAt {
    /// The file it lies in. Fails where systemd handed no credentials over.
    fn path(&self) -> Result<PathBuf, String> {
        match self {
            Self::File(path) => Ok(path.clone()),
            Self::Credential(name) => match std::env::var_os(CREDENTIALS) {
                Some(folder) => Ok(Path::new(&folder).join(name)),
                None => Err(format!(
                    "credential `{name}`: {CREDENTIALS} is not set; only a service of systemd 247 or newer has credentials \
                     (LoadCredential={name}:PATH in its unit); elsewhere write password-file"
                )),
            },
        }
    }

    /// The password. The error says what to do.
    fn read(&self) -> Result<Secret, String> {
        let path = self.path()?;
        let text = files::text(&path, LONGEST)
            .map_err(|e| format!("the password cannot be read from {}: {e}", path.display()))?;
        let password = text
            .strip_suffix('\n')
            .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if password.is_empty() {
            return Err(format!("{} is empty: it must hold the password", path.display()));
        }
        if password.chars().any(char::is_control) {
            return Err(format!(
                "{} must hold the password and nothing else, in one line",
                path.display()
            ));
        }
        Ok(Secret::new(password))
    }
}

impl Login {
    /// `source` with this login in its address. Reads the password.
    pub(super) fn fill(&self, source: &SourceSpec) -> Result<SourceSpec, String> {
        let (SourceSpec::Rtsp { url, .. } | SourceSpec::Http { url, .. }) = source else {
            return Ok(source.clone());
        };
        let password = self.password.as_ref().map(PasswordAt::read).transpose()?;
        if self.user.is_none() && password.is_none() {
            return Ok(source.clone());
        }
        let user =
            self.user.as_ref().map(Secret::reveal).or_else(|| url.user()).unwrap_or_default();
        let password =
            password.as_ref().map(Secret::reveal).or_else(|| url.password()).unwrap_or_default();
        let url = url.with_login(user, password);
        Ok(match source {
            SourceSpec::Http { film, .. } => SourceSpec::Http { url, film: *film },
            SourceSpec::Rtsp { transport, .. } => SourceSpec::Rtsp { url, transport: *transport },
            other => other.clone(),
        })
    }

    /// What `squint check` finds: an error if the password cannot be had, a warning if everybody on
    /// this machine can read it. Nothing is said of credentials outside the service, where they are
    /// not to be seen.
    pub fn inspect(&self) -> Option<(String, bool)> {
        let at = self.password.as_ref()?;
        if matches!(at, PasswordAt::Credential(_)) && std::env::var_os(CREDENTIALS).is_none() {
            return None;
        }
        match at.read() {
            Err(error) => Some((error, true)),
            Ok(_) => self.warning().map(|warning| (warning, false)),
        }
    }

    /// A password that everybody on this machine can read.
    pub fn warning(&self) -> Option<String> {
        let Some(PasswordAt::File(path)) = &self.password else { return None };
        let mode = path.metadata().ok()?.permissions().mode();
        (mode & 0o004 != 0).then(|| {
            format!("{} can be read by everybody on this machine: chmod o= {0}", path.display())
        })
    }
}

/// Makes every rtspsrc of a `pipeline:` send its login once: one in `user-id` and `user-pw` is sent
/// up to eight times in a row where it is refused, which locks accounts; one in the address is not.
pub(super) fn send_once(pipeline: &gst::Pipeline) {
    for source in pipeline.iterate_recurse().into_iter().flatten() {
        if source.factory().is_none_or(|factory| factory.name() != "rtspsrc") {
            continue;
        }
        let text = |property| source.property::<Option<String>>(property);
        let (Some(user), Some(password), Some(location)) =
            (text("user-id"), text("user-pw"), text("location"))
        else {
            continue;
        };
        let Some((scheme, rest)) = location.split_once("://") else { continue };
        if let Ok(address) = Address::parse("rtsp", rest)
            && address.user().is_none()
        {
            source.set_property("location", address.with_login(&user, &password).reveal_as(scheme));
            source.set_property("user-id", None::<String>);
            source.set_property("user-pw", None::<String>);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> Login {
        Login {
            user: Some(Secret::new("operator")),
            password: Some(PasswordAt::File(path.to_owned())),
        }
    }

    fn sent(login: &Login, source: &str) -> Result<String, String> {
        match login.fill(&source.parse().unwrap())? {
            SourceSpec::Rtsp { url, .. } | SourceSpec::Http { url, .. } => Ok(url.reveal()),
            other => Ok(other.to_string()),
        }
    }

    #[test]
    fn a_password_file_is_read_anew_each_time_and_its_line_end_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.password");
        let login = at(&path);
        assert!(
            sent(&login, "rtsp://cam/1").unwrap_err().contains("cannot be read from"),
            "absent"
        );
        for (text, encoded) in [
            ("p@ss/%41\n", "p%40ss%2F%2541"),
            ("two words\r\n", "two%20words"),
            ("x", "x"),
            (" x ", "%20x%20"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(
                sent(&login, "rtsp://cam/1").unwrap(),
                format!("rtsp://operator:{encoded}@cam/1")
            );
        }
        assert_eq!(sent(&login, "http://cam/1").unwrap(), "http://operator:%20x%20@cam/1");
        let login = Login { user: None, ..login };
        assert_eq!(sent(&login, "rtsp://me@cam/1").unwrap(), "rtsp://me:%20x%20@cam/1");
        assert_eq!(sent(&login, "test").unwrap(), "test", "no address, no login");
    }

    #[test]
    fn a_password_file_with_anything_else_in_it_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.password");
        for (text, says) in [
            ("", "is empty"),
            ("\n", "is empty"),
            ("user\nhunter2\n", "in one line"),
            ("hunter2\0", "in one line"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = sent(&at(&path), "rtsp://cam/1").unwrap_err();
            assert!(
                error.contains(says)
                    && error.contains("door.password")
                    && !error.contains("hunter2"),
                "{error}"
            );
        }
        std::fs::write(&path, vec![b'x'; 5000]).unwrap();
        assert!(sent(&at(&path), "rtsp://cam/1").unwrap_err().contains("4096"));
    }

    #[test]
    fn a_login_in_the_properties_of_rtspsrc_is_moved_to_where_it_is_sent_once() {
        gst::init().unwrap();
        if gst::ElementFactory::find("rtspsrc").is_none() {
            return eprintln!("SKIPPED: no element rtspsrc here");
        }
        for (typed, location) in [
            ("location=rtsp://cam/1 user-id=me user-pw=p@ss", "rtsp://me:p%40ss@cam/1"),
            ("location=rtspt://cam/1 user-id=me user-pw=x", "rtspt://me:x@cam/1"),
            ("location=rtsp://a:b@cam/1 user-id=me user-pw=x", "rtsp://a:b@cam/1"),
            ("location=rtsp://cam/1 user-id=me", "rtsp://cam/1"),
        ] {
            let pipeline =
                gst::parse::launch(&format!("rtspsrc name=s {typed} ! fakesink")).unwrap();
            let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
            send_once(&pipeline);
            let source = pipeline.by_name("s").unwrap();
            assert_eq!(source.property::<String>("location"), location, "{typed}");
            let moved = location.contains("me:");
            assert_eq!(
                source.property::<Option<String>>("user-pw").is_none(),
                moved || !typed.contains("user-pw"),
                "{typed}"
            );
        }
    }

    #[test]
    fn a_password_that_everybody_can_read_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.password");
        std::fs::write(&path, "x").unwrap();
        for (mode, warned) in [(0o644, true), (0o640, false), (0o600, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = at(&path).inspect();
            assert_eq!(
                found.map(|(text, bad)| (text.contains("everybody"), bad)),
                warned.then_some((true, false)),
                "{mode:o}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        assert!(at(&path).inspect().unwrap().1, "absent: an error");
    }
}
