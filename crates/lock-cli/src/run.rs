//! `run`: hold a key while a command runs, and never let the command outlive the lease.

mod command;
mod family;
pub(crate) mod gate;
pub(crate) mod guardian;
mod guardian_process;
mod signals;
mod terminal;
pub(crate) mod turn;
mod watch;

use lock_core::{LockManager, LockSet};

use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::store::Store;
use command::Job;
use family::Mark;
use gate::Gate;
use guardian_process::Guardian;
use signals::Signals;
use turn::Turn;
use watch::Watch;

/// The signals of this process, from now on.
pub(crate) fn signals() -> Result<Signals, Failure> {
    Signals::listen()
}

/// Runs a command under a key.
pub(crate) async fn run(store: &Store, args: RunArgs, output: Output) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let manager = store.manager(args.acquire.owner.clone())?;
    let contended = args.acquire.contended_exit;
    let turn = {
        let RunArgs { keys, acquire, if_held, .. } = &args;
        turn::acquire(&manager, keys, acquire, *if_held, &mut signals, output).await
    };
    let turn = turn.map_err(|failure| failure.with_contended(contended));
    let ended = match turn {
        Ok(Turn::Acquired(set)) => hold(set, &args, &mut signals, output).await,
        Ok(Turn::Skipped) => Ok(Exit::Done),
        Ok(Turn::Interrupted(signal)) => Ok(Exit::of_signal(signal as i32)),
        Err(failure) => Err(failure),
    };
    shut_down(&manager, &mut signals).await;
    ended
}

/// Gives back what is left, as long as nobody is in a hurry.
pub(crate) async fn shut_down(manager: &LockManager, signals: &mut Signals) {
    tokio::select! {
        biased;
        _ = manager.shutdown() => {}
        () = signals.until_impatient() => {}
    }
}

async fn hold(
    set: LockSet,
    args: &RunArgs,
    signals: &mut Signals,
    output: Output,
) -> Result<Exit, Failure> {
    let gate = Gate::new()?;
    let mark = Mark::new(&set);
    let guardian = Guardian::start(mark.clone())?;
    let job = Job::start(&args.command, &set, &gate, mark)?;
    let mut watch = Watch::new(set, guardian, job, args.grace.min(args.acquire.ttl / 2));
    // While this process was stopped, the lease may have ended: then the command never starts.
    if watch.begin() {
        gate.open();
    }
    let ended = watch.until_ended(signals, output).await;
    watch.finish(ended, signals, output).await
}
