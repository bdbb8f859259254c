//! `run`: hold a key while a command runs, and never let the command outlive the lease.

mod command;
pub(crate) mod gate;
pub(crate) mod guardian;
mod signals;
mod terminal;
pub(crate) mod turn;

use std::io::{IsTerminal as _, Write as _, stdin};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use lock_core::{LockGuard, LossReason};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::getpgrp;
use tokio::time::{Instant, sleep_until};

use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::store::Store;
use command::{Change, Job, PROGRAM};
use gate::Gate;
use guardian::Word;
use signals::Signals;
use terminal::Terminal;
use turn::Turn;

/// Time between two looks at how far the lease reaches.
const GLANCE: Duration = Duration::from_secs(1);
/// Longest time that the release may take, after which the lease ends by itself.
const RELEASE: Duration = Duration::from_secs(5);

/// The signals of this process, from now on.
pub(crate) fn signals() -> Result<Signals, Failure> {
    Signals::listen()
}

/// Runs a command under a key.
pub(crate) async fn run(store: &Store, args: RunArgs, output: Output) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let manager = store.manager(args.acquire.owner.clone())?;
    let contended = args.acquire.contended_exit;
    let turn = turn::acquire(&manager, &args.acquire, args.if_held, &mut signals, output).await;
    let turn = turn.map_err(|failure| failure.with_contended(contended));
    let ended = match turn {
        Ok(Turn::Acquired(guard)) => hold(*guard, &args, &mut signals, output).await,
        Ok(Turn::Skipped) => Ok(Exit::Done),
        Ok(Turn::Interrupted(signal)) => Ok(Exit::of_signal(signal as i32)),
        Err(failure) => Err(failure),
    };
    manager.shutdown().await;
    ended
}

async fn hold(
    guard: LockGuard,
    args: &RunArgs,
    signals: &mut Signals,
    output: Output,
) -> Result<Exit, Failure> {
    let gate = Gate::new()?;
    let guardian = Guardian::start()?;
    let job = Job::start(&args.command, &guard, &gate)?;
    let grace = args.grace.min(args.acquire.ttl / 2);
    let mut watch = Watch { guard, guardian, job, terminal: Terminal::new(), grace, end: None };
    watch.guardian.tell(Word::Group(watch.job.group.as_raw()));
    watch.tell_deadline();
    watch.terminal.give(watch.job.group);
    // While this process was stopped, the lease may have ended: then the command never starts.
    if !watch.guard.is_lost() {
        gate.open();
    }
    let ended = watch.until_ended(signals, output).await;
    watch.finish(ended, output).await
}

/// A command that runs under a lease.
struct Watch {
    guard: LockGuard,
    guardian: Guardian,
    job: Job,
    terminal: Terminal,
    grace: Duration,
    end: Option<End>,
}

/// The command is made to end.
struct End {
    reason: LossReason,
    kill_at: Instant,
    is_killed: bool,
}

