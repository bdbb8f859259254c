//! Commands of many requests, on as many locks.

use std::collections::HashMap;
use std::sync::Arc;

use lock_core::{Error, ErrorKind, LockKey, Operation, Result, Timed, Timestamp};
use redis::Value;
use tokio::task::JoinSet;

use crate::reply::Answer;
use crate::script::{Arg, Script};
use crate::store::Store;

/// Maximum number of requests in one command.
pub(crate) const BATCH: usize = 128;

/// A script that takes many requests.
pub(crate) struct Batch<T> {
    pub(crate) operation: Operation,
    pub(crate) script: &'static Script,
    /// Reads the answer to one request.
    pub(crate) read: fn(&LockKey, Value) -> Option<T>,
}

impl<T> Clone for Batch<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Batch<T> {}

/// One request of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) key: LockKey,
    pub(crate) args: Vec<Vec<u8>>,
}

pub(crate) type Answers<T> = Vec<Result<Timed<T>>>;

impl Store {
    /// Sends a command for every 128 requests, all at once.
    pub(crate) async fn run_all<T: Send + 'static>(
        self: &Arc<Self>,
        batch: Batch<T>,
        items: Vec<Item>,
    ) -> Answers<T> {
        if items.len() <= BATCH {
            return self.run_batch(batch, &items).await;
        }
        let count = items.len();
        let mut commands = JoinSet::new();
        for (number, items) in items.chunks(BATCH).enumerate() {
            let (shared, items) = (Arc::clone(self), items.to_vec());
            commands.spawn(async move { (number, shared.run_batch(batch, &items).await) });
        }
        let mut answered = commands.join_all().await;
        answered.sort_by_key(|(number, _)| *number);
        let mut answers = Vec::with_capacity(count);
        for (_, answer) in answered {
            answers.extend(answer);
        }
        answers
    }

    /// Runs a batch by one command, and by more for what exceeds the bounds of one.
    async fn run_batch<T: Send>(&self, batch: Batch<T>, items: &[Item]) -> Answers<T> {
        let mut answers: Vec<Option<Result<Timed<T>>>> = items.iter().map(|_| None).collect();
        let mut left: Vec<usize> = (0..items.len()).collect();
        // Every command answers the first of its requests at least, unless a clock jumped back.
        for _ in 0..items.len() {
            if left.is_empty() {
                break;
            }
            let groups = grouped(items, &left);
            let order: Vec<usize> = groups.iter().flatten().copied().collect();
            match self.run_groups(batch, items, &groups).await {
                Ok((now, values)) => {
                    left.clear();
                    for (at, value) in order.into_iter().zip(values) {
                        let key = &items[at].key;
                        if value == Value::Nil {
                            left.push(at);
                            continue;
                        }
                        let answer = (batch.read)(key, value).map(|value| Timed::new(now, value));
                        let corrupt = || self.corrupt(batch.operation).with_key(key.clone());
                        answers[at] = Some(answer.ok_or_else(corrupt));
                    }
                }
                // The others must not be lost over one key.
                Err(error) if error.kind() == ErrorKind::Corrupt && groups.len() > 1 => {
                    for half in groups.chunks(groups.len().div_ceil(2)) {
                        let half: Vec<usize> = half.iter().flatten().copied().collect();
                        let part: Vec<Item> = half.iter().map(|at| items[*at].clone()).collect();
                        let answered = Box::pin(self.run_batch(batch, &part)).await;
                        for (at, answer) in half.into_iter().zip(answered) {
                            answers[at] = Some(answer);
                        }
                    }
                    left.clear();
                }
                Err(error) => {
                    for at in left.drain(..) {
                        answers[at] = Some(Err(error.clone().with_key(items[at].key.clone())));
                    }
                }
            }
        }
        let put_off = |item: &Item| self.put_off(batch.operation).with_key(item.key.clone());
        let answers = items.iter().zip(answers);
        answers.map(|(item, answer)| answer.unwrap_or_else(|| Err(put_off(item)))).collect()
    }

    /// Runs one command: the time, and an answer for each request in the order of the groups.
    async fn run_groups<T>(
        &self,
        batch: Batch<T>,
        items: &[Item],
        groups: &[Vec<usize>],
    ) -> Result<(Timestamp, Vec<Value>), Error> {
        let mut keys = self.keyspace.shared().to_vec();
        let mut args = vec![Arg::Number(self.journal()), Arg::Text("")];
        for group in groups {
            let Some(first) = group.first() else { continue };
            let key = &items[*first].key;
            keys.extend(self.keyspace.lock(key));
            args.extend([Arg::Text(key.as_str()), Arg::Number(group.len() as u64)]);
            for at in group {
                args.extend(items[*at].args.iter().map(|arg| Arg::Bytes(arg)));
            }
        }
        let answer = self.route.run(batch.operation, batch.script, &keys, &args).await?;
        let read = |mut answer: Answer| Some((answer.time()?, answer.rest()));
        let answer = Answer::new(answer).and_then(read);
        let count = groups.iter().map(Vec::len).sum::<usize>();
        let whole = answer.filter(|(_, values)| values.len() == count);
        whole.ok_or_else(|| self.corrupt(batch.operation))
    }
}

/// The requests of each key together, keys and requests in the order in which they came.
fn grouped(items: &[Item], left: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut of_key: HashMap<&LockKey, usize> = HashMap::new();
    for at in left {
        let group = *of_key.entry(&items[*at].key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(*at);
    }
    groups
}
