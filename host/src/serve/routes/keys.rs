//! `/v1/subscriptions/{id}/keys` and `/v1/keys/{id}`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tollgate_pricing::id::SubscriptionId;

use crate::clock;
use crate::core::id::KeyId;
use crate::core::keys::{AddKey, Key, KeyAdded, ListKeys, RevokeKey};
use crate::serve::extract::{Bearer, Id};
use crate::serve::host::Host;
use crate::serve::problem::Problem;

/// `POST`: another key in clear, once.
pub(super) async fn add(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(subscription): Id<SubscriptionId>,
) -> Result<(StatusCode, Json<KeyAdded>), Problem> {
    let request = AddKey { subscription, random: clock::random().map_err(Problem::no_chance)? };
    let added = host.operator(token, request).await?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// `GET`: what is known of a subscription's keys.
pub(super) async fn list(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(subscription): Id<SubscriptionId>,
) -> Result<Json<Vec<Key>>, Problem> {
    host.operator(token, ListKeys(subscription)).await.map(Json)
}

/// `DELETE`: a key ends for good.
pub(super) async fn revoke(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(key): Id<KeyId>,
) -> Result<Json<Key>, Problem> {
    host.operator(token, RevokeKey(key)).await.map(Json)
}
