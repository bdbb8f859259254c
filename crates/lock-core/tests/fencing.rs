//! Resources that check fencing tokens: a holder that was paused beyond its lease does no harm there,
//! and does harm where nothing is checked.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::cell::Cell;
use std::fs;
use std::io;
use std::time::Duration;

use lock_core::fencing::{Fence, FencedFile, HEADER, HeaderError, StaleToken, from_header};
use lock_core::{FencingToken, LockManager, OwnerId};
use lock_memory::MemoryBackend;
use tokio::runtime::{Builder, Runtime};

/// A process of its own: while its runtime is not driven, it is paused and renews nothing.
fn process(store: &MemoryBackend, owner: &str) -> (Runtime, LockManager) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let manager = LockManager::new(store.clone(), OwnerId::parse(owner).unwrap());
    let manager = manager.with_runtime(runtime.handle().clone());
    (runtime, manager)
}

/// Lets alice write and pause, bob write under the next lease, and alice wake and write again.
fn paused_holder_writes(write: impl Fn(FencingToken, &str)) {
    let store = MemoryBackend::new();
    let ((paused, alice), (running, bob)) = (process(&store, "alice"), process(&store, "bob"));
    let request = alice.acquire("key").ttl(Duration::from_millis(50));
    let late = paused.block_on(request.into_future()).unwrap();
    write(late.token(), "alice");
    // Bob holds only when the lease of alice is over.
    let held = running.block_on(bob.acquire("key").into_future()).unwrap();
    write(held.token(), "bob");
    // She goes on without a look at her guard.
    write(late.token(), "alice, late");
    running.block_on(held.release()).unwrap();
    assert!(late.is_lost());
}

#[test]
fn fence_refuses_a_paused_holder() {
    let (fence, value) = (Fence::default(), Cell::new(String::new()));
    paused_holder_writes(|token, text| {
        let _ = fence.write(token, || value.set(text.to_owned()));
    });
    assert_eq!(value.take(), "bob");
    paused_holder_writes(|_, text| value.set(text.to_owned()));
    assert_eq!(value.take(), "alice, late", "without the check it does harm");
}

#[test]
fn file_refuses_a_paused_holder() {
    let folder = tempfile::tempdir().unwrap();
    let file = FencedFile::new(folder.path().join("deployed.txt"));
    paused_holder_writes(|token, text| {
        let written = file.write(token, text);
        if text == "alice, late" {
            let error = written.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            let stale = error.get_ref().unwrap().downcast_ref::<StaleToken>().unwrap();
            assert_eq!(stale.token, token);
            assert!(stale.highest > token);
        } else {
            written.unwrap();
        }
    });
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "bob");
    paused_holder_writes(|_, text| fs::write(file.path(), text).unwrap());
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "alice, late");
}

#[test]
fn file_takes_repeated_writes_and_refuses_a_damaged_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = FencedFile::new(folder.path().join("deployed.txt"));
    let token = FencingToken::new(7).unwrap();
    file.write(token, "one").unwrap();
    file.write(token, "two").unwrap();
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "two");
    fs::write(folder.path().join("deployed.txt.token"), "seven").unwrap();
    assert_eq!(file.write(token, "three").unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "two");
}

/// The rule of the header, as a server follows it; the body is the new value.
fn serve(fence: &Fence, value: &Cell<String>, header: Option<&str>, body: &str) -> u16 {
    match from_header(header) {
        Err(HeaderError::Missing) => 428,
        Err(_) => 400,
        Ok(token) => match fence.write(token, || value.set(body.to_owned())) {
            Ok(()) => 204,
            Err(_) => 412,
        },
    }
}

#[test]
fn server_refuses_requests_of_a_paused_holder() {
    let (fence, value) = (Fence::default(), Cell::new(String::new()));
    let statuses = Cell::new(Vec::new());
    paused_holder_writes(|token, body| {
        let header = token.to_string();
        let mut seen = statuses.take();
        seen.push(serve(&fence, &value, Some(&header), body));
        statuses.set(seen);
    });
    assert_eq!(statuses.take(), [204, 204, 412]);
    assert_eq!(value.take(), "bob");
    assert_eq!(HEADER, "fencing-token");
    assert_eq!(serve(&fence, &value, None, "no token"), 428);
    for malformed in ["", "0", "-1", "+1", "1.0", " 1", "18446744073709551616", "eins"] {
        assert_eq!(serve(&fence, &value, Some(malformed), "no token"), 400, "{malformed}");
    }
    assert_eq!(value.take(), "");
}
