//! The connection on which the server pushes notices, apart from that of the commands.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lock_core::{MailboxId, Notice, NoticeStream, Operation, Result};
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisResult, Value};
use tokio::sync::{mpsc, oneshot};

use crate::connection::dialer::{Backoff, Connect, Dialed, Dialer, Pushes, connect_failed, within};
use crate::connection::handle::send;
use crate::connection::supervised::Supervised;
use crate::error;
use crate::keyspace::Keyspaces;
use crate::notify::{self, Mailboxes};
use crate::telemetry;

/// Mean time between two looks at whether the connection still answers.
const PULSE: Duration = Duration::from_secs(5);

/// The subscriptions of a backend. They end when it and all its streams are dropped.
#[derive(Debug)]
pub(crate) struct Subscription {
    changes: mpsc::UnboundedSender<Change>,
    mailboxes: Arc<Mailboxes>,
    cause: Arc<Mutex<Option<String>>>,
    _supervisor: Supervised,
}

/// Change of a mailbox.
#[derive(Debug)]
enum Change {
    /// It was opened; the answer says why it cannot be listened to.
    Opened(MailboxId, oneshot::Sender<RedisResult<()>>),
    Closed(MailboxId),
}

impl Subscription {
    /// Begins to connect, and to keep the connection up.
    pub(crate) fn start(
        dialer: Dialer,
        keyspaces: Arc<Keyspaces>,
        mailboxes: Arc<Mailboxes>,
    ) -> Arc<Self> {
        let (sender, changes) = mpsc::unbounded_channel();
        let cause = Arc::default();
        let supervisor = SubscriptionSupervisor {
            dialer,
            keyspaces,
            changes: Arc::new(tokio::sync::Mutex::new(changes)),
            mailboxes: Arc::clone(&mailboxes),
            cause: Arc::clone(&cause),
            expected: 0,
        };
        let mut is_first = true;
        let begin = move || supervisor.clone().run(std::mem::take(&mut is_first));
        let supervisor = Supervised::spawn("subscription", begin);
        Arc::new(Self { changes: sender, mailboxes, cause, _supervisor: supervisor })
    }

    /// Opens a mailbox, and returns when the server has confirmed it.
    pub(crate) async fn open(
        self: &Arc<Self>,
        mailbox: MailboxId,
        limit: Duration,
    ) -> Result<NoticeStream> {
        let own = Arc::clone(self);
        let closed = move |mailbox| drop(own.changes.send(Change::Closed(mailbox)));
        let notices = self.mailboxes.open(mailbox, closed);
        let (sender, answer) = oneshot::channel();
        drop(self.changes.send(Change::Opened(mailbox, sender)));
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(Ok(()))) => Ok(Box::pin(notices)),
            Ok(Ok(Err(error))) => Err(error::failed(Operation::Listen, &error)),
            Ok(Err(_)) | Err(_) => {
                let cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let cause = cause.unwrap_or_else(|| format!("no answer within {limit:?}"));
                Err(error::unreachable(Operation::Listen, Some(cause)))
            }
        }
    }
}

impl Connect for SubscriptionSupervisor {
    type Connected = (MultiplexedConnection, Pushes, String);

    async fn connect(&mut self) -> Result<Self::Connected> {
        within(self.dialer.config.connect_timeout, self.attempt()).await
    }

    fn note(&self, cause: Option<String>) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause;
    }
}

#[derive(Clone)]
struct SubscriptionSupervisor {
    dialer: Dialer,
    keyspaces: Arc<Keyspaces>,
    changes: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Change>>>,
    mailboxes: Arc<Mailboxes>,
    cause: Arc<Mutex<Option<String>>>,
    /// The number of confirmations of subscriptions that are still to come.
    expected: usize,
}

impl SubscriptionSupervisor {
    async fn run(mut self, mut is_first: bool) {
        let changes = Arc::clone(&self.changes);
        let mut changes = changes.lock().await;
        let reconnects = telemetry::reconnects("notices");
        let mut backoff = Backoff::default();
        loop {
            let (connection, pushes, address) = backoff.reconnect(&mut self).await;
            self.note(None);
            // Notices in between are lost.
            if !is_first {
                reconnects.increment(1);
                self.mailboxes.tell_missed();
            }
            is_first = false;
            self.follow(connection, pushes, &address, &mut changes).await;
            let server = &address;
            tracing::warn!(%server, "the connection of the mailboxes is lost");
        }
    }

    /// Connects, and subscribes to the store's channel and all open mailboxes.
    async fn attempt(&mut self) -> Result<(MultiplexedConnection, Pushes, String)> {
        let Dialed { mut connection, pushes, address, .. } = self.dialer.dial().await?;
        self.expected = 0;
        let all = self.mailboxes.all().into_iter();
        let open = all.flat_map(|mailbox| self.keyspaces.channels(mailbox));
        let channels = open.chain(self.keyspaces.store_channels()).collect();
        let subscribed = self.subscribe(&mut connection, channels).await;
        subscribed.map_err(|error| connect_failed(&error))?;
        Ok((connection, pushes, address))
    }

