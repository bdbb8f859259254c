//! The vocabulary: limits, forms, what is shown and what is not.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::time::Duration;

use lock_core::{
    AcquireRequest, AgeingStep, End, Error, ErrorKind, FencingToken, HeadStart, Holder, KeepAlive,
    Lease, LeaseTime, LockKey, MailboxId, Metadata, Mode, Operation, OwnerId, Priority,
    QueuePosition, Reason, RequestId, SessionId, Timed, Timestamp, Ttl,
};

fn lease() -> Lease {
    let (key, owner) = (LockKey::parse("key").unwrap(), OwnerId::parse("alice").unwrap());
    let metadata = Metadata::parse([("clone_url", "https://user:secret@host")]).unwrap();
    let request = AcquireRequest::new(RequestId::from_bits(7), key, owner)
        .with_session(SessionId::from_bits(5))
        .with_mode(Mode::semaphore(3).unwrap())
        .with_metadata(metadata);
    Lease::granted(&request, FencingToken::new(42).unwrap(), Timestamp::from_micros(1_000_000))
}

#[test]
fn texts_respect_their_limits() {
    for (text, problem) in [
        (String::new(), "key is empty, 1 to 1024 bytes are allowed"),
        ("k".repeat(1025), "key has 1025 bytes, at most 1024 are allowed"),
        ("é".repeat(513), "key has 1026 bytes, at most 1024 are allowed"),
        ("a\u{0}".to_owned(), "key has a control character at byte 1"),
        ("a\u{7f}".to_owned(), "key has a control character at byte 1"),
        ("é\u{85}".to_owned(), "key has a control character at byte 2"),
    ] {
        assert_eq!(LockKey::parse(&text).unwrap_err().to_string(), problem);
    }
    for text in ["k".to_owned(), "k".repeat(1024), "é".repeat(512), " * ? [a] {b} \\ ".to_owned()]
    {
        assert_eq!(LockKey::parse(&text).unwrap().as_str(), text);
    }
    assert_eq!(OwnerId::parse("").unwrap_err().field(), "owner");
    assert_eq!(Reason::parse("a\tb").unwrap_err().field(), "reason");
}

#[test]
fn spans_respect_their_limits() {
    let nano = Duration::from_nanos(1);
    assert_eq!(Ttl::parse(LeaseTime::MIN).unwrap().span(), Some(LeaseTime::MIN));
    assert_eq!(Ttl::parse(LeaseTime::MAX).unwrap().span(), Some(LeaseTime::MAX));
    assert_eq!(Ttl::parse(LeaseTime::MIN + nano).unwrap().span(), Some(2 * LeaseTime::MIN));
    assert_eq!(
        Ttl::parse(LeaseTime::MAX + nano).unwrap_err().to_string(),
        "ttl is longer than 31622400s"
    );
    assert_eq!(Ttl::parse(Duration::ZERO).unwrap_err().to_string(), "ttl is shorter than 1ms");
    let error = KeepAlive::parse(KeepAlive::MAX + nano).unwrap_err();
    assert_eq!(error.to_string(), "keep_alive is longer than 86400s");
    assert!(KeepAlive::parse(Duration::from_micros(999)).is_err());
    assert_eq!(HeadStart::parse(Duration::ZERO).unwrap(), HeadStart::NONE);
    assert!(HeadStart::parse(HeadStart::MAX + nano).is_err());
}

#[test]
fn semaphore_of_no_permits_is_refused() {
    assert_eq!(Mode::semaphore(0).unwrap_err().to_string(), "limit is below 1");
}

#[test]
fn priorities_are_read_by_name_and_give_head_starts() {
    for priority in Priority::ALL {
        assert_eq!(priority.to_string().parse::<Priority>().unwrap(), priority);
        assert_eq!(priority.to_string().to_uppercase().parse::<Priority>().unwrap(), priority);
    }
    let error = "urgent".parse::<Priority>().unwrap_err();
    assert_eq!(error.to_string(), "priority is not one of low, normal, high, critical");
    let minute = Duration::from_secs(60);
    let step = |span| AgeingStep::parse(span).unwrap();
    assert_eq!(Priority::Critical.head_start(step(minute)).span(), 3 * minute);
    assert_eq!(Priority::Critical.head_start(step(Duration::ZERO)), HeadStart::NONE);
    assert_eq!(Priority::Critical.head_start(step(AgeingStep::MAX)).span(), HeadStart::MAX);
}

