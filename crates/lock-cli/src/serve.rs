//! `serve`: the store for any language, over HTTP.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lock_server::{FileStates, Service, ServiceConfig};
use serde_json::json;
use tokio::net::{TcpListener, lookup_host};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::ServeArgs;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::store::Store;

/// Longest time for the answers that are under way when this process is asked to end.
const DRAIN: Duration = Duration::from_secs(3);

/// Serves the store until SIGTERM or SIGINT. Those who wait are answered then, and keep their places.
pub(crate) async fn serve(store: &Store, args: ServeArgs, output: Output) -> Result<Exit, Failure> {
    let mut signals = Signals::listen().map_err(|error| failed(&args, &error))?;
    let listener = listen(&args).await?;
    let address = listener.local_addr().map_err(|error| failed(&args, &error))?;
    output.warn(&format!("there is no authentication: {}", reach(address)));
    let url = format!("http://{address}");
    let started = json!({ "store": store.address, "url": url });
    output.show(&started, || format!("serving {} on {url}", store.address))?;
    let config = match args.patience {
        Some(patience) => ServiceConfig::new().with_terraform_patience(patience),
        None => ServiceConfig::new(),
    };
    let config = if address.ip().is_loopback() { config } else { config.with_any_name() };
    let service = Service::new(store.locks.clone(), config.with_shutdown_timeout(DRAIN));
    let service = match args.states {
        Some(folder) => service.with_terraform(Arc::new(FileStates::new(folder))),
        None => service,
    };
    service.serve(listener, signals.next()).await;
    Ok(Exit::Done)
}

async fn listen(args: &ServeArgs) -> Result<TcpListener, Failure> {
    let listen = &args.listen;
    let addresses = lookup_host(listen).await.map_err(|error| {
        Failure::new(Exit::Usage, format!("--listen {listen}: {error}; use ADDRESS:PORT"))
    })?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let is_of_this_machine = addresses.iter().all(|address| address.ip().is_loopback());
    if !is_of_this_machine && !args.without_authentication {
        let message = format!(
            "--listen {listen}: other machines can reach it, and there is no authentication; \
             use a loopback address, or add --without-authentication"
        );
        return Err(Failure::new(Exit::Configuration, message));
    }
    TcpListener::bind(&addresses[..]).await.map_err(|error| failed(args, &error))
}

fn failed(args: &ServeArgs, error: &Error) -> Failure {
    let listen = &args.listen;
    let (exit, message) = match error.kind() {
        ErrorKind::AddrInUse => (
            Exit::Unavailable,
            format!("{listen}: another program listens there; choose an address with --listen"),
        ),
        ErrorKind::AddrNotAvailable => {
            (Exit::Configuration, format!("{listen}: this machine has no such address"))
        }
        ErrorKind::PermissionDenied => (Exit::NotPermitted, format!("{listen}: {error}")),
        _ => (Exit::Unavailable, format!("{listen}: {error}")),
    };
    Failure::new(exit, message)
}

/// Who can do what at this address.
fn reach(address: SocketAddr) -> String {
    let who = match address.ip().is_loopback() {
        true => "every user of this machine".to_owned(),
        false => format!("everybody who reaches {address}"),
    };
    format!("{who} can take and end every lock")
}

/// The signals that ask this process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: signal(terminate)?, interrupt: signal(interrupt)? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
