//! `${NAME}` in a source: a value of the environment, so that no password need stand in the file.
//!
//! Pure: the environment is handed in. A value is taken as it is, whatever characters it holds: in
//! the login of an address it is percent-encoded, in a `pipeline:` every sign of it is escaped.
//! `$$` stands for `$`; any other `$` for itself.

use super::address::encode;

/// `typed` with every `${NAME}` replaced by what `lookup` says. The error is a sentence that names
/// the variable.
pub(crate) fn expand(
    typed: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    if !typed.contains('$') {
        return Ok(typed.to_owned());
    }
    let is_pipeline = typed.trim_start().starts_with("pipeline:");
    // Of an address, from where to where the login reaches.
    let login = typed
        .find("://")
        .map(|at| at + 3)
        .and_then(|start| Some((start, typed.rfind('@').filter(|end| *end > start)?)));
    let login = login.filter(|_| !is_pipeline);
    let (mut out, mut at) = (String::with_capacity(typed.len()), 0);
    while let Some(dollar) = typed[at..].find('$').map(|found| at + found) {
        out.push_str(&typed[at..dollar]);
        let after = &typed[dollar + 1..];
        if after.starts_with('$') {
            out.push('$');
            at = dollar + 2;
            continue;
        }
        let Some(inner) = after.strip_prefix('{') else {
            out.push('$');
            at = dollar + 1;
            continue;
        };
        let name = inner.split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
        let Some(name) = name else {
            return Err(
                "holds `${` without the name of a variable and `}` behind it; write `$${` if the characters themselves are meant"
                    .into(),
            );
        };
        let end = dollar + 3 + name.len();
        let value = lookup(name)
            .ok_or_else(|| format!("names the environment variable {name}, which is not set"))?;
        if value.is_empty() {
            return Err(format!("names the environment variable {name}, which is empty"));
        }
        match login {
            // `rtsp://${LOGIN}@host`: user and password in one.
            Some((from, to)) if from == dollar && to == end && value.contains(':') => {
                let (user, password) = value.split_once(':').unwrap_or_default();
                out.push_str(&format!("{}:{}", encode(user), encode(password)));
            }
            Some((_, to)) if dollar < to => out.push_str(&encode(&value)),
            _ if is_pipeline => escape(&value, &mut out),
            _ => out.push_str(&value),
        }
        at = end;
    }
    Ok(out + &typed[at..])
}

/// The text that [`expand`] turns into `plain` in any environment.
pub(crate) fn unexpanded(plain: &str) -> String {
    if plain.contains("$$") || plain.contains("${") {
        plain.replace('$', "$$")
    } else {
        plain.to_owned()
    }
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(good)
}

/// As gst-launch reads it, with or without quotes around it.
fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            out.push('\\');
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceSpec;

    const ODD: &str = "p@ss/w?o#r%41d \"x\" '!' \\ $y";

    fn told(typed: &str) -> Result<String, String> {
        expand(typed, &|name| match name {
            "PW" => Some("hunter2".into()),
            "ODD" => Some(ODD.into()),
            "LOGIN" => Some(format!("me:{ODD}")),
            "URL" => Some("rtsp://a:b@cam/1".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn a_variable_is_replaced_and_dollars_stay_what_they_are() {
        for (typed, text) in [
            ("rtsp://me:${PW}@cam/1", "rtsp://me:hunter2@cam/1"),
            ("rtsp://cam/${PW}?k=${PW}", "rtsp://cam/hunter2?k=hunter2"),
            ("rtsp://a:b$c@cam", "rtsp://a:b$c@cam"),
            ("rtsp://a:b$$c$$${PW}@cam", "rtsp://a:b$c$hunter2@cam"),
            ("$${PW}", "${PW}"),
            ("${URL}", "rtsp://a:b@cam/1"),
            ("cost$", "cost$"),
        ] {
            assert_eq!(told(typed).as_deref(), Ok(text), "{typed}");
        }
    }

    #[test]
    fn what_is_not_set_is_refused_by_name() {
        for (typed, says) in [
            ("rtsp://me:${CAM}@cam/1", "variable CAM, which is not set"),
            ("${EMPTY}", "variable EMPTY, which is empty"),
            ("a${", "write `$${`"),
            ("a${PW", "write `$${`"),
            ("a${1}", "write `$${`"),
            ("a${P W}", "write `$${`"),
            ("a${}", "write `$${`"),
        ] {
            let error = told(typed).unwrap_err();
            assert!(error.contains(says), "{typed}: {error}");
        }
    }

    #[test]
    fn in_a_login_a_value_is_taken_as_it_is() {
        for typed in ["rtsp://me:${ODD}@cam/1", "rtsp://${LOGIN}@cam/1"] {
            let Ok(SourceSpec::Rtsp { url, .. }) = told(typed).unwrap().parse() else {
                panic!("{typed}")
            };
            assert_eq!((url.user(), url.password(), url.rest()), (Some("me"), Some(ODD), "/1"));
        }
    }

    #[test]
    fn in_a_pipeline_a_value_reaches_its_property_as_it_is() {
        use gstreamer as gst;
        use gstreamer::prelude::*;
        gst::init().unwrap();
        if gst::ElementFactory::find("rtspsrc").is_none() {
            return eprintln!("SKIPPED: no element rtspsrc here");
        }
        for typed in [
            "pipeline:rtspsrc user-pw=${ODD} ! fakesink",
            "pipeline:rtspsrc user-pw=\"${ODD}\" name=x ! fakesink",
        ] {
            let text = told(typed).unwrap();
            let pipeline = gst::parse::launch(text.strip_prefix("pipeline:").unwrap())
                .unwrap()
                .downcast::<gst::Bin>()
                .unwrap();
            let source = pipeline.iterate_sources().next().unwrap().unwrap();
            assert_eq!(source.property::<String>("user-pw"), ODD, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_was_expanded_can_be_written_so_that_it_stays(text in "[a${}B1 ]{0,12}") {
            proptest::prop_assert_eq!(expand(&unexpanded(&text), &|_| None), Ok(text));
        }
    }
}
