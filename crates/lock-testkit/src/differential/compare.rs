//! One sequence of commands, sent to a store and to the machine.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::num::NonZeroU32;

use lock_core::{InspectQuery, Inspection, ListQuery, LockKey, LockStore, ManualClock, WaitsQuery};

use super::answer::Answer;
use super::call::Call;
use super::command::Command;
use super::disagreement::{Disagreement, Entry};
use super::event_log::EventLog;
use super::mailboxes::Mailboxes;
use super::oracle::Oracle;
use super::plan::Settings;
use super::report::Tally;
use super::tokens::Counters;
use super::{START, values};

/// The number of commands between inspections of everything.
const LOOK_AROUND_EVERY: usize = 10;

/// Maximum number of leases and of waiters that an inspection shows: more than there ever are.
pub(super) const LOOK_LIMIT: NonZeroU32 =
    NonZeroU32::new(InspectQuery::MAX_LIMIT).expect("not zero");

/// Sends the commands to the empty `store` and to the machine, and counts the answers.
///
/// The clock, which must be that of the store, is set to [`START`] first and then moved by the
/// commands.
///
/// # Errors
/// The first [`Disagreement`].
///
/// # Cancel safety
/// A dropped call leaves the store with the commands sent so far.
pub async fn compare(
    store: &dyn LockStore,
    clock: &ManualClock,
    commands: &[Command],
    settings: &Settings,
) -> Result<Tally, Disagreement> {
    clock.set(START);
    let (sent, history, tally) = (Vec::new(), Vec::new(), Tally::default());
    let counters = Counters::of(store).await.map_err(|why| Disagreement {
        history: Vec::new(),
        expected: "a token for every lease".to_owned(),
        answered: why,
    })?;
    let oracle = Oracle::new(START, counters);
    let (event_log, mailboxes) = (None, None);
    let mut bench =
        Bench { store, clock, settings, oracle, sent, history, tally, event_log, mailboxes };
    bench.run(commands).await?;
    bench.tally.count_changes(&bench.oracle.events);
    bench.tally.count_notices(&bench.oracle.notices);
    Ok(bench.tally)
}

struct Bench<'a> {
    store: &'a dyn LockStore,
    clock: &'a ManualClock,
    settings: &'a Settings,
    oracle: Oracle,
    /// The calls that the commands resolved to, without inspections.
    sent: Vec<Call>,
    history: Vec<Entry>,
    tally: Tally,
    event_log: Option<EventLog>,
    mailboxes: Option<Mailboxes>,
}

