//! The routes of the page.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, header};
use axum::middleware;
use axum::routing::{MethodRouter, get};

use super::failure::Failure;
use super::site::Site;
use super::{act, changes, forms, health, listing, lock, queues, security};
use crate::access::needs;
use crate::{Role, Service};

/// Maximum number of bytes of a form: its texts are 1,024 bytes at most, each of which takes three.
const FORM_BYTES: usize = 32 * 1024;

/// A file that is served as it is; browsers ask whether it has changed.
type File = ([(HeaderName, &'static str); 2], &'static str);

/// The routes of the page. Readers get, operators post.
pub(crate) fn router(service: Service) -> Router<Service> {
    Router::new()
        .route("/", read(get(listing::listing)))
        .route("/locks", read(get(lock::by_query)))
        .route("/locks/{*key}", read(get(lock::by_path)))
        .route("/queues", read(get(queues::queues)))
        .route("/health", read(get(health::health)))
        .route("/page/evict", operate(get(forms::evict).post(act::evict)))
        .route("/page/cancel", operate(get(forms::cancel).post(act::cancel)))
        .route("/page/transfer", operate(get(forms::transfer).post(act::transfer)))
        .route("/page/changes", read(get(changes::changes)))
        .route("/page/style.css", get(async || file("text/css", include_str!("style.css"))))
        .route("/page/script.js", get(async || file("text/javascript", include_str!("script.js"))))
        .route("/page/icon.svg", get(async || file("image/svg+xml", include_str!("icon.svg"))))
        .route("/page/{*rest}", get(async || Failure::unknown_page()))
        .method_not_allowed_fallback(async || Failure::wrong_method())
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .layer(middleware::from_fn(security::headers))
        .with_state(Arc::new(Site::new(service)))
}

fn read(route: MethodRouter<Arc<Site>>) -> MethodRouter<Arc<Site>> {
    needs(route, Role::Read)
}

fn operate(route: MethodRouter<Arc<Site>>) -> MethodRouter<Arc<Site>> {
    needs(route, Role::Operate)
}

fn file(kind: &'static str, text: &'static str) -> File {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text)
}
