//! One client: who it is, which version it speaks, and its commands in their order.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use lock_server::{Access, AccessClient};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::AtlantisServiceConfig;
use crate::codec::{Protocol, Reply};
use crate::command::Command;
use crate::records::{Answer, ClientId, Party, Records};

/// Maximum number of wrong secrets on one connection.
const MOST_SECRETS: u8 = 3;
/// Maximum number of bytes of a command of a client that has not authenticated.
const UNKNOWN_BYTES: usize = 64 * 1024;

/// One client.
#[derive(Debug)]
pub(crate) struct Session {
    records: Arc<Records>,
    access: Access,
    config: Arc<AtlantisServiceConfig>,
    number: u64,
    peer: SocketAddr,
    closed: CancellationToken,
    party: Option<Party>,
    wrong_secrets: u8,
    protocol: Protocol,
    is_over: bool,
}

impl Session {
    pub(crate) fn new(
        records: Arc<Records>,
        access: Access,
        config: Arc<AtlantisServiceConfig>,
        number: u64,
        peer: SocketAddr,
        closed: CancellationToken,
    ) -> Self {
        let (party, wrong_secrets, protocol, is_over) = (None, 0, Protocol::Resp2, false);
        let mut session = Self {
            records,
            access,
            config,
            number,
            peer,
            closed,
            party,
            wrong_secrets,
            protocol,
            is_over,
        };
        // A service without tokens serves everybody.
        session.enter(session.access.client(None));
        session
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns `true` once the connection is to be closed after the answers so far.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.party.is_some()
    }

    /// Maximum number of bytes of the next command.
    pub(crate) fn frame_bytes(&self) -> usize {
        let most = self.config.frame_bytes;
        if self.is_known() { most } else { most.min(UNKNOWN_BYTES) }
    }

    /// Waits until the token of the client is not valid any more.
    pub(crate) async fn revoked(&self) {
        match &self.party {
            Some(party) => party.access.revoked().await,
            None => std::future::pending().await,
        }
    }

    /// Answers the next command.
    pub(crate) async fn answer(&mut self, parts: Vec<Bytes>) -> Reply {
        let answer = match Command::parse(parts) {
            // Who it is comes before what is known here.
            Err(reply) => self.known().and(Err(reply)),
            Ok(command) => self.execute(command).await,
        };
        answer.unwrap_or_else(|error| error)
    }

    async fn execute(&mut self, command: Command) -> Answer {
        match command {
            Command::Hello { protocol, secret } => return self.hello(protocol, secret.as_deref()),
            Command::Auth { secret } => {
                return self.authenticate(&secret).map(|()| Reply::OK);
            }
            Command::Quit => {
                self.is_over = true;
                return Ok(Reply::OK);
            }
            _ => {}
        }
        let party = self.known()?;
        let records = &self.records;
        let answer = async {
            match &command {
                Command::ClientId => Ok(Reply::Integer(self.number.cast_signed())),
                Command::Echo(text) => Ok(Reply::Bulk(text.clone())),
                Command::Ping(text) => {
                    records.ping().await?;
                    Ok(text.clone().map_or(Reply::Status("PONG"), Reply::Bulk))
                }
                Command::Scan { pattern } => records.scan(party, pattern).await,
                Command::Get { key } => records.get(party, key).await,
                Command::Set { key, value, form } => records.set(party, key, value, *form).await,
                Command::Del { key } => records.delete(party, key).await,
                Command::Eval { script, key, arguments } => {
                    records.evaluate(party, *script, key, arguments).await
                }
                Command::Told | Command::Hello { .. } | Command::Auth { .. } | Command::Quit => {
                    Ok(Reply::OK)
                }
            }
        };
        timeout(self.config.operation_timeout, answer).await.unwrap_or_else(|_| {
            tracing::warn!(peer = %self.peer, "the store did not answer in time");
            Err(Reply::error(
                "the lock store did not answer in time, and what was asked for may have happened",
            ))
        })
    }

    fn known(&self) -> Result<&Party, Reply> {
        let text = "Authentication required.";
        self.party.as_ref().ok_or_else(|| Reply::Error("NOAUTH", text.into()))
    }

    fn hello(&mut self, protocol: Option<Protocol>, secret: Option<&[u8]>) -> Answer {
        if let Some(secret) = secret {
            self.authenticate(secret)?;
        }
        self.known()?;
        self.protocol = protocol.unwrap_or(self.protocol);
        Ok(Reply::Map(vec![
            ("server", Reply::bulk("redis")),
            // The oldest version that has everything that a client may expect of these commands.
            ("version", Reply::bulk("7.0.0")),
            ("proto", Reply::Integer(self.protocol.number())),
            ("id", Reply::Integer(self.number.cast_signed())),
            ("mode", Reply::bulk("standalone")),
            ("role", Reply::bulk("master")),
            ("modules", Reply::Array(Vec::new())),
        ]))
    }

    /// Lets a client in by its secret, whatever name it gives.
    fn authenticate(&mut self, secret: &[u8]) -> Result<(), Reply> {
        let client = self.access.client(Some(secret));
        if client.is_none() {
            self.wrong_secrets += 1;
            self.is_over = self.wrong_secrets >= MOST_SECRETS;
            tracing::warn!(peer = %self.peer, "a client gave a secret that is no token");
            let text = "invalid username-password pair or user is disabled.";
            return Err(Reply::Error("WRONGPASS", text.into()));
        }
        self.enter(client);
        Ok(())
    }

    fn enter(&mut self, client: Option<AccessClient>) {
        self.party = client.map(|access| {
            let id = ClientId { token: access.name().into(), address: self.peer.ip() };
            Party { id, access, peer: self.peer, closed: self.closed.clone() }
        });
    }
}
