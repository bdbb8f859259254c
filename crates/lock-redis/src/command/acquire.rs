//! Asking for a key: a short command for one that is free, a whole one for all others.

use lock_core::{
    AcquireRequest, Acquisition, FencingToken, Lease, Mode, OnHeld, Operation, Result, Timed,
    Timestamp,
};
use redis::Value;

use crate::command_queue::BatchScript;
use crate::encoding::{self, millis, ttl_millis};
use crate::record::GRACE;
use crate::reply::{self, Answer};
use crate::script::{Arg, Script};
use crate::store::{Store, alone, id, mailbox};

pub(crate) static ACQUIRE: Script =
    Script::whole("acquire", include_str!("../scripts/acquire.lua")).taking_memory();
pub(crate) static ACQUIRE_FREE: Script =
    Script::short("acquire_free", include_str!("../scripts/acquire_free.lua")).taking_memory();

pub(crate) static ACQUIRE_MANY: Script =
    Script::short("acquire_many", include_str!("../scripts/acquire_many.lua")).taking_memory();

static MANY: BatchScript = BatchScript { script: &ACQUIRE_MANY, needs_token: true };

/// Number of bytes of terms above which a lease is released by itself.
const LARGE: usize = 4096;

impl Store {
    pub(crate) async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        let terms = encoding::write(request);
        let is_upgrade = matches!(request.mode, Mode::Upgrade { .. });
        if !is_upgrade && self.may_be_simple(&request.key) {
            if let Some(granted) = self.acquire_free(request, &terms).await? {
                if terms.len() > LARGE {
                    // Its release must not be read together with others.
                    self.contended.insert(&request.key);
                }
                return Ok(granted);
            }
            self.contended.insert(&request.key);
        }
        self.acquire_whole(request, &terms).await
    }

    /// Grants a key that is free; nothing when only the whole command can decide.
    async fn acquire_free(
        &self,
        request: &AcquireRequest,
        terms: &[u8],
    ) -> Result<Option<Timed<Acquisition>>> {
        let lease = alone(request.id);
        let terms = [b"0", &mailbox(request.mailbox)[..], terms].concat();
        let ttl = ttl_millis(request.ttl);
        let kept = if ttl == 0 { 0 } else { ttl + GRACE };
        let args =
            [Arg::Bytes(&lease), Arg::Number(ttl * 1000), Arg::Bytes(&terms), Arg::Number(kept)];
        let (operation, key) = (Operation::Acquire, &request.key);
        let answer = self.run_short(operation, key, &ACQUIRE_FREE, &MANY, &args).await?;
        let written = match answer {
            Value::Nil => return Ok(None),
            Value::Int(_) => reply::number(&answer).map(|now| (now, now)),
            pair => Answer::new(pair).and_then(|mut pair| Some((pair.number()?, pair.number()?))),
        };
        let granted = written.and_then(|(now, token)| granted(request, now, token));
        let corrupt = || self.corrupt(Operation::Acquire).with_key(request.key.clone());
        granted.ok_or_else(corrupt).map(Some)
    }

    async fn acquire_whole(
        &self,
        request: &AcquireRequest,
        terms: &[u8],
    ) -> Result<Timed<Acquisition>> {
        let (keep_alive, limit) = match request.on_held {
            OnHeld::Queue { keep_alive, queue_limit } => {
                (millis(keep_alive.span()), queue_limit.map_or(0, |limit| u64::from(limit.get())))
            }
            _ => (0, 0),
        };
        let id = id(request.id);
        let mode = encoding::mode_word(request.mode);
        let mailbox = mailbox(request.mailbox);
        let args = [
            Arg::Bytes(&id),
            Arg::Bytes(terms),
            Arg::Text(&mode),
            Arg::Bytes(&mailbox),
            Arg::Number(ttl_millis(request.ttl) * 1000),
            Arg::Number(millis(request.head_start.span())),
            Arg::Number(keep_alive),
            Arg::Number(limit),
        ];
        let read = |answer| self.acquired(request, answer);
        self.run(Operation::Acquire, &ACQUIRE, &request.key, &args, read).await
    }

    fn acquired(&self, request: &AcquireRequest, mut answer: Answer) -> Option<Acquisition> {
        Some(match answer.bytes()?.as_slice() {
            b"granted" => Acquisition::Granted(answer.lease(&request.key)?),
            b"free" => {
                self.contended.remove(&request.key);
                Acquisition::Granted(answer.lease(&request.key)?)
            }
            b"queued" => Acquisition::Queued(answer.position()?),
            b"held" => Acquisition::Held(answer.position()?),
            b"full" => Acquisition::QueueFull(answer.position()?),
            b"deadlock" => Acquisition::Deadlock(answer.position()?),
            b"ended" => Acquisition::Ended(answer.end()?),
            b"not held" => Acquisition::NotHeld,
            _ => return None,
        })
    }
}

/// Lease granted by the short command.
fn granted(request: &AcquireRequest, now: u64, token: u64) -> Option<Timed<Acquisition>> {
    let (now, token) = (Timestamp::from_micros(now), FencingToken::new(token)?);
    Some(Timed::new(now, Acquisition::Granted(Lease::granted(request, token, now))))
}
