//! `/v1/subscriptions/{id}/keys` and `/v1/keys/{id}`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::SignedDuration;
use serde_json::value::RawValue;
use tollgate_pricing::id::SubscriptionId;

use crate::clock;
use crate::core::id::KeyId;
use crate::core::keys::{
    AddKey, ImportKeys, Key, KeyAdded, KeyRotated, ListKeys, RevokeKey, RotateKey,
};
use crate::serve::body::{BroughtKeys, Rotation};
use crate::serve::extract::{Bearer, Body, Id};
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

/// `POST …/rotate`: a key in the place of another, in clear, once.
pub(super) async fn rotate(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(key): Id<KeyId>,
    Body(rotation): Body<Rotation>,
) -> Result<(StatusCode, Json<KeyRotated>), Problem> {
    let request = RotateKey {
        key,
        overlap: SignedDuration::from_secs(i64::from(rotation.overlap_seconds)),
        random: clock::random().map_err(Problem::no_chance)?,
    };
    let rotated = host.operator(token, request).await?;
    Ok((StatusCode::CREATED, Json(rotated)))
}

/// `POST …/keys/import`: keys that their owner has already.
pub(super) async fn import(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(subscription): Id<SubscriptionId>,
    Body(body): Body<Box<RawValue>>,
) -> Result<Json<Vec<Key>>, Problem> {
    // Not by `Body`, whose problem may repeat what it could not read.
    let brought: BroughtKeys = serde_json::from_str(body.get()).map_err(|_| {
        Problem::invalid("the body is not what this path takes: expected {\"keys\": [\"…\"]}")
    })?;
    host.operator(token, ImportKeys { subscription, keys: brought.keys }).await.map(Json)
}
