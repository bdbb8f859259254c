//! Making leases last their ttl from now.

use std::collections::HashMap;
use std::sync::Arc;

use lock_core::{LockKey, Operation, RenewRequest, Renewal, Result, Timed};
use redis::Value;
use tokio::task::JoinSet;

use crate::batch::{Answers, BATCH, Batch, Item};
use crate::encoding::ttl_millis;
use crate::reply::Answer;
use crate::script::{Arg, Script};
use crate::store::{Store, alone_under, id, mailbox};
use crate::{end, reply};

pub(crate) static RENEW: Script = Script::whole("renew", include_str!("../scripts/renew.lua"));

pub(crate) static RENEW_ALONE: Script =
    Script::short("renew_alone", include_str!("../scripts/renew_alone.lua"));

impl Store {
    /// Renews leases that are alone by a short command for every 128, all at once, and those that
    /// it cannot decide by whole ones.
    pub(crate) async fn renew(self: &Arc<Self>, requests: &[RenewRequest]) -> Answers<Renewal> {
        let mut answers: Vec<Option<Result<Timed<Renewal>>>> =
            requests.iter().map(|_| None).collect();
        // Renewals of one key take effect in their order: by one command.
        let mut named: HashMap<&LockKey, usize> = HashMap::with_capacity(requests.len());
        for request in requests {
            *named.entry(&request.lease.key).or_default() += 1;
        }
        let is_simple = |key: &LockKey| named[key] == 1 && self.may_be_simple(key);
        let simple: Vec<usize> =
            (0..requests.len()).filter(|at| is_simple(&requests[*at].lease.key)).collect();
        let mut commands = JoinSet::new();
        for chunk in simple.chunks(BATCH) {
            let (store, chunk) = (Arc::clone(self), chunk.to_vec());
            let requests: Vec<_> = chunk.iter().map(|at| requests[*at].clone()).collect();
            commands.spawn(async move { (chunk, store.renew_alone(&requests).await) });
        }
        for (chunk, renewed) in commands.join_all().await {
            for (at, renewed) in chunk.into_iter().zip(renewed) {
                if renewed.is_none() {
                    self.contended.insert(&requests[at].lease.key);
                }
                answers[at] = renewed;
            }
        }
        let left: Vec<usize> = (0..requests.len()).filter(|at| answers[*at].is_none()).collect();
        let item = |at: &usize| item(&requests[*at]);
        let batch = Batch { operation: Operation::Renew, script: &RENEW, read: renewed };
        let whole = self.run_all(batch, left.iter().map(item).collect()).await;
        for (at, renewed) in left.into_iter().zip(whole) {
            answers[at] = Some(renewed);
        }
        answers.into_iter().flatten().collect()
    }

    /// Renews leases that are alone; nothing for those of which the whole command has to decide.
    async fn renew_alone(&self, requests: &[RenewRequest]) -> Vec<Option<Result<Timed<Renewal>>>> {
        let mut keys = Vec::with_capacity(requests.len());
        let mut args = Vec::with_capacity(3 * requests.len());
        for RenewRequest { lease, ttl, mailbox: told, .. } in requests {
            keys.push(self.keyspace.state(lease.key.as_str()));
            args.push(alone_under(lease));
            args.push(ttl_millis(*ttl).to_string().into_bytes());
            args.push(mailbox(*told).to_vec());
        }
        let args: Vec<_> = args.iter().map(|arg| Arg::Bytes(arg)).collect();
        let answer = self.route.run(Operation::Renew, &RENEW_ALONE, &keys, &args).await;
        let read = |value| {
            let mut answer = Answer::new(value)?;
            let (now, ends) = (answer.time()?, answer.rest());
            (ends.len() == requests.len()).then_some((now, ends))
        };
        let answer =
            answer.and_then(|value| read(value).ok_or_else(|| self.corrupt(Operation::Renew)));
        match answer {
            Ok((now, ends)) => {
                let renewed = |end: u64| Renewal::Renewed { expires_at: reply::end_time(end) };
                let end = |end| Some(Ok(Timed::new(now, renewed(reply::number(&end)?))));
                ends.into_iter().map(end).collect()
            }
            Err(error) => {
                let failed =
                    |it: &RenewRequest| Some(Err(error.clone().with_key(it.lease.key.clone())));
                requests.iter().map(failed).collect()
            }
        }
    }
}

fn item(request: &RenewRequest) -> Item {
    Item {
        key: request.lease.key.clone(),
        args: vec![
            id(request.lease.request).to_vec(),
            request.lease.token.get().to_string().into_bytes(),
            ttl_millis(request.ttl).to_string().into_bytes(),
            mailbox(request.mailbox).to_vec(),
        ],
    }
}

fn renewed(_: &LockKey, value: Value) -> Option<Renewal> {
    Some(match reply::number(&value) {
        Some(0) => Renewal::NotHeld,
        Some(end) => Renewal::Renewed { expires_at: reply::end_time(end) },
        None => Renewal::Ended(end::parse(&reply::bytes(value)?)?),
    })
}
