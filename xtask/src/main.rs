//! The project's own commands: `cargo xtask help` lists them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints what it found")]

mod api;
mod args;
mod bench;
mod ci;
mod deny;
mod doc;
mod door;
mod features;
mod fmt;
mod instructions;
mod lint;
mod package;
mod packages;
mod page;
mod redis;
mod service;
mod sh;
mod simulate;
mod soak;
mod terraform;
mod test;
mod tidy;

use std::process::ExitCode;

use args::Command;
use sh::{Lock, Sh};

fn main() -> ExitCode {
    let Some(command) = args::parse(std::env::args().skip(1)) else {
        eprint!("{}", args::USAGE);
        return ExitCode::from(2);
    };
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let sh = Sh::new(if command == Command::Ci { Lock::Locked } else { Lock::Free })?;
    match command {
        Command::Help => print!("{}", args::USAGE),
        Command::Ci => return Ok(ci::run(&sh)),
        Command::Redis => redis::run(&sh)?,
        Command::Test { valkey: false } => return Ok(test::run(&sh)),
        Command::Test { valkey: true } => return Ok(test::run_on_valkey(&sh)),
        Command::Fmt { fix } => fmt::run(&sh, fix)?,
        Command::Lint => lint::run(&sh)?,
        Command::Tidy => tidy::run(&sh)?,
        Command::Door => door::run(&sh)?,
        Command::Page { bless } => page::run(&sh, bless)?,
        Command::Doc => doc::run(&sh)?,
        Command::Api { bless } => api::run(&sh, bless)?,
        Command::Features => features::run(&sh)?,
        Command::Package => package::run(&sh)?,
        Command::Deny => deny::run(&sh)?,
        Command::Instructions { bless } => {
            instructions::run(&sh, bless)?;
        }
        Command::Simulate { args } => simulate::run(&sh, &args)?,
        Command::Soak { target, args } => soak::run(&sh, &target, &args)?,
        Command::Terraform { scenarios } => terraform::run(&sh, &scenarios)?,
        Command::Bench { name, charts } => bench::run(&sh, &name, charts)?,
    }
    Ok(ExitCode::SUCCESS)
}
