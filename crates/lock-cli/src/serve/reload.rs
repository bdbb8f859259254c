//! SIGHUP: what a running service takes up from its files.

use lock_server::{Access, AuditLog, Certificate};
use tokio::signal::unix::Signal;

use super::args::{Options, ServeArgs};
use super::log::Log;
use super::setup;
use crate::exit::Failure;

/// What a running service takes up again from its files.
pub(super) struct Reload {
    pub(super) args: ServeArgs,
    /// The options with which it was started.
    pub(super) started: Options,
    pub(super) log: Log,
    pub(super) access: Access,
    pub(super) certificate: Option<Certificate>,
    pub(super) audit: Option<AuditLog>,
}

impl Reload {
    /// Takes up the files at each signal, for ever.
    pub(super) async fn run(self, mut signals: Signal) {
        while signals.recv().await.is_some() {
            let failures = self.reload();
            for failure in &failures {
                tracing::error!("not reloaded: {}", failure.message);
            }
            tracing::info!(failures = failures.len(), "reloaded");
        }
        std::future::pending::<()>().await;
    }

    /// Takes up each file on its own: what is wrong with one keeps no other from its turn.
    fn reload(&self) -> Vec<Failure> {
        let options = match self.args.options() {
            Ok(options) => options,
            Err(failure) => return vec![failure],
        };
        if options.fixed() != self.started.fixed() {
            tracing::warn!("options other than files and the filter of the log need a restart");
        }
        let parts = [
            self.tokens(&options),
            self.certificate(&options),
            self.audit(),
            self.log.reload(&options),
        ];
        parts.into_iter().filter_map(Result::err).collect()
    }

    fn tokens(&self, options: &Options) -> Result<(), Failure> {
        match (setup::tokens(options)?, &self.started.tokens) {
            (Some(tokens), Some(_)) => self.access.replace(tokens),
            (None, None) => {}
            _ => return Err(needs_restart("to begin or to end to ask for tokens")),
        }
        Ok(())
    }

    fn certificate(&self, options: &Options) -> Result<(), Failure> {
        match (setup::pem(options)?, &self.certificate) {
            (Some((chain, key)), Some(certificate)) => certificate
                .replace(chain.as_bytes(), key.as_bytes())
                .map_err(|error| super::args::wrong(format!("--tls-cert: {error}"))),
            (None, None) => Ok(()),
            _ => Err(needs_restart("to begin or to end with TLS")),
        }
    }

    fn audit(&self) -> Result<(), Failure> {
        let Some(audit) = &self.audit else { return Ok(()) };
        audit.reopen().map_err(|error| super::args::wrong(format!("--audit: {error}")))
    }
}

fn needs_restart(what: &str) -> Failure {
    super::args::wrong(format!("{what} needs a restart"))
}
