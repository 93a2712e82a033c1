//! `/v1/subscriptions`, and what changes their state.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tollgate_pricing::id::SubscriptionId;

use crate::clock;
use crate::core::subscriptions::{
    AddSubscription, ApproveSubscription, CancelSubscription, ChangePlan, ExpireSubscription,
    ListSubscriptions, Overridden, PlanChanged, ReadSubscription, RejectSubscription,
    ResumeSubscription, SetOverride, Subscription, SubscriptionAdded, SubscriptionDetails,
    SuspendSubscription,
};
use crate::serve::body::{Expiry, NewOverride, NewPlan, NewSubscription};
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
        submitted: new.submitted,
        expires: new.expires,
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

/// `GET /v1/subscriptions/{id}`: everything about one.
pub(super) async fn one(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(id): Id<SubscriptionId>,
) -> Result<Json<SubscriptionDetails>, Problem> {
    host.operator(token, ReadSubscription(id)).await.map(Json)
}

/// `POST …/approve`.
pub(super) async fn approve(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(id): Id<SubscriptionId>,
) -> Result<Json<Subscription>, Problem> {
    host.operator(token, ApproveSubscription(id)).await.map(Json)
}

/// `POST …/reject`.
pub(super) async fn reject(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(id): Id<SubscriptionId>,
) -> Result<Json<Subscription>, Problem> {
    host.operator(token, RejectSubscription(id)).await.map(Json)
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

/// `POST …/expire`: when it ends by itself.
pub(super) async fn expire(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(subscription): Id<SubscriptionId>,
    Body(expiry): Body<Expiry>,
) -> Result<Json<Subscription>, Problem> {
    host.operator(token, ExpireSubscription { subscription, at: expiry.at }).await.map(Json)
}

/// `POST …/override`: its own numbers for a limit.
pub(super) async fn set_override(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(subscription): Id<SubscriptionId>,
    Body(new): Body<NewOverride>,
) -> Result<Json<Overridden>, Problem> {
    let request = SetOverride { subscription, limit: new.limit, own: new.own };
    host.operator(token, request).await.map(Json)
}

/// `POST …/change-plan`: another product.
pub(super) async fn change_plan(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Id(subscription): Id<SubscriptionId>,
    Body(new): Body<NewPlan>,
) -> Result<Json<PlanChanged>, Problem> {
    host.operator(token, ChangePlan { subscription, product: new.product }).await.map(Json)
}
