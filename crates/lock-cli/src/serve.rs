//! `serve`: the store for any language, over HTTP.

mod args;
mod atlantis;
mod check;
mod files;
mod log;
mod metrics;
mod reload;
mod setup;
mod terraform;
mod token;

use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use lock_core::LockStore;
use lock_core::layer::Metered;
use lock_server::{Service, ServiceConfig};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

pub(crate) use args::ServeArgs;
use args::{Options, ServeVerb};
use atlantis::Atlantis;
use log::Log;
use reload::Reload;
use setup::Setup;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::store;

/// Longest time for the answers that are under way when this process is asked to end.
const DRAIN: Duration = Duration::from_secs(3);

/// Serves the store until SIGTERM or SIGINT. Those who wait are answered then, and keep their places.
pub(crate) async fn serve(
    url: Option<&str>,
    args: ServeArgs,
    output: Output,
) -> Result<Exit, Failure> {
    if let Some(ServeVerb::Token { name, role, prefixes, .. }) = &args.verb {
        return token::make(name, *role, prefixes, output);
    }
    let options = args.options()?;
    let url = url.or(options.url.as_deref());
    if args.check {
        return check::check(url, &options, output).await;
    }
    let at = setup::listen(&options);
    let mut signals = Signals::listen().map_err(|error| failed(at, &error))?;
    let hangup = signal(SignalKind::hangup()).map_err(|error| failed(at, &error))?;
    let setup = Setup::read(&options)?;
    let policy = terraform::policy(&options)?;
    // A folder is tried before anything is served.
    setup::states(&options)?;
    let log = Log::start(&options, output.is_json)?;
    // Before the store and its manager, which take their handles once.
    let recorder = metrics::install()?;
    let store = store::open(url).await?;
    let locks: Arc<dyn LockStore> = Arc::new(Metered::new(store.locks.clone()));
    let states = terraform::states(&options, &store).await?;
    let addresses = setup::addresses(&options).await?;
    let listener = TcpListener::bind(&addresses[..]).await.map_err(|error| failed(at, &error))?;
    let address = listener.local_addr().map_err(|error| failed(at, &error))?;
    if let Some(warning) = setup::warning(&options, address) {
        tracing::warn!("{warning}");
    }
    let atlantis = Atlantis::start(&options, &store, Arc::clone(&locks), &setup).await?;
    let open = connections(&options).saturating_add(atlantis::connections(&options));
    if let Err(warning) = files::raise(open) {
        tracing::warn!("{warning}");
    }
    let Setup { access, certificate, audit } = setup.clone();
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    let redis = atlantis.as_ref().map(|atlantis| atlantis.address.to_string());
    let started = json!({ "store": store.address, "url": url, "atlantis": redis });
    output.show(&started, || match &redis {
        Some(redis) => format!("serving {} on {url}, and for Atlantis on {redis}", store.address),
        None => format!("serving {} on {url}", store.address),
    })?;
    let config = ServiceConfig::new().with_connections(connections(&options) as usize);
    let mut config = config.with_terraform_policy(policy);
    if let Some(patience) = options.patience {
        config = config.with_terraform_patience(patience);
    }
    if !address.ip().is_loopback() {
        config = config.with_any_name();
    }
    let service = Service::new(locks, config.with_shutdown_timeout(DRAIN));
    let rendered = recorder.clone();
    let service = service.with_metrics(move || rendered.render());
    let service = service.with_access(access.clone());
    let service = match &audit {
        Some(audit) => service.with_audit(audit.clone()),
        None => service,
    };
    let service = match states {
        Some(states) => service.with_terraform(states),
        None => service,
    };
    let served = certificate.clone();
    let reload = Reload { args, started: options, log, access, certificate, audit };
    let (stop, stopped) = watch::channel(false);
    let until_stopped = || {
        let mut stopped = stopped.clone();
        async move {
            // It is dropped only when nothing is served any more.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    };
    let web = async {
        match served {
            Some(certificate) => service.serve_tls(listener, certificate, until_stopped()).await,
            None => service.serve(listener, until_stopped()).await,
        }
    };
    let redis = async {
        if let Some(atlantis) = atlantis {
            atlantis.serve(&setup, until_stopped()).await;
        }
    };
    let signalled = async {
        signals.next().await;
        stop.send_replace(true);
    };
    let serving = async { tokio::join!(web, redis, signalled) };
    tokio::select! {
        _ = serving => Ok(Exit::Done),
        () = metrics::keep_up(recorder) => Ok(Exit::Done),
        () = reload.run(hangup) => Ok(Exit::Done),
    }
}

/// The number of connections at a time.
fn connections(options: &Options) -> u32 {
    let default = u32::try_from(ServiceConfig::new().connections).unwrap_or(u32::MAX);
    options.connections.map_or(default, std::num::NonZeroU32::get)
}

fn failed(listen: &str, error: &Error) -> Failure {
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
