//! Points of time as Go writes them.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// The years 0 to 9999, in seconds after the beginning of 1970: Go writes no others.
const SECONDS: RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;
const NANOS_OF_SECOND: i128 = 1_000_000_000;

/// A point of time with its offset, as Go's `time.Time` is in JSON: RFC 3339 with up to nine digits
/// of a second, none of them a zero at the end.
///
/// Two that differ in their offsets alone are not equal, although they are the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp {
    local: PrimitiveDateTime,
    offset: UtcOffset,
}

/// Go's zero time, the first instant of the year 1.
impl Default for Timestamp {
    fn default() -> Self {
        let date = Date::from_calendar_date(1, Month::January, 1).unwrap_or(Date::MIN);
        Self { local: PrimitiveDateTime::new(date, Time::MIDNIGHT), offset: UtcOffset::UTC }
    }
}

impl Timestamp {
    /// So many seconds after the beginning of 1970, in UTC; `None` outside of the years 0 to 9999.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Option<Self> {
        let seconds = Some(seconds).filter(|seconds| SECONDS.contains(seconds))?;
        OffsetDateTime::from_unix_timestamp(seconds).ok().map(Self::at)
    }

    /// So many nanoseconds after the beginning of 1970, or the nearest that Go writes.
    fn nearest(nanos: i128) -> Self {
        let first = i128::from(*SECONDS.start()) * NANOS_OF_SECOND;
        let last = (i128::from(*SECONDS.end()) + 1) * NANOS_OF_SECOND - 1;
        let time = OffsetDateTime::from_unix_timestamp_nanos(nanos.clamp(first, last));
        time.map(Self::at).unwrap_or_default()
    }

    fn at(time: OffsetDateTime) -> Self {
        Self { local: PrimitiveDateTime::new(time.date(), time.time()), offset: time.offset() }
    }

    /// Seconds since the beginning of 1970.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.local.assume_offset(self.offset).unix_timestamp()
    }

    /// Reads what Go's `UnmarshalJSON` accepts: `T` and `Z` are capitals, and a comma is a point.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (clock, rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
        let digits = rest.strip_prefix(['.', ',']).map(|rest| rest.trim_start_matches(digit));
        let (fraction, zone) = match digits {
            Some(zone) => (&rest[1..rest.len() - zone.len()], zone),
            None => ("0", rest),
        };
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, small(day)?).ok()?;
        let nanos = nanos(fraction)?;
        let clock =
            Time::from_hms_nano(small(hour)?, small(minute)?, small(second)?, nanos).ok()?;
        Some(Self { local: PrimitiveDateTime::new(date, clock), offset: offset(zone)? })
    }
}

fn digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn small(number: u32) -> Option<u8> {
    u8::try_from(number).ok()
}

/// Three numbers of so many digits.
fn numbers(text: &str, separator: char, lengths: [usize; 3]) -> Option<[u32; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part = parts.next().filter(|part| part.len() == length && part.chars().all(digit))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// A fraction of a second; digits after the ninth are cut off, as in Go.
fn nanos(digits: &str) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let digits = digits.get(..9).unwrap_or(digits);
    format!("{digits:0<9}").parse().ok()
}

fn offset(zone: &str) -> Option<UtcOffset> {
    if zone == "Z" {
        return Some(UtcOffset::UTC);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let sign = match sign {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let [hours, minutes, _] = numbers(&format!("{rest}:00"), ':', [2, 2, 2])?;
    let is_of_a_day = hours < 24 && minutes < 60;
    let minutes = i32::try_from(hours * 60 + minutes).ok().filter(|_| is_of_a_day)?;
    UtcOffset::from_whole_seconds(sign * minutes * 60).ok()
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.local.to_calendar_date();
        let (hour, minute, second, nanos) = self.local.as_hms_nano();
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", u8::from(month))?;
        if nanos > 0 {
            write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0'))?;
        }
        let minutes = self.offset.whole_minutes();
        if minutes == 0 {
            return f.write_str("Z");
        }
        let sign = if minutes < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60)
    }
}

/// In UTC; the first or last nanosecond of the years 0 to 9999 for what is outside of them.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let nanos = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_nanos()),
            Err(before) => i128::try_from(before.duration().as_nanos()).map(|nanos| -nanos),
        };
        Self::nearest(nanos.unwrap_or(i128::MAX))
    }
}

/// In UTC; the last nanosecond of the year 9999 for what is later.
impl From<lock_core::Timestamp> for Timestamp {
    fn from(time: lock_core::Timestamp) -> Self {
        Self::nearest(i128::from(time.as_micros()) * 1000)
    }
}

/// In microseconds; the beginning of 1970 for what is before.
impl From<Timestamp> for lock_core::Timestamp {
    fn from(time: Timestamp) -> Self {
        let nanos = time.local.assume_offset(time.offset).unix_timestamp_nanos();
        Self::from_micros(u64::try_from(nanos / 1000).unwrap_or_default())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = String::deserialize(reader)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a time"))
    }
}
