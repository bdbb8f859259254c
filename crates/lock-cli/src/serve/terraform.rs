//! Terraform's states, and the terms of its locks.

use std::sync::Arc;
use std::time::Duration;

use lock_core::Priority;
use lock_server::{DocumentStates, FileStates, StateStore, TerraformPolicy, TerraformRule};
use serde::Deserialize;

use super::args::{Options, duration, wrong};
use super::setup;
use crate::exit::Failure;
use crate::store::Store;

/// A `[[terraform-rule]]` of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Rule {
    /// Prefixes of names of states.
    states: Vec<String>,
    /// Operations as Terraform names them: plan, apply, ..
    operations: Vec<String>,
    /// Users, as `Who` names them before the `@`.
    users: Vec<String>,
    shared: bool,
    priority: Priority,
    #[serde(deserialize_with = "duration")]
    lease: Option<Duration>,
}

impl Rule {
    fn rule(&self) -> Result<TerraformRule, Failure> {
        let rule = TerraformRule::new().with_states(self.states.clone());
        let rule = rule.with_operations(self.operations.clone()).with_users(self.users.clone());
        let rule = if self.shared { rule.shared() } else { rule };
        let rule = rule.with_priority(self.priority);
        match self.lease {
            Some(lease) => Ok(rule.with_lease(lease)?),
            None => Ok(rule),
        }
    }
}

/// The terms of the rules of the file.
pub(super) fn policy(options: &Options) -> Result<TerraformPolicy, Failure> {
    let rules: Result<Vec<_>, Failure> = options.terraform_rule.iter().map(Rule::rule).collect();
    let rules = rules.map_err(|failure| wrong(format!("terraform-rule: {}", failure.message)))?;
    Ok(TerraformPolicy::new(rules))
}

/// The states that are served, if any are.
pub(super) async fn states(
    options: &Options,
    store: &Store,
) -> Result<Option<Arc<dyn StateStore>>, Failure> {
    if options.states_in_store == Some(true) {
        let documents = store.documents.open().await?;
        return Ok(Some(Arc::new(DocumentStates::new(documents))));
    }
    let folder = setup::states(options)?;
    Ok(folder.map(|folder| Arc::new(FileStates::new(folder)) as Arc<dyn StateStore>))
}
