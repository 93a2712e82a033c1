//! Once a second: revokes keys and ends subscriptions whose time has come, closes the periods that
//! may be closed, and sends the charges that are due.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::host::Host;
use super::problem::Problem;
use crate::clock;
use crate::core::charges::{Charge, ClaimCharges, Outcome, SettleCharge};
use crate::core::close::{Close, Closed, Waiting, WaitingPeriod};
use crate::core::keys::RetireKeys;
use crate::provider::ProviderError;

const INTERVAL: Duration = Duration::from_secs(1);
/// Requests of a kind in one turn, when there is more to do than one does; charges wait as long.
const MAX_REQUESTS: u32 = 16;
/// Charges claimed at once. What is claimed and not sent waits for its next turn.
const CLAIM: u32 = 16;

/// Bills for as long as the process lives.
pub(super) async fn run(host: Host) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        turn(&host).await;
    }
}

pub(super) async fn turn(host: &Host) {
    // What went wrong is logged where it did; the next turn tries again.
    let _ = retire(host).await;
    let _ = close(host).await;
    let _ = deliver(host).await;
}

async fn retire(host: &Host) -> Result<(), Problem> {
    for _ in 0..MAX_REQUESTS {
        let retired = host.writer.ask(RetireKeys).await?;
        for key in retired.keys {
            tracing::info!(key = %key.id, subscription = %key.subscription, "revoked a key");
        }
        if !retired.more {
            break;
        }
    }
    Ok(())
}

async fn close(host: &Host) -> Result<(), Problem> {
    for _ in 0..MAX_REQUESTS {
        let answer = host.writer.ask(request(host)).await?;
        closed(host, &answer);
        if !answer.more {
            break;
        }
    }
    Ok(())
}

/// What this host closes now.
pub(super) fn request(host: &Host) -> Close {
    Close { grace: host.close_grace, serving_since: host.since }
}

/// Makes known what was closed, by whomever, and what waits.
pub(super) fn closed(host: &Host, answer: &Closed) {
    let is_unpriced = |it: &&WaitingPeriod| matches!(it.reason, Waiting::Unpriced { .. });
    host.seen().periods_unpriced = answer.waiting.iter().filter(is_unpriced).count();
    for subscription in &answer.expired {
        tracing::info!(%subscription, "a subscription expired");
    }
    for period in &answer.closed {
        let invoice = period.invoice.map(tracing::field::display);
        tracing::info!(
            subscription = %period.subscription,
            period = period.period,
            invoice,
            "closed a period"
        );
    }
    for invoice in &answer.corrections {
        tracing::info!(%invoice, "billed late usage of a subscription that ended");
    }
    host.seen().periods_waiting = answer.waiting.len();
}

/// Claim, commit, send, settle. What happens in between may happen again: the provider knows a
/// charge by its idempotency key.
async fn deliver(host: &Host) -> Result<(), Problem> {
    loop {
        let charges = host.writer.ask(ClaimCharges { limit: CLAIM }).await?;
        if charges.is_empty() {
            return Ok(());
        }
        for charge in charges {
            if !send(host, charge).await? {
                return Ok(());
            }
        }
    }
}

/// Sends one charge; whether the provider could be asked.
async fn send(host: &Host, charge: Charge) -> Result<bool, Problem> {
    let (id, invoice, amount) = (charge.id, charge.invoice, charge.amount);
    let sent = host.provider(move |provider| provider.charge(clock::now(), &charge)).await?;
    let outcome = match sent {
        Ok(outcome) => outcome,
        Err(error @ ProviderError::Unavailable(_)) => {
            tracing::warn!(%invoice, "a charge waits: {error}");
            return Ok(false);
        }
        Err(error @ ProviderError::KeyReused(_)) => {
            tracing::error!(%invoice, %amount, "a charge stays unsettled: {error}");
            return Ok(true);
        }
    };
    match &outcome {
        Outcome::Accepted { reference } => {
            tracing::info!(%invoice, %amount, %reference, "charged");
        }
        Outcome::Rejected { message } => {
            tracing::error!(%invoice, %amount, "the provider rejects a charge: {message}");
        }
    }
    host.writer.ask(SettleCharge { id, outcome }).await?;
    Ok(true)
}
