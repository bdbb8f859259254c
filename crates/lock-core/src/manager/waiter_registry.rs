//! Registry of the pending requests of a manager: notifications and heartbeat schedule.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::agenda::Agenda;
use super::backoff::Backoff;
use super::bounded::unanswered;
use super::clock_bound::ClockBound;
use super::notification::{EarlyNotice, Notification, QueueStatus, due, first_limit};
use super::planted::{self, ManagerFault};
use super::rounds::{Answers, Batch, Plan, Rounds, STEP, batches};
use super::waiter_entry::{QueuedEntry, WaiterEntry};
use crate::{
    End, FencingToken, Grant, HearRequest, Heard, LockKey, LockStore, MailboxId, Operation,
    QueuePosition, RequestId, Result, Timed,
};

/// Registry of the waiters of a manager, the only one of its process, with their heartbeats.
///
/// A request is registered before it is sent, so that no notice arrives for an unknown waiter.
#[derive(Debug)]
pub(super) struct WaiterRegistry {
    store: Arc<dyn LockStore>,
    mailbox: MailboxId,
    /// Maximum time-out of a command.
    longest: Duration,
    table: Mutex<Table>,
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Table {
    rows: Agenda<WaitKey, WaiterEntry>,
    /// Next wake-up of the task; `None` if unknown.
    planned: Option<Instant>,
}

type WaitKey = (RequestId, LockKey);

impl WaiterRegistry {
    pub(super) fn new(store: Arc<dyn LockStore>, mailbox: MailboxId, longest: Duration) -> Self {
        Self { store, mailbox, longest, table: Mutex::default(), sooner: Notify::new() }
    }

    /// Registers a request until the returned registration is dropped.
    pub(super) fn enter(self: &Arc<Self>, request: RequestId, key: LockKey) -> Registration {
        let name = (request, key);
        let mut table = self.table();
        let hurries = table.rows.hurries();
        table.rows.get_or_insert(&name, || WaiterEntry::new(hurries)).sharers += 1;
        drop(table);
        Registration { waiters: Arc::clone(self), name, seen: 0 }
    }

    /// Notifies the waiter of a grant.
    pub(super) fn granted(&self, grant: Grant) {
        let name = (grant.request, grant.key.clone());
        let now = Instant::now();
        let mut table = self.table();
        let hurries = table.rows.hurries();
        let Some(row) = table.rows.get_mut(&name) else { return };
        let told = match row.wait.as_ref().map(|wait| wait.answered) {
            None if planted::has(ManagerFault::EntersAfterSending) => None,
            // The answer that it counts from is still to come.
            None => row.tell(Notification::Granted(grant, None, now)),
            Some(Some((answered, at))) if at == hurries => {
                row.tell(Notification::Granted(grant, Some(answered), now))
            }
            Some(_) => {
                self.hear_now(&mut table, &name);
                None
            }
        };
        drop(table);
        if let Some(told) = told {
            told.notify_waiters();
        }
    }

    /// Schedules an immediate heartbeat of one request.
    pub(super) fn ask(&self, request: RequestId, key: LockKey) {
        let name = (request, key);
        let mut table = self.table();
        if let Some(row) = table.rows.get_mut(&name) {
            row.forget_answers();
            self.hear_now(&mut table, &name);
        }
    }

    /// Schedules an immediate heartbeat of every request, as notices may have been lost.
    pub(super) fn ask_all(&self) {
        self.table().rows.hurry();
        self.sooner.notify_one();
    }

    /// Records a forced end of a lease for a guard that is not created yet.
    pub(super) fn ended(&self, request: RequestId, key: LockKey, token: FencingToken, end: End) {
        if let Some(row) = self.table().rows.get_mut(&(request, key)) {
            row.ended = Some(Box::new((token, end)));
        }
    }

