//! `POST /v1/spills`: usage that gateways wrote into their proxies' logs.

use axum::Json;
use axum::extract::State;

use crate::core::spill::IngestSpills;
use crate::serve::body::{SpillAnswer, Spills};
use crate::serve::extract::{Bearer, Body};
use crate::serve::host::Host;
use crate::serve::problem::Problem;

pub(super) async fn ingest(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Body(Spills { gateway, spills }): Body<Spills>,
) -> Result<Json<Vec<SpillAnswer>>, Problem> {
    let answers = host.operator(token, IngestSpills { spills, gateway }).await?;
    let answers = answers.into_iter().map(|answer| match answer {
        Ok(ingested) => SpillAnswer::Ingested(ingested),
        Err(refusal) => SpillAnswer::Refused(Problem::from(&refusal)),
    });
    Ok(Json(answers.collect()))
}
