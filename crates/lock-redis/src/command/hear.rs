//! Keeping waiters alive, and claiming the leases of those that were granted.

use std::sync::Arc;

use lock_core::{HearRequest, Heard, LockKey, Operation};
use redis::Value;

use crate::batch::{Answers, Batch, Item};
use crate::reply::Answer;
use crate::script::Script;
use crate::store::{Store, id, mailbox};

pub(crate) static HEAR: Script = Script::whole("hear", include_str!("../scripts/hear.lua"));

impl Store {
    pub(crate) async fn hear(self: &Arc<Self>, requests: &[HearRequest]) -> Answers<Heard> {
        let item = |request: &HearRequest| Item {
            key: request.key.clone(),
            args: vec![id(request.request).to_vec(), mailbox(request.mailbox).to_vec()],
        };
        let batch = Batch { operation: Operation::Hear, script: &HEAR, read: heard };
        self.run_all(batch, requests.iter().map(item).collect()).await
    }
}

fn heard(key: &LockKey, value: Value) -> Option<Heard> {
    let mut answer = Answer::new(value)?;
    Some(match answer.bytes()?.as_slice() {
        b"granted" => Heard::Granted(answer.lease(key)?),
        b"queued" => Heard::Queued(answer.position()?),
        b"ended" => Heard::Ended(answer.end()?),
        b"absent" => Heard::Absent,
        _ => return None,
    })
}
