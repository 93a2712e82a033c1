//! `/v1/gateways`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::clock;
use crate::core::gateways::{
    AddGateway, EndBoot, Ended, ForgetBoots, Forgotten, Gateway, GatewayAdded, ListGateways,
    ReleaseGateways, Released,
};
use crate::serve::body::{EndedBoot, Forget, NewGateway};
use crate::serve::extract::{Bearer, Body};
use crate::serve::host::Host;
use crate::serve::problem::Problem;

/// `POST`: a gateway, and its token in clear, once.
pub(super) async fn add(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Body(new): Body<NewGateway>,
) -> Result<(StatusCode, Json<GatewayAdded>), Problem> {
    let request =
        AddGateway { name: new.name, random: clock::random().map_err(Problem::no_chance)? };
    let added = host.operator(token, request).await?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// `GET`: all of them.
pub(super) async fn list(
    State(host): State<Host>,
    Bearer(token): Bearer,
) -> Result<Json<Vec<Gateway>>, Problem> {
    host.operator(token, ListGateways).await.map(Json)
}

/// `POST …/forget`: declares silent processes dead.
pub(super) async fn forget(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Body(Forget { gateway, boot, dry_run }): Body<Forget>,
) -> Result<Json<Forgotten>, Problem> {
    host.operator(token, ForgetBoots { gateway, boot, dry_run }).await.map(Json)
}

/// `POST …/ended`: a process was seen to end.
pub(super) async fn ended(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Body(EndedBoot { boot, delivered }): Body<EndedBoot>,
) -> Result<Json<Ended>, Problem> {
    host.operator(token, EndBoot { boot, delivered }).await.map(Json)
}

/// `POST …/release`: a restored ledger waits no more.
pub(super) async fn release(
    State(host): State<Host>,
    Bearer(token): Bearer,
) -> Result<Json<Released>, Problem> {
    host.operator(token, ReleaseGateways).await.map(Json)
}
