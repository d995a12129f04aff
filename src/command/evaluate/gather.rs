//! The profile that is judged: read from its file, or made first of labelled photos or a stream.

use crate::cli::EvaluateArgs;
use crate::command::profile::{self, Ended};
use crate::error::Error;
use crate::files::Temporary;
use crate::lab::profile::{Profile, file};
use crate::pipeline::clock::Stop;
use crate::{print, service};

/// Name of the profile in its temporary folder.
const NAME: &str = "profile.parquet";

/// Reads the profile; with `--images`, makes it first and says so.
pub(super) fn gathered(args: &EvaluateArgs) -> Result<Profile, Error> {
    if let Some(path) = &args.profile {
        return Ok(file::read(path)?);
    }
    let (folder, out) = match &args.gather.keep_profile {
        Some(path) => (None, path.clone()),
        None => {
            let folder =
                Temporary::make("squint-evaluate").map_err(Error::io("a temporary folder"))?;
            let out = folder.path().join(NAME);
            (Some(folder), out)
        }
    };
    let Some(first) = args.gather.profile(&args.common, out.clone()) else {
        return Err(Error::Usage("neither --profile nor --images is named".into()));
    };
    let whereto = if folder.is_some() {
        "a temporary file (--keep-profile FILE keeps it)".into()
    } else {
        out.display().to_string()
    };
    print::tell(format_args!("profiling {} first, into {whereto}", first.images.display()));
    let stop = Stop::new();
    service::stop_on_signals(&stop).map_err(Error::io("signals"))?;
    match profile::make(&first, &stop)? {
        Ended::Written(what) => print::tell(what),
        Ended::Stopped(done, of) => {
            let advice = if folder.is_some() {
                "nothing is kept"
            } else {
                "the same command goes on from there"
            };
            return Err(profile::stopped(
                out.display(),
                format!("stopped with {done} of {of} blocks done; {advice}"),
            ));
        }
    }
    // From here on there is nothing to finish: the first signal ends it.
    let signal = stop.signal().clone();
    let ended = move || {
        let _ = signal.recv();
        std::process::exit(130);
    };
    std::thread::Builder::new().name("ended".into()).spawn(ended).map_err(Error::io("a thread"))?;
    Ok(file::read(&out)?)
}
