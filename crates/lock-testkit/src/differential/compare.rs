//! One sequence of commands, sent to a store and to the machine.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::{Inspection, ListQuery, LockKey, LockStore, ManualClock, Wake};

use super::answer::Answer;
use super::call::Call;
use super::command::Command;
use super::disagreement::{Disagreement, Entry};
use super::oracle::Oracle;
use super::plan::Settings;
use super::report::Tally;
use super::story::Story;
use super::{START, domain};

/// After how many commands everything is looked at.
const LOOK_AROUND_EVERY: usize = 10;

/// How long a wait lasts that may be answered by a hint.
const HINT: Duration = Duration::from_millis(1);

/// Sends the commands to the empty `store` and to the machine, and counts the answers.
///
/// The clock, which must be that of the store, is set to [`START`] first and then moved by the
/// commands.
///
/// # Errors
/// The first [`Disagreement`].
///
/// # Cancel safety
/// A call that is dropped leaves the store with what was sent so far.
pub async fn compare(
    store: &dyn LockStore,
    clock: &ManualClock,
    commands: &[Command],
    settings: &Settings,
) -> Result<Tally, Disagreement> {
    clock.set(START);
    let (sent, history, tally) = (Vec::new(), Vec::new(), Tally::default());
    let oracle = Oracle::new(START);
    let mut bench = Bench { store, clock, settings, oracle, sent, history, tally, story: None };
    bench.run(commands).await?;
    bench.tally.count_changes(&bench.oracle.events);
    Ok(bench.tally)
}

struct Bench<'a> {
    store: &'a dyn LockStore,
    clock: &'a ManualClock,
    settings: &'a Settings,
    oracle: Oracle,
    /// What the commands became, without what was only looked at.
    sent: Vec<Call>,
    history: Vec<Entry>,
    tally: Tally,
    story: Option<Story>,
}

impl Bench<'_> {
    async fn run(&mut self, commands: &[Command]) -> Result<(), Disagreement> {
        if self.settings.events {
            let story = Story::begin(self.store).await;
            self.story = Some(story.map_err(|why| self.disagreement(&"events", why))?);
        }
        for (number, command) in commands.iter().enumerate() {
            self.command(command).await?;
            if (number + 1).is_multiple_of(LOOK_AROUND_EVERY) {
                self.look_around().await?;
            }
        }
        self.look_around().await?;
        match self.story.take() {
            None => Ok(()),
            Some(story) => story
                .end(&self.oracle.events)
                .await
                .map_err(|(right, told)| self.disagreement(&right, told)),
        }
    }

    async fn command(&mut self, command: &Command) -> Result<(), Disagreement> {
        if let Some(now) = command.act.moves_clock_to(&self.oracle) {
            self.clock.set(now);
            self.oracle.now = now;
            self.history.push(Entry::Clock(now));
            return Ok(());
        }
        let calls = command.act.calls(&self.oracle, &self.sent);
        for call in &calls {
            self.call(call).await?;
            self.sent.push(call.clone());
        }
        if command.look
            && let Some(call) = calls.last()
        {
            for key in call.keys() {
                self.ask(Call::Inspect(key)).await?;
            }
        }
        Ok(())
    }

    async fn call(&mut self, call: &Call) -> Result<(), Disagreement> {
        match call {
            Call::Wait(awaited) => {
                // A wait need not look at the key if the store knows of it by other means.
                self.look_until_clean(&awaited.key).await?;
                if self.oracle.waiters(&awaited.key).contains(&awaited.request) {
                    return Ok(());
                }
                if self.settings.waits_are_hints {
                    return self.hint(call.clone().patient_for(HINT)).await;
                }
                self.ask(call.clone()).await.map(drop)
            }
            Call::List(_) | Call::WaitsOf(_) => {
                if !self.oracle.is_plain_to_see() {
                    self.look_at_keys().await?;
                }
                self.ask(call.clone()).await?;
                // A store need not have settled what it did not show.
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

    /// Sends a wait, which may end for no reason and may tell of a lease that is over by now.
    async fn hint(&mut self, call: Call) -> Result<(), Disagreement> {
        let expected = self.oracle.answer(&call);
        let answered = call.send(self.store).await;
        let is_fit = match (&answered, &call) {
            (Answer::Wait(Wake::AskAgain), _) => true,
            (Answer::Wait(Wake::Granted(lease)), Call::Wait(awaited)) => {
                lease.request == awaited.request && lease.key == awaited.key
            }
            _ => false,
        };
        self.history.push(Entry::Sent(call));
        if !is_fit {
            return Err(self.disagreement(&expected, format!("{answered:?}")));
        }
        self.tally.count(&expected);
        self.listen().await
    }

    async fn listen(&mut self) -> Result<(), Disagreement> {
        let Some(story) = &mut self.story else { return Ok(()) };
        let heard = story.listen().await;
        heard.map_err(|why| self.disagreement(&"events", why))
    }

    /// Compares all that can be seen.
    async fn look_around(&mut self) -> Result<(), Disagreement> {
        self.look_at_keys().await?;
        for limit in [ListQuery::DEFAULT_LIMIT, NonZeroU32::MIN.saturating_add(1)] {
            self.ask(Call::List(ListQuery::all().with_limit(limit))).await?;
        }
        for owner in domain::owners() {
            self.ask(Call::WaitsOf(owner)).await?;
        }
        Ok(())
    }

    async fn look_at_keys(&mut self) -> Result<(), Disagreement> {
        for key in domain::keys() {
            self.look_until_clean(&key).await?;
        }
        Ok(())
    }

    /// Looks at a key until nothing dead is left to be dropped, and so none of it is left to the
    /// manner in which a store reads several keys.
    async fn look_until_clean(&mut self, key: &LockKey) -> Result<(), Disagreement> {
        let has_dead = |seen: &Inspection| seen.waiting > seen.waiters.len() as u64;
        loop {
            match self.ask(Call::Inspect(key.clone())).await? {
                Answer::Inspect(seen) if has_dead(&seen) => {}
                _ => return Ok(()),
            }
        }
    }

    fn disagreement(&self, expected: &impl Debug, answered: String) -> Disagreement {
        let (history, expected) = (self.history.clone(), format!("{expected:?}"));
        Disagreement { history, expected, answered }
    }
}
