//! The store that a URL names.

use std::env;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{LockManager, LockStore, ManagerConfig, OwnerId};
use lock_redis::{RedisBackend, RedisConfig};
use lock_sqlite::SqliteConfig;
use nix::unistd::User;

use crate::documents::Documents;
use crate::exit::{Exit, Failure};

/// Longest time that giving back leases and places may take at the end.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// Longest silence of a waiter. Many wait as processes of their own, each of which is heard of every third
/// of this; a waiter that is killed is in the way of the next for as long as this, as a holder is for its
/// ttl.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A store, and what it has beyond the traits.
pub(crate) struct Store {
    pub(crate) locks: Arc<dyn LockStore>,
    pub(crate) redis: Option<RedisBackend>,
    pub(crate) documents: Documents,
    /// Without user and password.
    pub(crate) address: String,
}

impl Store {
    /// A manager for this owner, or for this user, machine and process.
    pub(crate) fn manager(&self, owner: Option<OwnerId>) -> Result<LockManager, Failure> {
        let owner = match owner {
            Some(owner) => owner,
            None => OwnerId::parse(owner_of_this_process())?,
        };
        // A person who interrupts does not wait for a store that does not answer.
        let config = ManagerConfig::default().with_shutdown_timeout(SHUTDOWN)?;
        let config = config.with_keep_alive(KEEP_ALIVE)?;
        Ok(LockManager::with_config(Arc::clone(&self.locks), owner, config))
    }
}

/// Opens the store at `url`, or the file of this user.
pub(crate) async fn open(url: Option<&str>) -> Result<Store, Failure> {
    let Some(url) = url else {
        let path = default_path()?;
        create_folder(&path)?;
        return open_file(&path);
    };
    if let Some(path) = url.strip_prefix("sqlite:") {
        // As a URL, an absolute path has two slashes more.
        return open_file(Path::new(path.strip_prefix("//").unwrap_or(path)));
    }
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some(
            "redis" | "rediss" | "redis+unix" | "redis+sentinel" | "rediss+sentinel"
            | "redis+cluster" | "rediss+cluster",
        ) => open_redis(url).await,
        Some(scheme) if url.contains("://") => {
            Err(unknown(&format!("there is no store for `{scheme}:`")))
        }
        _ => Err(unknown("the URL names no store")),
    }
}

fn unknown(what: &str) -> Failure {
    let known = "use sqlite:PATH, redis://HOST, rediss://HOST, redis+unix:///PATH, \
                 redis+sentinel://HOST,HOST/NAME or redis+cluster://HOST,HOST";
    Failure::new(Exit::Usage, format!("--url: {what}; {known}"))
}

fn open_file(path: &Path) -> Result<Store, Failure> {
    if path.as_os_str().is_empty() {
        return Err(unknown("sqlite: needs a path"));
    }
    let locks = SqliteConfig::new(path).open()?;
    Ok(Store {
        documents: Documents::Sqlite(locks.clone()),
        locks: Arc::new(locks),
        redis: None,
        address: format!("sqlite:{}", path.display()),
    })
}

async fn open_redis(url: &str) -> Result<Store, Failure> {
    let config = RedisConfig::parse(url)?.with_name("lockctl")?;
    let backend = RedisBackend::connect(config).await?;
    let documents = Documents::Redis(url.to_owned());
    // Options behind the address may hold a password, too.
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let address = match url.rsplit_once('@') {
        Some((before, host)) => {
            format!("{}://{host}", before.split_once("://").map_or("redis", |(scheme, _)| scheme))
        }
        None => url.to_owned(),
    };
    Ok(Store { documents, locks: Arc::new(backend.clone()), redis: Some(backend), address })
}

/// The file of this user, in the state directory of the XDG specification.
fn default_path() -> Result<PathBuf, Failure> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("state")));
    let message = "neither XDG_STATE_HOME nor HOME is an absolute path; use --url sqlite:PATH";
    let state = state.ok_or_else(|| Failure::new(Exit::Configuration, message))?;
    Ok(state.join("lockctl").join("locks.db"))
}

fn create_folder(path: &Path) -> Result<(), Failure> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(|error| {
        let message = format!("{}: {error}; use --url sqlite:PATH", folder.display());
        Failure::new(Exit::NotPermitted, message)
    })
}

/// `user@machine:process`.
fn owner_of_this_process() -> String {
    let id = nix::unistd::getuid();
    let user = User::from_uid(id).ok().flatten().map(|user| user.name);
    let user = user.unwrap_or_else(|| format!("uid-{id}"));
    let machine = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{user}@{}:{}", machine.as_deref().unwrap_or("localhost"), process::id())
}
