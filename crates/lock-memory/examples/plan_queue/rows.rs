//! The timeline as text: a row for each grant, and below it who stood ahead.

use std::collections::HashMap;
use std::time::Duration;

use lock_core::{RequestId, Timestamp};

use crate::speed::Speed;
use crate::timeline::{Grant, Standing};
use crate::workload::Request;

/// No line is wider than this many characters.
const WIDTH: usize = 100;
/// Indent of the lines below a row.
const INDENT: &str = "         ";

/// Total width of the id and owner columns.
const NAMES: usize = 22;

/// Data for printing a grant.
#[derive(Debug)]
pub(crate) struct Rows {
    requests: HashMap<RequestId, Request>,
    start: Timestamp,
    speed: Speed,
    id_width: usize,
}

impl Rows {
    /// Rows for these requests of a run that began at `start` on the store's clock.
    pub(crate) fn new(
        requests: HashMap<RequestId, Request>,
        start: Timestamp,
        speed: Speed,
    ) -> Self {
        let widths = requests.values().map(|request| request.id.to_string().len());
        let id_width = widths.max().unwrap_or_default().max("id".len());
        Self { requests, start, speed, id_width }
    }

    /// The head of the columns.
    pub(crate) fn head(&self) -> String {
        self.row(["granted", "id", "owner", "key", "kind", "priority", "token", "waited"])
    }

    /// A row about a grant, and below it who stood ahead; nothing about a grant that is no part of
    /// the workload.
    pub(crate) fn of(&self, grant: &Grant) -> Option<String> {
        let Request { id, owner, key, kind, priority, .. } = self.requests.get(&grant.request)?;
        let at = self.speed.in_the_file(grant.at.since(self.start));
        let waited = self.speed.in_the_file(grant.waited);
        let row = self.row([
            &seconds(at),
            &id.to_string(),
            owner.as_str(),
            key.as_str(),
            &kind.to_string(),
            priority.as_str(),
            &grant.token.to_string(),
            &seconds(waited),
        ]);
        Some(match &grant.standing {
            None => row,
            Some(standing) => format!("{row}\n{}", self.below(standing)),
        })
    }

    fn row(&self, cells: [&str; 8]) -> String {
        let [at, id, owner, key, kind, priority, token, waited] = cells;
        let id_width = self.id_width;
        let owner_width = NAMES - id_width;
        let (owner, key) = (clip(owner, owner_width), clip(key, 21));
        format!(
            "{at:>7}  {id:<id_width$}  {owner:<owner_width$}  {key:<21}  {kind:<5}  {priority:<8}  \
             {token:<16}  {waited:>6}"
        )
    }

    /// Formats the requests ahead and the overtakers, on one line if it fits.
    fn below(&self, standing: &Standing) -> String {
        let holders = standing.holders.iter().map(|it| format!("{} (holder)", self.id(it)));
        let ahead = holders.chain(standing.ahead.iter().map(|it| self.id(it)));
        let behind = list("behind ", &ahead.collect::<Vec<_>>());
        if standing.overtaken_by.is_empty() {
            return format!("{INDENT}{behind}");
        }
        let overtaken_by = standing.overtaken_by.iter().map(|it| self.id(it));
        let overtaken = list("overtaken by ", &overtaken_by.collect::<Vec<_>>());
        let is_short = INDENT.len() + behind.len() + "; ".len() + overtaken.len() <= WIDTH;
        let joint = if is_short { "; ".to_owned() } else { format!("\n{INDENT}") };
        format!("{INDENT}{behind}{joint}{overtaken}")
    }

    fn id(&self, request: &RequestId) -> String {
        self.requests.get(request).map_or_else(|| "?".to_owned(), |it| it.id.to_string())
    }
}

/// The names behind their `head`: as many as fit on one line, and how many were left out.
fn list(head: &str, names: &[String]) -> String {
    const REST: usize = ", and 9999 more".len();
    let mut line = head.to_owned();
    for (index, name) in names.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let rest = if index + 1 == names.len() { 0 } else { REST };
        if index > 0 && INDENT.len() + line.len() + comma.len() + name.len() + rest > WIDTH {
            return format!("{line}, and {} more", names.len() - index);
        }
        line = line + comma + name;
    }
    line
}

