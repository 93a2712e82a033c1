//! The paths of the service, one file a thing. Handlers translate; the core decides.
//!
//! All but `/healthz` and `/v1/sync` are the operator's. Answers are the core's, as JSON; errors
//! are [`Problem`]s.

mod backup;
mod charges;
mod close;
mod gateways;
mod health;
mod invoices;
mod keys;
mod spills;
mod subscriptions;
mod sync;
mod unaccounted;
mod usage;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{delete, get, post};
use tollgate_pricing::sync::{MAX_REQUEST_BYTES, SYNC_PATH};

use super::host::Host;
use super::problem::Problem;

/// The largest request of an operator.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// All paths.
pub(super) fn router(host: Host) -> Router {
    let sync = post(sync::sync).layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
    let spills = post(spills::ingest).layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
    Router::new()
        .route("/healthz", get(health::health))
        .route("/v1/gateways", get(gateways::list).post(gateways::add))
        .route("/v1/gateways/forget", post(gateways::forget))
        .route("/v1/gateways/ended", post(gateways::ended))
        .route("/v1/gateways/release", post(gateways::release))
        .route("/v1/backup", post(backup::backup))
        .route("/v1/subscriptions", get(subscriptions::list).post(subscriptions::add))
        .route("/v1/subscriptions/{id}", get(subscriptions::one))
        .route("/v1/subscriptions/{id}/approve", post(subscriptions::approve))
        .route("/v1/subscriptions/{id}/reject", post(subscriptions::reject))
        .route("/v1/subscriptions/{id}/suspend", post(subscriptions::suspend))
        .route("/v1/subscriptions/{id}/resume", post(subscriptions::resume))
        .route("/v1/subscriptions/{id}/cancel", post(subscriptions::cancel))
        .route("/v1/subscriptions/{id}/expire", post(subscriptions::expire))
        .route("/v1/subscriptions/{id}/override", post(subscriptions::set_override))
        .route("/v1/subscriptions/{id}/change-plan", post(subscriptions::change_plan))
        .route("/v1/subscriptions/{id}/keys", get(keys::list).post(keys::add))
        .route("/v1/subscriptions/{id}/keys/import", post(keys::import))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/keys/{id}/rotate", post(keys::rotate))
        .route("/v1/usage", get(usage::usage))
        .route("/v1/usage/unaccounted", get(unaccounted::unaccounted))
        .route("/v1/close", post(close::close))
        .route("/v1/invoices", get(invoices::list))
        .route("/v1/invoices/{number}", get(invoices::one))
        .route("/v1/subscriptions/{id}/invoice-preview", get(invoices::preview))
        .route("/v1/charges", get(charges::list))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .route(SYNC_PATH, sync)
        .route("/v1/spills", spills)
        .fallback(|| async { Problem::no_path() })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path does not take this method",
            )
        })
        .layer(map_response(no_store))
        .with_state(host)
}

/// Answers hold keys and tokens, and are old at once.
async fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