    /// Makes an entry due now, if it waits.
    fn hear_now(&self, table: &mut Table, name: &WaitKey) {
        let Some(row) = table.rows.get_mut(name) else { return };
        if row.wait.is_none() {
            row.ask = true;
            return;
        }
        table.rows.set_due(name, Instant::now(), Duration::ZERO);
        self.sooner.notify_one();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registration of a request.
#[derive(Debug)]
pub(super) struct Registration {
    waiters: Arc<WaiterRegistry>,
    name: WaitKey,
    /// Number of the last notification taken.
    seen: u64,
}

impl Registration {
    /// Has the request heard from now on: an answer said that it waits there.
    pub(super) fn wait(&self, heartbeat: Duration, answered: ClockBound, position: QueuePosition) {
        let mut guard = self.waiters.table();
        let table = &mut *guard;
        let hurries = table.rows.hurries();
        let Some(row) = table.rows.get_mut(&self.name) else { return };
        let ask = std::mem::take(&mut row.ask) || row.hurries != hurries;
        row.hurries = hurries;
        if let Some(Notification::Granted(grant, told_early @ None, _)) = row.news.as_deref_mut()
            && !ask
            && grant.granted_at >= answered.observed_at
        {
            *told_early = Some(answered);
        }
        let (due, slack) = match ask {
            true => (Instant::now(), Duration::ZERO),
            false => due(answered, &position, heartbeat),
        };
        row.wait = Some(Box::new(QueuedEntry {
            heartbeat,
            answered: (!ask).then_some((answered, hurries)),
            status: QueueStatus { answered, position, failure: None },
            backoff: Backoff::default(),
            limit: first_limit(heartbeat),
            tried: answered.sent,
        }));
        table.rows.set_due(&self.name, due, slack);
        if table.planned.is_none_or(|planned| due < planned) {
            table.planned = Some(due);
            self.waiters.sooner.notify_one();
        }
    }

    /// Has the request heard now.
    pub(super) fn hear_now(&self) {
        self.waiters.hear_now(&mut self.waiters.table(), &self.name);
    }

    /// Has the request heard no longer: it has no place.
    pub(super) fn forget_place(&self) {
        let mut table = self.waiters.table();
        table.rows.clear_due(&self.name);
        if let Some(row) = table.rows.get_mut(&self.name) {
            row.wait = None;
        }
    }

    /// Waits for news.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the news for the next call.
    pub(super) async fn news(&mut self) -> Notification {
        loop {
            let told;
            let notified = {
                let mut table = self.waiters.table();
                let row = table.rows.get_or_insert(&self.name, || WaiterEntry::new(0));
                if row.version != self.seen
                    && let Some(news) = &row.news
                {
                    self.seen = row.version;
                    return Notification::clone(news);
                }
                told = Arc::clone(row.told.get_or_insert_default());
                told.notified()
            };
            notified.await;
        }
    }

    /// Where the request stands, while it waits.
    pub(super) fn status(&self) -> Option<QueueStatus> {
        let table = self.waiters.table();
        Some(table.rows.get(&self.name)?.wait.as_ref()?.status.clone())
    }

    /// When the task last took the request up, while it waits.
    pub(super) fn tried(&self) -> Option<Instant> {
        Some(self.waiters.table().rows.get(&self.name)?.wait.as_ref()?.tried)
    }

    /// Returns the early notice about the lease with this token.
    pub(super) fn told(&self, token: FencingToken) -> EarlyNotice {
        let table = self.waiters.table();
        let Some(row) = table.rows.get(&self.name) else { return EarlyNotice::Nothing };
        match row.ended.as_deref() {
            Some((ended, end)) if *ended == token => EarlyNotice::Ended(end.clone()),
            _ if row.hurries != table.rows.hurries() => EarlyNotice::Perhaps,
            _ => EarlyNotice::Nothing,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut table = self.waiters.table();
        let last = table.rows.remove_if(&self.name, |row| {
            row.sharers -= 1;
            row.sharers == 0
        });
        if last.is_none() {
            // The effect of its answer on the request concerns the others.
            self.waiters.hear_now(&mut table, &self.name);
        }
    }
}

impl Rounds for WaiterRegistry {
    type Request = HearRequest;
    type Answer = Heard;

    fn plan(&self, now: Instant) -> Plan<HearRequest> {
        let mut guard = self.table();
        let table = &mut *guard;
        let taken = table.rows.take_due(now, STEP);
        let mut due = Vec::with_capacity(taken.names.len());
        for (request, key) in taken.names {
            let name = (request, key);
            let Some(wait) = table.rows.get_mut(&name).and_then(|row| row.wait.as_mut()) else {
                continue;
            };
            wait.tried = now;
            due.push((
                wait.limit.min(self.longest),
                HearRequest::new(name.1, request).with_mailbox(self.mailbox),
            ));
        }
        let next = table.rows.next();
        let next = if table.rows.is_due(now) { Some(now) } else { next };
        table.planned = next;
        drop(guard);
        Plan { batches: batches(due, taken.hurries), next }
    }

    async fn send(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        self.store.hear(requests).await
    }

    fn settle(&self, batch: &Batch<HearRequest>, answers: Answers<Heard>) {
        let Answers { sent, are_late, answers } = answers;
        let now = Instant::now();
        // Those that failed together are tried again together.
        let mut pause = None;
        let mut told = Vec::new();
        let mut guard = self.table();
        let table = &mut *guard;
        let hurries = table.rows.hurries();
        for (request, answer) in batch.requests.iter().zip(answers) {
            let name = (request.request, request.key.clone());
            let Some(row) = table.rows.get_mut(&name) else { continue };
            let Some(wait) = &mut row.wait else { continue };
            // A later answer is more recent.
            if are_late && sent <= wait.status.answered.sent {
                continue;
            }
            let answer = answer.unwrap_or_else(|| {
                // A slow line is not a dead one.
                wait.limit = (wait.limit * 2).min(wait.heartbeat);
                Err(unanswered(batch.limit, Operation::Hear, Some(&request.key)))
            });
            let (due, slack) = match answer {
                Ok(Timed { observed_at, value, .. }) => {
                    let answered = ClockBound { sent, observed_at };
                    match value {
                        Heard::Queued(position) => {
                            wait.backoff = Backoff::default();
                            wait.limit = first_limit(wait.heartbeat);
                            let due = due(answered, &position, wait.heartbeat);
                            wait.status = QueueStatus { answered, position, failure: None };
                            // After `MayHaveMissed`, no earlier question counts.
                            let is_current = batch.hurries == hurries;
                            wait.answered = is_current.then_some((answered, hurries));
                            if is_current { due } else { (now, Duration::ZERO) }
                        }
                        // The next answer shows it in time.
                        Heard::Granted(lease) if are_late && answered.is_stale(&lease) => continue,
                        Heard::Granted(lease) => {
                            told.extend(row.tell(Notification::Holds(answered, lease)));
                            continue;
                        }
                        Heard::Ended(end) => {
                            told.extend(row.tell(Notification::Ended(end)));
                            continue;
                        }
                        Heard::Absent => {
                            told.extend(row.tell(Notification::Absent));
                            continue;
                        }
                    }
                }
                Err(error) if !error.is_retryable() => {
                    told.extend(row.tell(Notification::Failed(error)));
                    continue;
                }
                Err(error) => {
                    tracing::warn!(lock.key = %request.key, %error, "a waiter was not heard");
                    wait.status.failure = Some(error);
                    let next = match planted::has(ManagerFault::FailurePausesLong) {
                        true => wait.heartbeat * 3 / 10,
                        false => wait.backoff.next(),
                    };
                    let pause = *pause.get_or_insert(next);
                    (now + pause, Duration::ZERO)
                }
            };
            // A late answer: the request is in flight again.
            if !are_late {
                table.rows.set_due_again(&name, due, slack);
            }
        }
        drop(guard);
        for told in told {
            told.notify_waiters();
        }
    }

    fn sooner(&self) -> &Notify {
        &self.sooner
    }

    fn latest(&self) -> Duration {
        self.longest
    }
}
