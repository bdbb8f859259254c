//! The records that a worker writes into its history, each in one step, so that a kill loses none.

use std::fmt;

use super::clock::Moment;

/// A record that a worker wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) at: Moment,
    pub(super) request: u64,
    pub(super) event: Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A task asks for a key, with a head start in milliseconds; zero permits ask exclusively.
    Asked { key: u8, permits: u32, head_start: u64 },
    /// An acquire is sent to the store.
    Sent,
    /// The store answered the command sent at that moment: the request is queued.
    Queued { sent: Moment },
    /// The store answered that the request has no place.
    Absent,
    /// The task has a guard with this deadline.
    Granted { token: u64, until: Moment },
    /// The task still holds, with this deadline.
    Holds { until: Moment },
    /// The task no longer believes that it holds; nothing was sent yet.
    Over,
    /// The task does not wait any more, and has no guard.
    GaveUp,
    /// The store answered that it knows nothing of the request, or no longer.
    Gone,
    /// The process did not run from then on until now: the machine was busy. It is of no request.
    Late { since: Moment },
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, request, event } = self;
        write!(f, "{at} {request:016x} ")?;
        match event {
            Event::Asked { key, permits, head_start } => {
                write!(f, "asked {key} {permits} {head_start}")
            }
            Event::Sent => f.write_str("sent"),
            Event::Queued { sent } => write!(f, "queued {sent}"),
            Event::Absent => f.write_str("absent"),
            Event::Granted { token, until } => write!(f, "granted {token} {until}"),
            Event::Holds { until } => write!(f, "holds {until}"),
            Event::Over => f.write_str("over"),
            Event::GaveUp => f.write_str("gave-up"),
            Event::Gone => f.write_str("gone"),
            Event::Late { since } => write!(f, "late {since}"),
        }
    }
}

impl Record {
    /// Reads a line; nothing where it makes no sense, as the last one of a killed process may.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let at = words.next()?.parse().ok()?;
        let request = u64::from_str_radix(words.next()?, 16).ok()?;
        let verb = words.next()?;
        let mut number = || words.next()?.parse::<u64>().ok();
        let event = match verb {
            "asked" => Event::Asked {
                key: u8::try_from(number()?).ok()?,
                permits: u32::try_from(number()?).ok()?,
                head_start: number()?,
            },
            "sent" => Event::Sent,
            "queued" => Event::Queued { sent: number()? },
            "absent" => Event::Absent,
            "granted" => Event::Granted { token: number()?, until: number()? },
            "holds" => Event::Holds { until: number()? },
            "over" => Event::Over,
            "gave-up" => Event::GaveUp,
            "gone" => Event::Gone,
            "late" => Event::Late { since: number()? },
            _ => return None,
        };
        Some(Self { at, request, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back() {
        for event in [
            Event::Asked { key: 3, permits: 0, head_start: 600 },
            Event::Sent,
            Event::Queued { sent: 17 },
            Event::Absent,
            Event::Granted { token: 1 << 52, until: 99 },
            Event::Holds { until: 100 },
            Event::Over,
            Event::GaveUp,
            Event::Gone,
            Event::Late { since: 1 },
        ] {
            let record = Record { at: 123, request: u64::MAX, event };
            assert_eq!(Record::parse(&record.to_string()), Some(record));
        }
    }

    #[test]
    fn torn_line_is_no_record() {
        for line in ["", "12", "12 00ff", "12 00ff granted 7", "12 00ff sang"] {
            assert_eq!(Record::parse(line), None, "{line}");
        }
    }
}
