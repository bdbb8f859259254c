//! The terms on which runs of Terraform ask for the lock of their state.

use std::time::Duration;

use lock_core::{InvalidInput, Mode, Priority, Ttl};

use super::StateName;
use super::lock_info::LockInfo;

/// The terms on which runs ask for the lock of their state. The first rule that matches a run gives
/// its terms.
///
/// Without a rule, a lock is exclusive, of normal priority, and lasts until it is unlocked.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use lock_core::Priority;
/// use lock_server::{TerraformPolicy, TerraformRule};
///
/// let plans = TerraformRule::new().with_operations(["plan"]).shared();
/// let hotfix = TerraformRule::new().with_users(["oncall"]).with_priority(Priority::High);
/// let sandbox = TerraformRule::new().with_states(["sandbox/"]);
/// let sandbox = sandbox.with_lease(Duration::from_secs(3600))?;
/// let policy = TerraformPolicy::new([plans, hotfix, sandbox]);
/// # Ok::<(), lock_core::InvalidInput>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TerraformPolicy {
    rules: Vec<TerraformRule>,
}

/// The runs that a rule matches, and their terms.
#[derive(Clone, Debug)]
pub struct TerraformRule {
    states: Vec<String>,
    operations: Vec<String>,
    users: Vec<String>,
    shared: bool,
    priority: Priority,
    lease: Ttl,
}

impl TerraformPolicy {
    /// A policy of these rules.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = TerraformRule>) -> Self {
        Self { rules: rules.into_iter().collect() }
    }

    pub(super) fn rule(&self, state: &StateName, info: &LockInfo) -> TerraformRule {
        let rule = self.rules.iter().find(|rule| rule.matches(state, info));
        rule.cloned().unwrap_or_default()
    }
}

impl Default for TerraformRule {
    fn default() -> Self {
        let (states, operations, users) = (Vec::new(), Vec::new(), Vec::new());
        let (shared, priority, lease) = (false, Priority::Normal, Ttl::Never);
        Self { states, operations, users, shared, priority, lease }
    }
}

impl TerraformRule {
    /// A rule that matches every run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Matches only states whose names begin with one of these prefixes.
    #[must_use]
    pub fn with_states(self, prefixes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { states: prefixes.into_iter().map(Into::into).collect(), ..self }
    }

    /// Matches only these operations: `plan`, `apply`, `refresh` and others as Terraform names them,
    /// without its prefix `OperationType`, in any case.
    #[must_use]
    pub fn with_operations(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { operations: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Matches only these users: the part of `Who` before the `@`.
    #[must_use]
    pub fn with_users(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { users: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Shares the lock with other runs of such rules. A run that shares the lock cannot write the
    /// state.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Waits with this priority.
    #[must_use]
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Ends the lock this long after its grant, as Terraform renews nothing. A run that still works
    /// then cannot write the state any more.
    ///
    /// # Errors
    /// [`InvalidInput`] when it is not a valid ttl.
    pub fn with_lease(self, lease: Duration) -> Result<Self, InvalidInput> {
        Ok(Self { lease: Ttl::parse(lease)?, ..self })
    }

    pub(super) const fn mode(&self) -> Mode {
        if self.shared { Mode::READER } else { Mode::Exclusive }
    }

    pub(super) const fn priority(&self) -> Priority {
        self.priority
    }

    pub(super) const fn lease(&self) -> Ttl {
        self.lease
    }

    fn matches(&self, state: &StateName, info: &LockInfo) -> bool {
        let operation = info.operation.strip_prefix("OperationType").unwrap_or(&info.operation);
        let user = info.who.split_once('@').map_or(info.who.as_str(), |(user, _)| user);
        let is_one = |list: &[String], fits: &dyn Fn(&str) -> bool| {
            list.is_empty() || list.iter().any(|entry| fits(entry))
        };
        is_one(&self.states, &|prefix| state.as_str().starts_with(prefix))
            && is_one(&self.operations, &|name| name.eq_ignore_ascii_case(operation))
            && is_one(&self.users, &|name| name == user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority(policy: &TerraformPolicy, state: &str, operation: &str, who: &str) -> Priority {
        let (operation, who) = (operation.to_owned(), who.to_owned());
        let info = LockInfo { operation, who, ..LockInfo::default() };
        policy.rule(&StateName::parse(state).unwrap(), &info).priority()
    }

    #[test]
    fn first_rule_that_matches_gives_the_terms() {
        let rules = [
            TerraformRule::new().with_operations(["Plan"]).with_priority(Priority::Low),
            TerraformRule::new().with_states(["prod/"]).with_users(["oncall", "root"]),
            TerraformRule::new().with_users(["oncall"]).with_priority(Priority::Critical),
        ];
        let policy = TerraformPolicy::new(rules);
        for (state, operation, who, expected) in [
            ("prod/eu", "OperationTypePlan", "oncall@a", Priority::Low),
            ("prod/eu", "plan", "x", Priority::Low),
            ("prod/eu", "OperationTypeApply", "oncall@a", Priority::Normal),
            ("test", "OperationTypeApply", "oncall@a", Priority::Critical),
            ("test", "OperationTypeApply", "oncall", Priority::Critical),
            ("test", "OperationTypeApply", "oncall2@a", Priority::Normal),
            ("test", "OperationTypePlanned", "x@a", Priority::Normal),
        ] {
            assert_eq!(priority(&policy, state, operation, who), expected, "{state} {operation}");
        }
    }
}
