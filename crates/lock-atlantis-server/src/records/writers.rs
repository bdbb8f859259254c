//! The connections that locked commands, to tell a repetition from a competitor.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ClientId;

/// Maximum number of commands; Atlantis has ten.
const MOST: usize = 64;
/// How long the end of a connection is waited for, which its client has closed before it repeats.
const PATIENCE: Duration = Duration::from_millis(10);

/// The client that locked each command, and the end of the connection on which it did.
///
/// The lock of a command has the second of its time and nothing of the client. So two Atlantis that
/// lock at once send the same bytes, and the bytes alone do not tell that a client repeats itself.
#[derive(Debug, Default)]
pub(super) struct Writers(Mutex<HashMap<String, (ClientId, CancellationToken)>>);

impl Writers {
    /// A client is locking a command.
    pub(super) fn wrote(&self, name: &str, client: &ClientId, closed: &CancellationToken) {
        let mut writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writers.len() >= MOST {
            writers.clear();
        }
        writers.insert(name.to_owned(), (client.clone(), closed.clone()));
    }

    /// Returns `true` if the command was locked by this client, on a connection that is closed.
    pub(super) async fn repeats(&self, name: &str, client: &ClientId) -> bool {
        let closed = {
            let writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match writers.get(name) {
                Some((writer, closed)) if writer == client => closed.clone(),
                _ => return false,
            }
        };
        tokio::time::timeout(PATIENCE, closed.cancelled()).await.is_ok()
    }
}
