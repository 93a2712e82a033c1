//! `POST /v1/close`: what this host does by itself every second, now.

use axum::Json;
use axum::extract::State;

use crate::core::close::Closed;
use crate::serve::billing;
use crate::serve::extract::Bearer;
use crate::serve::host::Host;
use crate::serve::problem::Problem;

pub(super) async fn close(
    State(host): State<Host>,
    Bearer(token): Bearer,
) -> Result<Json<Closed>, Problem> {
    let answer = host.operator(token, billing::request(&host)).await?;
    billing::closed(&host, &answer);
    Ok(Json(answer))
}
