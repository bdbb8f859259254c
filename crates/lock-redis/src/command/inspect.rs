//! Looking at a key: its leases and a page of its waiters.

use lock_core::{
    Cursor, InspectQuery, Inspection, LockKey, Operation, Page, RequestId, Result, Timed,
};

use crate::error::foreign_cursor;
use crate::record;
use crate::reply::{self, Answer};
use crate::script::{Arg, Script};
use crate::store::Store;

pub(crate) static INSPECT: Script =
    Script::whole("inspect", include_str!("../scripts/inspect.lua"));

impl Store {
    pub(crate) async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        let key = &query.key;
        let foreign = || foreign_cursor(Operation::Inspect).with_key(key.clone());
        let after = query.cursor.as_ref().map(|cursor| Turn::parse(cursor).ok_or_else(foreign));
        let after = after.transpose()?;
        let rank = after.as_ref().map_or_else(String::new, |turn| turn.rank.to_string());
        let member = after.as_ref().map_or(&[][..], |turn| &turn.member);
        let args = [Arg::Number(query.shown() as u64), Arg::Text(&rank), Arg::Bytes(member)];
        self.run(Operation::Inspect, &INSPECT, key, &args, |answer| inspected(key, answer)).await
    }
}

fn inspected(key: &LockKey, mut answer: Answer) -> Option<Inspection> {
    let (holders, leases) = (answer.number()?, answer.list()?);
    let (waiting, waiters) = (answer.number()?, answer.list()?);
    let next = match (answer.bytes()?, answer.bytes()?) {
        (_, member) if member.is_empty() => None,
        (rank, member) => Some(Turn::read(&rank, &member)?.write()),
    };
    let leases = leases.iter().map(|text| reply::lease(text, key)).collect::<Option<_>>()?;
    let waiters = waiters.iter().map(|text| reply::waiter(text, key)).collect::<Option<_>>()?;
    let inspection = Inspection::free(key.clone()).with_leases(holders, leases);
    Some(inspection.with_waiters(waiting, Page::new(waiters, next)))
}

/// Number of bytes of a member of the queue.
const TURN: usize = record::turn::REQUEST + 16;

/// Where a waiter stands in its queue: a member of the sorted set and its score.
#[derive(Debug)]
struct Turn {
    rank: i64,
    member: [u8; TURN],
}

impl Turn {
    fn read(rank: &[u8], member: &[u8]) -> Option<Self> {
        let rank = str::from_utf8(rank).ok()?.parse().ok()?;
        Some(Self { rank, member: member.try_into().ok()? })
    }

    fn write(&self) -> Cursor {
        let (arrival, request) = self.member.split_at(record::turn::REQUEST);
        let request = request.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte));
        let (rank, arrival) = (self.rank, reply::six_bytes(arrival));
        Cursor::new(format!("{rank:x}.{arrival:x}.{}", RequestId::from_bits(request)))
    }

    fn parse(cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.as_str().splitn(3, '.');
        let rank = i64::from_str_radix(parts.next()?, 16).ok()?;
        let arrival = u64::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
        let request = RequestId::parse(parts.next()?).ok()?.to_bits().to_be_bytes();
        let arrival = arrival.strip_prefix(&[0, 0])?;
        Some(Self { rank, member: [arrival, &request].concat().try_into().ok()? })
    }
}
