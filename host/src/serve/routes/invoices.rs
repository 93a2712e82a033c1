//! `/v1/invoices`, and the preview of the next one of a subscription.

use axum::Json;
use axum::extract::State;
use tollgate_pricing::id::SubscriptionId;

use crate::core::invoice::{Invoice, InvoiceNumber, ListInvoices, PreviewInvoice, ReadInvoice};
use crate::serve::body::InvoiceList;
use crate::serve::extract::{Bearer, Id};
use crate::serve::host::Host;
use crate::serve::problem::Problem;

/// `GET /v1/invoices`: the newest.
pub(super) async fn list(
    State(host): State<Host>,
    Bearer(token): Bearer,
) -> Result<Json<InvoiceList>, Problem> {
    let invoices = host.operator(token, ListInvoices).await?;
    Ok(Json(InvoiceList::new(invoices)))
}

/// `GET /v1/invoices/{number}`.
pub(super) async fn one(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(number): Id<InvoiceNumber>,
) -> Result<Json<Invoice>, Problem> {
    host.operator(token, ReadInvoice(number)).await.map(Json)
}

/// `GET /v1/subscriptions/{id}/invoice-preview`: what its open period costs so far.
pub(super) async fn preview(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(subscription): Id<SubscriptionId>,
) -> Result<Json<Invoice>, Problem> {
    host.operator(token, PreviewInvoice(subscription)).await.map(Json)
}
