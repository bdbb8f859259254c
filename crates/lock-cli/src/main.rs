//! `lockctl`: take turns from any shell.

mod admin;
mod atlantis;
mod cli;
mod doctor;
mod documents;
mod exit;
mod generate;
mod leases;
mod look;
mod output;
mod run;
#[cfg(feature = "serve")]
mod serve;
mod store;
mod table;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::Builder;

use cli::{Cli, Verb};
use exit::{Exit, Failure};
use output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, and everything else is wrong usage.
            if !error.use_stderr() {
                return if error.print().is_ok() { Exit::Done } else { Exit::Output }.leave();
            }
            if std::env::args_os().any(|word| word == "--json") {
                let message = error.to_string();
                Output::new(true).failure(&Failure::new(Exit::Usage, message.trim_end()));
            } else {
                drop(error.print());
            }
            return Exit::Usage.leave();
        }
    };
    let output = Output::new(cli.json);
    match start(cli, output) {
        Ok(exit) => exit.leave(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.leave()
        }
    }
}

fn start(cli: Cli, output: Output) -> Result<Exit, Failure> {
    // These need no runtime, and the guardian must be small and quick.
    match &cli.verb {
        Verb::Guardian { mark } => return run::guardian::guard(mark, output),
        Verb::Gate { gate, command } => return run::gate::start(*gate, command),
        Verb::Completions { shell } => return generate::completions(*shell),
        Verb::Man => return generate::man(),
        _ => {}
    }
    let mut runtime = match &cli.verb {
        #[cfg(feature = "serve")]
        Verb::Serve(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Unavailable, error.to_string()))?;
    runtime.block_on(dispatch(cli, output))
}

async fn dispatch(cli: Cli, output: Output) -> Result<Exit, Failure> {
    if let Verb::Atlantis { verb } = cli.verb {
        return atlantis::run(cli.url.as_deref(), verb, output).await;
    }
    #[cfg(feature = "serve")]
    if let Verb::Serve(args) = cli.verb {
        return serve::serve(cli.url.as_deref(), *args, output).await;
    }
    if let Verb::Divide { from } = &cli.verb {
        return admin::divide(cli.url.as_deref(), from.as_deref(), output).await;
    }
    let store = store::open(cli.url.as_deref()).await?;
    match cli.verb {
        Verb::Run(args) => run::run(&store, args, output).await,
        Verb::Acquire { key, args } => leases::acquire(&store, key, args, output).await,
        Verb::Renew => leases::renew(&store, output).await,
        Verb::Release => leases::release(&store, output).await,
        Verb::Transfer { to } => leases::transfer(&store, to, output).await,
        Verb::Ls { prefix } => look::ls(&store, prefix, output).await,
        Verb::Show { key } => look::show(&store, key, output).await,
        Verb::Wait { key, wait } => look::wait(&store, key, wait, output).await,
        Verb::Watch { prefix } => look::watch(&store, prefix, output).await,
        Verb::Break { key, reason, owner } => {
            admin::evict(&store, key, reason, owner, output).await
        }
        Verb::RequestRelease { key, reason, within, owner } => {
            admin::request_release(&store, key, reason, within, owner, output).await
        }
        Verb::Cancel { key, request, reason } => {
            admin::cancel(&store, key, request, reason, output).await
        }
        Verb::Repair { key } => admin::repair(&store, key, output).await,
        Verb::Doctor => doctor::examine(&store, output).await,
        #[cfg(feature = "serve")]
        Verb::Serve(_) => Ok(Exit::Done),
        Verb::Atlantis { .. }
        | Verb::Divide { .. }
        | Verb::Completions { .. }
        | Verb::Man
        | Verb::Guardian { .. }
        | Verb::Gate { .. } => Ok(Exit::Done),
    }
}
