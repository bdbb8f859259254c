//! Ending leases or a waiter by force.

use lock_core::{EvictRequest, EvictTarget, Eviction, LockKey, Operation, Result, Timed};

use crate::end;
use crate::reply::{self, Answer};
use crate::script::{Arg, Script};
use crate::store::{Store, id};

pub(crate) static EVICT: Script = Script::whole("evict", include_str!("../scripts/evict.lua"));

impl Store {
    pub(crate) async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        let key = &request.key;
        let (target, only, token) = match request.target {
            EvictTarget::Lease { request, token } => ("lease", Some(request), token.get()),
            EvictTarget::Waiter(request) => ("waiter", Some(request), 0),
            _ => ("all", None, 0),
        };
        let only = only.map(id).unwrap_or_default();
        let ending = end::write_evicted(request);
        let args = [Arg::Text(target), Arg::Bytes(&only), Arg::Number(token), Arg::Bytes(&ending)];
        self.run(Operation::Evict, &EVICT, key, &args, |answer| evicted(key, answer)).await
    }
}

fn evicted(key: &LockKey, mut answer: Answer) -> Option<Eviction> {
    let leases = answer.list()?;
    let leases = leases.iter().map(|text| reply::lease(text, key)).collect::<Option<_>>()?;
    let waiter = answer.bytes()?;
    let more = answer.number()? == 1;
    Some(match waiter.as_slice() {
        [] => Eviction::of_leases(leases, more),
        text => Eviction::of_waiter(reply::waiter(text, key)?),
    })
}
