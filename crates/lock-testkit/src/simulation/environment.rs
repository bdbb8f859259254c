//! The environment that all processes of a run share: store, mailboxes, observers and history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{Error, ErrorKind, MailboxId, Notice, Operation, RequestId, Result};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use super::history::{Actor, History};
use super::invariants::SLACK;
use super::link::{Link, NoticeFate};
use super::planted::Planted;
use super::show::{self, Show};
use super::store::Store;
use super::violation::Violation;
use super::witness::Witness;

/// The number of commands after which a run is a storm.
const COMMANDS: u64 = 200_000;

/// The environment that all processes of a run share.
#[derive(Debug)]
pub(super) struct Environment {
    begun: Instant,
    pub(super) planted: Option<Planted>,
    /// The allowance for delays of a real store; `None` for a simulated one.
    real: Option<Duration>,
    state: Mutex<State>,
    failed: Notify,
}

/// State of an environment, behind its lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) witness: Witness,
    history: History,
    violation: Option<Violation>,
    mailboxes: BTreeMap<MailboxId, Mailbox>,
    opened: u64,
    pub(super) commands: u64,
    /// The time from which the bounds hold strictly, once the faults have ended.
    pub(super) strict_from: Option<Instant>,
    /// The acquires that took effect and whose answer is on its way.
    unanswered: BTreeSet<RequestId>,
}

#[derive(Debug)]
struct Mailbox {
    number: u64,
    link: Arc<Link>,
    notices: mpsc::UnboundedSender<Notice>,
}

/// The end of a mailbox from which its notices are read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) mailbox: MailboxId,
    pub(super) number: u64,
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
}

impl Environment {
    /// An environment around a real store, with this allowance for delays.
    pub(super) fn around_a_store(history: History, slack: Duration) -> Self {
        Self { real: Some(slack), ..Self::new(history, None) }
    }

    /// An environment with an empty store.
    pub(super) fn new(history: History, planted: Option<Planted>) -> Self {
        let state = State {
            store: Store::new(planted),
            witness: Witness::default(),
            history,
            violation: None,
            mailboxes: BTreeMap::new(),
            opened: 0,
            commands: 0,
            strict_from: None,
            unanswered: BTreeSet::new(),
        };
        let (begun, state) = (Instant::now(), Mutex::new(state));
        Self { begun, planted, real: None, state, failed: Notify::new() }
    }

    /// Returns `true` if the store is real, so that only the processes' side is observed.
    pub(super) const fn is_real(&self) -> bool {
        self.real.is_some()
    }

    /// The allowance by which calls may end late.
    pub(super) fn slack(&self) -> Duration {
        self.real.unwrap_or(SLACK)
    }

    /// Everything at once.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `true` if this fault is planted.
    pub(super) fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    /// Notes what happened.
    pub(super) fn note(&self, who: Actor, what: fmt::Arguments<'_>) {
        let at = self.begun.elapsed();
        self.state().history.note(at, who, what);
    }

    /// Ends the run: a sentence was violated.
    pub(super) fn fail(&self, violation: Violation) {
        self.note(Actor::Plan, format_args!("VIOLATED {violation}"));
        self.state().violation.get_or_insert(violation);
        self.failed.notify_waiters();
    }

    /// Ends the run unless all is well.
    pub(super) fn check(&self, outcome: std::result::Result<(), Violation>) {
        if let Err(violation) = outcome {
            self.fail(violation);
        }
    }

    /// Waits until a sentence is violated.
    pub(super) async fn until_failed(&self) {
        loop {
            let failed = self.failed.notified();
            if self.state().violation.is_some() {
                return;
            }
            failed.await;
        }
    }

    /// The violation, the history and the time taken.
    pub(super) fn end(&self) -> (Option<Violation>, History, Duration) {
        let mut state = self.state();
        (state.violation.take(), std::mem::take(&mut state.history), self.begun.elapsed())
    }

    /// Does one command of a process.
    pub(super) fn command<T: Show>(
        self: &Arc<Self>,
        slot: usize,
        operation: Operation,
        what: &str,
        command: &mut dyn FnMut(&mut Store) -> T,
    ) -> Result<T> {
        let mut state = self.state();
        let State { store, mailboxes, .. } = &mut *state;
        if store.is_down {
            return Err(Error::new(ErrorKind::Unavailable, operation));
        }
        if store.token_is_missing {
            // A command that finds no token writes one and does nothing else.
            store.token_is_missing = false;
            let all = mailboxes.keys().map(|mailbox| (*mailbox, Notice::MayHaveMissed)).collect();
            drop(state);
            self.note(Actor::Store, format_args!("p{slot} {what}: the token was missing"));
            self.tell(all);
            return Err(Error::new(ErrorKind::Unavailable, operation));
        }
        let answer = command(store);
        let notices = std::mem::take(&mut store.outbox);
        let violation = store.ledger.violations.pop();
        state.commands += 1;
        let is_storm = state.commands > COMMANDS;
        drop(state);
        self.note(Actor::Store, format_args!("p{slot} {what}: {}", answer.show()));
        if let Some(violation) = violation {
            self.fail(violation);
        }
        if is_storm {
            let sentence = "Clients send a bounded number of commands.";
            self.fail(Violation::new(sentence, format!("more than {COMMANDS}")));
        }
        self.tell(notices);
        self.look();
        Ok(answer)
    }

