//! Answers of a store in words, for the message of a case that fails.

use lock_core::{Acquisition, Heard, Lease, QueuePosition, Timed};

/// The answer to an acquire.
pub(super) fn acquisition(answer: &Timed<Acquisition>) -> String {
    let at = |position: &QueuePosition| Timed::new(answer.observed_at, position.clone());
    match &answer.value {
        Acquisition::Granted(lease) => granted(lease),
        Acquisition::Queued(position) => format!("a place in the queue ({})", at(position)),
        Acquisition::Held(position) => format!("a refusal ({})", at(position)),
        Acquisition::QueueFull(position) => format!("a full queue ({})", at(position)),
        Acquisition::Ended(end) => format!("the news that the request was {end}"),
        other => format!("{other:?}"),
    }
}

/// The answer to a hear.
pub(super) fn heard(answer: &Timed<Heard>) -> String {
    match &answer.value {
        Heard::Granted(lease) => granted(lease),
        Heard::Queued(position) => {
            let position = Timed::new(answer.observed_at, position.clone());
            format!("a place in the queue ({position})")
        }
        Heard::Ended(end) => format!("the news that the request was {end}"),
        Heard::Absent => "the news that the request is absent".to_owned(),
        other => format!("{other:?}"),
    }
}

fn granted(lease: &Lease) -> String {
    let Lease { key, owner, token, .. } = lease;
    format!("a grant of `{key}` to `{owner}` with token {token}")
}
