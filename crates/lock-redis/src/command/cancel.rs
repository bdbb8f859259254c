//! Ending a request, whether it waits or holds.

use lock_core::{CancelRequest, Cancellation, Operation, Result, Timed};

use crate::reply::Answer;
use crate::script::{Arg, Script};
use crate::store::{Store, id};

pub(crate) static CANCEL: Script = Script::whole("cancel", include_str!("../scripts/cancel.lua"));

impl Store {
    pub(crate) async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        let id = id(request.request);
        let args = [Arg::Bytes(&id), Arg::Number(u64::from(request.answer_outstanding))];
        self.run(Operation::Cancel, &CANCEL, &request.key, &args, cancelled).await
    }
}

fn cancelled(mut answer: Answer) -> Option<Cancellation> {
    match answer.bytes()?.as_slice() {
        b"dequeued" => Some(Cancellation::Dequeued),
        b"released" => Some(Cancellation::Released),
        b"absent" => Some(Cancellation::Absent),
        _ => None,
    }
}