/// Seconds with one decimal.
pub(crate) fn seconds(span: Duration) -> String {
    format!("{:.1}", span.as_secs_f64())
}

/// The text, or its last `width` characters, which tell more than the first.
fn clip(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(length + 1 - width)).collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use lock_core::FencingToken;

    use super::*;
    use crate::workload;

    const LINE: &str = r#"{"id":"ID","owner":"acme/infra#412","key":"acme/infra/prod","kind":"plan","priority":"high","arrival_s":0,"hold_s":0}"#;

    fn rows(ids: impl IntoIterator<Item = String>, line: &str) -> Rows {
        let lines: Vec<_> = ids.into_iter().map(|id| line.replace("ID", &id)).collect();
        let requests = workload::parse("w.jsonl", lines.join("\n").as_bytes()).unwrap();
        let requests = (0..).map(RequestId::from_bits).zip(requests).collect();
        Rows::new(requests, Timestamp::from_micros(1_000_000), Speed::USUAL)
    }

    fn ids(numbers: std::ops::Range<u128>) -> Vec<RequestId> {
        numbers.map(RequestId::from_bits).collect()
    }

    fn text(rows: &Rows, standing: Option<Standing>) -> String {
        format!("{}\n{}", rows.head(), rows.of(&grant(standing)).unwrap())
    }

    fn grant(standing: Option<Standing>) -> Grant {
        Grant {
            request: RequestId::from_bits(0),
            token: FencingToken::new(1_790_000_000_000_000).unwrap(),
            at: Timestamp::from_micros(1_250_000),
            waited: Duration::from_millis(61),
            standing,
        }
    }

    #[test]
    fn a_grant_at_once_is_one_line() {
        let rows = rows(["r001".to_owned()], LINE);
        assert_snapshot!(text(&rows, None), @r"
        granted  id    owner               key                    kind   priority  token             waited
           10.0  r001  acme/infra#412      acme/infra/prod        plan   high      1790000000000000     2.4
        ");
    }

    #[test]
    fn a_grant_from_the_queue_shows_the_waiters_ahead() {
        let rows = rows((0..9).map(|id| format!("r{id:03}")), LINE);
        let standing = Standing { holders: ids(1..2), ahead: ids(2..5), overtaken_by: ids(5..7) };
        assert_snapshot!(text(&rows, Some(standing)), @r"
        granted  id    owner               key                    kind   priority  token             waited
           10.0  r000  acme/infra#412      acme/infra/prod        plan   high      1790000000000000     2.4
                 behind r001 (holder), r002, r003, r004; overtaken by r005, r006
        ");
    }

    #[test]
    fn many_later_arrivals_get_a_line_of_their_own() {
        let rows = rows((0..40).map(|id| format!("r{id:03}")), LINE);
        let standing = Standing { holders: ids(1..2), ahead: ids(2..8), overtaken_by: ids(8..14) };
        assert_snapshot!(text(&rows, Some(standing)), @r"
        granted  id    owner               key                    kind   priority  token             waited
           10.0  r000  acme/infra#412      acme/infra/prod        plan   high      1790000000000000     2.4
                 behind r001 (holder), r002, r003, r004, r005, r006, r007
                 overtaken by r008, r009, r010, r011, r012, r013
        ");
    }

    #[test]
    fn no_line_is_too_wide() {
        let long = LINE
            .replace("acme/infra#412", &"o".repeat(99))
            .replace("acme/infra/prod", &"ü".repeat(99));
        let rows = rows((100..200).map(|id| format!("request-{id:04}")), &long);
        let standing =
            Standing { holders: ids(1..2), ahead: ids(2..50), overtaken_by: ids(50..99) };
        let text = text(&rows, Some(standing));
        assert_snapshot!(text, @r"
        granted  id            owner       key                    kind   priority  token             waited
           10.0  request-0100  …ooooooooo  …üüüüüüüüüüüüüüüüüüüü  plan   high      1790000000000000     2.4
                 behind request-0101 (holder), request-0102, request-0103, request-0104, and 45 more
                 overtaken by request-0150, request-0151, request-0152, request-0153, and 45 more
        ");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }
}
