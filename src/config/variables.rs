//! Decides whether an environment variable that begins with `SQUINT_` is a setting, a typing error,
//! or a variable of another program.
//!
//! Pure. Kubernetes and Docker set `SQUINT_PORT`, `SQUINT_SERVICE_HOST` and more for a service or a
//! container named squint, and an image may set `SQUINT_VERSION`. Those must not keep Squint from
//! starting. A mistyped setting must not be ignored: a name that is close to a setting, or that
//! begins with a section of the configuration and `__`, is refused.

use super::keys::{self, Key, SECTIONS};
use super::suggest;

/// What all of them begin with.
const PREFIX: &str = "SQUINT_";
/// What the addresses begin with that Kubernetes and Docker hand over.
const LINKS: [&str; 3] = ["tcp://", "udp://", "sctp://"];

/// What a variable is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It does not begin with `SQUINT_`, is read elsewhere ([`super::RESERVED_VARIABLES`]), or is
    /// empty, which counts as not set.
    Nothing,
    /// It sets a key: `section__name`, with `-` within the names, as the `config` crate wants it.
    Setting(String),
    /// It was meant to set something and does not: what is wrong with it, and what to do.
    Slip(&'static str, Option<String>),
    /// Made by Kubernetes or Docker for a service of this name.
    Link,
    /// Somebody else's.
    Stranger,
}

/// What the variable `name` is.
pub(super) fn meaning(name: &str, value: &str) -> Meaning {
    let Some(tail) = name.strip_prefix(PREFIX) else { return Meaning::Nothing };
    if super::RESERVED_VARIABLES.contains(&name) || value.is_empty() {
        return Meaning::Nothing;
    }
    let spelt = tail
        .split("__")
        .map(|part| part.replace('_', "-").to_lowercase())
        .collect::<Vec<_>>()
        .join("__");
    let path = spelt.replace("__", ".");
    if keys::find(&path).and_then(Key::variable).is_some_and(|variable| variable == name) {
        return Meaning::Setting(spelt);
    }
    if path == "camera" || path.starts_with("camera.") {
        return Meaning::Slip(
            "is not a setting: cameras are not set by variables",
            Some("use a file or --source".into()),
        );
    }
    if is_link(tail, value) {
        return Meaning::Link;
    }
    let ours = path
        .split_once('.')
        .is_some_and(|(first, _)| SECTIONS.iter().any(|section| section.path == first));
    match suggest::slip(name) {
        None if !ours => Meaning::Stranger,
        hint => Meaning::Slip("is not a setting", hint.or_else(|| suggest::variable(name))),
    }
}

/// True for what Kubernetes
/// (<https://kubernetes.io/docs/concepts/containers/container-environment/>) and Docker's links
/// (<https://docs.docker.com/engine/network/links/>) set.
fn is_link(tail: &str, value: &str) -> bool {
    let parts: Vec<&str> = tail.split('_').collect();
    let pair = |is: fn(&str, &str) -> bool| parts.windows(2).any(|pair| is(pair[0], pair[1]));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    LINKS.iter().any(|scheme| value.starts_with(scheme))
        || pair(|one, two| one == "SERVICE" && matches!(two, "HOST" | "PORT"))
        || parts.windows(2).any(|pair| pair[0] == "PORT" && number(pair[1]))
        || parts[..parts.len() - 1].contains(&"ENV")
        || (parts.last() == Some(&"NAME") && value.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_and_docker_set_is_no_setting_and_no_mistake() {
        for (name, value) in [
            ("SQUINT_PORT", "tcp://10.0.0.7:9105"),
            ("SQUINT_SERVICE_HOST", "10.0.0.7"),
            ("SQUINT_SERVICE_PORT", "9105"),
            ("SQUINT_SERVICE_PORT_HTTP", "9105"),
            ("SQUINT_PORT_9105_TCP", "tcp://10.0.0.7:9105"),
            ("SQUINT_PORT_9105_TCP_PROTO", "tcp"),
            ("SQUINT_PORT_9105_TCP_PORT", "9105"),
            ("SQUINT_PORT_9105_TCP_ADDR", "10.0.0.7"),
            ("SQUINT_PORT_5000_UDP_PORT_START", "5000"),
            ("SQUINT_METRICS_SERVICE_HOST", "10.0.0.7"),
            ("SQUINT_METRICS_PORT", "tcp://10.0.0.7:9105"),
            ("SQUINT_NAME", "/web/squint"),
            ("SQUINT_1_NAME", "/web/squint_1"),
            ("SQUINT_ENV_PATH", "/usr/bin:/bin"),
            ("SQUINT_1_ENV_A__B", "x"),
        ] {
            assert_eq!(meaning(name, value), Meaning::Link, "{name}");
        }
    }

    #[test]
    fn a_slip_is_told_from_what_belongs_to_others() {
        for (name, hint) in [
            ("SQUINT_POLCY", "did you mean `SQUINT_POLICY`?"),
            ("SQUINT_LOGLEVEL", "did you mean `SQUINT_LOG_LEVEL`?"),
            ("SQUINT_ENGINES_THREADS", "did you mean `SQUINT_ENGINES__THREADS`?"),
            ("SQUINT_BUGDET__MODE", "did you mean `SQUINT_BUDGET__MODE`?"),
            ("SQUINT_OUTPUT_FILE_PATH", "did you mean `SQUINT_OUTPUT__FILE__PATH`?"),
            ("SQUINT_CAMERA__SOURCE", "use a file or --source"),
        ] {
            let Meaning::Slip(_, found) = meaning(name, "1") else { panic!("{name} passes") };
            assert_eq!(found.as_deref(), Some(hint), "{name}");
        }
        assert!(matches!(meaning("SQUINT_BUDGET__NO_SUCH_LIMIT_AT_ALL", "1"), Meaning::Slip(..)));
        for name in [
            "SQUINT_VERSION",
            "SQUINT_HOME",
            "SQUINT_IMAGE",
            "SQUINT_PORT",
            "SQUINT_USER",
            "SQUINT_CAMERA_PASSWORD",
            "SQUINT_",
        ] {
            assert_eq!(meaning(name, "x"), Meaning::Stranger, "{name}");
        }
        for (name, value) in [
            ("SQUINT_CONFIG", "/a"),
            ("SQUINTING_PORT", "tcp://x"),
            ("PATH", "/bin"),
            ("SQUINT_POLCY", ""),
        ] {
            assert_eq!(meaning(name, value), Meaning::Nothing, "{name}");
        }
        assert_eq!(
            meaning("SQUINT_ENGINES__DEADLINE_MS", "9"),
            Meaning::Setting("engines__deadline-ms".into())
        );
    }
}
