//! `squint check`: all that is wrong with configuration, engines and policy, in one go. Changes
//! nothing, opens no camera.

use std::io::Write;

use crate::cli::CheckArgs;
use crate::config::Overrides;
use crate::daemon::context::{configuration, engine_info, is_fatal, read_policy};
use crate::daemon::process_limits;
use crate::engine::catalog::Catalog;
use crate::error::Error;
use crate::escape::Escaped;
use crate::policy::file::EngineInfo;
use crate::{features, print};

/// Prints every problem, one a line; fails if any of them would keep Squint from running.
pub(crate) fn check(args: &CheckArgs) -> Result<(), Error> {
    let mut flags = args.common.overrides();
    if args.common.config.is_none() {
        // Without a file there is no camera to check; everything else is still worth checking.
        flags = Overrides { source: Some("test".into()), ..flags };
    }
    let config = configuration(args.common.config.as_deref(), &flags)?;
    let mut out = print::page();
    let mut fatal = 0_usize;
    let mut say = |line: String, bad: bool| {
        fatal += usize::from(bad);
        writeln!(out, "{} {}", if bad { "error:  " } else { "warning:" }, Escaped(line))
            .map_err(Error::io(print::STDOUT))
    };

    for camera in &config.cameras {
        if let Some((problem, bad)) = camera.login.inspect() {
            say(format!("camera[{}]: {problem}", camera.name), bad)?;
        }
    }
    let (catalog, problems) = Catalog::open(&config.engines.folder);
    for problem in &problems {
        say(problem.to_string(), is_fatal(problem.level))?;
    }
    for problem in catalog.verify_files(catalog.ids()) {
        say(problem.to_string(), true)?;
    }
    let infos: Vec<EngineInfo> = catalog.ids().filter_map(|id| engine_info(&catalog, id)).collect();
    let bound = read_policy(&config).and_then(|file| Ok(file.bind(&infos, features::schema())?));
    if let Err(error) = &bound {
        say(error.to_string(), true)?;
    }
    let engines = bound
        .as_ref()
        .map_or(0, |_| read_policy(&config).map_or(0, |file| file.engine_ids().len()));
    for line in process_limits::told(&config, engines) {
        say(line, false)?;
    }
    if args.print {
        write!(print::raw(), "{}", config.to_toml()).map_err(Error::io(print::STDOUT))?;
    } else if let (0, Ok(policy)) = (fatal, &bound) {
        let cameras = match (&args.common.config, config.cameras.len()) {
            (None, _) => "no configuration file, all defaults".into(),
            (_, 1) => "1 camera".into(),
            (_, count) => format!("{count} cameras"),
        };
        let engines = catalog.ids().count();
        writeln!(
            out,
            "all well: {cameras}, {engines} engines, policy {} ({})",
            Escaped(policy.name()),
            policy.kind()
        )
        .map_err(Error::io(print::STDOUT))?;
    }
    match fatal {
        0 => Ok(()),
        1 => Err(Error::Unfit("1 error, see above".into())),
        count => Err(Error::Unfit(format!("{count} errors, see above"))),
    }
}