#[test]
fn metadata_respects_its_limits() {
    let long = "x".repeat(Metadata::MAX_BYTES - 1);
    assert_eq!(Metadata::parse([("n", long.as_str())]).unwrap().get("n"), Some(long.as_str()));
    let error = Metadata::parse([("na", long.as_str())]).unwrap_err();
    assert_eq!(error.to_string(), "metadata has 1048577 bytes, at most 1048576 are allowed");
    assert_eq!(Metadata::parse([("", "x")]).unwrap_err().field(), "metadata name");
    assert!(Metadata::parse::<String, String>([]).unwrap().is_empty());
}

#[test]
fn tokens_follow_the_last_and_the_clock() {
    let token = |number| FencingToken::new(number);
    let at = Timestamp::from_micros;
    assert_eq!(token(0), None);
    assert_eq!(FencingToken::following(None, at(0)).get(), 1);
    assert_eq!(FencingToken::following(None, at(50)).get(), 50);
    assert_eq!(FencingToken::following(token(49), at(50)).get(), 50);
    assert_eq!(FencingToken::following(token(50), at(50)).get(), 51);
    assert_eq!(FencingToken::following(token(90), at(50)).get(), 91);
}

/// Two leases never have the same token, whatever the clock says and a store has read.
#[test]
fn tokens_increase_to_the_end() {
    let doubles = 1_u64 << 53;
    assert_eq!(FencingToken::new(doubles - 1), Some(FencingToken::MAX));
    for number in [doubles, u64::MAX] {
        assert_eq!(FencingToken::new(number), None);
    }
    // A clock that was set to the end of time leaves tokens for those after it.
    let late = Timestamp::from_micros(u64::MAX);
    let mut last = FencingToken::following(None, late);
    assert_eq!(last.get(), doubles - (1 << 50));
    for now in [late, Timestamp::default(), late] {
        let next = FencingToken::following(Some(last), now);
        assert_eq!(next.get(), last.get() + 1);
        last = next;
    }
    // After the highest that can be read come those that cannot, and none comes twice.
    let mut last = FencingToken::MAX;
    for number in doubles..doubles + 3 {
        last = FencingToken::following(Some(last), late);
        assert_eq!(last.get(), number);
    }
}

#[test]
fn request_ids_are_read_as_they_are_written() {
    let request = RequestId::random();
    assert_ne!(request, RequestId::random());
    assert_eq!(RequestId::parse(&request.to_string()).unwrap(), request);
    let text = RequestId::from_bits(255).to_string();
    assert_eq!(text, "000000000000000000000000000000ff");
    for bad in ["", "ff", &text.to_uppercase(), &format!("+{}", &text[1..])] {
        assert_eq!(RequestId::parse(bad).unwrap_err().field(), "request");
        assert_eq!(SessionId::parse(bad).unwrap_err().field(), "session");
        assert_eq!(MailboxId::parse(bad).unwrap_err().field(), "mailbox");
    }
    let highest = RequestId::from_bits(u128::MAX - 1);
    assert_eq!(SessionId::from(highest).to_bits(), highest.to_bits());
    assert_eq!(RequestId::parse(&highest.to_string()).unwrap(), highest);
    let alone = AcquireRequest::new(request, lease().key, lease().owner);
    assert_eq!(alone.session, SessionId::from(request), "a session of its own");
}

