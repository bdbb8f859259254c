//! Time-outs around calls to the store.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::{Error, ErrorKind, LockKey, Operation, Result};

/// Waits for a call to the store for at most `limit`.
///
/// A store that answers at once, as one in memory does, costs no timer.
pub(super) async fn bounded<T>(
    limit: Duration,
    operation: Operation,
    key: Option<&LockKey>,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut call = pin!(call);
    if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
        return answer;
    }
    let answer = tokio::time::timeout(limit, call).await;
    answer.unwrap_or_else(|_| Err(unanswered(limit, operation, key)))
}

/// Waits for the only answer of a call for many, for at most `limit`.
pub(super) async fn one<T>(
    limit: Duration,
    operation: Operation,
    key: &LockKey,
    call: impl Future<Output = Vec<Result<T>>>,
) -> Result<T> {
    let call = async {
        call.await.pop().unwrap_or_else(|| {
            let error = Error::new(ErrorKind::Corrupt, operation).with_source("no answer");
            Err(error.with_key(key.clone()).unknown())
        })
    };
    bounded(limit, operation, Some(key), call).await
}

/// Waits for a call to the store that may panic; a panic is a failure like another.
pub(super) async fn unwinding<T>(
    operation: Operation,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut call = pin!(call);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))).unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Unavailable, operation).unknown();
            Poll::Ready(Err(error.with_source("the store panicked")))
        })
    })
    .await
}

/// The error of a call that was not answered in time.
pub(super) fn unanswered(limit: Duration, operation: Operation, key: Option<&LockKey>) -> Error {
    let cause = format!("no answer within {limit:?}");
    let error = Error::new(ErrorKind::Unavailable, operation).with_source(cause).unknown();
    match key {
        Some(key) => error.with_key(key.clone()),
        None => error,
    }
}
