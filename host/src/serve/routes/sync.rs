//! `POST /v1/sync`: what a gateway's process reports and is told. Its token is a gateway's.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_pricing::sync::{PROTOCOL, SyncAnswer, SyncRequest};

use crate::clock;
use crate::core::secret::AsGateway;
use crate::serve::extract::{Bearer, Body, json};
use crate::serve::host::Host;
use crate::serve::problem::Problem;

/// All that is known of a request of any protocol.
#[derive(Deserialize)]
struct Spoken {
    protocol: u64,
}

pub(super) async fn sync(
    State(host): State<Host>,
    Bearer(token): Bearer,
    Body(request): Body<Box<RawValue>>,
) -> Result<Json<SyncAnswer>, Problem> {
    let request = understood(request.get())?;
    let boot = request.boot;
    let answer = host.writer.ask(AsGateway { token, request }).await;
    if let Err(problem) = &answer
        && problem.status == StatusCode::UNAUTHORIZED.as_u16()
        && let Some(times) = host.seen().unknown_tokens.another(clock::instant())
    {
        tracing::warn!(
            %boot,
            "a gateway syncs with a token that is not known here ({times} times since last told): \
             give it one of `tollgate gateways add`"
        );
    }
    answer.map(Json)
}

/// The request, if it is of this protocol: of another, nothing else can be told of it.
fn understood(text: &str) -> Result<SyncRequest, Problem> {
    let Spoken { protocol } = json(text.as_bytes())?;
    if protocol != u64::from(PROTOCOL) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "protocol",
            format!(
                "this host speaks sync protocol {PROTOCOL}, the gateway's plugin {protocol}: \
                 update the older of the two"
            ),
        ));
    }
    json(text.as_bytes())
}
