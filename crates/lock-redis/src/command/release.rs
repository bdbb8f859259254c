//! Giving a lease back: a short command for one that is alone, a whole one for all others.

use lock_core::{LeaseName, Operation, Release, ReleaseRequest, Result, Timed};
use redis::Value;

use crate::command_queue::BatchScript;
use crate::end;
use crate::reply::{self, Answer};
use crate::script::{Arg, Script};
use crate::store::{Store, alone_under, id};

pub(crate) static RELEASE: Script =
    Script::whole("release", include_str!("../scripts/release.lua"));
pub(crate) static RELEASE_ALONE: Script =
    Script::short("release_alone", include_str!("../scripts/release_alone.lua"));

pub(crate) static RELEASE_MANY: Script =
    Script::short("release_many", include_str!("../scripts/release_many.lua"));

static MANY: BatchScript = BatchScript { script: &RELEASE_MANY, needs_token: false };

impl Store {
    pub(crate) async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        let lease = &request.lease;
        if self.may_be_simple(&lease.key) {
            if let Some(answer) = self.release_alone(lease).await? {
                return Ok(answer);
            }
            self.contended.insert(&lease.key);
        }
        self.release_whole(lease).await
    }

    /// Ends a lease that is alone; nothing when only the whole command can decide.
    async fn release_alone(&self, lease: &LeaseName) -> Result<Option<Timed<Release>>> {
        let state = alone_under(lease);
        let args = [Arg::Bytes(&state)];
        let (operation, key) = (Operation::Release, &lease.key);
        let answer = self.run_short(operation, key, &RELEASE_ALONE, &MANY, &args).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let read = |mut answer: Answer| Some(Timed::new(answer.time()?, released(answer)?));
        let answer = Answer::new(answer).and_then(read);
        let corrupt = || self.corrupt(Operation::Release).with_key(lease.key.clone());
        answer.ok_or_else(corrupt).map(Some)
    }

    pub(crate) async fn release_whole(&self, lease: &LeaseName) -> Result<Timed<Release>> {
        let id = id(lease.request);
        let args = [Arg::Bytes(&id), Arg::Number(lease.token.get())];
        self.run(Operation::Release, &RELEASE, &lease.key, &args, released).await
    }
}

fn released(mut answer: Answer) -> Option<Release> {
    match answer.value()? {
        Value::Int(1) => Some(Release::Released),
        Value::Int(0) => Some(Release::NotHeld),
        ending => Some(Release::Ended(end::parse(&reply::bytes(ending)?)?)),
    }
}
