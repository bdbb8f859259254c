#![doc = include_str!("../README.md")]

mod clock;
mod duration;
mod identity;
mod invalid;
mod key;
mod metadata;
mod mode;
mod owner;
mod priority;
mod random;
mod reason;
mod text;
mod timed;
mod token;
mod ttl;

mod error;
mod event;
mod health;
mod lease;
mod loss_reason;
mod notice;
mod position;
mod query;
mod reply;
mod request;
mod waiter;

mod backend;
mod inspector;
pub mod layer;
pub mod machine;
pub mod manager;

#[doc(no_inline)]
pub use async_trait::async_trait;
pub use backend::LockBackend;
#[cfg(feature = "test-util")]
pub use clock::ManualClock;
pub use clock::{Clock, Timestamp, TokioClock};
pub use duration::{AgeingStep, HeadStart, KeepAlive, LeaseTime, Timeout};
pub use error::{Error, ErrorKind, Operation, Result};
pub use event::{Change, ChangeKind, ChangeKinds, EventFilter, LockEvent, Watched};
#[doc(no_inline)]
pub use futures_core::Stream;
pub use health::{Capabilities, Health};
pub use identity::{MailboxId, RequestId, SessionId};
pub use inspector::{EventStream, LockInspector, LockStore};
pub use invalid::{InvalidInput, Violation};
pub use key::LockKey;
pub use lease::{Grant, Lease, LeaseName};
pub use loss_reason::LossReason;
pub use manager::{
    Acquire, Attempt, GuardError, LeaseStream, LockGuard, LockManager, ManagerConfig,
    ShutdownReport, Try, Wait,
};
#[cfg(feature = "test-util")]
pub use manager::{ManagerFault, plant};
pub use metadata::Metadata;
pub use mode::Mode;
pub use notice::{End, Notice, NoticeStream};
pub use owner::OwnerId;
pub use position::{Holder, QueuePosition};
pub use priority::Priority;
pub use query::{
    Cursor, EventCursor, InspectQuery, Inspection, ListQuery, Page, WaitsOf, WaitsQuery,
};
#[cfg(feature = "test-util")]
pub use random::seed_random;
pub use reason::Reason;
pub use reply::{Acquisition, Cancellation, Eviction, Heard, Release, Renewal, Transfer};
pub use request::{
    AcquireRequest, CancelRequest, EvictRequest, EvictTarget, HearRequest, OnHeld, ReleaseRequest,
    RenewRequest, TransferRequest, TransferTo,
};
pub use timed::Timed;
pub use token::FencingToken;
#[doc(no_inline)]
pub use tokio::runtime::Handle;
#[doc(no_inline)]
pub use tokio::time::Instant;
pub use ttl::Ttl;
pub use waiter::Waiter;
