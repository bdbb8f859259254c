//! JSON as Go writes and reads it.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::time::{Duration, SystemTime};

use lock_compat::legacy::{
    Approvals, CommandLock, CommandName, PolicySetStatus, Project, ProjectLock, PullRequest,
    Stored, Timestamp, User, decode, encode,
};

fn user(text: &str) -> User {
    decode("key", text.as_bytes()).unwrap()
}

fn written(name: &str) -> String {
    String::from_utf8(encode(&User::new(name))).unwrap()
}

#[test]
fn what_go_escapes_is_escaped() {
    let cases = [
        ("<b>&", r"\u003cb\u003e\u0026"),
        ("a\u{2028}b\u{2029}", r"a\u2028b\u2029"),
        ("\"\\/", r#"\"\\/"#),
        ("\u{8}\u{c}\n\r\t", r"\b\f\n\r\t"),
        ("\u{0}\u{1f}\u{7f}", "\\u0000\\u001f\u{7f}"),
        ("é😀\u{85}", "é😀\u{85}"),
    ];
    for (name, escaped) in cases {
        assert_eq!(written(name), format!(r#"{{"Username":"{escaped}","Teams":null}}"#));
        assert_eq!(user(&written(name)).username, name);
    }
}

#[test]
fn nil_and_empty_are_two() {
    let mut user = User::new("a");
    user.teams = Some(Vec::new());
    assert_eq!(encode(&user), br#"{"Username":"a","Teams":[]}"#);
    assert_eq!(self::user(r#"{"Username":"a","Teams":[]}"#).teams, Some(Vec::new()));
    assert_eq!(self::user(r#"{"Username":"a","Teams":null}"#).teams, None);
}

#[test]
fn fields_are_found_in_any_case_and_order() {
    let expected = {
        let mut user = User::new("a");
        user.teams = Some(vec!["x".to_owned()]);
        user
    };
    assert_eq!(user(r#" { "TEAMS" : ["x"], "username" : "a" } "#), expected);
}

#[test]
fn later_fields_win_and_null_and_missing_are_zero() {
    assert_eq!(user(r#"{"Username":"a","username":"b"}"#).username, "b");
    assert_eq!(user(r#"{"Username":"a","Username":null}"#).username, "a");
    assert_eq!(user(r#"{"Username":null}"#), User::default());
    assert_eq!(user("{}"), User::default());
    assert_eq!(user("null"), User::default());
    let lock: ProjectLock =
        decode("key", br#"{"Pull":null,"Time":"0001-01-01T00:00:00Z"}"#).unwrap();
    assert_eq!(lock, ProjectLock::default());
}

#[test]
fn unknown_fields_are_kept_at_every_level() {
    let text = r#"{"Project":{"ProjectName":"","RepoFullName":"","Path":"","P":1},"Pull":{"Num":1,"HeadCommit":"","URL":"","HeadBranch":"","BaseBranch":"","Author":"","State":0,"BaseRepo":{"FullName":"","Owner":"","Name":"","CloneURL":"","SanitizedCloneURL":"","VCSHost":{"Hostname":"","Type":0,"V":[1,{"a":null}]},"R":"\u003c"},"Z":1.50,"A":-0},"User":{"Username":"","Teams":null,"U":{"b":1,"a":2}},"Workspace":"","Time":"0001-01-01T00:00:00Z","L":true}"#;
    let mut lock: ProjectLock = decode("key", text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(encode(&lock)).unwrap(), text);
    "prod".clone_into(&mut lock.workspace);
    let changed = text.replace(r#""Workspace":"""#, r#""Workspace":"prod""#);
    assert_eq!(String::from_utf8(encode(&lock)).unwrap(), changed);
}

#[test]
fn numbers_of_other_versions_are_kept() {
    let text = br#"{"LockMetadata":{"UnixTime":1},"CommandName":77}"#;
    let lock: CommandLock = decode("key", text).unwrap();
    assert_eq!(lock.command_name, CommandName::Other(77));
    assert_eq!(encode(&lock), text);
    assert_eq!(CommandName::from(9), CommandName::Cancel);
}

#[test]
fn fields_that_came_later_stay_as_they_were() {
    let pull = |text: &str| -> PullRequest { decode("key", text.as_bytes()).unwrap() };
    assert_eq!(pull(r#"{"Num":1}"#).body, None);
    assert_eq!(pull(r#"{"Num":1,"Body":null}"#).body.as_deref(), Some(""));
    let text = r#"{"PolicySetName":"a","Passed":true,"Approvals":null,"Hashes":null,"PolicyItemRegex":""}"#;
    let policies: PolicySetStatus = decode("key", text.as_bytes()).unwrap();
    assert_eq!(policies.approvals, Approvals::List(None));
    assert_eq!(String::from_utf8(encode(&policies)).unwrap(), text);
}

#[test]
fn unchanged_value_keeps_its_bytes() {
    let bytes = b" {\"username\":\"\\u0061\",\n\"Also\": 1}";
    let mut stored: Stored<User> = Stored::read("key", bytes).unwrap();
    stored.update(stored.value().clone());
    assert_eq!(stored.encode(), bytes);
    let mut other = stored.value().clone();
    "b".clone_into(&mut other.username);
    stored.update(other);
    assert_eq!(stored.encode(), br#"{"Username":"b","Teams":null,"Also":1}"#);
}

#[test]
fn damage_is_reported_by_its_position_and_never_by_its_content() {
    let cases = [
        (r#"{"Username":"hunter2"#, "it ends too early at line 1 column 20"),
        (r#"{"Username":"hunter2" x"#, "it is not JSON at line 1 column 23"),
        (r#"{"Username":7,"Teams":"hunter2"}"#, "a value of another type at line 1 column 13"),
        (r#"["hunter2"]"#, "a value of another type at line 1 column 1"),
        ("", "it ends too early at line 1 column 0"),
        (r#"{"Username":"\ud800hunter2"}"#, "it is not JSON at line 1 column 20"),
    ];
    for (text, reason) in cases {
        let damaged = decode::<User>("pr/a/b", text.as_bytes()).unwrap_err();
        assert_eq!((damaged.key.as_str(), damaged.reason.as_str()), ("pr/a/b", reason), "{text}");
        assert!(!format!("{damaged} {damaged:?}").contains("hunter2"));
    }
    let damaged = decode::<User>("key", b"{\"Username\":\"\xff\"}").unwrap_err();
    assert!(damaged.reason.starts_with("it is not JSON"), "{damaged}");
}

#[test]
fn times_are_read_and_written_as_in_go() {
    let cases = [
        ("2025-09-27T22:28:12.123456789-07:00", "2025-09-27T22:28:12.123456789-07:00"),
        ("2025-09-27T22:28:12.120000000Z", "2025-09-27T22:28:12.12Z"),
        ("2025-09-27T22:28:12.000Z", "2025-09-27T22:28:12Z"),
        ("2025-09-27T22:28:12+05:30", "2025-09-27T22:28:12+05:30"),
        ("2025-09-27T22:28:12-00:30", "2025-09-27T22:28:12-00:30"),
        ("2025-09-27T22:28:12+00:00", "2025-09-27T22:28:12Z"),
        ("2025-09-27T22:28:12.1234567899Z", "2025-09-27T22:28:12.123456789Z"),
        ("2025-09-27T22:28:12-23:59", "2025-09-27T22:28:12-23:59"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
    ];
    for (text, written) in cases {
        assert_eq!(Timestamp::parse(text).unwrap().to_string(), written, "{text}");
    }
    assert_eq!(Timestamp::default().to_string(), "0001-01-01T00:00:00Z");
    assert_eq!(Timestamp::from_unix(1_759_037_292).unwrap().to_string(), "2025-09-28T05:28:12Z");
    assert_eq!(Timestamp::parse("2025-09-28T07:28:12+02:00").unwrap().unix(), 1_759_037_292);
}

#[test]
fn times_are_of_the_years_that_go_writes() {
    let (first, last) = (-62_167_219_200, 253_402_300_799);
    assert_eq!(Timestamp::from_unix(first).unwrap().to_string(), "0000-01-01T00:00:00Z");
    assert_eq!(Timestamp::from_unix(last).unwrap().to_string(), "9999-12-31T23:59:59Z");
    for outside in [first - 1, last + 1, i64::MIN, i64::MAX] {
        assert_eq!(Timestamp::from_unix(outside), None);
    }
    // A lock of a command may hold any number, which is shown as a time all the same.
    let lock: CommandLock =
        decode("key", br#"{"LockMetadata":{"UnixTime":-100000000000}}"#).unwrap();
    assert!(lock.is_locked());
    assert_eq!(lock.lock_time(), Timestamp::default());
}

#[test]
fn clocks_beyond_those_years_stand_at_their_ends() {
    let epoch = SystemTime::UNIX_EPOCH;
    let far = Duration::from_secs(1 << 62);
    let cases = [
        (epoch, "1970-01-01T00:00:00Z"),
        (epoch + Duration::new(1_759_037_292, 120_000_000), "2025-09-28T05:28:12.12Z"),
        (epoch - Duration::from_millis(1), "1969-12-31T23:59:59.999Z"),
        (epoch + far, "9999-12-31T23:59:59.999999999Z"),
        (epoch - far, "0000-01-01T00:00:00Z"),
    ];
    for (time, written) in cases {
        let time = Timestamp::from(time);
        assert_eq!(time.to_string(), written);
        assert_eq!(Timestamp::parse(written), Some(time));
    }
    let end = lock_core::Timestamp::from_micros(u64::MAX);
    assert_eq!(Timestamp::from(end).to_string(), "9999-12-31T23:59:59.999999999Z");
}

#[test]
fn comma_is_a_point() {
    let read = Timestamp::parse("2025-09-27T22:28:12,5Z").unwrap();
    assert_eq!(read.to_string(), "2025-09-27T22:28:12.5Z");
}

#[test]
fn times_that_go_refuses_are_refused() {
    for text in [
        "",
        "2025-09-27",
        "2025-09-27t22:28:12Z",
        "2025-09-27T22:28:12z",
        "2025-09-27 22:28:12Z",
        "2025-09-27T22:28:12",
        "2025-09-27T22:28:12.Z",
        "2025-9-27T22:28:12Z",
        "2025-02-30T22:28:12Z",
        "2025-09-27T24:00:00Z",
        "2025-09-27T22:60:12Z",
        "2025-09-27T22:28:60Z",
        "2025-09-27T2:28:12Z",
        "2025-09-27T22:28:12+0530",
        "2025-09-27T22:28:12+05",
        "2025-09-27T22:28:12+05:60",
        "2025-09-27T22:28:12+24:00",
        "2025-09-27T22:28:12-25:00",
        "2025-09-27T22:28:12é",
        "+025-09-27T22:28:12Z",
        "2025-09-27T22:28:12ZZ",
    ] {
        assert_eq!(Timestamp::parse(text), None, "{text}");
    }
    assert!(decode::<Timestamp>("key", b"1759037292").is_err());
}

#[test]
fn project_paths_are_cleaned() {
    assert_eq!(Project::new("acme/infra", "./modules//vpc/", "").path, "modules/vpc");
}
