//! The meaning of a request and its response. Pure, except for [`Steering`], /proc and the groups
//! of the caller.

use std::net::IpAddr;

use super::peer::{Group, Peer};
use super::protocol::{Answer, JSON, METRICS, Method, Refusal, Request, TEXT};
use super::{Setting, Steering, process};
use crate::escape::Escaped;
use crate::observe::{State, metrics};
use crate::vocabulary::Mode;

/// Which endpoint a request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// The unix socket: whoever may connect may read, some may do everything.
    Unix(Peer),
    /// The loopback port: anybody on the machine, so reading only.
    Port,
}

/// How to answer.
pub(super) enum Reply {
    /// At once.
    Answer(Answer),
    /// With the state, a line a second, until the client leaves.
    Watch,
}

/// The routes, for the message about one that does not exist.
const ROUTES: &str =
    "GET /status, /metrics, /healthz, /readyz; POST /reload, /log-level, /policy, /mode";

/// Does what was asked.
pub(super) fn route(
    request: &Request,
    endpoint: Endpoint,
    group: &Group,
    steering: &dyn Steering,
) -> Reply {
    answer(request, endpoint, group, steering)
        .unwrap_or_else(|refusal| Reply::Answer(refusal.into()))
}

fn answer(
    request: &Request,
    endpoint: Endpoint,
    group: &Group,
    steering: &dyn Steering,
) -> Result<Reply, Refusal> {
    if endpoint == Endpoint::Port && !is_local(request.host.as_deref()) {
        return Err(Refusal::new(
            403,
            "ask for 127.0.0.1 or localhost: a name of another host is not answered here",
        ));
    }
    let tells = |answer| Ok(Reply::Answer(answer));
    let may_change = || match endpoint {
        Endpoint::Port => Err(elsewhere("changing anything")),
        Endpoint::Unix(peer) => group.admits(peer),
    };
    match (request.path.as_str(), request.method) {
        ("/status", Method::Get) => match (request.query.as_str(), endpoint) {
            ("watch", Endpoint::Unix(_)) => Ok(Reply::Watch),
            ("watch", Endpoint::Port) => Err(elsewhere("watching")),
            _ => tells(Answer::new(200, JSON, line(&steering.state()))),
        },
        ("/metrics", Method::Get) => {
            tells(Answer::new(200, METRICS, metrics::render(&steering.state(), &process::read())))
        }
        ("/healthz", Method::Get) => tells(healthy(&steering.state())),
        ("/readyz", Method::Get) => tells(ready(&steering.state())),
        ("/reload", Method::Post) => {
            may_change()?;
            tells(outcome(steering.reload())?)
        }
        (path, Method::Post) if setting(path).is_some() => {
            let what = setting(path).expect("looked up a moment ago");
            may_change()?;
            check(what, &request.body)?;
            tells(outcome(steering.set(what, &request.body))?)
        }
        ("/status" | "/metrics" | "/healthz" | "/readyz", Method::Post) => {
            Err(Refusal::new(405, "this is read with GET"))
        }
        ("/reload" | "/log-level" | "/policy" | "/mode", Method::Get) => {
            Err(Refusal::new(405, "this is done with POST"))
        }
        _ => Err(Refusal::new(404, format!("there is no such route; there are: {ROUTES}"))),
    }
}

/// The state as one line of JSON.
pub(super) fn line(state: &State) -> String {
    let mut line = serde_json::to_string(state).expect("every key is a string");
    line.push('\n');
    line
}

fn elsewhere(what: &str) -> Refusal {
    Refusal::new(
        403,
        format!("{what} needs the unix socket (control.socket); this port is for reading"),
    )
}

/// A page of the web that talks to this machine's ports does so under a name of its own; addresses
/// and `localhost` are no such names.
fn is_local(host: Option<&str>) -> bool {
    let Some(host) = host else { return true };
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    let bare = bare.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn setting(path: &str) -> Option<Setting> {
    let name = path.strip_prefix('/')?;
    Setting::ALL.into_iter().find(|what| what.name() == name)
}

fn check(what: Setting, value: &str) -> Result<(), Refusal> {
    let allowed = match what {
        Setting::LogLevel => vec!["error", "warn", "info", "debug", "trace"],
        Setting::Mode => Mode::ALL.iter().map(|mode| mode.name()).collect(),
        Setting::Policy if value.is_empty() => {
            return Err(Refusal::new(
                400,
                "policy: the body must be a name such as default, or the path of a policy file",
            ));
        }
        Setting::Policy => return Ok(()),
    };
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(Refusal::new(
        400,
        format!("{} = \"{value}\" is not known; allowed: {}", what.name(), allowed.join(", ")),
    ))
}

fn outcome(done: Result<String, String>) -> Result<Answer, Refusal> {
    let message = done.map_err(|why| Refusal::new(409, why))?;
    Ok(Answer::new(200, JSON, format!("{}\n", serde_json::json!({"message": message}))))
}

fn healthy(state: &State) -> Answer {
    match (state.healthy, state.complaints.is_empty()) {
        (true, _) => Answer::new(200, TEXT, "ok\n".into()),
        (false, true) => Answer::new(503, TEXT, "unhealthy, and nobody says why\n".into()),
        (false, false) => {
            Answer::new(503, TEXT, format!("{}\n", one_line(&state.complaints.join("; "))))
        }
    }
}

fn ready(state: &State) -> Answer {
    if state.ready {
        // It answers, if less well than it should: whoever asks in order to send frames hears yes.
        let degraded: String =
            state.degraded.iter().map(|why| format!("; {}", one_line(why))).collect();
        return Answer::new(200, TEXT, format!("ok{degraded}\n"));
    }
    let mut why = state.phase.name().to_owned();
    for complaint in &state.complaints {
        why.push_str("; ");
        why.push_str(complaint);
    }
    Answer::new(503, TEXT, format!("{}\n", one_line(&why)))
}

fn one_line(text: &str) -> String {
    Escaped(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_names_of_this_machine() {
        for host in [
            "localhost",
            "LocalHost:9100",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:9100",
            "192.0.2.1:1",
        ] {
            assert!(is_local(Some(host)), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9100",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
        ] {
            assert!(!is_local(Some(host)), "{host}");
        }
        assert!(is_local(None));
    }
}
