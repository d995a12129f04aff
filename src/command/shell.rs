//! What a packager wants: completions and man pages, generated from the command line itself.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::print;
use crate::cli::Cli;
use crate::error::Error;

/// Prints the completion script of `shell`.
pub(crate) fn completions(shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "squint", &mut script);
    print::raw().write_all(&script).map_err(Error::io(print::STDOUT))
}

/// Writes one page a command into `folder`, or the main page to standard output.
pub(crate) fn man(folder: Option<&Path>) -> Result<(), Error> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Error::io(print::STDOUT))?;
        return print::raw().write_all(&page).map_err(Error::io(print::STDOUT));
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(Error::io(folder.display()))
}
