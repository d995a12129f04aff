//! `squint status`, `squint reload`, `squint set`: ask the running daemon over its control socket,
//! and print.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{check, print};
use crate::cli::{At, CheckArgs, Common, ReloadArgs, SetArgs, SettingWord, StatusArgs};
use crate::config::MAX_BYTES;
use crate::control::client::{self, Answered, ClientError};
use crate::control::{DEFAULT_SOCKET, Setting, page};
use crate::error::Error;
use crate::escape::Escaped;
use crate::files;
use crate::observe::State;
use crate::sink::Opening;

/// How long the daemon may take to tell its state, and between two lines of it.
const STATUS_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to reload: engines are loaded and warmed up.
const CHANGE_PATIENCE: Duration = Duration::from_secs(300);
/// Upper left corner, and nothing below.
const HOME: &str = "\x1b[H\x1b[J";

/// Prints what the daemon is and does, once or every second.
pub(crate) fn status(args: &StatusArgs) -> Result<(), Error> {
    let socket = socket(&args.at)?;
    let here = Opening::here(true, None);
    let mut out = print::raw();
    let mut print = |text: &str| {
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::io(print::STDOUT))
    };
    if !args.watch {
        let told = settled(
            &socket,
            client::ask_all(&socket, "/status", None, STATUS_PATIENCE).map_err(failure)?,
        )?;
        let state = read(&socket, &told)?;
        print(&if args.json { told } else { page::page(&state, here.colour) })?;
        return healthy(&state);
    }
    let mut answering =
        client::ask(&socket, "/status?watch", None, STATUS_PATIENCE).map_err(failure)?;
    if answering.status() != 200 {
        return settled(&socket, answering.rest().map_err(failure)?).map(drop);
    }
    while let Some(line) = answering.line().map_err(failure)? {
        match (args.json, here.terminal) {
            (true, _) => print(&format!("{line}\n"))?,
            (false, true) => {
                print(&format!("{HOME}{}", page::page(&read(&socket, &line)?, here.colour)))?
            }
            (false, false) => print(&format!("{}\n", page::line(&read(&socket, &line)?)))?,
        }
    }
    Err(Error::Missing(format!("squint at {} has stopped", socket.display())))
}

/// The exit code says what `/healthz` says.
fn healthy(state: &State) -> Result<(), Error> {
    if state.healthy {
        return Ok(());
    }
    let why = if state.complaints.is_empty() {
        "it does not say why".to_owned()
    } else {
        state.complaints.join("; ")
    };
    Err(Error::Missing(format!("not healthy: {}", Escaped(&why))))
}

/// Makes the daemon read everything again; an error unless it is in force now.
pub(crate) fn reload(args: &ReloadArgs) -> Result<(), Error> {
    let Some(process) = args.main_pid else { return change(&socket(&args.at)?, "/reload", "") };
    // The file that names the socket may be just what is broken now.
    let socket = socket(&args.at).unwrap_or_else(|_| DEFAULT_SOCKET.into());
    if process_at(&socket) == Some(process) {
        return change(&socket, "/reload", "");
    }
    // Nobody would tell whether it came into force: so what can be found out beforehand is.
    let config = args.at.config.clone().filter(|file| !file.as_os_str().is_empty());
    check::check(&CheckArgs { common: Common { config, ..Common::default() }, print: false })?;
    let daemon = Pid::from_raw(process)
        .ok_or_else(|| Error::Usage(format!("--main-pid: {process} is no process")))?;
    kill_process(daemon, Signal::HUP)
        .map_err(|error| Error::io(format!("process {process}"))(error.into()))?;
    let told = "told by a signal, since it has no control socket (control.socket): its log says when this is in force, or why not";
    print::line(told)
}

/// The process that listens at `socket`, if a squint does.
fn process_at(socket: &Path) -> Option<i32> {
    let told = client::ask_all(socket, "/status", None, STATUS_PATIENCE).ok()?;
    i32::try_from(serde_json::from_str::<State>(&told.body).ok()?.pid).ok()
}

/// Changes a setting of the daemon.
pub(crate) fn set(args: &SetArgs) -> Result<(), Error> {
    let what = match args.what {
        SettingWord::LogLevel => Setting::LogLevel,
        SettingWord::Policy => Setting::Policy,
        SettingWord::Mode => Setting::Mode,
    };
    change(&socket(&args.at)?, &format!("/{}", what.name()), &args.value)
}

fn change(socket: &Path, target: &str, value: &str) -> Result<(), Error> {
    let answered =
        client::ask_all(socket, target, Some(value), CHANGE_PATIENCE).map_err(failure)?;
    let told = settled(socket, answered)?;
    let message = said(&told, "message").unwrap_or(told);
    print::line(message.trim_end())
}

/// The body, if all went well; otherwise what the daemon has against it.
fn settled(socket: &Path, answered: Answered) -> Result<String, Error> {
    let Answered { status, body } = answered;
    let why = || {
        said(&body, "error")
            .unwrap_or_else(|| format!("squint at {} answered {status}", socket.display()))
    };
    match status {
        200 => Ok(body),
        400 => Err(Error::Usage(why())),
        403 => {
            let reason = std::io::Error::new(std::io::ErrorKind::PermissionDenied, why());
            Err(Error::Io { what: "no permission".into(), reason })
        }
        409 => Err(Error::Unfit(why())),
        503 => Err(Error::Missing(format!("squint at {} is busy: {}", socket.display(), why()))),
        _ => Err(Error::Bug(why())),
    }
}

fn said(body: &str, field: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    value.get(field)?.as_str().map(str::to_owned)
}

fn read(socket: &Path, json: &str) -> Result<State, Error> {
    let odd = |what| failure(ClientError::Odd { path: socket.into(), what });
    serde_json::from_str(json).map_err(|error| odd(error.to_string()))
}

fn failure(error: ClientError) -> Error {
    match error {
        ClientError::NotThere { .. } | ClientError::Silent { .. } => {
            Error::Missing(error.to_string())
        }
        ClientError::NotAllowed { .. } => {
            let reason =
                std::io::Error::new(std::io::ErrorKind::PermissionDenied, error.to_string());
            Error::Io { what: "no permission".into(), reason }
        }
        ClientError::Broken { path, reason } => Error::Io {
            what: format!("squint at {} went away in the middle of its answer", path.display()),
            reason,
        },
        ClientError::Odd { .. } => Error::Missing(error.to_string()),
    }
}

/// Where the daemon listens: as told, as its configuration says, or as a service does. Of the
/// configuration nothing else is looked at: it may be just what is broken.
fn socket(at: &At) -> Result<PathBuf, Error> {
    if let Some(socket) = &at.socket {
        return Ok(socket.clone());
    }
    if let Some(socket) =
        std::env::var_os("SQUINT_CONTROL__SOCKET").filter(|socket| !socket.is_empty())
    {
        return Ok(socket.into());
    }
    let Some(file) = at.config.as_ref().filter(|file| !file.as_os_str().is_empty()) else {
        return Ok(DEFAULT_SOCKET.into());
    };
    let text = files::typed_text(file, MAX_BYTES).map_err(Error::io(file.display()))?;
    let wrong = |reason: String| Error::File { path: file.clone(), reason };
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
    let socket = table
        .get("control")
        .and_then(|control| control.get("socket"))
        .and_then(toml::Value::as_str);
    socket.map(PathBuf::from).ok_or_else(|| {
        wrong("control.socket is not set, so nobody can ask that daemon; set it and restart".into())
    })
}
