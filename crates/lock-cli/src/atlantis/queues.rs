//! `atlantis queues`: the pull requests that wait for projects.

use std::fmt::Write as _;
use std::time::Duration;

use lock_compat::legacy::Project;
use lock_compat::{
    LockAdapter, ProjectName, ProjectQueue, PullName, QueueHolder, QueueStatistics, QueuedPull,
    Queues, Spans,
};
use lock_core::OwnerId;
use serde_json::{Value, json};

use crate::cli::QueuesArgs;
use crate::exit::{Exit, Failure};
use crate::output::{Output, span};
use crate::table::table;

/// The workspace of a project for which none is named.
const WORKSPACE: &str = "default";

pub(super) async fn show(
    adapter: &LockAdapter,
    asked: QueuesArgs,
    output: Output,
) -> Result<Exit, Failure> {
    let found = find(adapter, asked).await?;
    for damaged in &found.damaged {
        output.warn(&damaged.to_string());
    }
    let statistics = found.statistics();
    let value = json!({
        "queues": found.queues.iter().map(queue).collect::<Vec<_>>(),
        "statistics": numbers(&statistics),
    });
    output.show(&value, || {
        let rows: Vec<_> = found.queues.iter().flat_map(rows).collect();
        let summary = summary(&statistics);
        if rows.is_empty() {
            return summary;
        }
        let columns = ["HOST", "PROJECT", "PLACE", "PULL", "WAITS", "HELD BY", "HELD"];
        format!("{}\n\n{summary}", table(columns, rows))
    })?;
    Ok(Exit::Done)
}

async fn find(adapter: &LockAdapter, asked: QueuesArgs) -> Result<Queues, Failure> {
    let QueuesArgs { repo, pull, path, workspace, name } = asked;
    Ok(match (repo, pull, path) {
        (Some(repo), Some(pull), _) => adapter.queues_of_pull(&repo, pull).await?,
        (Some(repo), None, Some(path)) => {
            let project = Project::new(&repo, &path, &name.unwrap_or_default());
            let workspace = workspace.as_deref().unwrap_or(WORKSPACE);
            adapter.queues_of_project(&project, workspace).await?
        }
        (Some(repo), None, None) => adapter.queues_of_repo(&repo).await?,
        (None, ..) => adapter.queues().await?,
    })
}

/// A row for each request that waits.
fn rows(queue: &ProjectQueue) -> impl Iterator<Item = [String; 7]> {
    let ProjectQueue { name, holder, .. } = queue;
    let (by, held) = match holder {
        Some(holder) => (held_by(name, holder), span(holder.held)),
        None => (String::new(), String::new()),
    };
    queue.waiters.iter().map(move |waiter| {
        [
            name.host.clone(),
            name.to_string(),
            waiter.position.to_string(),
            who(name, waiter.pull.as_ref(), &waiter.owner),
            span(waiter.waited),
            by.clone(),
            held.clone(),
        ]
    })
}

fn held_by(name: &ProjectName, holder: &QueueHolder) -> String {
    let pull = who(name, holder.pull.as_ref(), &holder.owner);
    match &holder.lock {
        Some(lock) if !lock.user.username.is_empty() => format!("{pull} ({})", lock.user.username),
        _ => pull,
    }
}

/// The number of a pull request of the project's repository, and the whole name of anybody else.
fn who(name: &ProjectName, pull: Option<&PullName>, owner: &OwnerId) -> String {
    match pull {
        Some(pull)
            if pull.repo_full_name == name.project.repo_full_name && pull.host == name.host =>
        {
            pull.num.to_string()
        }
        _ => owner.to_string(),
    }
}

/// The counts and times, for people.
fn summary(statistics: &QueueStatistics) -> String {
    let QueueStatistics { held, unclaimed, waiting, .. } = statistics;
    let mut text = format!("{held} held");
    // Writing to a string does not fail.
    if *unclaimed > 0 {
        let _ = write!(text, ", {unclaimed} granted and not yet claimed");
    }
    let _ = write!(text, ", {waiting} waiting");
    if let Some(Spans { longest, mean, .. }) = statistics.waited {
        let _ = write!(text, " for at most {}, {} on average", span(longest), span(mean));
    }
    text
}

fn queue(queue: &ProjectQueue) -> Value {
    let ProjectName { project, workspace, host, .. } = &queue.name;
    json!({
        "key": queue.key,
        "host": host,
        "repo": project.repo_full_name,
        "path": project.path,
        "workspace": workspace,
        "name": project.project_name,
        "holder": queue.holder.as_ref().map(holder),
        "waiting": queue.waiting,
        "waiters": queue.waiters.iter().map(waiter).collect::<Vec<_>>(),
        "statistics": numbers(&queue.statistics()),
    })
}

fn holder(holder: &QueueHolder) -> Value {
    let lock = holder.lock.as_ref();
    json!({
        "owner": holder.owner,
        "pull": holder.pull.as_ref().map(|pull| pull.num),
        "author": lock.map(|lock| &lock.pull.author),
        "user": lock.map(|lock| &lock.user.username),
        "unclaimed": holder.is_unclaimed,
        "held_ms": millis(holder.held),
    })
}

fn waiter(waiter: &QueuedPull) -> Value {
    json!({
        "place": waiter.position,
        "owner": waiter.owner,
        "pull": waiter.pull.as_ref().map(|pull| pull.num),
        "request": waiter.request,
        "head_start_ms": millis(waiter.head_start.span()),
        "waited_ms": millis(waiter.waited),
    })
}

fn numbers(statistics: &QueueStatistics) -> Value {
    let times = |spans: Option<Spans>| {
        spans.map(|it| json!({ "longest_ms": millis(it.longest), "mean_ms": millis(it.mean) }))
    };
    json!({
        "projects": statistics.projects,
        "held": statistics.held,
        "unclaimed": statistics.unclaimed,
        "waiting": statistics.waiting,
        "waited": times(statistics.waited),
        "held_for": times(statistics.held_for),
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
