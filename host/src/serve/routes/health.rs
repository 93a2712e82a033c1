//! `GET /healthz`: how this host is, for whoever can reach it. No token, and no secret in it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::core::health::{Health, ReadHealth};
use crate::serve::host::Host;
use crate::serve::problem::Problem;

/// How this host is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostHealth {
    /// `ok`, or `attention` if somebody must look.
    status: Status,
    /// Of this program.
    version: String,
    /// The ledger.
    #[serde(flatten)]
    ledger: Health,
    /// Why the ledger cannot be written: nothing is acknowledged, and gateways keep what they have.
    ledger_error: Option<String>,
    /// Why the catalog's file is not what is in force.
    catalog_error: Option<String>,
    /// Billing periods that ended and wait to be closed.
    periods_waiting: usize,
    /// Of these, those that cannot be priced, or whose late usage cannot be billed. Not zero:
    /// somebody must look, and `tollgate close` says at what.
    periods_unpriced: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Attention,
}

pub(super) async fn health(State(host): State<Host>) -> Result<Json<HostHealth>, Problem> {
    let ledger = host.writer.ask(ReadHealth).await?;
    let seen = host.seen();
    let ledger_error = host.writer.trouble();
    let attention = ledger_error.is_some()
        || seen.catalog_error.is_some()
        || seen.periods_unpriced > 0
        || ledger.conflicts > 0
        || ledger.unattributed > 0
        || ledger.stuck_charges > 0
        || ledger.rejected_charges > 0;
    Ok(Json(HostHealth {
        status: if attention { Status::Attention } else { Status::Ok },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ledger_error,
        catalog_error: seen.catalog_error.clone(),
        periods_waiting: seen.periods_waiting,
        periods_unpriced: seen.periods_unpriced,
        ledger,
    }))
}
