//! Spans and points of time as people read them.

use std::time::{Duration, UNIX_EPOCH};

use lock_core::Timestamp;
use maud::{Markup, html};

/// The last point of time that RFC 3339 has words for, in seconds.
const LAST: u64 = 253_402_300_799;

/// Units of time, the largest first, in seconds.
const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];

/// A span in its two largest units, such as `2 min 3 s`.
pub(super) fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    let Some(first) = UNITS.iter().position(|(unit, _)| seconds >= *unit) else {
        return "0 s".to_owned();
    };
    let (unit, name) = UNITS[first];
    let words = format!("{} {name}", seconds / unit);
    match UNITS.get(first + 1) {
        Some((next, name)) if seconds % unit / next > 0 => {
            format!("{words} {} {name}", seconds % unit / next)
        }
        _ => words,
    }
}

/// A point of time in RFC 3339, to the millisecond.
pub(super) fn exact(at: Timestamp) -> String {
    let span = Duration::from_micros(at.as_micros()).min(Duration::from_secs(LAST));
    humantime::format_rfc3339_millis(UNIX_EPOCH + span).to_string()
}

/// The time of day, in UTC.
fn of_day(at: Timestamp) -> String {
    let exact = exact(at);
    format!("{} UTC", &exact["0000-00-00T".len().."0000-00-00T00:00:00".len()])
}

/// The time that passed from a point to `now`.
pub(super) fn since(at: Timestamp, now: Timestamp) -> Markup {
    marked(at, &words(now.since(at)))
}

/// The time that is left until a point, or that it never comes.
pub(super) fn left(end: Option<Timestamp>, now: Timestamp) -> Markup {
    match end {
        Some(end) => marked(end, &words(end.since(now))),
        None => html! { "never ends" },
    }
}

/// A point of time as the time of day.
pub(super) fn clock(at: Timestamp) -> Markup {
    marked(at, &of_day(at))
}

fn marked(at: Timestamp, words: &str) -> Markup {
    let exact = exact(at);
    html! { time datetime=(exact) title=(exact) { (words) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_has_its_two_largest_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (123, "2 min 3 s"),
            (3600, "1 h"),
            (3659, "1 h"),
            (7380, "2 h 3 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(words(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(words(Duration::from_millis(999)), "0 s");
    }

    #[test]
    fn point_is_exact_to_the_millisecond_and_has_an_end() {
        let at = Timestamp::from_micros(1_700_000_000_123_456);
        assert_eq!(exact(at), "2023-11-14T22:13:20.123Z");
        assert_eq!(of_day(at), "22:13:20 UTC");
        assert_eq!(exact(Timestamp::from_micros(u64::MAX)), "9999-12-31T23:59:59.000Z");
        assert!(left(None, at).into_string().contains("never ends"));
    }
}
