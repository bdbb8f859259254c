//! `GET /health`: whether the store grants locks now, and its warnings.

use std::sync::Arc;

use axum::extract::State;
use maud::html;

use super::failure::Failure;
use super::layout::Document;
use super::site::Site;

pub(super) async fn health(State(site): State<Arc<Site>>) -> Result<Document, Failure> {
    let service = &site.service;
    let health = service.bounded(service.manager.health()).await?;
    let round_trip = health.round_trip.unwrap_or_default().as_micros();
    let content = html! {
        h1 { "Health" }
        dl {
            dt { "Store" }
            dd { (health.store) }
            dt { "Grants locks" }
            dd { @if health.grants { "yes" } @else { strong { "no" } } }
            dt { "Round trip" }
            dd { (round_trip) " µs" }
        }
        @if health.warnings.is_empty() {
            p { "No warnings." }
        } @else {
            h2 { "Warnings" }
            ul { @for warning in &health.warnings { li { (warning) } } }
        }
    };
    Ok(Document::fixed("Health", content))
}
