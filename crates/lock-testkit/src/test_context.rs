//! The context of a case: a fresh store, its clock, and short forms of the commands.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a case fails by panicking")]

mod commands;
mod mail;
mod show;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Capabilities, FencingToken, HeadStart, KeepAlive, Lease, LeaseName, LockKey,
    LockStore, MailboxId, OwnerId, Reason, RequestId, Ttl,
};

pub use mail::Mail;

use crate::{Fixture, Skipped};

/// The context of a case: a fresh store, its clock, and short forms of the commands.
///
/// The short forms panic on an error of the store, which is how a case fails.
pub struct TestContext {
    fixture: Arc<dyn Fixture>,
    store: Arc<dyn LockStore>,
}

/// A lease or the name of one.
pub trait ToLeaseName {
    /// The name of the lease.
    fn lease_name(&self) -> LeaseName;
}

impl ToLeaseName for Lease {
    fn lease_name(&self) -> LeaseName {
        self.name()
    }
}

impl ToLeaseName for LeaseName {
    fn lease_name(&self) -> LeaseName {
        self.clone()
    }
}

impl TestContext {
    /// The keep-alive of every waiter that [`queueing`](Self::queueing) makes.
    pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
    /// The lifetime of a lease or a waiter whose end a case waits for.
    pub const BRIEF: Duration = Duration::from_millis(500);
    /// The ttl of every request that [`ask`](Self::ask) makes.
    pub const TTL: Duration = Duration::from_secs(30);
    /// The longest span that [`elapse`](Self::elapse) lets pass, which every fixture can.
    pub const LONGEST: Duration = Duration::from_secs(2);

    /// Starts a fresh store.
    pub async fn start<F: Fixture>() -> Self {
        let fixture = Arc::new(F::start().await);
        let store = fixture.connect().await;
        Self { fixture, store }
    }

    /// The first connection to the store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn LockStore> {
        &self.store
    }

    /// Reaches the store as another process would.
    pub async fn connect(&self) -> Arc<dyn LockStore> {
        self.fixture.connect().await
    }

    /// The same store by another connection.
    pub async fn elsewhere(&self) -> Self {
        Self { fixture: Arc::clone(&self.fixture), store: self.connect().await }
    }

    /// Lets this much time pass on the store's clock, at most [`LONGEST`](Self::LONGEST).
    pub async fn elapse(&self, span: Duration) {
        assert!(span <= Self::LONGEST, "{span:?} is a long time, which not every fixture has");
        self.fixture.elapse(span).await;
    }

    /// Lets this much time pass on the store's clock, however long.
    ///
    /// # Errors
    /// [`Skipped`] when the fixture has not got the time.
    pub async fn elapse_long(&self, span: Duration) -> Result<(), Skipped> {
        if span > self.fixture.longest_elapse() {
            return Err(Skipped::because("the fixture cannot let so much time pass"));
        }
        self.fixture.elapse(span).await;
        Ok(())
    }

    /// Sets the store's clock back.
    ///
    /// # Errors
    /// [`Skipped`] when the clock cannot be set.
    pub async fn set_back(&self, span: Duration) -> Result<(), Skipped> {
        match self.fixture.set_back(span).await {
            true => Ok(()),
            false => Err(Skipped::because("the clock of the store cannot be set back")),
        }
    }

    /// The capabilities that the store must report.
    #[must_use]
    pub fn expected(&self) -> Capabilities {
        self.fixture.expected()
    }

    /// Goes on with a store that gives notices.
    ///
    /// # Errors
    /// [`Skipped`] when the store gives none.
    pub fn needs_notices(&self) -> Result<(), Skipped> {
        match self.expected().notices {
            true => Ok(()),
            false => Err(Skipped::because("the store gives no notices")),
        }
    }

    /// Goes on with a store that gives events.
    ///
    /// # Errors
    /// [`Skipped`] when the store gives none.
    pub fn needs_events(&self) -> Result<(), Skipped> {
        match self.expected().events {
            true => Ok(()),
            false => Err(Skipped::because("the store gives no events")),
        }
    }

    /// The key `text`.
    #[must_use]
    pub fn key(text: &str) -> LockKey {
        LockKey::parse(text).expect("the cases use valid keys")
    }

    /// The owner `text`.
    #[must_use]
    pub fn owner(text: &str) -> OwnerId {
        OwnerId::parse(text).expect("the cases use valid owners")
    }

    /// The ttl of this length.
    #[must_use]
    pub fn ttl(span: Duration) -> Ttl {
        Ttl::parse(span).expect("the cases use valid ttls")
    }

    /// The reason given by `admin`.
    #[must_use]
    pub fn reason() -> Reason {
        Reason::parse("maintenance").expect("a valid reason")
    }

    /// The keep-alive of this length.
    #[must_use]
    pub fn keep_alive(span: Duration) -> KeepAlive {
        KeepAlive::parse(span).expect("the cases use valid keep-alives")
    }

    /// The head start of this length.
    #[must_use]
    pub fn head_start(span: Duration) -> HeadStart {
        HeadStart::parse(span).expect("the cases use valid head starts")
    }

    /// A new exclusive request for `key`, refused when held.
    #[must_use]
    pub fn ask(key: &str, owner: &str) -> AcquireRequest {
        AcquireRequest::new(RequestId::random(), Self::key(key), Self::owner(owner))
            .with_ttl(Self::ttl(Self::TTL))
    }

    /// A new exclusive request for `key`, queued when held.
    #[must_use]
    pub fn queueing(key: &str, owner: &str) -> AcquireRequest {
        Self::ask(key, owner).queueing(Self::keep_alive(Self::KEEP_ALIVE))
    }

    /// New exclusive requests for `key` that wait as long as a case may take.
    #[must_use]
    pub fn patient(count: usize) -> Vec<AcquireRequest> {
        let keep_alive = Self::keep_alive(KeepAlive::MAX);
        let ask = |number| Self::ask("key", &format!("owner-{number}")).queueing(keep_alive);
        (0..count).map(ask).collect()
    }

    /// The name that a lease of `request` would have with the token of `lease`.
    #[must_use]
    pub fn name_of(request: &AcquireRequest, lease: &Lease) -> LeaseName {
        LeaseName::new(request.key.clone(), request.id, lease.token)
    }

    /// The name of a lease that never was.
    #[must_use]
    pub fn unknown_lease(request: &AcquireRequest) -> LeaseName {
        let token = FencingToken::new(1).expect("one is a token");
        LeaseName::new(request.key.clone(), request.id, token)
    }

    /// Opens a new mailbox on the first connection.
    pub async fn mail(&self) -> Mail {
        self.open(MailboxId::random()).await
    }

    /// Opens `mailbox` on the first connection.
    pub async fn open(&self, mailbox: MailboxId) -> Mail {
        Mail::open(mailbox, &self.store).await
    }
}

impl fmt::Debug for TestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestContext").field("store", &self.store).finish_non_exhaustive()
    }
}