    /// Checks the invariants that hold at all times.
    pub(super) fn look(&self) {
        let outcome = {
            let mut state = self.state();
            match self.is_real() {
                true => state.witness.check_beliefs_alone(),
                false => state.witness.check_beliefs(&state.store.ledger),
            }
        };
        self.check(outcome);
    }

    /// Sends notices to mailboxes.
    fn tell(self: &Arc<Self>, notices: Vec<(MailboxId, Notice)>) {
        for (mailbox, notice) in notices {
            let state = self.state();
            let Some(Mailbox { number, link, .. }) = state.mailboxes.get(&mailbox) else {
                continue;
            };
            let (number, link) = (*number, Arc::clone(link));
            drop(state);
            let is_untold = match notice {
                Notice::Granted(_) => self.has(Planted::PromotionIsNotTold),
                Notice::Ended { .. } => self.has(Planted::ForceIsNotTold),
                _ => false,
            };
            if is_untold {
                continue;
            }
            match link.notify() {
                Some(fate) => {
                    let way = deliver(Arc::clone(self), link, fate, (mailbox, number), notice);
                    drop(tokio::spawn(way));
                }
                None => self.note(
                    Actor::Process(link.slot),
                    format_args!("a notice is lost: {}", show::notice(&notice)),
                ),
            }
        }
    }

    /// Sends `MayHaveMissed` to the mailboxes of a process, or closes them.
    pub(super) fn tell_missed(&self, link: &Link, ends_notices: bool) {
        if self.has(Planted::MissedNoticesAreNotTold) {
            return;
        }
        let mut state = self.state();
        state.mailboxes.retain(|_, mailbox| {
            let is_told = mailbox.link.slot == link.slot && !mailbox.link.is_dead();
            if is_told && !ends_notices {
                // The stream may just have been dropped.
                let _ = mailbox.notices.send(Notice::MayHaveMissed);
            }
            !(is_told && ends_notices)
        });
    }

    /// Opens a mailbox.
    pub(super) fn open(&self, mailbox: MailboxId, link: &Arc<Link>) -> Opened {
        let (sender, notices) = mpsc::unbounded_channel();
        let mut state = self.state();
        state.opened += 1;
        let number = state.opened;
        let opened = Mailbox { number, link: Arc::clone(link), notices: sender };
        state.mailboxes.insert(mailbox, opened);
        Opened { mailbox, number, notices }
    }

    /// Closes a mailbox, unless it was opened again.
    pub(super) fn close(&self, mailbox: MailboxId, number: u64) {
        let mut state = self.state();
        if state.mailboxes.get(&mailbox).is_some_and(|open| open.number == number) {
            state.mailboxes.remove(&mailbox);
        }
    }

    /// The number of mailboxes that are open.
    pub(super) fn open_mailboxes(&self) -> usize {
        self.state().mailboxes.len()
    }

    /// Remembers whether an acquire is being answered.
    pub(super) fn answer_is_on_its_way(&self, request: RequestId, is_on_its_way: bool) {
        let mut state = self.state();
        match is_on_its_way {
            true => state.unanswered.insert(request),
            false => state.unanswered.remove(&request),
        };
    }

    fn receive(&self, link: &Link, to: (MailboxId, u64), notice: Notice) {
        let state = self.state();
        let is_early =
            matches!(&notice, Notice::Granted(grant) if state.unanswered.contains(&grant.request));
        let open = state.mailboxes.get(&to.0).filter(|open| open.number == to.1);
        let Some(sender) = open.map(|open| open.notices.clone()) else { return };
        drop(state);
        if is_early && self.has(Planted::NoticeBeforeAnswerIsLost) {
            return;
        }
        self.note(Actor::Process(link.slot), format_args!("receives {}", show::notice(&notice)));
        // The stream may just have been dropped.
        let _ = sender.send(notice);
    }
}

/// Brings a notice to its process.
async fn deliver(
    environment: Arc<Environment>,
    link: Arc<Link>,
    fate: NoticeFate,
    to: (MailboxId, u64),
    notice: Notice,
) {
    for wait in [Some(fate.takes), fate.repeated_after].into_iter().flatten() {
        sleep(wait).await;
        link.until_free().await;
        if !link.is_connection(fate.connection) || link.is_dead() {
            return;
        }
        environment.receive(&link, to, notice.clone());
    }
}
