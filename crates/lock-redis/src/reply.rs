//! Decoding of the replies of scripts.

use std::time::Duration;

use lock_core::{
    End, FencingToken, HeadStart, Holder, Lease, LockKey, QueuePosition, RequestId, Timestamp,
    Waiter,
};
use redis::Value;

use crate::encoding::Terms;
use crate::end;
use crate::record::{NEVER, giver, holder, lease, shown, term, waiter};

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

    pub(crate) fn value(&mut self) -> Option<Value> {
        self.0.next()
    }

    pub(crate) fn bytes(&mut self) -> Option<Vec<u8>> {
        bytes(self.value()?)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        number(&self.value()?)
    }

    pub(crate) fn time(&mut self) -> Option<Timestamp> {
        self.number().map(Timestamp::from_micros)
    }

    pub(crate) fn list(&mut self) -> Option<Vec<Vec<u8>>> {
        list(self.value()?)
    }

    pub(crate) fn lease(&mut self, key: &LockKey) -> Option<Lease> {
        lease(&self.bytes()?, key)
    }

    pub(crate) fn end(&mut self) -> Option<End> {
        end::parse(&self.bytes()?)
    }

    pub(crate) fn position(&mut self) -> Option<QueuePosition> {
        let position = QueuePosition::new(self.number()?, self.number()?);
        let holders = self.number()?;
        let first = match self.bytes()? {
            none if none.is_empty() => None,
            text => Some(holder(&text)?),
        };
        let next_change_at = end_time(self.number()?);
        Some(position.with_holder(holders, first).with_next_change_at(next_change_at))
    }

    /// The parts that are left.
    pub(crate) fn rest(self) -> Vec<Value> {
        self.0.collect()
    }
}

/// The text of a reply that is one.
pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

/// The line `name:...` of what `INFO` says.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
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
pub(crate) fn double(bytes: &[u8]) -> Option<u64> {
    let number = f64::from_be_bytes(bytes.try_into().ok()?);
    (0.0..=NEVER as f64).contains(&number).then_some(number as u64)
}

/// The time that the scripts write so; `None` is never.
pub(crate) fn end_time(micros: u64) -> Option<Timestamp> {
    (micros < NEVER).then(|| Timestamp::from_micros(micros))
}

/// A token, the time of the grant and the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) token: FencingToken,
    pub(crate) granted_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Term {
    /// Reads three doubles.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            token: FencingToken::new(double(bytes.get(term::TOKEN..term::GRANTED)?)?)?,
            granted_at: Timestamp::from_micros(double(bytes.get(term::GRANTED..term::ENDS)?)?),
            expires_at: end_time(double(bytes.get(term::ENDS..term::REST)?)?),
        })
    }
}

/// Reads a lease of `key`.
pub(crate) fn lease(text: &[u8], key: &LockKey) -> Option<Lease> {
    let id = request(text.get(..lease::TOKEN)?)?;
    let term = Term::parse(text.get(lease::TOKEN..lease::FLAG)?)?;
    let terms = match text.get(lease::FLAG)? {
        b'0' | b'1' => text.get(lease::TERMS..)?,
        b'2' | b'3' => text.get(lease::TERMS + giver::TERMS..)?,
        _ => return None,
    };
    let request = Terms::parse(terms)?.request(key.clone(), id);
    Some(Lease::granted(&request, term.token, term.granted_at).with_expires_at(term.expires_at))
}

/// Reads the summary of a holder, whose terms have no metadata.
pub(crate) fn holder(text: &[u8]) -> Option<Holder> {
    let request = request(text.get(..holder::TOKEN)?)?;
    let term = Term::parse(text.get(holder::TOKEN..holder::TERMS)?)?;
    let terms = Terms::parse(text.get(holder::TERMS..)?)?;
    let session = terms.session(request);
    let holder = Holder::new(terms.owner, session, terms.mode, term.token, term.granted_at);
    Some(holder.with_expires_at(term.expires_at))
}

/// Reads a waiter for `key` in its public form.
pub(crate) fn waiter(text: &[u8], key: &LockKey) -> Option<Waiter> {
    let request = request(text.get(..shown::SILENT)?)?;
    let silent_at = Timestamp::from_micros(double(text.get(shown::SILENT..shown::WAITER)?)?);
    let text = text.get(shown::WAITER..)?;
    let enqueued_at = Timestamp::from_micros(double(text.get(..waiter::ARRIVAL)?)?);
    let head_start = Duration::from_millis(six_bytes(text.get(waiter::HEAD..waiter::MAILBOX)?));
    let terms = Terms::parse(text.get(waiter::TERMS..)?)?;
    let session = terms.session(request);
    let waiter = Waiter::new(key.clone(), terms.owner, request, enqueued_at, silent_at);
    let head_start = HeadStart::parse(head_start).ok()?;
    Some(waiter.with_session(session).with_terms(terms.mode, head_start))
}

/// A number of six bytes, the highest first.
pub(crate) fn six_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
