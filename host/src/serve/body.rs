//! What operators send, and get where it is not the core's, as JSON.

use serde::{Deserialize, Serialize};

use crate::core::invoice::{Invoice, MAX_LISTED_INVOICES};

/// `POST /v1/gateways`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGateway {
    /// For people; unique.
    pub(crate) name: String,
}

/// `POST /v1/subscriptions`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSubscription {
    /// The product's id in the catalog.
    pub(crate) product: String,
    /// Who pays.
    pub(crate) consumer: String,
    /// For people.
    #[serde(default)]
    pub(crate) name: Option<String>,
}

/// `GET /v1/invoices`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InvoiceList {
    /// Newest first.
    pub(crate) invoices: Vec<Invoice>,
    /// Whether these are as many as a list holds, and older ones may be left out.
    pub(crate) truncated: bool,
}

impl InvoiceList {
    pub(crate) fn new(invoices: Vec<Invoice>) -> Self {
        let truncated = u32::try_from(invoices.len()).is_ok_and(|n| n >= MAX_LISTED_INVOICES);
        Self { invoices, truncated }
    }
}