#[test]
fn debug_output_has_no_metadata() {
    let text = format!("{:#?}", lease());
    assert!(!text.contains("secret"), "{text}");
    insta::assert_snapshot!(text, @r#"
    Lease {
        key: "key",
        owner: "alice",
        session: 00000000000000000000000000000005,
        request: 00000000000000000000000000000007,
        mode: Shared {
            limit: Some(
                3,
            ),
        },
        token: 42,
        ttl: For(
            LeaseTime(
                30s,
            ),
        ),
        granted_at: 1000000us,
        expires_at: Some(
            31000000us,
        ),
        metadata: {
            "clone_url",
        },
        replicas: None,
    }
    "#);
}

#[test]
fn errors_say_what_happened_to_which_key_and_keep_their_cause_apart() {
    let error = Error::new(ErrorKind::Unavailable, Operation::Release)
        .with_key(LockKey::parse("key").unwrap())
        .with_source("connection refused");
    assert_eq!(error.to_string(), "release `key`: the store is unavailable");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "connection refused");
    assert!(!error.is_unknown() && error.is_retryable());
    let error = Error::new(ErrorKind::Unavailable, Operation::Acquire)
        .with_server("redis://host:6379")
        .with_source("no answer within 5s")
        .unknown();
    assert!(error.is_unknown() && error.is_retryable());
    assert_eq!(
        error.to_string(),
        "acquire: the store is unavailable at redis://host:6379; the outcome is unknown"
    );
    assert_eq!(format!("{error:?}"), format!("{error}: no answer within 5s"));
    let end = End::Transferred {
        by: OwnerId::parse("alice").unwrap(),
        to: OwnerId::parse("bob").unwrap(),
    };
    let error = Error::new(ErrorKind::Ended, Operation::Acquire).with_end(end.clone());
    assert_eq!(error.end(), Some(&end));
    assert_eq!(
        error.to_string(),
        "acquire: the request was ended: transferred to `bob` by `alice`"
    );
    let (by, reason) = (OwnerId::parse("carol").unwrap(), Reason::parse("stuck").unwrap());
    assert_eq!(End::Evicted { by, reason }.to_string(), "evicted by `carol`: stuck");
    assert_eq!(End::Cancelled.to_string(), "cancelled");
    let text = [
        ErrorKind::QueueFull,
        ErrorKind::WaitOver,
        ErrorKind::Ended,
        ErrorKind::NotHeld,
        ErrorKind::Lost,
        ErrorKind::Deadlock,
        ErrorKind::Unavailable,
        ErrorKind::Unsupported,
        ErrorKind::InvalidInput,
        ErrorKind::Corrupt,
        ErrorKind::ShutDown,
    ]
    .map(|kind| {
        format!(
            "{kind:?} retryable={}: {kind}",
            Error::new(kind, Operation::Acquire).is_retryable()
        )
    });
    insta::assert_snapshot!(text.join("\n"), @r"
    QueueFull retryable=true: the queue is full
    WaitOver retryable=true: not granted in time
    Ended retryable=false: the request was ended
    NotHeld retryable=false: the request does not hold the key
    Lost retryable=false: the lease was lost
    Deadlock retryable=false: deadlock
    Unavailable retryable=true: the store is unavailable
    Unsupported retryable=false: this is not supported
    InvalidInput retryable=false: invalid input
    Corrupt retryable=false: the store returned an invalid answer
    ShutDown retryable=false: the manager was shut down
    ");
}

/// A position reads as a sentence in every case: it counts those ahead, never those of all.
#[test]
fn positions_name_the_holder_and_those_ahead() {
    let shown = |position: QueuePosition| {
        Timed::new(Timestamp::from_micros(61_000_000), position).to_string()
    };
    let holder = |end: Option<u64>| {
        Some(Holder::from(&lease()).with_expires_at(end.map(Timestamp::from_micros)))
    };
    let position = QueuePosition::new;
    let text = [
        shown(position(1, 0)),
        shown(position(1, 0).with_holder(1, holder(None))),
        shown(position(1, 3).with_holder(1, holder(Some(62_500_000)))),
        shown(position(2, 2).with_holder(3, holder(Some(62_500_000)))),
        shown(position(12, 0).with_holder(1, holder(Some(61_000_000)))),
        // A clock that jumped back, and an impossible position.
        shown(position(0, 0).with_holder(1, holder(Some(0)))),
    ];
    insta::assert_snapshot!(text.join("\n"), @r"
    no holder; next in the queue
    held by `alice` (token 42) for 60s, lease never ends; next in the queue
    held by `alice` (token 42) for 60s, lease ends in 1.5s; next in the queue
    held by `alice` (token 42) for 60s, lease ends in 1.5s, one of 3 holders; 1 request ahead in the queue
    held by `alice` (token 42) for 60s, lease ends in 0ns; 11 requests ahead in the queue
    held by `alice` (token 42) for 60s, lease ends in 0ns; next in the queue
    ");
    for number in 0..5 {
        for waiting in 0..5 {
            let text = shown(position(number, waiting).with_holder(1, holder(None)));
            assert!(!text.contains(" of "), "no number of all waiters: {text}");
            assert!(!text.contains("0 requests"), "{text}");
        }
    }
    let place = Timed::new(Timestamp::from_micros(61_000_000), position(3, 3));
    let error = Error::new(ErrorKind::WaitOver, Operation::Acquire).with_position(place.clone());
    assert_eq!(error.position(), Some(&place));
    assert_eq!(
        error.to_string(),
        "acquire: not granted in time: no holder; 2 requests ahead in the queue"
    );
}

#[cfg(feature = "serde")]
#[test]
fn values_are_stored_and_read_back() {
    let text = serde_json::to_string_pretty(&lease()).unwrap();
    insta::assert_snapshot!(text, @r#"
    {
      "key": "key",
      "owner": "alice",
      "session": "00000000000000000000000000000005",
      "request": "00000000000000000000000000000007",
      "mode": {
        "shared": {
          "limit": 3
        }
      },
      "token": 42,
      "ttl": {
        "for": 30000
      },
      "granted_at": 1000000,
      "expires_at": 31000000,
      "metadata": {
        "clone_url": "https://user:secret@host"
      }
    }
    "#);
    assert_eq!(serde_json::from_str::<Lease>(&text).unwrap(), lease());
    let bad = text.replace("\"key\": \"key\"", "\"key\": \"\"");
    let error = serde_json::from_str::<Lease>(&bad).unwrap_err().to_string();
    assert!(error.starts_with("key is empty, 1 to 1024 bytes are allowed"), "{error}");
}

#[cfg(feature = "serde")]
#[test]
fn requests_are_stored_and_read_back() {
    use lock_core::{
        CancelRequest, EvictRequest, HearRequest, OnHeld, ReleaseRequest, RenewRequest,
        TransferRequest, TransferTo,
    };
    use serde::{Serialize, de::DeserializeOwned};

    fn returns<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(request: &T) {
        let text = serde_json::to_string(request).unwrap();
        assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *request, "{text}");
    }

    let Lease { key, owner, request, metadata, .. } = lease();
    let mailbox = MailboxId::from_bits(9);
    let keep_alive = KeepAlive::parse(Duration::from_millis(1500)).unwrap();
    let plain = AcquireRequest::new(request, key.clone(), owner.clone());
    returns(&plain);
    returns(&plain.clone().queueing(keep_alive));
    returns(
        &plain
            .with_session(SessionId::from_bits(3))
            .with_mode(Mode::READER)
            .with_ttl(Ttl::Never)
            .with_head_start(HeadStart::parse(HeadStart::MAX).unwrap())
            .with_on_held(OnHeld::Queue { keep_alive, queue_limit: Some(7.try_into().unwrap()) })
            .with_mailbox(mailbox)
            .with_metadata(metadata.clone()),
    );
    returns(&HearRequest::new(key.clone(), request));
    returns(&HearRequest::new(key.clone(), request).with_mailbox(mailbox));
    let name = lease().name();
    returns(&RenewRequest::new(name.clone(), Ttl::default()));
    returns(&RenewRequest::new(name.clone(), Ttl::Never).with_mailbox(mailbox));
    returns(&ReleaseRequest::new(name.clone()));
    returns(&CancelRequest::new(key.clone(), request));
    returns(&CancelRequest::new(key.clone(), request).with_answer_outstanding(true));
    let to = TransferTo::Owner { owner: owner.clone(), request, metadata };
    returns(&TransferRequest::new(name.clone(), owner.clone(), to));
    let to = TransferTo::Waiter(request);
    returns(&TransferRequest::new(name.clone(), owner.clone(), to));
    let reason = Reason::parse("stuck").unwrap();
    returns(&EvictRequest::all(key.clone(), owner.clone(), reason.clone()));
    returns(&EvictRequest::lease(name, owner.clone(), reason.clone()));
    returns(&EvictRequest::waiter(key, request, owner, reason));
}
