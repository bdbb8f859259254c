//! `serve --check`: everything that could keep a service from starting.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::args::{Options, wrong};
use super::{atlantis, connections, failed, log, setup, terraform};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::store;

/// Longest time for an answer of the store.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found: a word and what would be done, or what is wrong.
#[derive(Default)]
struct Findings {
    good: Vec<(&'static str, String)>,
    wrong: Vec<Failure>,
}

impl Findings {
    fn add<T>(
        &mut self,
        name: &'static str,
        found: Result<T, Failure>,
        say: impl FnOnce(T) -> Option<String>,
    ) {
        match found {
            Ok(found) => self.good.extend(say(found).map(|words| (name, words))),
            Err(failure) => self.wrong.push(failure),
        }
    }
}

/// Says what would be done, and all that is wrong.
pub(super) async fn check(
    url: Option<&str>,
    options: &Options,
    output: Output,
) -> Result<Exit, Failure> {
    let mut findings = Findings::default();
    findings.add("store", reach(url).await, Some);
    findings.add("listen", bind(options).await, Some);
    if options.atlantis_listen.is_some() || options.atlantis_import.is_some() {
        findings.add("atlantis", atlantis(options).await, Some);
    }
    findings.add("tokens", setup::tokens(options), |tokens| {
        Some(
            tokens.map_or("none: every client may do everything".to_owned(), |it| {
                it.len().to_string()
            }),
        )
    });
    findings.add("tls", setup::certificate(options), |certificate| {
        Some(certificate.map_or("no", |_| "yes").to_owned())
    });
    findings.add("audit", setup::audit(options), |_| path(options.audit.as_deref()));
    findings.add("states", setup::states(options), |_| match options.states_in_store {
        Some(true) => Some("in the store".to_owned()),
        _ => path(options.states.as_deref()),
    });
    findings.add("rules", terraform::policy(options), |_| {
        Some(options.terraform_rule.len().to_string())
    });
    findings.add("connections", Ok(connections(options)), |count| Some(count.to_string()));
    findings.add("log", log::filter(options), |filter| Some(filter.to_string()));
    let value: Map<String, Value> = findings
        .good
        .iter()
        .map(|(name, words)| ((*name).to_owned(), words.as_str().into()))
        .collect();
    output.show(&value, || {
        let lines = findings.good.iter().map(|(name, words)| format!("{name:<13}{words}"));
        lines.collect::<Vec<_>>().join("\n")
    })?;
    findings.wrong.iter().for_each(|failure| output.failure(failure));
    let exits = findings.wrong.iter().map(|failure| failure.exit);
    // A bad configuration comes before what time may mend.
    Ok(exits.max_by_key(|exit| *exit == Exit::Configuration).unwrap_or(Exit::Done))
}

fn path(path: Option<&std::path::Path>) -> Option<String> {
    path.map(|path| path.display().to_string())
}

async fn reach(url: Option<&str>) -> Result<String, Failure> {
    let reached = timeout(PATIENCE, async {
        let store = store::open(url).await?;
        let health = store.locks.health().await?;
        Ok(format!("{}, {}", store.address, health.store))
    });
    reached.await.unwrap_or_else(|_| {
        Err(Failure::new(
            Exit::Unavailable,
            format!("the store does not answer within {PATIENCE:?}"),
        ))
    })
}

async fn atlantis(options: &Options) -> Result<String, Failure> {
    let addresses = atlantis::addresses(options).await?;
    let listen = options.atlantis_listen.as_deref().unwrap_or_default();
    let words = is_free(&addresses, listen).await?;
    let address = addresses.first().ok_or_else(|| wrong("--atlantis-listen names no address"))?;
    let import = match &options.atlantis_import {
        Some(source) => format!("; import of {}", crate::atlantis::readable(source).await?),
        None => String::new(),
    };
    Ok(format!("{address}, {words}{import}"))
}

/// Says whether an address can be listened at.
async fn is_free(addresses: &[SocketAddr], listen: &str) -> Result<&'static str, Failure> {
    match TcpListener::bind(addresses).await {
        Ok(_) => Ok("free"),
        // Probably the service whose next configuration this is.
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok("taken now"),
        Err(error) => Err(failed(listen, &error)),
    }
}

async fn bind(options: &Options) -> Result<String, Failure> {
    let addresses = setup::addresses(options).await?;
    let words = is_free(&addresses, setup::listen(options)).await?;
    let address = addresses.first().ok_or_else(|| wrong("--listen names no address"))?;
    let warning = setup::warning(options, *address).map(|warning| format!("; {warning}"));
    Ok(format!("{address}, {words}{}", warning.unwrap_or_default()))
}
