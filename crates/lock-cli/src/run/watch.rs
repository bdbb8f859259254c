//! A command that runs under a lease, from its start to its end.

use std::io::{IsTerminal as _, stdin};
use std::time::Duration;

use lock_core::{LockKey, LockSet, LossReason, OwnerId, Reason};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::getpgrp;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::command::{Change, Job};
use super::guardian::{self, Word};
use super::guardian_process::Guardian;
use super::signals::Signals;
use super::terminal::{self, Terminal};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Time between two looks at how far the lease reaches.
const GLANCE: Duration = Duration::from_secs(1);
/// Longest time that the release may take, after which the lease ends by itself.
const RELEASE: Duration = Duration::from_secs(5);
/// Longest time that a last renewal may take, before the command is asked to end.
const LAST: Duration = Duration::from_millis(200);
/// Longest time that the store gets for what can be done without it: the renewal of a lease whose command
/// was continued, and the release of one that is lost.
const CHECK: Duration = Duration::from_millis(800);

/// A command that runs under a lease.
pub(crate) struct Watch {
    set: LockSet,
    guardian: Guardian,
    job: Job,
    terminal: Terminal,
    grace: Duration,
    end: Option<End>,
    /// The status of the first process and when it ended, while others of the command may go on.
    ended: Option<(Exit, Instant)>,
    /// The deadline before which the last renewal was tried, and why it failed.
    tried: Option<Instant>,
    cause: Option<String>,
    /// The last signal that was passed on.
    passed_on: Option<Signal>,
    /// Whether it was told that the lock is held on.
    is_told: bool,
    /// The requests to release the lock that were told: the key, who asks, and why.
    requested: Vec<(LockKey, OwnerId, Option<Reason>)>,
}

/// The command is made to end.
struct End {
    reason: LossReason,
    kill_at: Instant,
    is_killed: bool,
}

impl Watch {
    pub(crate) fn new(set: LockSet, guardian: Guardian, job: Job, grace: Duration) -> Self {
        let (terminal, end, ended) = (Terminal::new(), None, None);
        let (tried, cause, passed_on) = (None, None, None);
        let (is_told, requested) = (false, Vec::new());
        Self {
            set,
            guardian,
            job,
            terminal,
            grace,
            end,
            ended,
            tried,
            cause,
            passed_on,
            is_told,
            requested,
        }
    }

    /// Tells the guardian of the command, which may start if this is `true`.
    pub(crate) fn begin(&mut self) -> bool {
        self.guardian.tell(Word::Group(self.job.family.group.as_raw()));
        self.tell_deadline();
        self.terminal.give(self.job.family.group);
        !self.set.is_lost()
    }

    pub(crate) async fn until_ended(&mut self, signals: &mut Signals, output: Output) -> Exit {
        loop {
            // A signal of before the first look is not lost: the look comes first.
            match self.job.change() {
                _ if self.ended.is_some() => {}
                Some(Change::Ended(exit)) => {
                    self.ended = Some((self.for_the_job(exit), Instant::now()));
                    // Who asks once more asks this process.
                    self.terminal.take();
                }
                Some(Change::Stopped(signal)) => self.stopped(signal).await,
                None => {}
            }
            if let Some((exit, _)) = self.ended
                && !self.is_held_on(exit)
            {
                return exit;
            }
            self.renew_at_last().await;
            self.tell_deadline();
            self.keep_guarded(output);
            self.tell_of_others(output);
            self.tell_of_request(output);
            self.act(output);
            let look_at = self.next_look();
            tokio::select! {
                signal = signals.next() => self.pass_on(signal),
                reason = lost(&self.set), if self.end.is_none() => self.lost(reason, output),
                () = sleep_until(look_at) => {}
            }
        }
    }

    /// A signal of the terminal to a command that had its foreground was meant for all that stand in line
    /// with this process.
    fn for_the_job(&self, exit: Exit) -> Exit {
        match exit {
            Exit::Signal { number, .. }
                if [Signal::SIGINT, Signal::SIGQUIT].map(|it| it as i32).contains(&number) =>
            {
                let is_own = self.passed_on.is_none_or(|signal| signal as i32 != number);
                Exit::Signal { number, is_of_job: is_own && self.terminal.is_given() }
            }
            exit => exit,
        }
    }

