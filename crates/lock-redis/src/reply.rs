//! What the scripts answer, read into the vocabulary.

use std::time::Duration;

use lock_core::{FencingToken, HeadStart, Lease, LockKey, Place, RequestId, Timestamp, Waiter};
use redis::Value;

use crate::terms::Terms;

/// An answer, part by part; what is not as it should be is `None`.
#[derive(Debug)]
pub(crate) struct Answer(std::vec::IntoIter<Value>);

impl Answer {
    pub(crate) fn new(value: Value) -> Option<Self> {
        match value {
            Value::Array(parts) => Some(Self(parts.into_iter())),
            _ => None,
        }
    }

    pub(crate) fn bytes(&mut self) -> Option<Vec<u8>> {
        bytes(self.0.next()?)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        number(&self.0.next()?)
    }

    pub(crate) fn time(&mut self) -> Option<Timestamp> {
        self.number().map(Timestamp::from_micros)
    }

    pub(crate) fn list(&mut self) -> Option<Vec<Vec<u8>>> {
        list(self.0.next()?)
    }

    pub(crate) fn lease(&mut self, key: &LockKey) -> Option<Lease> {
        lease(&self.bytes()?, key)
    }

    /// A place, from its time on.
    pub(crate) fn place(&mut self, key: &LockKey) -> Option<Place> {
        let now = self.time()?;
        let place = Place::new(self.number()?, self.number()?, now);
        let holders = self.number()?;
        let first = match self.bytes()? {
            none if none.is_empty() => None,
            text => Some(lease(&text, key)?),
        };
        Some(place.with_holder(holders, first))
    }
}

pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

pub(crate) fn list(value: Value) -> Option<Vec<Vec<u8>>> {
    match value {
        Value::Array(parts) => parts.into_iter().map(bytes).collect(),
        _ => None,
    }
}

pub(crate) fn request(bytes: &[u8]) -> Option<RequestId> {
    Some(RequestId::from_bits(u128::from_be_bytes(bytes.try_into().ok()?)))
}

/// A whole number that the scripts keep as a double.
fn double(bytes: &[u8]) -> Option<u64> {
    let number = f64::from_be_bytes(bytes.try_into().ok()?);
    (0.0..=NEVER).contains(&number).then_some(number as u64)
}

/// What the scripts write for the end of a lease that never ends.
const NEVER: f64 = 9_007_199_254_740_992.0;

/// When a lease ends that the scripts say ends then.
fn end(bytes: &[u8]) -> Option<Option<Timestamp>> {
    let end = double(bytes)?;
    Some((end < NEVER as u64).then(|| Timestamp::from_micros(end)))
}

/// A token, the time of the grant and the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) token: FencingToken,
    pub(crate) granted_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Grant {
    /// Reads three doubles.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            token: FencingToken::new(double(bytes.get(..8)?)?)?,
            granted_at: Timestamp::from_micros(double(bytes.get(8..16)?)?),
            expires_at: end(bytes.get(16..24)?)?,
        })
    }

    /// The lease that a request with these terms has by this grant.
    pub(crate) fn lease(self, terms: Terms, key: &LockKey, request: RequestId) -> Lease {
        let asked = terms.asked(key.clone(), request);
        Lease::granted(&asked, self.token, self.granted_at).with_expires_at(self.expires_at)
    }
}

/// Reads a lease of `key` as `prelude.lua` describes it.
pub(crate) fn lease(text: &[u8], key: &LockKey) -> Option<Lease> {
    let request = request(text.get(..16)?)?;
    let grant = Grant::parse(text.get(16..40)?)?;
    let terms = match text.get(40)? {
        b'0' | b'1' => text.get(41..)?,
        b'2' | b'3' => text.get(57..)?,
        _ => return None,
    };
    Some(grant.lease(Terms::parse(terms)?, key, request))
}

/// Reads a waiter for `key`: its request, when it is silent, and what is kept of it.
pub(crate) fn waiter(text: &[u8], key: &LockKey) -> Option<Waiter> {
    let request = request(text.get(..16)?)?;
    let silent_at = Timestamp::from_micros(double(text.get(16..24)?)?);
    let enqueued_at = Timestamp::from_micros(double(text.get(24..32)?)?);
    let six_bytes = |at: usize| {
        let bytes = text.get(at..at + 6)?;
        Some(bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let head_start = HeadStart::parse(Duration::from_millis(six_bytes(44)?)).ok()?;
    let terms = Terms::parse(text.get(58..)?)?;
    let waiter = Waiter::new(key.clone(), terms.owner, request, enqueued_at, silent_at);
    Some(waiter.with_terms(terms.mode, head_start))
}
