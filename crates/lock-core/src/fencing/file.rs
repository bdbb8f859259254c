//! A file that remembers the token of its last writer.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::fence::StaleToken;
use crate::FencingToken;

/// A file whose writers pass their tokens.
///
/// The highest token is in a second file beside it, whose name ends in `.token`. Writers of all
/// processes of a machine take turns by a lock of the system on a third, `.turn`, for the check
/// and the write only. The calls block. Whoever writes the file in another way is not fenced.
#[derive(Clone, Debug)]
pub struct FencedFile {
    path: PathBuf,
}

impl FencedFile {
    /// The file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file itself, for readers.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file unless a higher token has written. Readers see the old or the new contents,
    /// never a part.
    ///
    /// # Errors
    /// Of kind [`io::ErrorKind::PermissionDenied`], with a [`StaleToken`] inside, when a higher token
    /// has written; [`io::ErrorKind::InvalidData`] when the token beside the file is damaged;
    /// otherwise errors of the system, after which the token may be written and the contents not.
    pub fn write(&self, token: FencingToken, contents: impl AsRef<[u8]>) -> io::Result<()> {
        let turn = File::create(self.beside("turn"))?;
        turn.lock()?;
        let beside = self.beside("token");
        match fs::read_to_string(&beside) {
            Ok(text) => {
                let highest = text.trim_end().parse().ok().and_then(FencingToken::new);
                let highest = highest.ok_or(io::ErrorKind::InvalidData)?;
                if token < highest {
                    let stale = StaleToken { token, highest };
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, stale));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // The token first: a crash in between fences more than needed, and never less.
        self.replace(&beside, format!("{token}\n").as_bytes())?;
        self.replace(&self.path, contents.as_ref())
    }

    fn replace(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let new = self.beside("new");
        fs::write(&new, contents)?;
        File::open(&new)?.sync_all()?;
        fs::rename(new, path)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }
}