    async fn subscribe(
        &mut self,
        connection: &mut MultiplexedConnection,
        channels: Vec<Vec<u8>>,
    ) -> RedisResult<()> {
        let count = channels.len();
        self.expected += count;
        let subscribed = connection.subscribe(channels).await;
        if subscribed.is_err() {
            self.expected -= count;
        }
        subscribed
    }

    /// Passes messages on until the connection breaks.
    async fn follow(
        &mut self,
        mut connection: MultiplexedConnection,
        mut pushes: Pushes,
        address: &str,
        changes: &mut mpsc::UnboundedReceiver<Change>,
    ) {
        let mut health = pin!(tokio::time::sleep(next_pulse()));
        let dialer = self.dialer.clone();
        let mut left = pin!(dialer.left(address, connection.clone()));
        loop {
            let is_up = tokio::select! {
                push = pushes.recv() => push.is_some_and(|push| self.take(&push)),
                change = changes.recv() => match change {
                    Some(change) => self.change(&mut connection, change).await,
                    None => false,
                },
                _ = &mut left => false,
                () = &mut health => {
                    health.set(tokio::time::sleep(next_pulse()));
                    let ping = redis::cmd("PING");
                    let answer = send(&mut connection, &ping);
                    let limit = self.dialer.config.timeout;
                    tokio::time::timeout(limit, answer).await.is_ok_and(|answer| answer.is_ok())
                }
            };
            if !is_up {
                return;
            }
        }
    }

    /// Takes what the server pushes; `false` when the connection is over.
    fn take(&mut self, push: &PushInfo) -> bool {
        match push.kind {
            PushKind::Disconnection => return false,
            PushKind::Message => {
                if let [Value::BulkString(channel), Value::BulkString(message)] = &push.data[..] {
                    self.read(channel, message);
                }
            }
            // Unless it is expected, a middlebox has renewed the subscription.
            PushKind::Subscribe if self.expected > 0 => self.expected -= 1,
            PushKind::Subscribe => self.mailboxes.tell_missed(),
            _ => {}
        }
        true
    }

    /// Reads a message, whose sender is not authenticated.
    fn read(&self, channel: &[u8], message: &[u8]) {
        match self.keyspaces.mailbox_of_channel(channel) {
            // An unreadable message may have been any notice.
            Some(mailbox) => {
                let notice = match notify::parse(message).unwrap_or(Notice::MayHaveMissed) {
                    // It counts when replicas have it, which the answer to the waiter tells.
                    Notice::Granted(grant) if self.dialer.config.min_replicas > 0 => {
                        Notice::Ask { key: grant.key, request: grant.request }
                    }
                    notice => notice,
                };
                self.mailboxes.tell(mailbox, notice);
            }
            // Something of the store was lost, whatever the message says.
            None if self.keyspaces.is_store_channel(channel) => self.mailboxes.tell_missed(),
            None => {}
        }
    }

    /// Follows a mailbox; `false` when the connection is over.
    async fn change(&mut self, connection: &mut MultiplexedConnection, change: Change) -> bool {
        let limit = self.dialer.config.timeout;
        let (answer, told) = match change {
            Change::Opened(mailbox, told) => {
                let channels = self.keyspaces.channels(mailbox).collect();
                let subscribe = self.subscribe(connection, channels);
                (tokio::time::timeout(limit, subscribe).await, Some(told))
            }
            // It may have been opened again, by a change that is still to come.
            Change::Closed(mailbox) if self.mailboxes.is_open(mailbox) => return true,
            Change::Closed(mailbox) => {
                let unsubscribe = {
                    let channels: Vec<_> = self.keyspaces.channels(mailbox).collect();
                    connection.unsubscribe(channels)
                };
                (tokio::time::timeout(limit, unsubscribe).await, None)
            }
        };
        let Ok(answer) = answer else { return false };
        let is_up = answer.as_ref().err().is_none_or(|error| !error.is_unrecoverable_error());
        if let Some(told) = told {
            // The caller that opened it may have given up.
            drop(told.send(answer));
        }
        is_up
    }
}

/// Time until the next look, another for each: many who connected at once do not look at once.
fn next_pulse() -> Duration {
    PULSE.mul_f64(0.5 + rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_spread() {
        let pulses: Vec<_> = (0..1000).map(|_| next_pulse()).collect();
        assert!(pulses.iter().all(|health| (PULSE / 2..=PULSE * 3 / 2).contains(health)));
        let (least, most) = (pulses.iter().min().unwrap(), pulses.iter().max().unwrap());
        assert!(*most - *least > PULSE / 2, "{least:?} to {most:?} is no spread");
    }
}
