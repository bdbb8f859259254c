//! States in a folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use axum::body::Bytes;
use lock_core::FencingToken;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Refused, StateError, StateName, StateStore, Write};

/// Number of earlier bodies that are kept of a state.
const VERSIONS: usize = 20;
/// Length of a checksum in front of a body, with its line end.
const CHECKSUM: usize = 65;

/// States in the files of a folder, which several servers on one machine may share.
///
/// Each state has a folder of its own with `current` (a line with the SHA-256 of the body, then the
/// body), `token` (the highest token), `versions` (the last 20 bodies) and `refused`. A write is on
/// the disk before it is answered, and a body is replaced in one step.
#[derive(Clone, Debug)]
pub struct FileStates {
    root: PathBuf,
}

impl FileStates {
    /// Keeps states below this folder, which is created by the first write.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        name: &StateName,
        work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        // A part of a name never ends like this, so that no state is a folder within another's.
        let folder = Folder(self.root.join(format!("{name}.state~")));
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        done.map_err(StateError::new)?.map_err(StateError::new)
    }
}

#[async_trait]
impl StateStore for FileStates {
    async fn load(&self, name: &StateName) -> Result<Option<Bytes>, StateError> {
        self.blocking(name, Folder::load).await
    }

    async fn fence(&self, name: &StateName, token: FencingToken) -> Result<Write, StateError> {
        self.blocking(name, move |folder| folder.fenced(token, |_| Ok(()))).await
    }

    async fn replace(
        &self,
        name: &StateName,
        token: FencingToken,
        body: Option<Bytes>,
    ) -> Result<Write, StateError> {
        self.blocking(name, move |folder| {
            folder.fenced(token, |folder| folder.replace(body.as_deref()))
        })
        .await
    }

    async fn keep_refused(&self, name: &StateName, refused: &Refused) -> Result<(), StateError> {
        let refused = refused.clone();
        self.blocking(name, move |folder| folder.keep_refused(&refused)).await
    }
}

/// The folder of a state.
struct Folder(PathBuf);

impl Folder {
    fn load(&self) -> io::Result<Option<Bytes>> {
        let mut bytes = Vec::new();
        match File::open(self.0.join("current")) {
            Ok(mut file) => file.read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = Bytes::from(bytes);
        let body = bytes.slice(bytes.len().min(CHECKSUM)..);
        match bytes.starts_with(checksum(&body).as_bytes()) {
            true => Ok(Some(body)),
            false => {
                let path = self.0.join("current");
                let words = format!("{} is damaged: restore it from `versions`", path.display());
                Err(io::Error::new(io::ErrorKind::InvalidData, words))
            }
        }
    }

    /// Does the work unless the token is below the highest, which it is from then on.
    fn fenced(
        &self,
        token: FencingToken,
        work: impl FnOnce(&Self) -> io::Result<()>,
    ) -> io::Result<Write> {
        fs::create_dir_all(&self.0)?;
        let mut options = OpenOptions::new();
        // The system gives the turn back when the file is closed.
        let turn = options.create(true).truncate(false).write(true).open(self.0.join("lock"))?;
        turn.lock()?;
        let highest = self.highest()?;
        if let Some(highest) = highest.filter(|highest| *highest > token) {
            return Ok(Write::Outdated { highest });
        }
        if highest != Some(token) {
            self.put("token", &[token.to_string().as_bytes()])?;
        }
        work(self)?;
        Ok(Write::Done)
    }

    fn highest(&self) -> io::Result<Option<FencingToken>> {
        match fs::read_to_string(self.0.join("token")) {
            Ok(text) => {
                let token = text.parse().ok().and_then(FencingToken::new);
                let path = self.0.join("token");
                let damaged = || format!("{} is damaged: no token", path.display());
                token.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, damaged()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn replace(&self, body: Option<&[u8]>) -> io::Result<()> {
        self.keep_version()?;
        match body {
            Some(body) => self.put("current", &[checksum(body).as_bytes(), body]),
            None => match fs::remove_file(self.0.join("current")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => sync(&self.0),
            },
        }
    }

    /// Keeps the current body under a number, and removes the oldest.
    fn keep_version(&self) -> io::Result<()> {
        let versions = self.0.join("versions");
        fs::create_dir_all(&versions)?;
        let mut numbers: Vec<u64> = fs::read_dir(&versions)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        let next = numbers.last().map_or(1, |last| last + 1);
        match fs::hard_link(self.0.join("current"), versions.join(next.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            linked => linked?,
        }
        let old = numbers.len().saturating_sub(VERSIONS - 1);
        numbers[..old].iter().try_for_each(|old| fs::remove_file(versions.join(old.to_string())))
    }

    fn keep_refused(&self, refused: &Refused) -> io::Result<()> {
        let folder = self.0.join("refused");
        fs::create_dir_all(&folder)?;
        let at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        let Refused { body, lock, reason } = refused;
        let about = json!({ "lock": lock, "reason": reason, "at_micros": at as u64 }).to_string();
        let folder = Self(folder);
        folder.put(&format!("{at}.tfstate"), &[body])?;
        folder.put(&format!("{at}.json"), &[about.as_bytes()])
    }

    /// Writes a file in one step; it is on the disk before that.
    fn put(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let new = self.0.join(format!("{name}.new"));
        let mut file = File::create(&new)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        fs::rename(new, self.0.join(name))?;
        sync(&self.0)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn checksum(body: &[u8]) -> String {
    let mut line: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    line.push('\n');
    line
}
