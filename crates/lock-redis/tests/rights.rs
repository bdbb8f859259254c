//! The rights of a user: those that `docs/redis.md` names suffice, and each of them is needed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::error::Error as _;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, ErrorKind, EventFilter, EvictRequest, HearRequest,
    InspectQuery, KeepAlive, ListQuery, LockBackend, LockInspector, LockKey, MailboxId, Metadata,
    Mode, Notice, Operation, OwnerId, Reason, ReleaseRequest, RenewRequest, RequestId, Result,
    TransferRequest, TransferTo, Ttl, WaitsQuery, Watched,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::RedisServer;

const GUIDE: &str = include_str!("../../../docs/redis.md");

/// The rules of a user that the guide gives, by the line that begins with this word.
fn rules(begins: &str) -> Vec<&'static str> {
    let line = GUIDE.lines().find_map(|line| line.strip_prefix(begins)).expect(begins);
    line.split_whitespace().collect()
}

/// The rules of a user whose commands run in one form, without a journal and with one.
fn users() -> Vec<(Vec<&'static str>, bool)> {
    let common = rules("ACL SETUSER locks on >secret ");
    let (functions, scripts) = (rules("# as functions: "), rules("# as scripts: "));
    let journal = rules("# with a journal: ");
    let mut users = vec![([&common[..], &scripts].concat(), false)];
    if RedisServer::has_functions() {
        users.push(([&common[..], &functions].concat(), false));
        users.push(([&common[..], &functions, &journal].concat(), true));
    }
    users
}

async fn connect(server: &RedisServer, rules: &[&str], journal: bool) -> Result<RedisBackend> {
    let set = ["ACL", "SETUSER", "locks", "reset", "on", ">secret"];
    assert_eq!(server.command(&[&set[..], rules].concat()).await, "OK", "{rules:?}");
    let url = format!("redis://locks:secret@{}/", server.addr());
    let config = RedisConfig::parse(&url).unwrap().with_timeout(Duration::from_secs(5));
    RedisBackend::connect(match journal {
        true => config.with_journal(NonZeroU32::new(1000).unwrap()),
        false => config,
    })
    .await
}

fn request(mailbox: MailboxId) -> AcquireRequest {
    let (key, owner) = (LockKey::parse("key").unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
        .queueing(KeepAlive::default())
        .with_mailbox(mailbox)
}

/// Does everything once.
async fn use_all(store: &RedisBackend, journal: bool) -> Result<()> {
    let (mailbox, alice) = (MailboxId::random(), OwnerId::parse("alice").unwrap());
    let why = Reason::parse("stuck").unwrap();
    let mut notices = store.listen(mailbox).await?;
    let mut events = match journal {
        true => Some(store.watch(&EventFilter::all(), None).await?),
        false => None,
    };
    let first = request(mailbox);
    let Acquisition::Granted(held) = store.acquire(&first).await?.value else { panic!("free") };
    let waiting = [request(mailbox), request(mailbox), request(mailbox)];
    for request in &waiting {
        assert!(matches!(store.acquire(request).await?.value, Acquisition::Queued(_)));
    }
    let _ = store.renew(&[RenewRequest::new(held.name(), Ttl::default())]).await.remove(0)?;
    let _ = store.hear(&[HearRequest::new(first.key.clone(), waiting[0].id)]).await.remove(0)?;
    let _ = store.inspect(&InspectQuery::new(first.key.clone())).await?;
    assert_eq!(store.list(&ListQuery::all()).await?.value.items.len(), 1);
    assert_eq!(store.waits_of(&WaitsQuery::new(alice.clone())).await?.value.items.len(), 3);
    let _ = store.health().await?;
    let _ = store.release(&ReleaseRequest::new(held.name())).await?;
    let granted = poll_fn(|cx| notices.as_mut().poll_next(cx)).await;
    assert!(matches!(granted, Some(Notice::Granted(_))), "{granted:?}");
    let evicted = store.evict(&EvictRequest::all(first.key.clone(), alice.clone(), why)).await?;
    assert_eq!(evicted.value.leases.len(), 1);
    let heard =
        store.hear(&[HearRequest::new(first.key.clone(), waiting[1].id)]).await.remove(0)?;
    let lock_core::Heard::Granted(held) = heard.value else { panic!("it is next") };
    let to = TransferTo::Owner {
        owner: alice.clone(),
        request: RequestId::random(),
        metadata: Metadata::default(),
    };
    let _ = store.transfer(&TransferRequest::new(held.name(), alice, to)).await?;
    for request in &waiting {
        let cancel = CancelRequest::new(request.key.clone(), request.id);
        let _ = store.cancel(&cancel.with_answer_outstanding(true)).await?;
    }
    for _ in 0..3 {
        let mut reader = request(mailbox).with_mode(Mode::READER);
        reader.key = LockKey::parse("shared").unwrap();
        assert!(matches!(store.acquire(&reader).await?.value, Acquisition::Granted(_)));
    }
    assert_eq!(store.list(&ListQuery::all()).await?.value.items.len(), 4);
    let _ = store.repair(&first.key).await?;
    if let Some(events) = &mut events {
        let event = poll_fn(|cx| events.as_mut().poll_next(cx)).await;
        assert!(matches!(event, Some(Watched::Event(_))), "{event:?}");
    }
    Ok(())
}

#[tokio::test]
async fn rights_that_are_named_suffice() {
    for (rules, journal) in users() {
        let server = RedisServer::start().await;
        let store = connect(&server, &rules, journal).await.unwrap();
        use_all(&store, journal).await.unwrap_or_else(|error| panic!("{rules:?}: {error:?}"));
        let refused = server.command(&["ACL", "LOG"]).await;
        // The driver tells its name, which it may leave, and where there are scripts only, functions
        // were tried.
        let is_known = |line: &&str| ["client|setinfo", "client", "function|load"].contains(line);
        let lines: Vec<_> = refused.lines().collect();
        let named = lines.windows(2).filter(|pair| pair[0] == "object").map(|pair| pair[1]);
        let unknown: Vec<_> = named.filter(|line| !is_known(line)).collect();
        assert!(unknown.is_empty(), "{rules:?}: {unknown:?}");
    }
}

#[tokio::test]
async fn each_right_that_is_named_is_needed() {
    let server = RedisServer::start().await;
    for (rules, journal) in users() {
        for lacking in rules.iter().filter(|rule| !["-@all", "resetchannels"].contains(rule)) {
            let others: Vec<_> = rules.iter().copied().filter(|rule| rule != lacking).collect();
            let Err(error) = connect(&server, &others, journal).await else {
                panic!("it connects without {lacking}: {others:?}");
            };
            let kind = (error.kind(), error.operation(), error.is_unknown());
            let expected = (ErrorKind::Unavailable, Operation::Connect, false);
            assert_eq!(kind, expected, "{lacking}: {error:?} {:?}", error.source());
        }
    }
}
