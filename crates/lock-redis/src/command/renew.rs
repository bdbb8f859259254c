//! Making leases last their ttl from now.

use std::sync::Arc;

use lock_core::{LockKey, Operation, RenewRequest, Renewal};
use redis::Value;

use crate::batch::{Answers, Batch, Item};
use crate::script::Script;
use crate::store::{Store, id, mailbox};
use crate::terms::ttl_millis;
use crate::{end, reply};

pub(crate) static RENEW: Script = Script::whole("renew", include_str!("../scripts/renew.lua"));

impl Store {
    pub(crate) async fn renew(self: &Arc<Self>, requests: &[RenewRequest]) -> Answers<Renewal> {
        let item = |request: &RenewRequest| Item {
            key: request.lease.key.clone(),
            args: vec![
                id(request.lease.request).to_vec(),
                request.lease.token.get().to_string().into_bytes(),
                ttl_millis(request.ttl).to_string().into_bytes(),
                mailbox(request.mailbox).to_vec(),
            ],
        };
        let batch = Batch { operation: Operation::Renew, script: &RENEW, read: renewed };
        self.run_all(batch, requests.iter().map(item).collect()).await
    }
}

fn renewed(_: &LockKey, value: Value) -> Option<Renewal> {
    Some(match reply::number(&value) {
        Some(0) => Renewal::NotHeld,
        Some(end) => Renewal::Renewed { expires_at: reply::end_time(end) },
        None => Renewal::Ended(end::parse(&reply::bytes(value)?)?),
    })
}
