//! Names of connections, and how the last is ended.

use redis::Cmd;

/// Identity of a connection on the server: id and address together are practically unique, even
/// after a restart of the server resets its counter.
///
/// Commands that the server has not read yet from an abandoned connection would take effect after
/// those of the next one, unless the next one closes it first:
/// 1. [`Peer::ask`] on the new connection, and [`Peer::read`] the answer.
/// 2. Send [`Peer::end`] of the last, on the new connection. It is no error that the last is gone.
/// 3. Keep the peer of the new connection as the last.
///
/// `true` if a user who may not send the two commands goes without or is refused is the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    id: String,
    address: String,
}

impl Peer {
    /// The name of no connection, which a client may [end](Self::end) to learn whether it may.
    #[must_use]
    pub fn nobody() -> Self {
        Self { id: i64::MAX.to_string(), address: "0.0.0.0:0".to_owned() }
    }

    /// The command whose answer names the connection that it is sent on.
    #[must_use]
    pub fn ask() -> Cmd {
        let mut command = redis::cmd("CLIENT");
        command.arg("INFO");
        command
    }

    /// Reads the answer to [`ask`](Self::ask); `None` when it does not name the connection.
    #[must_use]
    pub fn read(info: &str) -> Option<Self> {
        let word = |name| {
            info.split_whitespace().find_map(|word| Some(word.strip_prefix(name)?.to_owned()))
        };
        Some(Self { id: word("id=")?, address: word("addr=")? })
    }

    /// The command that ends the connection.
    #[must_use]
    pub fn end(&self) -> Cmd {
        let mut command = redis::cmd("CLIENT");
        command.arg("KILL").arg("ID").arg(&self.id).arg("ADDR").arg(&self.address);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_is_named_by_id_and_address_and_ended_by_both() {
        let info = "id=7 addr=127.0.0.1:5040 laddr=127.0.0.1:6379 fd=8 name=lock lib-name=\n";
        let peer = Peer::read(info).unwrap();
        let text = String::from_utf8(peer.end().get_packed_command()).unwrap();
        let words: Vec<_> = text.split("\r\n").skip(2).step_by(2).collect();
        assert_eq!(words, ["CLIENT", "KILL", "ID", "7", "ADDR", "127.0.0.1:5040"]);
    }

    #[test]
    fn answer_without_a_connection_is_none() {
        for info in ["", "id=7", "laddr=127.0.0.1:6379 fd=8", "addr=127.0.0.1:5040"] {
            assert_eq!(Peer::read(info), None, "{info}");
        }
    }
}
