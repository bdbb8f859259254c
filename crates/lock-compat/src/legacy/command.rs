//! Commands and their locks.

use super::Timestamp;
use super::json::{number, record};

number! {
    /// A command that people give.
    pub enum CommandName {
        /// `apply`.
        Apply = 0,
        /// `plan`.
        Plan = 1,
        /// `unlock`.
        Unlock = 2,
        /// The check of policies after a plan.
        PolicyCheck = 3,
        /// `approve_policies`.
        ApprovePolicies = 4,
        /// A plan that nobody asked for; as a word it is `plan`.
        Autoplan = 5,
        /// `version`.
        Version = 6,
        /// `import`.
        Import = 7,
        /// `state`.
        State = 8,
        /// `cancel`.
        Cancel = 9,
    }
}

impl CommandName {
    /// The word that people give; empty for the commands of other versions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Plan | Self::Autoplan => "plan",
            Self::Unlock => "unlock",
            Self::PolicyCheck => "policy_check",
            Self::ApprovePolicies => "approve_policies",
            Self::Version => "version",
            Self::Import => "import",
            Self::State => "state",
            Self::Cancel => "cancel",
            Self::Other(_) => "",
        }
    }
}

record! {
    /// Since when a command is locked.
    pub struct LockMetadata {
        /// Seconds since the beginning of 1970.
        "UnixTime" unix_time: i64;
    }
}

record! {
    /// The lock of a command, everywhere.
    pub struct CommandLock {
        /// Since when it is locked.
        "LockMetadata" lock_metadata: LockMetadata;
        /// Which command it is.
        "CommandName" command_name: CommandName;
    }
}

impl CommandLock {
    /// The lock of this command since `time`, of which seconds are kept.
    #[must_use]
    pub fn new(command_name: CommandName, time: Timestamp) -> Self {
        let lock_metadata = LockMetadata { unix_time: time.unix(), ..LockMetadata::default() };
        Self { lock_metadata, command_name, ..Self::default() }
    }

    /// Returns `true` if it locks: one since Go's zero time does not, and one since the beginning
    /// of 1970 does.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock_metadata.unix_time != Timestamp::default().unix()
    }

    /// Since when it is locked; the zero time where that is no time.
    #[must_use]
    pub fn lock_time(&self) -> Timestamp {
        Timestamp::from_unix(self.lock_metadata.unix_time).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_since_the_beginning_of_1970_locks() {
        let at = |unix_time| {
            let time = Timestamp::from_unix(unix_time).expect("a time");
            CommandLock::new(CommandName::Apply, time).is_locked()
        };
        assert!(at(0) && at(7));
        assert!(!at(Timestamp::default().unix()));
    }
}
