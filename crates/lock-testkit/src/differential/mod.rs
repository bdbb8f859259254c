//! The differential test: a store and the state machine receive the same random commands, and must
//! give the same answers.
//!
//! [`check`] runs as many sequences of [`commands`] as its [`Settings`] say, each on a store that
//! was just [started](check) and on an oracle that is the machine of `lock-core` alone. Both use
//! one clock that is set by hand. Every answer must be the same, including tokens and times, and so
//! must everything visible of the few keys, the events of each key and the notices of each mailbox.
//! Only the texts of cursors and the grouping of keys by token counter are the store's own. A
//! sequence on which they disagree is reduced as far as possible before it is reported.

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
