//! Parsing of workloads, and its error messages.

use insta::assert_snapshot;

use super::*;

const GOOD: &str = r#"{"id":"r1","owner":"acme/infra#412","key":"acme/infra/prod","kind":"plan","priority":"high","arrival_s":3.2,"hold_s":6}"#;

/// The good line with one part replaced.
fn but(part: &str, other: &str) -> String {
    assert!(GOOD.contains(part), "{part}");
    GOOD.replacen(part, other, 1)
}

fn refusal(lines: &[impl AsRef<str>]) -> String {
    let text = lines.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("\n");
    parse("w.jsonl", text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_good_line_is_read() {
    let text = format!("\r\n{GOOD}\r\n\n{}", but("r1", "r2"));
    let requests = parse("w.jsonl", text.as_bytes()).unwrap();
    assert_eq!(requests.len(), 2);
    let expected = Request {
        id: Id::parse("r1").unwrap(),
        owner: OwnerId::parse("acme/infra#412").unwrap(),
        key: LockKey::parse("acme/infra/prod").unwrap(),
        kind: Kind::Plan,
        priority: Priority::High,
        arrival: Duration::from_millis(3200),
        hold: Duration::from_secs(6),
    };
    assert_eq!(requests[0], expected);
}

#[test]
fn the_shipped_workload_is_good() {
    let requests = load(None).unwrap();
    assert_eq!(requests.len(), 200);
    let keys: std::collections::HashSet<_> = requests.iter().map(|it| &it.key).collect();
    assert_eq!(keys.len(), 12);
    for priority in Priority::ALL {
        assert!(requests.iter().any(|it| it.priority == priority), "{priority}");
    }
}

#[test]
fn every_kind_of_bad_line_is_reported_with_its_field() {
    let lines = [
        GOOD.to_owned(),
        but("}", ""),
        "  ".to_owned() + &but(r#""plan""#, "plan"),
        "[1,2]".to_owned(),
        GOOD.to_owned() + " {}",
        "{}".to_owned(),
        but("{", r#"{"prio":1,"bad\nname":2,"#),
        but("{", r#"{"kind":"plan","#),
        but(r#""acme/infra/prod""#, "17"),
        but("3.2", r#""3.2""#),
        but("6", "null"),
        but("acme/infra#412", ""),
        but("acme/infra/prod", &"k".repeat(1025)),
        but("acme/infra/prod", r"acme\u0000"),
        but("r1", "a b"),
        but("r1", "an-id-that-is-long"),
        but("plan", "destroy"),
        but("high", "urgent").replace("3.2", "-0.5"),
        but("3.2", "86400.1"),
        but("6", "1e300"),
    ];
    // Every line has its own id, but for one more at the end.
    let own = |(index, line): (usize, String)| line.replace("r1", &format!("r{}", index + 1));
    let lines: Vec<_> = lines.into_iter().enumerate().map(own).chain([GOOD.to_owned()]).collect();
    assert_snapshot!(refusal(&lines), @r"
    w.jsonl:2: bad JSON at column 118: EOF while parsing an object
    w.jsonl:3: bad JSON at column 70: expected value
    w.jsonl:4: not a JSON object
    w.jsonl:5: bad JSON at column 121: trailing characters
    w.jsonl:6: field `id` is missing; field `owner` is missing; field `key` is missing; field `kind` is missing; field `priority` is missing; field `arrival_s` is missing; field `hold_s` is missing
    w.jsonl:7: unknown field `prio`; unknown field `bad\nname`
    w.jsonl:8: field `kind` stands twice
    w.jsonl:9: field `key` is a number, not a string
    w.jsonl:10: field `arrival_s` is a string, not a number
    w.jsonl:11: field `hold_s` is null, not a number
    w.jsonl:12: field `owner` is empty, 1 to 1024 bytes are allowed
    w.jsonl:13: field `key` has 1025 bytes, at most 1024 are allowed
    w.jsonl:14: field `key` has a control character at byte 4
    w.jsonl:15: field `id` is not 1 to 12 visible ASCII characters
    w.jsonl:16: field `id` is not 1 to 12 visible ASCII characters
    w.jsonl:17: field `kind` is not one of plan, apply
    w.jsonl:18: field `priority` is not one of low, normal, high, critical; field `arrival_s` is negative
    w.jsonl:19: field `arrival_s` is above 86400 seconds
    w.jsonl:20: field `hold_s` is above 3600 seconds
    w.jsonl:21: field `id` repeats that of line 1
    ");
}

#[test]
fn numbers_that_json_cannot_have_and_bytes_that_are_no_text_are_bad_json() {
    assert_snapshot!(refusal(&[but("6", "1e999")]), @r"
    w.jsonl:1: bad JSON at column 122: number out of range
    ");
    let mut text = GOOD.as_bytes().to_vec();
    text[8] = 0xff;
    assert_snapshot!(parse("w.jsonl", &text).unwrap_err(), @r"
    w.jsonl:1: bad JSON at column 9: invalid unicode code point
    ");
}

#[test]
fn no_more_than_twenty_bad_lines_are_shown() {
    let shown = refusal(&["{"; 23]);
    assert_eq!(shown.lines().count(), 21);
    assert!(shown.ends_with("\nw.jsonl: and 3 more bad lines"), "{shown}");
    assert!(refusal(&["{"; 21]).ends_with("\nw.jsonl: and 1 more bad line"));
    assert_eq!(refusal(&["{"; 20]).lines().count(), 20);
}

#[test]
fn a_file_without_requests_or_with_too_many_is_refused() {
    assert_eq!(refusal(&["", "  ", "\r"]), "w.jsonl: there is no request in it");
    let lines: Vec<_> = (0..=MAX_REQUESTS).map(|id| but("r1", &id.to_string())).collect();
    assert_eq!(refusal(&lines), "w.jsonl: more than 1000 requests");
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let refusal = load(Some(Path::new("no/such/file.jsonl"))).unwrap_err().to_string();
    assert!(refusal.starts_with("no/such/file.jsonl: "), "{refusal}");
}
