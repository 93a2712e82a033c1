//! `/v1/subscriptions`, and what changes their state.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tollgate_pricing::id::SubscriptionId;

use crate::clock;
use crate::core::subscriptions::{
    AddSubscription, CancelSubscription, ListSubscriptions, ResumeSubscription, Subscription,
    SubscriptionAdded, SuspendSubscription,
};
use crate::serve::body::NewSubscription;
use crate::serve::extract::{Bearer, Body, Id};
use crate::serve::host::Host;
use crate::serve::problem::Problem;

/// `POST`: a subscription, and its first key in clear, once.
pub(super) async fn add(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Body(new): Body<NewSubscription>,
) -> Result<(StatusCode, Json<SubscriptionAdded>), Problem> {
    let request = AddSubscription {
        product: new.product,
        consumer: new.consumer,
        name: new.name,
        random: clock::random().map_err(Problem::no_chance)?,
    };
    let added = host.operator(token, request).await?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// `GET`: all of them.
pub(super) async fn list(
    State(host): State<Host>,
    Bearer(token): Bearer,
) -> Result<Json<Vec<Subscription>>, Problem> {
    host.operator(token, ListSubscriptions).await.map(Json)
}

/// `POST …/suspend`.
pub(super) async fn suspend(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(id): Id<SubscriptionId>,
) -> Result<Json<Subscription>, Problem> {
    host.operator(token, SuspendSubscription(id)).await.map(Json)
}

/// `POST …/resume`.
pub(super) async fn resume(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(id): Id<SubscriptionId>,
) -> Result<Json<Subscription>, Problem> {
    host.operator(token, ResumeSubscription(id)).await.map(Json)
}

/// `POST …/cancel`.
pub(super) async fn cancel(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(id): Id<SubscriptionId>,
) -> Result<Json<Subscription>, Problem> {
    host.operator(token, CancelSubscription(id)).await.map(Json)
}
