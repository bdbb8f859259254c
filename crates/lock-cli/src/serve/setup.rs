//! What a service needs, read from its configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use lock_server::{Access, AccessTokens, AuditLog, Certificate};
use tokio::net::lookup_host;

use super::args::{Options, read, wrong};
use crate::exit::{Exit, Failure};

/// Address of a service that is given none.
const LISTEN: &str = "127.0.0.1:7420";

/// What a service needs beside its store, read and found well.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) access: Access,
    pub(super) certificate: Option<Certificate>,
    pub(super) audit: Option<AuditLog>,
}

impl Setup {
    pub(super) fn read(options: &Options) -> Result<Self, Failure> {
        let access = tokens(options)?.map_or_else(Access::open, Access::with_tokens);
        Ok(Self { access, certificate: certificate(options)?, audit: audit(options)? })
    }
}

/// The tokens of the clients; none where everybody is served.
pub(super) fn tokens(options: &Options) -> Result<Option<AccessTokens>, Failure> {
    let Some(path) = &options.tokens else { return Ok(None) };
    if options.without_authentication == Some(true) {
        return Err(wrong("--tokens and --without-authentication contradict each other"));
    }
    let tokens = AccessTokens::parse(&read(path)?);
    tokens.map(Some).map_err(|error| wrong(format!("{}: {error}", path.display())))
}

/// The chain and the key of the certificate, as texts.
pub(super) fn pem(options: &Options) -> Result<Option<(String, String)>, Failure> {
    match (&options.tls_cert, &options.tls_key) {
        (Some(chain), Some(key)) => Ok(Some((read(chain)?, read(key)?))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong("--tls-cert needs --tls-key")),
        (None, Some(_)) => Err(wrong("--tls-key needs --tls-cert")),
    }
}

pub(super) fn certificate(options: &Options) -> Result<Option<Certificate>, Failure> {
    let Some((chain, key)) = pem(options)? else { return Ok(None) };
    let certificate = Certificate::parse(chain.as_bytes(), key.as_bytes());
    certificate.map(Some).map_err(|error| wrong(format!("--tls-cert: {error}")))
}

pub(super) fn audit(options: &Options) -> Result<Option<AuditLog>, Failure> {
    let Some(path) = &options.audit else { return Ok(None) };
    let log = AuditLog::open(path);
    log.map(Some).map_err(|error| wrong(format!("--audit {}: {error}", path.display())))
}

/// The folder of states, which is created if need be, and tried.
pub(super) fn states(options: &Options) -> Result<Option<PathBuf>, Failure> {
    if options.states.is_some() && options.states_in_store == Some(true) {
        return Err(wrong("--states and --states-in-store contradict each other"));
    }
    let Some(folder) = &options.states else {
        return match options.patience {
            Some(_) if options.states_in_store != Some(true) => {
                let message = "--patience needs --states or --states-in-store";
                Err(Failure::new(Exit::Usage, message))
            }
            _ => Ok(None),
        };
    };
    let tried = std::fs::create_dir_all(folder).and_then(|()| {
        let file = folder.join(format!(".lockctl-{}", std::process::id()));
        std::fs::write(&file, "")?;
        std::fs::remove_file(&file)
    });
    match tried {
        Ok(()) => Ok(Some(folder.clone())),
        Err(error) => Err(wrong(format!("--states {}: {error}", folder.display()))),
    }
}

pub(super) fn listen(options: &Options) -> &str {
    options.listen.as_deref().unwrap_or(LISTEN)
}

/// The addresses to listen at, which others reach only if that is allowed.
pub(super) async fn addresses(options: &Options) -> Result<Vec<SocketAddr>, Failure> {
    found(options, "--listen", listen(options)).await
}

/// The addresses of an option, which others reach only if that is allowed.
pub(super) async fn found(
    options: &Options,
    option: &str,
    listen: &str,
) -> Result<Vec<SocketAddr>, Failure> {
    let addresses = lookup_host(listen).await.map_err(|error| {
        Failure::new(Exit::Usage, format!("{option} {listen}: {error}; use ADDRESS:PORT"))
    })?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let is_of_this_machine = addresses.iter().all(|address| address.ip().is_loopback());
    let is_meant = options.tokens.is_some() || options.without_authentication == Some(true);
    if !is_of_this_machine && !is_meant {
        return Err(wrong(format!(
            "{option} {listen}: other machines can reach it, and there is no authentication; \
             give --tokens, use a loopback address, or add --without-authentication"
        )));
    }
    Ok(addresses)
}

/// What an operator should know of who reaches this address; `None` if nothing.
pub(super) fn warning(options: &Options, address: SocketAddr) -> Option<String> {
    let is_of_this_machine = address.ip().is_loopback();
    if options.tokens.is_some() {
        let is_in_the_clear = !is_of_this_machine && options.tls_cert.is_none();
        return is_in_the_clear.then(|| {
            format!("{address} is reached without TLS: tokens and states are sent in the clear")
        });
    }
    let who = match is_of_this_machine {
        true => "every user of this machine".to_owned(),
        false => format!("everybody who reaches {address}"),
    };
    Some(format!("there is no authentication: {who} can take and end every lock"))
}
