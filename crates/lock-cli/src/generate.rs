//! `completions` and `man`: made from the command line itself.

use std::io;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};

pub(crate) fn completions(shell: Shell) -> Exit {
    clap_complete::generate(shell, &mut Cli::command(), "lockctl", &mut io::stdout());
    Exit::Done
}

pub(crate) fn man() -> Result<Exit, Failure> {
    let page = clap_mangen::Man::new(Cli::command()).render(&mut io::stdout());
    page.map_err(|error| Failure::new(Exit::Unavailable, error.to_string()))?;
    Ok(Exit::Done)
}
