//! Callers: send many calls at once over kept connections, and say how each was answered.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;

use crate::sample_api::{ANSWER, Answer, LABEL, SIGNATURE};

/// The longest a call may take: the gate's longest wait, several times over.
const CALL_WITHIN: Duration = Duration::from_secs(15);

/// An HTTP client that keeps connections, talks to this machine only, and takes every status for
/// an answer.
pub fn agent(within: Duration) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(within))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // A proxy for the outside has no way to the ports of this machine.
        .proxy(None)
        .build()
        .into()
}

/// A call to the sample API through the gateway.
#[derive(Clone, Debug)]
pub struct Call {
    /// The full URL.
    pub url: String,
    /// The API key.
    pub key: String,
    /// Under which name the sample API counts it.
    pub label: String,
    /// What the sample API is asked to answer.
    pub answer: Answer,
}

/// How a call was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Who answered.
    pub from: From,
}

/// Who answered a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    /// The sample API.
    Api,
    /// The gate, with this reason.
    Gate(String),
    /// Envoy itself, for an API that gave no answer.
    Envoy,
}

/// A call that got no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection failed, or time ran out.
    #[error("a call to {url} got no answer: {cause}")]
    NoAnswer {
        /// What was called.
        url: String,
        /// Why.
        cause: ureq::Error,
    },
    /// Whoever was told of the replies had enough.
    #[error("stopped before all calls were sent")]
    Stopped,
}

/// A refusal as the gate writes it (`application/problem+json`).
#[derive(Deserialize)]
struct Problem {
    reason: String,
}

/// Sends one call.
pub fn send(agent: &Agent, call: &Call) -> Result<Reply, CallError> {
    let no_answer = |cause| CallError::NoAnswer { url: call.url.clone(), cause };
    let mut response = agent
        .get(&call.url)
        .header("x-api-key", &call.key)
        .header(LABEL, &call.label)
        .header(ANSWER, call.answer.word())
        .call()
        .map_err(no_answer)?;
    // Read to its end whoever wrote it: only then can the connection carry the next call.
    let text = response.body_mut().read_to_string().map_err(no_answer)?;
    let from = if response.headers().contains_key(SIGNATURE) {
        From::Api
    } else {
        serde_json::from_str(&text)
            .map_or(From::Envoy, |problem: Problem| From::Gate(problem.reason))
    };
    Ok(Reply { status: response.status().as_u16(), from })
}

/// Sends calls over as many connections at once, in no order, and gives the replies in the order
/// of the calls. Ends at the first call without an answer, and when `told` breaks it off.
pub fn send_all(
    calls: &[Call],
    connections: NonZeroUsize,
    told: &(impl Fn(&Reply) -> ControlFlow<()> + Sync),
) -> Result<Vec<Reply>, CallError> {
    let next = Mutex::new(calls.iter().enumerate());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || -> Result<Vec<(usize, Reply)>, CallError> {
        let agent = agent(CALL_WITHIN);
        let mut replies = Vec::new();
        while let Some((place, call)) = take() {
            let reply = send(&agent, call)?;
            if told(&reply).is_break() {
                return Err(CallError::Stopped);
            }
            replies.push((place, reply));
        }
        Ok(replies)
    };
    let mut replies = thread::scope(|scope| {
        let workers: Vec<_> = (0..connections.get()).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::with_capacity(calls.len());
        for worker in workers {
            match worker.join() {
                Ok(replies) => all.extend(replies?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })?;
    replies.sort_by_key(|(place, _)| *place);
    Ok(replies.into_iter().map(|(_, reply)| reply).collect())
}
