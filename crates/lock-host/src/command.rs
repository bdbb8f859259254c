//! A command on its way to the store and back.

use lock_core::machine::{KeyState, Step};
use lock_core::{LockKey, Timed, Timestamp};
use tokio::sync::oneshot;

use crate::StoreError;

/// Receiver of the answer to a command.
pub(crate) type Answer<R> = oneshot::Receiver<Result<Timed<R>, StoreError>>;

/// A command of any reply.
pub(crate) trait Work: Send {
    fn key(&self) -> &LockKey;
    /// Returns `true` if the command may enlarge the state of the key.
    fn may_grow(&self) -> bool;
    /// Runs the command, again if need be; the last run counts.
    fn run(&mut self, state: &mut KeyState, step: &mut Step);
    /// Returns `true` if the run changed nothing but the time at which a waiter was heard of.
    fn is_heartbeat(&self) -> bool;
    /// Undoes the run: the command is refused.
    fn refuse(&mut self, error: StoreError);
    /// Answers, as the update that the command was in ended at this time.
    fn answer(self: Box<Self>, end: Result<Timestamp, StoreError>);
}

struct Command<F, R> {
    key: LockKey,
    may_grow: bool,
    is_heartbeat: fn(&R) -> bool,
    run: F,
    reply: Option<Result<R, StoreError>>,
    answer: oneshot::Sender<Result<Timed<R>, StoreError>>,
}

/// A command on a key, and the receiver of its answer.
pub(crate) fn command<F, R>(
    key: LockKey,
    may_grow: bool,
    is_heartbeat: fn(&R) -> bool,
    run: F,
) -> (Box<dyn Work>, Answer<R>)
where
    F: FnMut(&mut KeyState, &mut Step) -> R + Send + 'static,
    R: Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    (Box::new(Command { key, may_grow, is_heartbeat, run, reply: None, answer }), answered)
}

impl<F, R> Work for Command<F, R>
where
    F: FnMut(&mut KeyState, &mut Step) -> R + Send,
    R: Send,
{
    fn key(&self) -> &LockKey {
        &self.key
    }

    fn may_grow(&self) -> bool {
        self.may_grow
    }

    fn run(&mut self, state: &mut KeyState, step: &mut Step) {
        self.reply = Some(Ok((self.run)(state, step)));
    }

    fn is_heartbeat(&self) -> bool {
        matches!(&self.reply, Some(Ok(reply)) if (self.is_heartbeat)(reply))
    }

    fn refuse(&mut self, error: StoreError) {
        self.reply = Some(Err(error));
    }

    fn answer(self: Box<Self>, end: Result<Timestamp, StoreError>) {
        let reply = self.reply.unwrap_or_else(|| Err(StoreError::stopped()));
        let answer = end.and_then(|at| Ok(Timed::new(at, reply?)));
        // The caller may no longer wait for the answer.
        let _ = self.answer.send(answer);
    }
}
