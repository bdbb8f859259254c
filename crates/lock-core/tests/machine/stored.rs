//! A state that is written out and read back.

use lock_core::Timestamp;
use lock_core::machine::KeyState;

/// The state as a store reads it back.
#[cfg(feature = "serde")]
pub(crate) fn reloaded(state: &KeyState) -> KeyState {
    let text = serde_json::to_string(state).expect("a state can be written out");
    serde_json::from_str(&text).expect("a state can be read back")
}

/// The state as a copy of it: without serde there is no other.
#[cfg(not(feature = "serde"))]
pub(crate) fn reloaded(state: &KeyState) -> KeyState {
    state.clone()
}

/// All there is to know of a key, in a form that is equal for equal states.
#[cfg(feature = "serde")]
pub(crate) fn frozen(state: &KeyState, _now: Timestamp) -> String {
    serde_json::to_string(state).expect("a state can be written out")
}

/// All that can be seen of a key.
#[cfg(not(feature = "serde"))]
pub(crate) fn frozen(state: &KeyState, now: Timestamp) -> String {
    let (leases, waiters) = (state.leases(now), state.waiters(now));
    format!("{:?} {:?}", leases.collect::<Vec<_>>(), waiters.collect::<Vec<_>>())
}

#[cfg(feature = "serde")]
mod form {
    use std::time::Duration;

    use lock_core::machine::{KeyState, Step};
    use lock_core::{
        Acquisition, CancelRequest, ChangeKinds, HearRequest, Heard, KeepAlive, Mode, Timestamp,
    };
    use serde_json::Value;

    use crate::action::{Terms, id, key};
    use crate::stored::{frozen, reloaded};

    const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    /// Two readers hold, a writer waits, and a cancelled request is marked.
    fn written() -> (KeyState, Value) {
        let mut state = KeyState::default();
        let mut step = Step::new(START, None, ChangeKinds::NONE);
        let keep_alive = KeepAlive::parse(Duration::from_secs(10)).expect("a valid span");
        let terms = |number| Terms::exclusive_for_ever().of(number).queueing(keep_alive);
        for number in [0, 1] {
            let reader = terms(number).with_mode(Mode::READER);
            assert!(matches!(state.acquire(&mut step, &reader), Acquisition::Granted(_)));
        }
        assert!(matches!(state.acquire(&mut step, &terms(2)), Acquisition::Queued(_)));
        for number in [3, 4] {
            let cancel = CancelRequest::new(key(), id(number)).with_answer_outstanding(true);
            let _ = state.cancel(&mut step, &cancel);
        }
        let written = serde_json::to_value(&state).expect("a state can be written out");
        (state, written)
    }

    fn refused(written: Value) -> String {
        let read = serde_json::from_value::<KeyState>(written);
        read.expect_err("a state that cannot be read back").to_string()
    }

    #[test]
    fn state_begins_with_its_version() {
        let (state, written) = written();
        assert_eq!(written["version"], 1);
        let text = serde_json::to_string(&state).expect("a state can be written out");
        assert!(text.starts_with(r#"{"version":1,"#), "{text}");
        assert_eq!(frozen(&reloaded(&state), START), text);
    }

    #[test]
    fn unknown_version_is_refused() {
        for version in [0, 2, u32::MAX] {
            let (_, mut written) = written();
            written["version"] = version.into();
            let expected = format!("the state has version {version}, but only 1 is supported");
            assert_eq!(refused(written), expected);
        }
        let (_, mut written) = written();
        written.as_object_mut().expect("an object").remove("version");
        assert!(refused(written).contains("version"));
    }

    /// Bytes after an unknown version are ignored.
    #[test]
    fn unknown_version_is_named_whatever_follows_it() {
        for text in [
            r#"{"version":2}"#,
            r#"{"version":2,"holders":[]}"#,
            r#"{"version":2,"leases":"in another form","queue":7,"marks":null}"#,
            "[2]",
            r#"[2,"in another form",7]"#,
        ] {
            let error = serde_json::from_str::<KeyState>(text).expect_err("an unknown version");
            let expected = "the state has version 2, but only 1 is supported";
            assert!(error.to_string().starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn two_things_of_one_request_are_refused() {
        for (what, path) in
            [("leases", "/leases"), ("waiters", "/queue/waiters"), ("marks", "/marks")]
        {
            let (_, mut written) = written();
            let things = written.pointer_mut(path).and_then(Value::as_array_mut);
            let things = things.expect("an array");
            things.push(things[0].clone());
            assert_eq!(refused(written), format!("the state has two {what} of one request"));
        }
    }

    #[test]
    fn idle_state_is_idle_when_it_is_read_back() {
        assert!(reloaded(&KeyState::default()).is_idle());
        let (_, mut written) = written();
        written["leases"] = Value::Array(vec![]);
        written["marks"] = Value::Array(vec![]);
        written["queue"]["waiters"] = Value::Array(vec![]);
        let read: KeyState = serde_json::from_value(written).expect("a state");
        assert!(read.is_idle() && !read.has_waiters());
    }

    /// Many leases and waiters keep their order, and those that are over are read back, too.
    #[test]
    fn all_that_is_over_is_read_back() {
        let (state, _) = written();
        let later = START.after(Duration::from_secs(1000));
        let read = reloaded(&state);
        assert_eq!(read.waiters(START).count(), 1);
        let by_token = |state: &KeyState| {
            state.leases_after(None, START).map(|lease| lease.request).collect::<Vec<_>>()
        };
        assert_eq!(by_token(&read), [id(0), id(1)]);
        assert_eq!(by_token(&read), by_token(&state));
        let hear = |mut state: KeyState, now| {
            let mut step = Step::new(now, None, ChangeKinds::NONE);
            state.hear(&mut step, &HearRequest::new(key(), id(2)))
        };
        assert_eq!(hear(read.clone(), later), Heard::Absent);
        assert!(matches!(hear(read, START), Heard::Queued(_)));
    }
}
