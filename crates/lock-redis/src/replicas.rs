//! Grants that count only when replicas have them.
//!
//! `WAIT` counts the replicas that have all writes of its own connection. So there is a connection to
//! the same master for it, and on that a small write that follows the answer to the grant: replicas
//! that have this write have the grant. All grants that are answered while one `WAIT` is on its way
//! share the next.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, Error, ErrorKind, HearRequest, Heard, Lease, Operation, Result,
    Timed,
};
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::connection::dialer::{Dialed, Dialer, within};
use crate::connection::supervised::Supervised;
use crate::store::Store;

/// The longest time that the replicas may take.
const LIMIT: Duration = Duration::from_millis(100);
/// Time for which the small write stays.
const KEPT: u64 = 1_000;

/// Counts the replicas of a master that have what it answered.
#[derive(Debug)]
pub(crate) struct ReplicaCounter {
    questions: mpsc::UnboundedSender<Question>,
    _task: Supervised,
}

/// Asks for the number of replicas that have all that this master has answered.
#[derive(Debug)]
struct Question {
    /// The run of the server that answered.
    master: Arc<str>,
    /// An unused key of a slot that the master has.
    key: String,
    answer: oneshot::Sender<Result<u32, String>>,
}

impl ReplicaCounter {
    pub(crate) fn start(dialer: Dialer, wanted: u32) -> Self {
        let (sender, questions) = mpsc::unbounded_channel();
        let questions = Arc::new(tokio::sync::Mutex::new(questions));
        let begin = move || count(dialer.clone(), wanted, Arc::clone(&questions));
        Self { questions: sender, _task: Supervised::spawn("replicas", begin) }
    }

    /// The number of replicas; or why it cannot be known.
    async fn count(&self, master: Arc<str>, key: String) -> Result<u32, String> {
        let (sender, answer) = oneshot::channel();
        drop(self.questions.send(Question { master, key, answer: sender }));
        answer.await.unwrap_or_else(|_| Err("the question was lost".to_owned()))
    }
}

async fn count(
    dialer: Dialer,
    wanted: u32,
    questions: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Question>>>,
) {
    let mut questions = questions.lock().await;
    let mut open: Option<(MultiplexedConnection, Arc<str>)> = None;
    while let Some(first) = questions.recv().await {
        let (master, key) = (Arc::clone(&first.master), first.key.clone());
        let mut all = vec![first];
        while let Ok(next) = questions.try_recv() {
            all.push(next);
        }
        if open.as_ref().is_none_or(|(_, run)| *run != master) {
            open = dial(&dialer).await;
        }
        let counted = match &mut open {
            Some((connection, run)) if *run == master => ask(connection, &key, wanted).await,
            Some(_) => Err("the master is another by now".to_owned()),
            None => Err("the master is not reached again".to_owned()),
        };
        if counted.is_err() {
            open = None;
        }
        for Question { master: of, answer, .. } in all {
            let is_same = of == master;
            let other = || Err("the master is another by now".to_owned());
            drop(answer.send(if is_same { counted.clone() } else { other() }));
        }
    }
}

async fn dial(dialer: &Dialer) -> Option<(MultiplexedConnection, Arc<str>)> {
    let Dialed { connection, run, .. } =
        within(dialer.config.connect_timeout, dialer.dial()).await.ok()?;
    Some((connection, run))
}

async fn ask(
    connection: &mut MultiplexedConnection,
    key: &str,
    wanted: u32,
) -> Result<u32, String> {
    let mut ask = redis::pipe();
    ask.cmd("SET").arg(key).arg("").arg("PX").arg(KEPT);
    ask.cmd("WAIT").arg(wanted).arg(LIMIT.as_millis() as u64);
    let answers = timeout(LIMIT * 10, connection.send_packed_commands(&ask, 0, 2)).await;
    let answers = answers.map_err(|_| "the master does not answer".to_owned())?;
    let mut answers = answers.map_err(|error| error.to_string())?.into_iter();
    let mut next = || {
        let answer = answers.next().unwrap_or(Value::Nil);
        answer.extract_error().map_err(|error| error.to_string())
    };
    next()?;
    match next()? {
        Value::Int(count) => Ok(u32::try_from(count).unwrap_or(0)),
        _ => Err("unexpected form of reply".to_owned()),
    }
}

impl Store {
    /// Asks for a key, and takes a grant back that too few replicas have.
    pub(crate) async fn acquire_counted(
        &self,
        request: &AcquireRequest,
        wanted: u32,
    ) -> Result<Timed<Acquisition>> {
        let master = self.route.run_of_master();
        let Timed { observed_at, value, .. } = self.acquire(request).await?;
        let value = match value {
            Acquisition::Granted(lease) => {
                let counted = self.counted(Operation::Acquire, lease, master, wanted).await?;
                Acquisition::Granted(counted)
            }
            other => other,
        };
        Ok(Timed::new(observed_at, value))
    }

    /// Keeps waiters alive, and takes grants back that too few replicas have.
    pub(crate) async fn hear_counted(
        self: &Arc<Self>,
        requests: &[HearRequest],
        wanted: u32,
    ) -> Vec<Result<Timed<Heard>>> {
        let master = self.route.run_of_master();
        let mut answers = self.hear(requests).await;
        let mut counting = tokio::task::JoinSet::new();
        for (at, answer) in answers.iter().enumerate() {
            if let Ok(Timed { observed_at, value: Heard::Granted(lease), .. }) = answer {
                let (store, lease, master) = (Arc::clone(self), lease.clone(), master.clone());
                let observed_at = *observed_at;
                counting.spawn(async move {
                    let counted = store.counted(Operation::Hear, lease, master, wanted).await;
                    let granted = |lease| Timed::new(observed_at, Heard::Granted(lease));
                    (at, counted.map(granted))
                });
            }
        }
        for (at, counted) in counting.join_all().await {
            answers[at] = counted;
        }
        answers
    }

    /// The lease with the number of replicas that have it. It is taken back where too few have it.
    async fn counted(
        &self,
        operation: Operation,
        mut lease: Lease,
        master: Option<Arc<str>>,
        wanted: u32,
    ) -> Result<Lease> {
        let failed = |cause: String| {
            let error = Error::new(ErrorKind::Unavailable, operation).with_source(cause);
            error.with_server(self.config.address()).with_key(lease.key.clone())
        };
        // The master that granted is the one before and after, or it is not known which it was.
        let connection = self.route.connection().await;
        let counted = match (connection.as_ref().and_then(|it| it.counter()), master) {
            (Some(counter), Some(master))
                if self.route.run_of_master().as_ref() == Some(&master) =>
            {
                counter.count(master, self.keyspace.probe()).await
            }
            _ => Err("the master is another by now".to_owned()),
        };
        let count = counted.map_err(|cause| failed(cause).unknown())?;
        if count >= wanted {
            lease.replicas = Some(count);
            return Ok(lease);
        }
        let cause = format!("{count} of {wanted} replicas have the grant: it is taken back");
        match self.release_whole(&lease.name()).await {
            Ok(_) => Err(failed(cause)),
            Err(error) => Err(failed(format!("{cause}, but {error}")).unknown()),
        }
    }
}