impl Watch {
    async fn until_ended(&mut self, signals: &mut Signals, output: Output) -> Exit {
        loop {
            // A signal of before the first look is not lost: the look comes first.
            match self.job.change() {
                Some(Change::Ended(exit)) => return exit,
                Some(Change::Stopped(signal)) => self.stopped(signal).await,
                None => {}
            }
            self.tell_deadline();
            self.act(output);
            let look_at = self.next_look();
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::SIGCHLD | Signal::SIGCONT => {}
                    signal => guardian::signal_only(self.job.group.as_raw(), signal),
                },
                reason = self.guard.lost(), if self.end.is_none() => self.lost(reason, output),
                () = sleep_until(look_at) => {}
            }
        }
    }

    /// When to look again, if nothing happens before.
    fn next_look(&self) -> Instant {
        let glance = Instant::now() + GLANCE.min(self.grace / 4).max(Duration::from_millis(20));
        match &self.end {
            Some(end) if !end.is_killed => end.kill_at.min(glance),
            _ => match self.guard.deadline() {
                Some(deadline) if self.end.is_none() => glance.min(deadline - self.grace),
                _ => glance,
            }
            .max(Instant::now() + Duration::from_millis(1)),
        }
    }

    /// Asks the command to end before the lease is over, and kills it at the end.
    fn act(&mut self, output: Output) {
        let now = Instant::now();
        if self.end.is_none()
            && let Some(deadline) = self.guard.deadline()
            && now + self.grace >= deadline
        {
            output.warn("the lock could not be renewed: the command is asked to end");
            self.ask(LossReason::Overdue, deadline);
        }
        let deadline = self.guard.deadline();
        if let Some(end) = &mut self.end {
            // The store may answer again in the last moment; the command is ended all the same.
            let kill_at = deadline.map_or(end.kill_at, |deadline| end.kill_at.min(deadline));
            let kill_at = if end.reason == LossReason::Overdue { kill_at } else { end.kill_at };
            if now >= kill_at && !end.is_killed {
                end.is_killed = true;
                guardian::signal(self.job.group.as_raw(), Signal::SIGKILL);
            }
        }
    }

    fn ask(&mut self, reason: LossReason, kill_at: Instant) {
        guardian::signal(self.job.group.as_raw(), Signal::SIGTERM);
        self.guardian.tell(Word::Asked);
        self.end = Some(End { reason, kill_at, is_killed: false });
    }

    fn lost(&mut self, reason: LossReason, output: Output) {
        output.warn(&format!("the lock was lost: {reason}"));
        match reason {
            // Nobody else knows of the command: it gets its time.
            LossReason::Ended(_) => {
                let kill_at = Instant::now() + self.grace;
                let at = guardian::now() + self.grace.as_millis() as u64;
                self.guardian.tell(Word::Deadline { at, grace: 0 });
                self.ask(reason, kill_at);
            }
            // Another may hold the key already.
            reason => {
                self.end = Some(End { reason, kill_at: Instant::now(), is_killed: false });
            }
        }
    }

    fn tell_deadline(&mut self) {
        if self.end.is_some() {
            return;
        }
        if let Some(deadline) = self.guard.deadline() {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis() as u64;
            let grace = self.grace.as_millis() as u64;
            self.guardian.tell_deadline(guardian::now() + left, grace);
        }
    }

    /// The command was stopped: so is this process, and its parent may resume both.
    async fn stopped(&mut self, signal: Signal) {
        let wants_terminal = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
        if wants_terminal {
            self.terminal.give_on_demand(self.job.group);
        }
        if signal == Signal::SIGSTOP && !stdin().is_terminal() {
            // Somebody has stopped the command alone, who lets it go on.
            return;
        }
        if !wants_terminal || !self.terminal.is_given() {
            self.terminal.take();
            if !terminal::is_orphan() {
                // The whole job stops, as it would without this process.
                let _ = killpg(getpgrp(), Signal::SIGSTOP);
            }
            // Here, this process goes on. The lease comes first.
            if self.guard.renew_now().await.is_err() && self.guard.is_lost() {
                guardian::signal(self.job.group.as_raw(), Signal::SIGKILL);
                let reason = self.guard.lost().await;
                self.end = Some(End { reason, kill_at: Instant::now(), is_killed: true });
                return;
            }
            self.terminal.give(self.job.group);
        }
        guardian::signal_only(self.job.group.as_raw(), Signal::SIGCONT);
    }

    async fn finish(mut self, exit: Exit, output: Output) -> Result<Exit, Failure> {
        self.terminal.take();
        let key = self.guard.key().clone();
        // So late, the guardian has asked the command to end, while this process was stopped.
        let is_late =
            self.guard.deadline().is_some_and(|deadline| Instant::now() + self.grace >= deadline);
        if self.end.is_some() || is_late {
            // The rest of the group ends with its leader.
            guardian::signal(self.job.group.as_raw(), Signal::SIGKILL);
            let reason = self.end.map_or(LossReason::Overdue, |end| end.reason);
            drop(tokio::time::timeout(RELEASE, self.guard.release()).await);
            let message = format!("the lock of `{key}` was lost: {reason}");
            return Err(Failure::new(Exit::Lost, message));
        }
        match tokio::time::timeout(RELEASE, self.guard.release()).await {
            Ok(Ok(())) => Ok(exit),
            Ok(Err(error)) if error.is_retryable() => {
                output.warn(&format!("{error:?}; the lease ends by itself"));
                Ok(exit)
            }
            Ok(Err(error)) => Err(Failure::new(Exit::Lost, format!("{error:?}"))),
            Err(_) => {
                output.warn("the store does not answer; the lease ends by itself");
                Ok(exit)
            }
        }
    }
}

/// The guardian as `lockctl run` knows it.
struct Guardian {
    process: Child,
    words: Option<ChildStdin>,
    told: Option<u64>,
}

impl Guardian {
    fn start() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Unavailable, format!("the guardian cannot start: {error}"))
        };
        // In a group of its own, no signal of the terminal reaches it.
        let mut process = Command::new(PROGRAM)
            .arg("__guardian")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let words = process.stdin.take();
        Ok(Self { process, words, told: None })
    }

    /// Failure is not an error: the guardian was killed, and this process watches alone.
    fn tell(&mut self, word: Word) {
        if let Some(words) = &mut self.words {
            drop(words.write_all(word.line().as_bytes()));
        }
    }

    fn tell_deadline(&mut self, at: u64, grace: u64) {
        // The clocks are read one after the other: less is no news.
        if self.told.is_none_or(|told| at > told + 10) {
            self.told = Some(at);
            self.tell(Word::Deadline { at, grace });
        }
    }
}

/// The command has ended, or was never started: nothing is left to guard.
impl Drop for Guardian {
    fn drop(&mut self) {
        // Also one that was stopped ends so.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
