//! What operators send, and get where it is not the core's, as JSON.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::BootId;
use tollgate_pricing::sync::spill::Spill;

use crate::core::gateways::BootPrefix;
use crate::core::invoice::{Invoice, MAX_LISTED_INVOICES};
use crate::core::secret::Clear;
use crate::core::spill::Ingested;
use crate::core::subscriptions::Own;
use crate::serve::Problem;

/// `POST /v1/gateways`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGateway {
    /// For people; unique.
    pub(crate) name: String,
}

/// `POST /v1/gateways/forget`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forget {
    /// The gateway's name.
    pub(crate) gateway: String,
    /// Which of its processes; all that are silent if absent.
    #[serde(default)]
    pub(crate) boot: Option<BootId>,
    /// Only tell.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// `POST /v1/gateways/ended`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndedBoot {
    /// The process's id, or how it begins.
    pub(crate) boot: BootPrefix,
    /// Whether it ended with everything delivered.
    pub(crate) delivered: bool,
}

/// `POST /v1/spills`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spills {
    /// The gateway of processes that never synced; the only one if absent.
    #[serde(default)]
    pub(crate) gateway: Option<String>,
    /// What was read.
    pub(crate) spills: Vec<Spill>,
}

/// What became of one spill.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SpillAnswer {
    /// It is in the ledger: what was new.
    Ingested(Ingested),
    /// It is not, and why.
    Refused(Problem),
}

/// `POST /v1/backup`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backup {
    /// A new file on the host's machine, from the root.
    pub(crate) file: PathBuf,
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
    /// Whether somebody has to approve it first.
    #[serde(default)]
    pub(crate) submitted: bool,
    /// When it ends by itself.
    #[serde(default)]
    pub(crate) expires: Option<Timestamp>,
}

/// `POST /v1/subscriptions/{id}/expire`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expiry {
    /// When; `null` for never. Not to be left out.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) at: Option<Timestamp>,
}

/// `POST /v1/subscriptions/{id}/change-plan`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPlan {
    /// The new product's id in the catalog.
    pub(crate) product: String,
}

/// `POST /v1/subscriptions/{id}/override`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOverride {
    /// The limit's id.
    pub(crate) limit: String,
    /// Its own numbers; `null` for the product's. Not to be left out.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) own: Option<Own>,
}

/// `POST /v1/keys/{id}/rotate`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// How long both pass.
    pub(crate) overlap_seconds: u32,
}

/// `POST /v1/subscriptions/{id}/keys/import`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BroughtKeys {
    /// In clear.
    pub(crate) keys: Vec<Clear>,
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