impl Bench<'_> {
    async fn run(&mut self, commands: &[Command]) -> Result<(), Disagreement> {
        if self.settings.events {
            let event_log = EventLog::begin(self.store).await;
            self.event_log = Some(event_log.map_err(|why| self.disagreement(&"events", why))?);
        }
        if self.settings.notices {
            let mailboxes = Mailboxes::open(self.store).await;
            self.mailboxes = Some(mailboxes.map_err(|why| self.disagreement(&"notices", why))?);
        }
        for (number, command) in commands.iter().enumerate() {
            self.command(command).await?;
            if (number + 1).is_multiple_of(LOOK_AROUND_EVERY) {
                self.look_around().await?;
            }
        }
        self.look_around().await?;
        if let Some(event_log) = self.event_log.take() {
            let end = event_log.end(&self.oracle.events).await;
            end.map_err(|(right, told)| self.disagreement(&right, told))?;
        }
        if let Some(mailboxes) = self.mailboxes.take() {
            let end = mailboxes.end(&self.oracle.notices).await;
            end.map_err(|(right, told)| self.disagreement(&right, told))?;
        }
        Ok(())
    }

    async fn command(&mut self, command: &Command) -> Result<(), Disagreement> {
        if let Some(now) = command.step.moves_clock_to(&self.oracle) {
            self.clock.set(now);
            self.oracle.now = now;
            self.history.push(Entry::Clock(now));
            return Ok(());
        }
        let calls = command.step.calls(&self.oracle, &self.sent);
        for call in &calls {
            self.call(call).await?;
            self.sent.push(call.clone());
        }
        if command.look
            && let Some(call) = calls.last()
        {
            for key in call.keys() {
                self.ask(look(key)).await?;
            }
        }
        Ok(())
    }

    async fn call(&mut self, call: &Call) -> Result<(), Disagreement> {
        match call {
            // A store may answer a batch in one step, and each page in one.
            Call::Hear(_) | Call::Renew(_) if !self.oracle.is_plain_to_batch(&call.keys()) => {
                for key in call.keys() {
                    self.look_until_clean(&key).await?;
                }
                self.ask(call.clone()).await.map(drop)
            }
            Call::Inspect(query) => {
                self.look_until_clean(&query.key).await?;
                self.ask(call.clone()).await.map(drop)
            }
            Call::List(_) | Call::WaitsOf(_) => {
                if !self.oracle.is_plain_to_see() {
                    self.look_at_keys().await?;
                }
                self.ask(call.clone()).await?;
                // A store need not settle keys that it did not show.
                self.look_at_keys().await
            }
            _ => self.ask(call.clone()).await.map(drop),
        }
    }

    /// Sends a command, whose answers must agree.
    async fn ask(&mut self, call: Call) -> Result<Answer, Disagreement> {
        let expected = self.oracle.answer(&call);
        let answered = call.send(self.store).await;
        self.history.push(Entry::Sent(call));
        if answered != expected {
            return Err(self.disagreement(&expected, format!("{answered:?}")));
        }
        self.tally.count(&expected);
        self.listen().await?;
        Ok(expected)
    }

    async fn listen(&mut self) -> Result<(), Disagreement> {
        if let Some(event_log) = &mut self.event_log {
            let heard = event_log.listen().await;
            heard.map_err(|why| self.disagreement(&"events", why))?;
        }
        if let Some(mailboxes) = &mut self.mailboxes {
            let heard = mailboxes.listen().await;
            heard.map_err(|why| self.disagreement(&"notices", why))?;
        }
        Ok(())
    }

    /// Compares everything visible.
    async fn look_around(&mut self) -> Result<(), Disagreement> {
        self.look_at_keys().await?;
        for limit in [ListQuery::DEFAULT_LIMIT, NonZeroU32::MIN.saturating_add(1)] {
            self.ask(Call::List(ListQuery::all().with_limit(limit))).await?;
        }
        for owner in values::owners() {
            self.ask(Call::WaitsOf(WaitsQuery::new(owner))).await?;
        }
        if let Some(event_log) = &mut self.event_log {
            let resumed = event_log.resume(self.store).await;
            resumed.map_err(|why| self.disagreement(&"events", why))?;
        }
        Ok(())
    }

    async fn look_at_keys(&mut self) -> Result<(), Disagreement> {
        for key in values::keys() {
            self.look_until_clean(&key).await?;
        }
        Ok(())
    }

    /// Inspects a key until nothing dead is left to drop, so that the way in which a store reads
    /// several keys makes no difference.
    async fn look_until_clean(&mut self, key: &LockKey) -> Result<(), Disagreement> {
        let is_clean = |seen: &Inspection| seen.waiting == seen.waiters.items.len() as u64;
        loop {
            let more = !self.oracle.is_plain_to_batch(&BTreeSet::from([key.clone()]));
            match self.ask(look(key.clone())).await? {
                Answer::Inspect(seen) if more || !is_clean(&seen.value) => {}
                _ => return Ok(()),
            }
        }
    }

    fn disagreement(&self, expected: &impl Debug, answered: String) -> Disagreement {
        let (history, expected) = (self.history.clone(), format!("{expected:?}"));
        Disagreement { history, expected, answered }
    }
}

fn look(key: LockKey) -> Call {
    Call::Inspect(InspectQuery::new(key).with_limit(LOOK_LIMIT))
}