    /// Whether the lock must be held on although the first process has ended: a signal ended it, or the
    /// loss of the lock, and others of the command still run.
    fn is_held_on(&self, exit: Exit) -> bool {
        let is_over = match &self.end {
            Some(end) => end.is_killed,
            None => !matches!(exit, Exit::Signal { .. }),
        };
        !is_over && self.job.family.has_remaining()
    }

    /// Tells why the lock is held on.
    fn tell_of_others(&mut self, output: Output) {
        if !self.is_told
            && let Some((exit, since)) = self.ended
            && since.elapsed() >= GLANCE
        {
            self.is_told = true;
            let code = exit.code();
            output.warn(&format!(
                "the command has ended with {code}, but not all that it started: the lock is held until then"
            ));
        }
    }

    /// Tells who asks for the lock, and why.
    fn tell_of_request(&mut self, output: Output) {
        for guard in self.set.guards() {
            let Some(wanted) = guard.release_requested() else { continue };
            let request = (guard.key().clone(), wanted.by, wanted.reason);
            if !self.requested.contains(&request) {
                let (key, by, reason) = &request;
                let reason = reason.iter().map(|why| format!(": {why}")).collect::<String>();
                output.warn(&format!("`{by}` asks for the release of `{key}`{reason}"));
                self.requested.push(request);
            }
        }
    }

    fn pass_on(&mut self, signal: Signal) {
        match signal {
            Signal::SIGCHLD | Signal::SIGCONT => {}
            Signal::SIGHUP | Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTERM
                if self.ended.is_some_and(|(_, since)| since.elapsed() >= GLANCE) =>
            {
                // Asked again: what is left had its time.
                self.job.family.kill();
            }
            signal => {
                self.passed_on = Some(signal);
                self.job.family.pass_on(signal);
            }
        }
    }

    /// When to look again, if nothing happens before.
    fn next_look(&self) -> Instant {
        let mut glance = GLANCE.min(self.grace / 4).max(Duration::from_millis(20));
        if let Some((_, since)) = self.ended {
            glance = glance.min((since.elapsed() / 8).max(Duration::from_millis(10)));
        }
        let glance = Instant::now() + glance;
        match &self.end {
            Some(end) if !end.is_killed => end.kill_at.min(glance),
            _ => match self.set.deadline() {
                Some(deadline) if self.end.is_none() && self.tried != Some(deadline) => {
                    glance.min(deadline - self.grace - self.last())
                }
                Some(deadline) if self.end.is_none() => glance.min(deadline - self.grace),
                _ => glance,
            }
            .max(Instant::now() + Duration::from_millis(1)),
        }
    }

    fn last(&self) -> Duration {
        LAST.min(self.grace / 4)
    }

