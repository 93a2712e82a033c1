//! What may happen to a message between a gateway and its host.

use std::time::Duration;

use tollgate_pricing::sync::{SYNC_PATH, SyncAnswer, SyncRequest};

use super::Host;
use crate::simulator::Wrong;
use crate::wasm::{Answer, Call};

/// A way for messages to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Network {
    /// They arrive, and so do their answers.
    Up,
    /// Nothing arrives: Envoy answers 503 by itself.
    Down,
    /// Nothing arrives, and nobody says so: Envoy answers 504 when the time is over.
    Silent,
    /// They arrive, and what they do is committed; the answers are lost.
    AnswersLost,
    /// They arrive twice; the second answer comes back.
    Twice,
    /// Something else answers 200, with this body.
    Impostor(&'static str),
    /// The host answers, but acknowledges nothing of what is reported.
    Unacknowledged,
}

/// What a process sent.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) request: SyncRequest,
}

/// A sync in a call, and whose it is.
fn read(call: &Call) -> (&str, SyncRequest) {
    assert_eq!(call.cluster, "tollgate_host");
    assert_eq!(call.header(":method"), Some("POST"));
    assert_eq!(call.header(":authority"), Some("tollgate-host"));
    assert_eq!(call.header(":path"), Some(SYNC_PATH));
    let request = serde_json::from_slice(&call.body).expect("a sync request");
    let token = call
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        .expect("a bearer token");
    (token, request)
}

/// What the host answers.
pub(super) struct Delivered {
    pub(super) answer: Answer,
    /// Whether it calls any units back.
    pub(super) calls_back: bool,
}

/// Calls reach the host together, which may be wrong on purpose. It answers all of them or none.
pub(super) fn deliver(
    host: &mut Host,
    calls: &[&Call],
    now: Duration,
    wrong: Option<Wrong>,
) -> Vec<Option<Delivered>> {
    if let Some(wrong) = wrong {
        let lie = |call: &&Call| {
            let (token, request) = read(call);
            Some(delivered(wrong.sync(host, token, &request, now)))
        };
        return calls.iter().map(lie).collect();
    }
    let requests = calls.iter().map(|call| {
        let (token, request) = read(call);
        (token.to_owned(), request)
    });
    let answers = host.syncs(requests.collect(), now);
    answers.into_iter().map(|answer| answer.map(delivered)).collect()
}

fn delivered(answer: Answer) -> Delivered {
    let said = serde_json::from_slice::<SyncAnswer>(&answer.body);
    Delivered { answer, calls_back: said.is_ok_and(|said| !said.recalls.is_empty()) }
}

/// Carries one call. No answer means that it is still under way. No message means that the call
/// was not a sync at all, which no host would understand.
pub(super) fn carry(
    network: Network,
    host: &mut Host,
    call: &Call,
    now: Duration,
) -> (Option<Message>, Option<Answer>) {
    let (token, request) = read(call);
    let message = Message { request: request.clone() };
    let answer = match network {
        Network::Up => Some(host.sync(token, request, now)),
        Network::Down => Some(Answer::no_connection()),
        Network::Silent => None,
        Network::AnswersLost => {
            host.sync(token, request, now);
            Some(Answer::reset())
        }
        Network::Twice => {
            host.sync(token, request.clone(), now);
            Some(host.sync(token, request, now))
        }
        Network::Impostor(body) => Some(Answer::json(200, body)),
        Network::Unacknowledged => {
            let hollow = SyncRequest { rows: None, records: Vec::new(), ..request };
            Some(host.sync(token, hollow, now))
        }
    };
    (Some(message), answer)
}
