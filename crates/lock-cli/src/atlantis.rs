//! `atlantis`: the locks of an Atlantis, in its own Redis or `BoltDB`, and their queues in a lock store.

mod queues;

#[cfg(feature = "serve")]
mod import;

use lock_atlantis::migrate::{BoltFile, Migration, Source};
use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::legacy::Project;
use lock_compat::{LegacyBackend, LegacyError};
use serde_json::json;

use crate::cli::AtlantisVerb;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::store;
use crate::table::table;
#[cfg(feature = "serve")]
pub(crate) use import::{once as import_once, readable};

pub(crate) async fn run(
    url: Option<&str>,
    verb: AtlantisVerb,
    output: Output,
) -> Result<Exit, Failure> {
    match verb {
        AtlantisVerb::Migrate { from, to, dry_run } => migrate(&from, &to, dry_run, output).await,
        #[cfg(feature = "serve")]
        AtlantisVerb::Import { from, dry_run } => import::run(url, &from, dry_run, output).await,
        #[cfg(feature = "serve")]
        AtlantisVerb::Export { to, dry_run } => import::export(url, &to, dry_run, output).await,
        AtlantisVerb::List => list(&connect(named(url)?).await?, output).await,
        AtlantisVerb::Unlock { repo, path, workspace } => {
            let project = Project::new(&repo, &path, "");
            unlock(&connect(named(url)?).await?, &project, &workspace, output).await
        }
        AtlantisVerb::Queues(asked) => {
            let store = store::open(url).await?;
            let adapter = store.documents.adapter(store.manager(None)?).await?;
            queues::show(&adapter, asked, output).await
        }
    }
}

fn named(url: Option<&str>) -> Result<&str, Failure> {
    let message = "--url: name the Redis of the Atlantis, as redis://HOST";
    url.ok_or_else(|| Failure::new(Exit::Usage, message))
}

impl From<LegacyError> for Failure {
    fn from(error: LegacyError) -> Self {
        let is_invalid = matches!(error, LegacyError::Invalid(_));
        Self::new(if is_invalid { Exit::Usage } else { Exit::Unavailable }, error.to_string())
    }
}

async fn connect(url: &str) -> Result<AtlantisRedis, Failure> {
    Ok(AtlantisRedis::connect(ServerConfig::parse(url)?).await?)
}

async fn migrate(from: &str, to: &str, dry_run: bool, output: Output) -> Result<Exit, Failure> {
    let source = source(from).await?;
    let target = connect(to).await?;
    moved(Migration::new(&*source, &target), dry_run, output).await
}

/// The records of an Atlantis: those in its file, or in its Redis.
async fn source(from: &str) -> Result<Box<dyn Source>, Failure> {
    let file = from.strip_prefix("bolt:");
    Ok(match file.or_else(|| (!from.contains("://")).then_some(from)) {
        Some(path) => {
            let file = BoltFile::open_copy(path).await;
            let file = file.map_err(|error| Failure::new(Exit::Configuration, error.to_string()));
            Box::new(file?)
        }
        None => Box::new(connect(from).await?),
    })
}

/// Moves records, and shows the report.
async fn moved(migration: Migration<'_>, dry_run: bool, output: Output) -> Result<Exit, Failure> {
    let bar = indicatif::ProgressBar::new(0);
    let mut migration = migration.on_progress(|progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
    });
    if dry_run {
        migration = migration.dry_run();
    }
    let report = migration.run().await?;
    bar.finish_and_clear();
    output.show(&json!({ "report": report.to_string(), "clean": report.is_clean() }), || {
        report.to_string()
    })?;
    Ok(if report.is_clean() { Exit::Done } else { Exit::Configuration })
}

async fn list(atlantis: &AtlantisRedis, output: Output) -> Result<Exit, Failure> {
    let listing = atlantis.list().await?;
    for damaged in &listing.damaged {
        output.warn(&damaged.to_string());
    }
    let rows = listing.locks.iter().map(|lock| {
        [
            lock.project.repo_full_name.clone(),
            lock.project.path.clone(),
            lock.workspace.clone(),
            lock.pull.num.to_string(),
            lock.user.username.clone(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let value = rows.iter().map(|[repo, path, workspace, pull, user]| {
        json!({ "repo": repo, "path": path, "workspace": workspace, "pull": pull, "user": user })
    });
    output.show(&value.collect::<Vec<_>>(), || {
        table(["REPOSITORY", "PATH", "WORKSPACE", "PULL", "USER"], rows)
    })?;
    Ok(Exit::Done)
}

async fn unlock(
    atlantis: &AtlantisRedis,
    project: &Project,
    workspace: &str,
    output: Output,
) -> Result<Exit, Failure> {
    let lock = atlantis.unlock(project, workspace).await?;
    let pull = lock.map(|lock| lock.pull.num);
    output.show(&json!({ "unlocked": pull.is_some(), "pull": pull }), || match pull {
        Some(pull) => format!("unlocked; pull request {pull} held it"),
        None => "it was not locked".to_owned(),
    })?;
    Ok(Exit::Done)
}
