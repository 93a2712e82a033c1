//! `GET /v1/usage?subscription=sub_1`: what was called, by subscription and billing period.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tollgate_pricing::id::SubscriptionId;

use crate::core::usage::{ReadUsage, UsageReport};
use crate::serve::extract::{Bearer, Fields};
use crate::serve::host::Host;
use crate::serve::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Whose; everybody's if left out.
    subscription: Option<String>,
}

pub(super) async fn usage(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Fields(query): Fields<Query>,
) -> Result<Json<UsageReport>, Problem> {
    let subscription = query
        .subscription
        .map(|text| text.parse::<SubscriptionId>())
        .transpose()
        .map_err(|error| Problem::invalid(error.to_string()))?;
    host.operator(token, ReadUsage { subscription }).await.map(Json)
}
