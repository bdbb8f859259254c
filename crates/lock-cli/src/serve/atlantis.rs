//! `--atlantis-listen`: the store for an Atlantis that believes it has a Redis.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lock_atlantis_server::{AtlantisService, AtlantisServiceConfig};
use lock_compat::LockAdapter;
use lock_core::{LockManager, LockStore, OwnerId};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::args::{Options, duration, wrong};
use super::setup::{self, Setup};
use super::{DRAIN, failed};
use crate::atlantis::import_once;
use crate::exit::Failure;
use crate::store::Store;

/// Owner of the requests of the manager, which are all made for pull requests.
const OWNER: &str = "lockctl-atlantis";

/// The `[atlantis-limits]` of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AtlantisLimits {
    connections: Option<NonZeroU32>,
    frame_bytes: Option<NonZeroU32>,
    output_bytes: Option<NonZeroU32>,
    pipeline: Option<NonZeroU32>,
    #[serde(deserialize_with = "duration")]
    idle_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    frame_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    write_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    operation_timeout: Option<Duration>,
}

impl AtlantisLimits {
    fn config(&self) -> AtlantisServiceConfig {
        let or = |given: Option<NonZeroU32>, default: usize| {
            given.map_or(default, |given| given.get() as usize)
        };
        let config = AtlantisServiceConfig::new();
        let (connections, frame) = (config.connections, config.frame_bytes);
        let (output, pipeline) = (config.output_bytes, config.pipeline);
        let (idle, within) = (config.idle_timeout, config.frame_timeout);
        let (write, operation) = (config.write_timeout, config.operation_timeout);
        config
            .with_connections(or(self.connections, connections))
            .with_frame_bytes(or(self.frame_bytes, frame))
            .with_output_bytes(or(self.output_bytes, output))
            .with_pipeline(or(self.pipeline, pipeline))
            .with_idle_timeout(self.idle_timeout.unwrap_or(idle))
            .with_frame_timeout(self.frame_timeout.unwrap_or(within))
            .with_write_timeout(self.write_timeout.unwrap_or(write))
            .with_operation_timeout(self.operation_timeout.unwrap_or(operation))
            .with_shutdown_timeout(DRAIN)
    }
}

/// The number of connections of Atlantis at a time.
pub(super) fn connections(options: &Options) -> u32 {
    match options.atlantis_listen {
        Some(_) => u32::try_from(options.atlantis_limits.config().connections).unwrap_or(u32::MAX),
        None => 0,
    }
}

/// The addresses for Atlantis; none if it is not served.
pub(super) async fn addresses(options: &Options) -> Result<Vec<SocketAddr>, Failure> {
    match &options.atlantis_listen {
        Some(listen) => setup::found(options, "--atlantis-listen", listen).await,
        None if options.atlantis_import.is_some() => {
            Err(wrong("--atlantis-import needs --atlantis-listen"))
        }
        None => Ok(Vec::new()),
    }
}

/// The service for Atlantis, with its locks, its address and its listener.
pub(super) struct Atlantis {
    pub(super) address: SocketAddr,
    adapter: LockAdapter,
    service: AtlantisService,
    listener: TcpListener,
}

impl Atlantis {
    /// Imports what there is to import, and listens; `None` if it is not asked for.
    pub(super) async fn start(
        options: &Options,
        store: &Store,
        locks: Arc<dyn LockStore>,
        setup: &Setup,
    ) -> Result<Option<Self>, Failure> {
        let addresses = addresses(options).await?;
        let Some(listen) = &options.atlantis_listen else { return Ok(None) };
        let listener = TcpListener::bind(&addresses[..]).await;
        let listener = listener.map_err(|error| failed(listen, &error))?;
        let address = listener.local_addr().map_err(|error| failed(listen, &error))?;
        let manager = LockManager::new(locks, OwnerId::parse(OWNER)?);
        let adapter = store.documents.adapter(manager).await?;
        if let Some(source) = &options.atlantis_import {
            // Nothing is served before everything is there: what is missing would be free.
            let said = import_once(&adapter, source).await?;
            tracing::info!("{said}");
        }
        let config = options.atlantis_limits.config();
        let service = AtlantisService::new(adapter.clone(), setup.access.clone(), config);
        let service = match &setup.audit {
            Some(audit) => service.with_audit(audit.clone()),
            None => service,
        };
        Ok(Some(Self { address, adapter, service, listener }))
    }

    /// Serves until `shutdown` is ready.
    pub(super) async fn serve(self, setup: &Setup, shutdown: impl Future<Output = ()>) {
        self.service.serve(self.listener, setup.certificate.clone(), shutdown).await;
        self.adapter.manager().shutdown().await;
    }
}
