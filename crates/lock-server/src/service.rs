//! The service: a store, the manager whose requests wait for clients, and the routes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use lock_core::{LockManager, LockStore, OwnerId, Result};
use tokio_util::sync::CancellationToken;

use crate::access::{Caller, Waiting, Waits};
use crate::audit::Act;
use crate::problem::Problem;
use crate::telemetry::{self, Exporter};
use crate::{
    Access, AuditLog, ServiceConfig, StateStore, access, api, browser, page, request_log, terraform,
};

/// Owner of the requests whose clients name none.
const OWNER: &str = "lock-server";

/// Locks of a store over HTTP. Clones share it.
///
/// Nothing is kept in memory that a client relies on: places and leases are in the store. A service
/// that is restarted, or another one on the same store, goes on where this one stopped.
#[derive(Clone, Debug)]
pub struct Service {
    pub(crate) manager: LockManager,
    pub(crate) store: Arc<dyn LockStore>,
    pub(crate) config: Arc<ServiceConfig>,
    pub(crate) access: Access,
    waits: Waits,
    audit: Option<AuditLog>,
    terraform: Option<Terraform>,
    pub(crate) exporter: Option<Exporter>,
    /// Ends the connections that would never end by themselves.
    pub(crate) closing: CancellationToken,
}

/// The part of the service that serves states of Terraform.
#[derive(Clone, Debug)]
pub(crate) struct Terraform {
    pub(crate) states: Arc<dyn StateStore>,
    /// How long a `LOCK` waits for its turn; `None` is for ever.
    pub(crate) patience: Option<Duration>,
    pub(crate) state_bytes: usize,
}

impl Service {
    /// Serves the locks of this store.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the name of the owner is valid")]
    pub fn new(store: Arc<dyn LockStore>, config: ServiceConfig) -> Self {
        let owner = OwnerId::parse(OWNER).expect("a valid owner");
        let manager = LockManager::new(Arc::clone(&store), owner);
        let (config, closing) = (Arc::new(config), CancellationToken::new());
        let (access, audit, terraform, exporter) = (Access::open(), None, None, None);
        let waits = Waits::default();
        Self { manager, store, config, access, waits, audit, terraform, exporter, closing }
    }

    /// Serves those alone whom this lets in. The names by which clients reach the service are then free.
    #[must_use]
    pub fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Records what is done by force: evictions, cancellations by those who see the requests of others,
    /// unlocking by force, deleted states and refused writes of states.
    #[must_use]
    pub fn with_audit(self, audit: AuditLog) -> Self {
        Self { audit: Some(audit), ..self }
    }

    /// Serves `GET /metrics` with what this renders: the metrics of the process in Prometheus' text
    /// format. It is called for each request.
    #[must_use]
    pub fn with_metrics(self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { exporter: Some(Exporter::new(render)), ..self }
    }

    /// Serves Terraform's `http` backend under `/terraform/STATE`, with its states in this store.
    #[must_use]
    pub fn with_terraform(self, states: Arc<dyn StateStore>) -> Self {
        let ServiceConfig { terraform_patience: patience, state_bytes, .. } = *self.config;
        Self { terraform: Some(Terraform { states, patience, state_bytes }), ..self }
    }

    /// The routes, to be nested into others; [`serve`](Self::serve) serves them.
    pub fn router(&self) -> Router {
        let router = api::router().layer(DefaultBodyLimit::max(self.config.body_bytes));
        let router = router.merge(page::router(self.clone()));
        let router = match &self.terraform {
            Some(terraform) => router.merge(terraform::router(terraform.clone())),
            None => router,
        };
        let identify = middleware::from_fn_with_state(self.clone(), access::identify);
        let guard = middleware::from_fn_with_state(self.clone(), browser::guard);
        router
            .layer(identify)
            .layer(guard)
            .layer(middleware::from_fn(request_log::log))
            .layer(middleware::from_fn(telemetry::count))
            .with_state(self.clone())
    }

    /// Ends the waits for keys: their clients are answered `shut_down`, and keep their places in the
    /// store. Leases are left as they are, but those of connections that hold them are released. The
    /// connections that watch events end, and their clients go on elsewhere after the last one.
    pub async fn shutdown(&self) {
        self.closing.cancel();
        let report = self.manager.shutdown().await;
        tracing::debug!(?report, "the service is shut down");
    }

    /// What this client is shown.
    pub(crate) fn veil(&self, caller: Caller) -> access::Veil {
        self.veil_of(caller, "")
    }

    /// What this client is shown of a listing.
    pub(crate) fn veil_of(&self, caller: Caller, listing: &'static str) -> access::Veil {
        access::Veil::new(&self.access, caller, listing)
    }

    /// Counts a request of the client that waits from now on.
    pub(crate) fn waits(&self, caller: &Caller) -> std::result::Result<Option<Waiting>, Problem> {
        self.waits.enter(caller, self.config.waits)
    }

    /// Records a forced act.
    pub(crate) fn record(&self, act: &Act) {
        if let Some(audit) = &self.audit {
            audit.write(act);
        }
    }

    /// Goes on to the end when the client hangs up: a forced act is recorded all the same.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        work: impl Future<Output = std::result::Result<T, Problem>> + Send + 'static,
    ) -> std::result::Result<T, Problem> {
        tokio::spawn(work).await.unwrap_or_else(|_| Err(Problem::timed_out()))
    }

    /// Waits for a call to the store, for as long as that may take.
    pub(crate) async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T>>,
    ) -> std::result::Result<T, Problem> {
        match tokio::time::timeout(self.config.operation_timeout, call).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(_) => Err(Problem::timed_out()),
        }
    }

    /// The same for a call for many, with one answer.
    pub(crate) async fn one<T>(
        &self,
        call: impl Future<Output = Vec<Result<T>>>,
    ) -> std::result::Result<T, Problem> {
        match tokio::time::timeout(self.config.operation_timeout, call).await {
            Ok(answers) => match answers.into_iter().next() {
                Some(answer) => answer.map_err(Problem::from),
                None => Err(Problem::timed_out()),
            },
            Err(_) => Err(Problem::timed_out()),
        }
    }
}
