//! `GET /v1/charges`: what the payment provider received, by its own books.

use axum::Json;
use axum::extract::State;

use crate::core::Refusal;
use crate::provider::Provider;
use crate::provider::sandbox::Received;
use crate::serve::extract::Bearer;
use crate::serve::host::Host;
use crate::serve::problem::Problem;

pub(super) async fn list(
    State(host): State<Host>,
    Bearer(token): Bearer,
) -> Result<Json<Vec<Received>>, Problem> {
    // The provider knows no operators: the ledger says whether this is one.
    host.operator(token, ()).await?;
    let received = host
        .provider(|provider| match provider {
            Provider::Sandbox(sandbox) => sandbox.charges(),
        })
        .await?;
    received.map(Json).map_err(|error| Problem::from(&Refusal::from(error)))
}
