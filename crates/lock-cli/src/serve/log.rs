//! The log of the service, on standard error.

use std::io::stderr;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use super::args::{LogFormat, Options, wrong};
use crate::exit::Failure;

/// What is logged unless it is said otherwise.
const FILTER: &str = "info";

/// The log, whose filter may change.
pub(super) struct Log(reload::Handle<EnvFilter, Registry>);

impl Log {
    /// Starts to log.
    pub(super) fn start(options: &Options, is_json: bool) -> Result<Self, Failure> {
        let (filter, handle) = reload::Layer::new(filter(options)?);
        let default = if is_json { LogFormat::Json } else { LogFormat::Text };
        let lines = match options.log_format.unwrap_or(default) {
            LogFormat::Text => fmt::layer().with_ansi(false).with_writer(stderr).boxed(),
            LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(stderr).boxed(),
        };
        let log = tracing_subscriber::registry().with(filter).with(lines);
        log.try_init().map_err(|error| wrong(error.to_string()))?;
        Ok(Self(handle))
    }

    /// Takes another filter.
    pub(super) fn reload(&self, options: &Options) -> Result<(), Failure> {
        let filter = filter(options)?;
        self.0.reload(filter).map_err(|error| wrong(error.to_string()))
    }
}

pub(super) fn filter(options: &Options) -> Result<EnvFilter, Failure> {
    let filter = options.log_filter.as_deref().unwrap_or(FILTER);
    EnvFilter::try_new(filter).map_err(|error| wrong(format!("--log-filter: {error}")))
}
