//! The differential test: a store and the state machine are given the same random commands, and
//! must answer the same.
//!
//! [`check`] runs as many sequences of [`commands`] as its [`Settings`] say, each on a store that
//! was just [started](check) and on an oracle that is nothing but the machine of `lock-core`. Both
//! stand on one clock that is set by hand. Every answer must be the same, tokens and points of time
//! included, and so must all that can be seen of the few keys, the events of each key and the
//! notices of each mailbox. Only the texts of cursors are the store's own, and which keys share a
//! counter of tokens. A sequence on which they disagree is made as short as can be before it is
//! told.

mod answer;
mod call;
mod command;
mod compare;
mod disagreement;
mod event_log;
mod mailboxes;
mod oracle;
mod plan;
mod report;
mod resolve;
mod tokens;
mod values;

pub use command::{Command, commands};
pub use compare::compare;
pub use disagreement::Disagreement;
pub use plan::{Settings, check};
pub use report::{Failure, Report, Tally};
pub use values::START;
