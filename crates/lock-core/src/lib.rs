//! Named leases with fencing tokens, priorities and a fair queue: what every lock store agrees on.

mod clock;
mod invalid;
mod metadata;
mod mode;
mod priority;
mod span;
mod text;
mod token;
mod ttl;

mod error;
mod event;
mod lease;
mod place;
mod reply;
mod request;

mod backend;
mod inspector;
pub mod layer;
pub mod machine;
pub mod manager;

pub use backend::LockBackend;
#[cfg(feature = "test-util")]
pub use clock::ManualClock;
pub use clock::{Clock, Timestamp, TokioClock};
pub use error::{Error, ErrorKind, Operation, Result};
pub use event::{Change, ChangeKind, ChangeKinds, EventFilter, LockEvent, Watched};
pub use inspector::{
    Capabilities, Cursor, EventStream, Health, Inspection, ListQuery, LockInspector, LockStore,
    Page,
};
pub use invalid::{InvalidInput, Problem};
pub use lease::Lease;
pub use manager::{
    Acquire, Attempt, LockGuard, LockManager, LossReason, ManagerConfig, Once, Queueing,
};
pub use metadata::Metadata;
pub use mode::Mode;
pub use place::{Place, Waiter};
pub use priority::Priority;
pub use reply::{Acquisition, Cancellation, Eviction, Release, Renewal, Transfer, Wake};
pub use request::{
    AcquireRequest, CancelRequest, EvictRequest, OnHeld, ReleaseRequest, RenewRequest, RequestId,
    TransferRequest, TransferTo, WaitRequest,
};
pub use span::{HeadStart, KeepAlive, LeaseTime};
pub use text::{LockKey, OwnerId, Reason};
pub use token::FencingToken;
pub use ttl::Ttl;
