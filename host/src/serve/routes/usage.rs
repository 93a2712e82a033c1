//! `GET /v1/usage?subscription=sub_1`: what was called, by subscription and billing period;
//! `GET /v1/usage?by=operation`: what the calls looked like.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tollgate_pricing::id::SubscriptionId;

use crate::core::usage::ReadUsage;
use crate::core::usage::detail::{By, ReadDetail};
use crate::serve::extract::{Bearer, Fields};
use crate::serve::host::Host;
use crate::serve::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Whose; everybody's if left out.
    subscription: Option<String>,
    /// What tells calls apart; by period if left out.
    by: Option<By>,
}

pub(super) async fn usage(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Fields(query): Fields<Query>,
) -> Result<Response, Problem> {
    let subscription = query
        .subscription
        .map(|text| text.parse::<SubscriptionId>())
        .transpose()
        .map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(match query.by {
        Some(by) => {
            Json(host.operator(token, ReadDetail { by, subscription }).await?).into_response()
        }
        None => Json(host.operator(token, ReadUsage { subscription }).await?).into_response(),
    })
}
