//! What a packager wants: completions and man pages, generated from the command line itself.

use std::io::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::Error;
use crate::{files, print};

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
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(Error::io(print::STDOUT))?;
        return print::raw().write_all(&page).map_err(Error::io(print::STDOUT));
    };
    std::fs::create_dir_all(folder).map_err(Error::io(folder.display()))?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    pages(&command, folder)
}

/// The page of `command` and those of its subcommands.
fn pages(command: &Command, folder: &Path) -> Result<(), Error> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(below, folder)?;
    }
    let (man, mut page) = (clap_mangen::Man::new(command.clone()), Vec::new());
    let file = folder.join(man.get_filename());
    man.render(&mut page)
        .and_then(|()| files::write(&file, &page))
        .map_err(Error::io(file.display()))
}
