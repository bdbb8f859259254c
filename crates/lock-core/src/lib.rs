#![doc = include_str!("../README.md")]

pub mod blocking;
mod contract;
pub mod fencing;
pub mod layer;
pub mod machine;
pub mod manager;
mod model;
pub mod telemetry;

#[doc(no_inline)]
pub use async_trait::async_trait;
pub use contract::backend::LockBackend;
pub use contract::deadlock::{Deadlock, DeadlockMember};
pub use contract::error::{Error, ErrorKind, Operation, Result};
pub use contract::event::{Change, ChangeKind, ChangeKinds, EventFilter, LockEvent, Watched};
pub use contract::health::{Capabilities, Health};
pub use contract::inspector::{EventStream, LockInspector, LockStore};
pub use contract::lease::{Grant, Lease, LeaseName};
pub use contract::loss_reason::LossReason;
pub use contract::notice::{End, Notice, NoticeStream};
pub use contract::position::{Holder, QueuePosition};
pub use contract::query::{
    Cursor, EventCursor, InspectQuery, Inspection, ListQuery, Page, WaitsOf, WaitsQuery,
};
pub use contract::reply::{
    Acquisition, Cancellation, Eviction, Heard, Release, ReleaseRequested, Renewal, Transfer,
};
pub use contract::request::{
    AcquireRequest, CancelRequest, EvictRequest, EvictTarget, HearRequest, OnHeld, ReleaseAppeal,
    ReleaseRequest, RenewRequest, TransferRequest, TransferTo,
};
pub use contract::waiter::Waiter;
#[doc(no_inline)]
pub use futures_core::Stream;
pub use manager::{
    Acquire, AcquireAll, Attempt, DeadlockPolicy, GuardError, LeaseStream, LockGuard, LockManager,
    LockSet, ManagerConfig, RetryPolicy, Session, ShutdownReport, Try, Upgrade, VictimChoice, Wait,
    Wanted,
};
#[cfg(feature = "test-util")]
pub use manager::{ManagerFault, plant};
#[cfg(feature = "test-util")]
pub use model::clock::ManualClock;
pub use model::clock::{Clock, Timestamp, TokioClock};
pub use model::duration::{AgeingStep, HeadStart, KeepAlive, LeaseTime, Timeout};
pub use model::identity::{MailboxId, RequestId, SessionId};
pub use model::invalid::{InvalidInput, Violation};
pub use model::key::LockKey;
pub use model::metadata::Metadata;
pub use model::mode::Mode;
pub use model::owner::OwnerId;
pub use model::priority::Priority;
#[cfg(feature = "test-util")]
pub use model::random::seed_random;
pub use model::reason::Reason;
pub use model::timed::Timed;
pub use model::token::FencingToken;
pub use model::ttl::Ttl;
#[doc(no_inline)]
pub use tokio::runtime::Handle;
#[doc(no_inline)]
pub use tokio::time::Instant;
