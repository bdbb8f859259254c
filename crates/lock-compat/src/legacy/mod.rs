//! Atlantis' data model, in the bytes that it stores.

mod command;
mod json;
mod key;
mod project;
mod pull;
mod result;
mod status;
mod stored;
mod time;

pub use command::{CommandLock, CommandName, LockMetadata};
pub use json::{Damaged, decode, encode};
pub use key::{LegacyKey, PullKey, command_key, exact_key, pull_key};
pub use project::{Project, ProjectLock, User};
pub use pull::{CloneUrl, PullRequest, PullState, Repo, VcsHost, VcsHostKind};
pub use result::{Outcome, ProjectResult};
pub use status::{
    Approval, Approvals, PolicySetStatus, ProjectPlanStatus, ProjectStatus, PullStatus,
};
pub use stored::Stored;
pub use time::Timestamp;
