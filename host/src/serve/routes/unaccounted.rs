//! `GET /v1/usage/unaccounted`: what processes may have let through and never reported.

use axum::Json;
use axum::extract::State;

use crate::core::unaccounted::{ReadUnaccounted, Unaccounted};
use crate::serve::extract::Bearer;
use crate::serve::host::Host;
use crate::serve::problem::Problem;

pub(super) async fn unaccounted(
    State(host): State<Host>,
    Bearer(token): Bearer,
) -> Result<Json<Unaccounted>, Problem> {
    host.operator(token, ReadUnaccounted).await.map(Json)
}
