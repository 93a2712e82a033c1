//! Sync: what a gateway's process reports, and what it is told.
//!
//! Everything reported is bounded here and contradicts nothing afterwards: what could be wrong
//! with one report is kept aside, loudly, and the rest of the request goes on.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::{
    KeyAnswer, MAX_CHANGES, MAX_STATES, PROTOCOL, SyncAnswer, SyncRequest,
};

use super::id::GatewayId;
use super::{Refusal, Request, catalog, gateways, periods};
use crate::store::Ledger;

mod aside;
mod changes;
pub(super) mod door;
mod grant;
mod leases;
mod quotas;
mod rates;
mod recall;
pub(super) mod records;
pub(super) mod rows;
mod state;

/// Follows the host's clock, which jumped: nothing leaves a rate's window early.
#[derive(Debug)]
pub struct FollowClock {
    /// How far forward.
    pub by: SignedDuration,
}

impl Request for FollowClock {
    type Answer = ();

    fn apply(self, ledger: &mut Ledger<'_>, _now: Timestamp) -> Result<(), Refusal> {
        Ok(ledger.shift_rates(self.by)?)
    }
}

/// One sync of a gateway -> [`SyncAnswer`].
#[derive(Debug)]
pub struct Sync {
    /// By its token.
    pub gateway: GatewayId,
    /// What it says.
    pub request: SyncRequest,
}

impl Request for Sync {
    type Answer = SyncAnswer;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<SyncAnswer, Refusal> {
        let request = self.request;
        door::check(&request)?;
        let mut answer = SyncAnswer {
            protocol: PROTOCOL,
            ledger: ledger.identity.ledger,
            epoch: ledger.identity.epoch,
            now_ms: periods::wire_ms(now),
            rows: None,
            slots: Vec::new(),
            revision: request.since.unwrap_or(0),
            catalog: None,
            subscriptions: Vec::new(),
            keys: Vec::new(),
            leases: Vec::new(),
            recalls: Vec::new(),
        };
        if request.ledger.is_some_and(|known| known != answer.ledger) {
            // Its usage is another ledger's. Nothing is acknowledged, so that it keeps it.
            tracing::warn!(boot = %request.boot, "a gateway's process belongs to another ledger");
            return Ok(answer);
        }
        let swept = door::swept(&request, answer.epoch, now);
        gateways::see(ledger, self.gateway, &request, now, swept)?;

        // Counters before leases: what is returned here can be granted again below.
        if let Some(batch) = &request.rows {
            answer.rows = Some(rows::book(ledger, request.boot, batch, now)?);
        }
        let mut short = BTreeSet::new();
        for record in &request.records {
            let acks = records::merge(ledger, request.boot, record, now, &mut short)?;
            answer.slots.extend(acks);
        }
        for ask in &request.leases {
            answer.leases.push(leases::answer(ledger, request.boot, ask, now)?);
        }
        let (recalls, grants) = recall::standing(ledger, request.boot, &answer.leases, now)?;
        answer.recalls = recalls;
        answer.leases.extend(grants);
        tell(ledger, &request, short, now, &mut answer)?;
        Ok(answer)
    }
}

/// What was asked, what changed, and what runs short: the state of every subscription these
/// concern, as many as an answer holds. Changes that do not fit come with the next revision, what
/// runs short is reported again.
fn tell(
    ledger: &mut Ledger<'_>,
    request: &SyncRequest,
    short: BTreeSet<SubscriptionId>,
    now: Timestamp,
    answer: &mut SyncAnswer,
) -> Result<(), Refusal> {
    let mut told = BTreeSet::new();
    for hash in &request.keys {
        let subscription = ledger.key_owner(*hash)?;
        told.extend(subscription);
        answer.keys.push(KeyAnswer { hash: *hash, subscription });
    }
    let room = MAX_STATES.saturating_sub(told.len()).min(MAX_CHANGES);
    let changes = changes::since(ledger, request.since, room)?;
    answer.revision = changes.revision;
    answer.keys.extend(changes.keys);
    told.extend(changes.subscriptions);
    for id in short {
        if told.len() < MAX_STATES {
            told.insert(id);
        }
    }
    for id in told {
        if let Some(mut row) = ledger.subscription(id)? {
            answer.subscriptions.push(state::of(ledger, &mut row, now)?);
        }
    }
    if let Some(revision) = ledger.catalog_revision()?
        && request.catalog != Some(revision)
    {
        let (revision, catalog) = catalog::in_force(ledger)?;
        answer.catalog = Some(catalog.gate(revision, ledger.identity.keys.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
