//! `completions` and `man`: made from the command line itself.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::output::print_text;

pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lockctl", &mut text);
    print_text(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

pub(crate) fn man() -> Result<Exit, Failure> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(Cli::command()).render(&mut text);
    page.map_err(|error| Failure::new(Exit::Output, error.to_string()))?;
    print_text(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}
