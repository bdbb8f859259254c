//! The workload: who asks for which key, when, how urgently, and for how long it holds.
//!
//! # The format
//! A workload is a file of JSON lines: one request a line, in any order; blank lines are skipped.
//! Each line is one object with exactly these fields:
//!
//! | field | type | limits |
//! |---|---|---|
//! | `id` | string | 1 to 12 visible ASCII characters, different in every line |
//! | `owner` | string | what `OwnerId` allows: 1 to 1,024 bytes without control characters |
//! | `key` | string | what `LockKey` allows: 1 to 1,024 bytes without control characters |
//! | `kind` | string | `plan` or `apply` |
//! | `priority` | string | `low`, `normal`, `high` or `critical`, in any case |
//! | `arrival_s` | number | seconds from the start, 0 to 86,400 |
//! | `hold_s` | number | seconds, 0 to 3,600 |
//!
//! ```json
//! {"id":"r007","owner":"acme/infra#412","key":"acme/infra/prod","kind":"plan","priority":"high","arrival_s":3.2,"hold_s":6.5}
//! ```
//!
//! A workload has 1 to 1,000 requests. It is accepted whole or refused whole.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use lock_core::{InvalidInput, LockKey, OwnerId, Priority, Violation};

use crate::fields::Fields;
use crate::refusal::{BadLine, Flaw, Refusal};

/// The workload that is shipped.
const SHIPPED: &[u8] = include_bytes!("workload.jsonl");

/// The most requests of a workload.
const MAX_REQUESTS: usize = 1_000;
/// The latest arrival.
const LATEST: Duration = Duration::from_secs(86_400);
/// The longest hold.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Somebody who will ask for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Id in the output.
    pub(crate) id: Id,
    /// The pull request.
    pub(crate) owner: OwnerId,
    /// The project.
    pub(crate) key: LockKey,
    /// Kind of request.
    pub(crate) kind: Kind,
    /// Priority.
    pub(crate) priority: Priority,
    /// When it asks, from the start on, in the file's time.
    pub(crate) arrival: Duration,
    /// Duration of the lock, in the file's time.
    pub(crate) hold: Duration,
}

/// Id of a request: 1 to 12 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(String);

/// Kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Looks what would change.
    Plan,
    /// Changes it.
    Apply,
}

/// Reads a workload; without a file, the one that is shipped.
pub(crate) fn load(file: Option<&Path>) -> Result<Vec<Request>, Refusal> {
    let Some(path) = file else { return parse("workload.jsonl", SHIPPED) };
    let name = path.display().to_string();
    match fs::read(path) {
        Ok(text) => parse(&name, &text),
        Err(error) => Err(Refusal { file: name, flaw: Flaw::Unreadable(error) }),
    }
}

/// Reads a workload from the text of the file of this name.
pub(crate) fn parse(file: &str, text: &[u8]) -> Result<Vec<Request>, Refusal> {
    let (mut requests, mut bad) = (Vec::new(), Vec::new());
    let mut lines_of_ids = HashMap::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let number = index + 1;
        // The beginning stays, so that the columns in messages are those of the file.
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        match request(line, number, &mut lines_of_ids) {
            Ok(request) => requests.push(request),
            Err(problems) => bad.push(BadLine { number, problems }),
        }
    }
    let flaw = if !bad.is_empty() {
        Flaw::Lines(bad)
    } else if requests.is_empty() {
        Flaw::Empty
    } else if requests.len() > MAX_REQUESTS {
        Flaw::TooMany(MAX_REQUESTS)
    } else {
        return Ok(requests);
    };
    Err(Refusal { file: file.to_owned(), flaw })
}

/// Reads one line, whose number is only needed to tell of an id that stands twice.
fn request(
    line: &[u8],
    number: usize,
    lines_of_ids: &mut HashMap<Id, usize>,
) -> Result<Request, Vec<String>> {
    let mut fields = Fields::parse(line).map_err(|problem| vec![problem])?;
    let id = fields.text("id", Id::parse);
    let owner = fields.text("owner", |text| OwnerId::parse(text));
    let key = fields.text("key", |text| LockKey::parse(text));
    let kind = fields.text("kind", Kind::parse);
    let priority = fields.text("priority", str::parse::<Priority>);
    let arrival = fields.seconds("arrival_s", LATEST);
    let hold = fields.seconds("hold_s", LONGEST);
    let mut problems = fields.problems();
    if let Some(id) = &id {
        match lines_of_ids.get(id) {
            Some(first) => problems.push(format!("field `id` repeats that of line {first}")),
            None => {
                lines_of_ids.insert(id.clone(), number);
            }
        }
    }
    let request = || {
        let (id, owner, key, kind) = (id?, owner?, key?, kind?);
        Some(Request { id, owner, key, kind, priority: priority?, arrival: arrival?, hold: hold? })
    };
    if problems.is_empty() { request().ok_or(problems) } else { Err(problems) }
}

impl Id {
    /// Checks the text.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidInput> {
        let is_id = (1..=12).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic());
        is_id.then(|| Self(text.to_owned())).ok_or_else(|| {
            let expected = "1 to 12 visible ASCII characters";
            InvalidInput::new("id", Violation::Malformed { expected })
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Kind {
    /// Reads a name.
    fn parse(text: &str) -> Result<Self, InvalidInput> {
        match text {
            "plan" => Ok(Self::Plan),
            "apply" => Ok(Self::Apply),
            _ => Err(InvalidInput::new("kind", Violation::UnknownWord { allowed: "plan, apply" })),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
        })
    }
}

#[cfg(test)]
mod tests;