    /// Tries a last renewal just before the command would be asked to end, and keeps the cause if it
    /// fails.
    async fn renew_at_last(&mut self) {
        let Some(deadline) = self.set.deadline() else { return };
        let (now, ask_at) = (Instant::now(), deadline - self.grace);
        let is_due = now < ask_at && now + self.last() >= ask_at;
        if !is_due || self.end.is_some() || self.tried == Some(deadline) {
            return;
        }
        self.tried = Some(deadline);
        self.cause = match timeout_at(ask_at, self.set.renew_now()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:?}")),
            Err(_) => Some("the store does not answer".to_owned()),
        };
    }

    /// Asks the command to end before the lease is over, and kills it at the end.
    fn act(&mut self, output: Output) {
        let now = Instant::now();
        if self.end.is_none()
            && let Some(deadline) = self.set.deadline()
            && now + self.grace >= deadline
        {
            let cause = self.cause.iter().map(|cause| format!(" ({cause})")).collect::<String>();
            output.warn(&format!(
                "the lock could not be renewed{cause}: the command is asked to end"
            ));
            self.ask(LossReason::Overdue, deadline);
        }
        let deadline = self.set.deadline();
        if let Some(end) = &mut self.end {
            // The store may answer again in the last moment; the command is ended all the same.
            let kill_at = deadline.map_or(end.kill_at, |deadline| end.kill_at.min(deadline));
            let kill_at = if end.reason == LossReason::Overdue { kill_at } else { end.kill_at };
            if now >= kill_at && !end.is_killed {
                end.is_killed = true;
                self.job.family.kill();
            }
        }
    }

    fn ask(&mut self, reason: LossReason, kill_at: Instant) {
        self.job.family.ask();
        self.guardian.tell(Word::Asked);
        self.end = Some(End { reason, kill_at, is_killed: false });
    }

    fn lost(&mut self, reason: LossReason, output: Output) {
        output.warn(&format!("the lock was lost: {reason}"));
        if reason != LossReason::Overdue {
            self.cause = None;
        }
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
        if let Some(deadline) = self.set.deadline() {
            let left = deadline.saturating_duration_since(Instant::now());
            self.guardian.tell_deadline(left, self.grace);
        }
    }

    /// Replaces a guardian that has ended.
    fn keep_guarded(&mut self, output: Output) {
        match self.guardian.revive() {
            Ok(false) => {}
            Ok(true) => {
                output.warn("the guardian of the command has ended: another one is started");
            }
            Err(error) => output.warn(&format!("the command has no guardian: {error}")),
        }
    }

    /// The command was stopped: so is this process, and whoever waits for it may go on with both.
    async fn stopped(&mut self, signal: Signal) {
        let wants_terminal = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
        if wants_terminal {
            self.terminal.give_on_demand(self.job.family.group);
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
            let renewed = timeout(CHECK, self.set.renew_now()).await;
            if !matches!(renewed, Ok(Ok(()))) && self.set.is_lost() {
                self.job.family.kill();
                let reason = lost(&self.set).await;
                self.end = Some(End { reason, kill_at: Instant::now(), is_killed: true });
                return;
            }
            self.terminal.give(self.job.family.group);
        }
        self.job.family.pass_on(Signal::SIGCONT);
    }

    pub(crate) async fn finish(
        mut self,
        exit: Exit,
        signals: &mut Signals,
        output: Output,
    ) -> Result<Exit, Failure> {
        self.terminal.take();
        let keys: Vec<_> =
            self.set.guards().iter().map(|guard| format!("`{}`", guard.key())).collect();
        let keys = keys.join(", ");
        // So late, the guardian has asked the command to end, while this process was stopped.
        let is_late =
            self.set.deadline().is_some_and(|deadline| Instant::now() + self.grace >= deadline);
        let lost = match self.end {
            Some(end) => Some(end.reason),
            None => is_late.then_some(LossReason::Overdue),
        };
        if lost.is_some() {
            // What is left ends with the first process.
            self.job.family.kill();
        }
        // What is lost is given back as a courtesy.
        let limit = if lost.is_some() { CHECK } else { RELEASE };
        let released = tokio::select! {
            biased;
            released = timeout(limit, self.set.release()) => released.ok(),
            () = signals.until_impatient() => None,
        };
        if let Some(reason) = lost {
            let cause = self.cause.iter().map(|cause| format!(": {cause}")).collect::<String>();
            let message = format!("the lock of {keys} was lost: {reason}{cause}");
            return Err(Failure::new(Exit::Lost, message));
        }
        match released {
            Some(Ok(())) => Ok(exit),
            Some(Err(error)) if error.is_retryable() => {
                output.warn(&format!("{error:?}; the lease ends by itself"));
                Ok(exit)
            }
            Some(Err(error)) => Err(Failure::new(Exit::Lost, format!("{error:?}"))),
            None => {
                output.warn("the store does not answer; the lease ends by itself");
                Ok(exit)
            }
        }
    }
}

/// Why a lease of the set is lost.
async fn lost(set: &LockSet) -> LossReason {
    set.lost().await.1
}
