//! Terraform's locks on the terms of rules.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::site::{Run, Site};
use super::{Tools, until};
use crate::service::Launch;

/// Rules that give each operation a priority, and one more under which plans share the lock.
const PRIORITIES: &str = "[[terraform-rule]]\noperations = ['plan']\npriority = 'low'\n\
     [[terraform-rule]]\noperations = ['refresh']\npriority = 'high'\n\
     [[terraform-rule]]\noperations = ['state-push']\npriority = 'critical'\n";
const SHARED: &str = "[[terraform-rule]]\noperations = ['plan']\nshared = true\n";

/// Runs of one kind, from the lowest priority to the highest.
const KINDS: [&str; 4] = ["plan", "apply", "refresh", "push"];

fn ruled(rules: &'static str) -> impl FnOnce(Launch, &Path) -> Result<Launch> {
    move |launch, folder| {
        fs::write(folder.join("serve.toml"), rules)?;
        Ok(launch.with_options(&["--config", "serve.toml", "--states", "states"]))
    }
}

/// Runs of four priorities wait in their order, those of one priority in the order of their arrival.
pub(super) fn priorities_are_heeded(tools: &Tools, number: usize) -> Result<()> {
    let site = Site::with(tools, "priorities", ruled(PRIORITIES))?;
    let holder = site.workspace("holder", &site.server.address)?;
    holder.init()?.succeed()?;
    // All pushes are of the state that is there before the first apply.
    let empty = r#"{"version":4,"terraform_version":"1.15.5","serial":1,"lineage":"","outputs":{},"resources":[]}"#;
    let workspaces = site.workspaces(number, &site.server.address)?;
    let holding = holder.apply()?;
    site.begun(1)?;
    let (mut runs, mut expected, mut known): (Vec<Run>, Vec<(usize, String)>, Vec<String>) =
        (Vec::new(), Vec::new(), site.server.queue()?);
    let held = known.clone();
    for (index, workspace) in workspaces.iter().enumerate() {
        let kind = index % KINDS.len();
        fs::write(workspace.folder.join("empty.tfstate"), empty)?;
        runs.push(match KINDS[kind] {
            "plan" => workspace.terraform(&["plan", "-input=false", "-no-color"])?,
            "apply" => workspace.apply()?,
            "refresh" => workspace.terraform(&["refresh", "-input=false", "-no-color"])?,
            _ => workspace.terraform(&["state", "push", "-force", "empty.tfstate"])?,
        });
        let queue = site.server.queue_of(index + 2)?;
        let new = queue.iter().find(|request| !known.contains(request));
        expected.push((kind, new.context("a new request")?.clone()));
        known = queue;
    }
    // Of equal ones, the sort keeps the order of the arrival.
    expected.sort_by_key(|(kind, _)| KINDS.len() - kind);
    let expected: Vec<_> = held.into_iter().chain(expected.into_iter().map(|it| it.1)).collect();
    ensure!(known == expected, "the queue is {known:?}, and not {expected:?}");
    site.open_gate()?;
    holding.succeed()?;
    runs.into_iter().try_for_each(Run::succeed)?;
    println!("{number} runs of four priorities waited in their order, and succeeded");
    Ok(())
}

/// A plan does not wait for another, and an apply waits for both.
pub(super) fn plans_share(tools: &Tools) -> Result<()> {
    let site = Site::with(tools, "plans", ruled(SHARED))?;
    let [planner, applier] =
        ["planner", "applier"].map(|name| site.workspace(name, &site.server.address));
    let (planner, applier) = (planner?, applier?);
    planner.init()?.succeed()?;
    applier.init()?.succeed()?;
    let id = "01234567-89ab-cdef-0123-456789abcdef";
    site.server.plan("LOCK", id)?;
    planner.terraform(&["plan", "-input=false", "-no-color"])?.succeed()?;
    site.open_gate()?;
    let applying = applier.apply()?;
    site.server.queue_of(2)?;
    ensure!(site.turns()?.is_empty(), "the apply did not wait for the plan");
    site.server.plan("UNLOCK", id)?;
    applying.succeed()?;
    until("a free lock", || Ok(site.server.queue()?.is_empty().then_some(())))?;
    println!("a plan went on beside another, and an apply waited for it");
    Ok(())
}
