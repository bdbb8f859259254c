//! Between an Atlantis and a lock store: what it has is copied in, and out again.

use lock_atlantis::migrate::{Migration, Source as _};
use lock_compat::documents::{DocumentError, Replacement};
use lock_compat::{LegacyError, LockAdapter};
use lock_core::OwnerId;

use super::{connect, moved, source};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::store::{self, Store};

/// The document that says that an import is done.
const DONE: &str = "lock-atlantis-import";

/// Imports unless that was done before, and says what was done.
///
/// # Errors
/// Also when anything at the source is not in the store afterwards: what is missing would be free.
pub(crate) async fn once(adapter: &LockAdapter, from: &str) -> Result<String, Failure> {
    let documents = adapter.documents();
    if let Some(done) = documents.read(DONE).await.map_err(LegacyError::from)? {
        let done = String::from_utf8_lossy(&done.body).into_owned();
        return Ok(format!("nothing is imported: that was done before, from {done}"));
    }
    let source = source(from).await?;
    let report = Migration::new(&*source, adapter).run().await?;
    if !report.is_clean() {
        let what =
            "not everything was imported, so nothing is served; mend or remove what is named";
        return Err(Failure::new(Exit::Configuration, format!("{what}:\n{report}")));
    }
    let body = shown(from);
    let marked = documents.replace(DONE, None, Some(body.as_bytes())).await;
    // Another service that starts at this moment imports the same.
    let _ = marked.map_err(LegacyError::from)?;
    Ok(format!("imported from {body}:\n{report}"))
}

/// Reads the source once, and says how much it has.
pub(crate) async fn readable(from: &str) -> Result<String, Failure> {
    let records = source(from).await?.records().await?;
    let (count, damaged) = (records.records.len(), records.damaged.len());
    Ok(format!("{}, {count} records, {damaged} damaged", shown(from)))
}

pub(super) async fn run(
    url: Option<&str>,
    from: &str,
    dry_run: bool,
    output: Output,
) -> Result<Exit, Failure> {
    let (source, adapter) = (source(from).await?, adapter(&store::open(url).await?).await?);
    moved(Migration::new(&*source, &adapter), dry_run, output).await
}

/// Moves everything into a Redis that has nothing else of an Atlantis: what is there beside would
/// count as locked.
pub(super) async fn export(
    url: Option<&str>,
    to: &str,
    dry_run: bool,
    output: Output,
) -> Result<Exit, Failure> {
    let (adapter, target) = (adapter(&store::open(url).await?).await?, connect(to).await?);
    let (own, there) = (adapter.records().await?, target.records().await?);
    let is_own = |key: &str| own.records.iter().any(|record| record.key() == key);
    let foreign = there.records.iter().filter(|record| !is_own(record.key())).count();
    if foreign + there.damaged.len() > 0 {
        let what = format!(
            "{} has {foreign} locks and statuses that the store has not, and {} damaged ones: name a \
             database without them, as redis://HOST/1",
            shown(to),
            there.damaged.len()
        );
        return Err(Failure::new(Exit::Configuration, what));
    }
    let exit = moved(Migration::removing_source(&adapter, &target), dry_run, output).await?;
    // What the Atlantis does from now on is to be imported again when it comes back.
    if !dry_run && exit == Exit::Done {
        forget(&adapter).await.map_err(LegacyError::from)?;
    }
    Ok(exit)
}

async fn forget(adapter: &LockAdapter) -> Result<(), DocumentError> {
    let documents = adapter.documents();
    while let Some(done) = documents.read(DONE).await? {
        if documents.replace(DONE, Some(done.revision), None).await? == Replacement::Done {
            break;
        }
    }
    Ok(())
}

async fn adapter(store: &Store) -> Result<LockAdapter, Failure> {
    let manager = store.manager(Some(OwnerId::parse("lockctl-atlantis")?))?;
    store.documents.adapter(manager).await
}

/// A source without its user and password.
fn shown(from: &str) -> String {
    let from = from.split(['?', '#']).next().unwrap_or(from);
    match (from.split_once("://"), from.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => from.to_owned(),
    }
}
