//! Handing a lease over.

use lock_core::{
    LeaseName, LockKey, Operation, Result, Timed, Transfer, TransferRequest, TransferTo,
};

use crate::reply::Answer;
use crate::script::{Arg, Script};
use crate::store::{Store, id};
use crate::{encoding, end};

pub(crate) static TRANSFER: Script =
    Script::whole("transfer", include_str!("../scripts/transfer.lua")).taking_memory();

impl Store {
    pub(crate) async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        let LeaseName { key, request: from, token, .. } = &request.lease;
        let (from, to) = (id(*from), id(request.to.request()));
        let (kind, owner, metadata) = match &request.to {
            TransferTo::Owner { owner, metadata, .. } => {
                ("owner", owner.as_str(), encoding::write_metadata(metadata))
            }
            _ => ("waiter", "", Vec::new()),
        };
        let ending = end::write_transferred(&request.by);
        let args = [
            Arg::Bytes(&from),
            Arg::Number(token.get()),
            Arg::Bytes(&to),
            Arg::Text(kind),
            Arg::Text(owner),
            Arg::Bytes(&metadata),
            Arg::Bytes(&ending),
        ];
        let read = |answer| transferred(key, answer);
        self.run(Operation::Transfer, &TRANSFER, key, &args, read).await
    }
}

fn transferred(key: &LockKey, mut answer: Answer) -> Option<Transfer> {
    Some(match answer.bytes()?.as_slice() {
        b"transferred" => Transfer::Transferred(answer.lease(key)?),
        b"ended" => Transfer::Ended(answer.end()?),
        b"not held" => Transfer::NotHeld,
        b"not waiting" => Transfer::NotWaiting,
        b"already holds" => Transfer::AlreadyHolds,
        _ => return None,
    })
}
