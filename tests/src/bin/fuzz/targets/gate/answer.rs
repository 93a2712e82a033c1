//! A host's answer to a request: the one a simple host gives, then bent, cut or thrown away.

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::{
    KeyAnswer, LeaseAnswer, LeaseAsk, LeaseOutcome, PROTOCOL, Recall, RowsAck, SlotAck, SyncAnswer,
    SyncRequest,
};

use super::bend::bend;
use super::stock::{CATALOG, KEYS, LEDGER, PRODUCTS, state};
use crate::tape::Tape;

/// What the fake host keeps.
pub(super) struct Ledger {
    pub(super) revision: u64,
    pub(super) epoch: u32,
    pub(super) now_ms: u64,
}

/// How an answer arrives.
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    pub(super) body: Vec<u8>,
    pub(super) is_bent: bool,
}

impl Ledger {
    /// Answers a request, in one of the ways the tape chooses from.
    pub(super) fn answer(&mut self, request: &SyncRequest, tape: &mut Tape<'_>) -> Answer {
        let kind = tape.below(16);
        let answer = self.plain(request, tape);
        let is_bent = (7..14).contains(&kind);
        let body = if is_bent {
            serde_json::to_value(&answer).map(|mut value| {
                bend(&mut value, tape);
                value.to_string().into_bytes()
            })
        } else {
            serde_json::to_vec(&answer)
        };
        let mut body = body.unwrap_or_default();
        let status = match kind {
            12 => tape.pick(&[None, Some(200), Some(204), Some(401), Some(503), Some(65_535)]),
            14 => {
                body = tape.bytes(40).to_vec();
                Some(200)
            }
            15 => {
                // Bytes of it are others.
                for _ in 0..=tape.below(3) {
                    let place = usize::from(tape.byte()) * 256 + usize::from(tape.byte());
                    if let Some(byte) = body.get_mut(place) {
                        *byte = tape.byte();
                    }
                }
                Some(200)
            }
            _ => Some(200),
        };
        Answer { status, body, is_bent }
    }

    fn plain(&mut self, request: &SyncRequest, tape: &mut Tape<'_>) -> SyncAnswer {
        match tape.below(24) {
            0 => self.revision = self.revision.saturating_add(1),
            1 => self.epoch = self.epoch.saturating_add(1),
            2 => self.revision = self.revision.saturating_sub(1),
            _ => {}
        }
        let owner_of = |hash| {
            let place = KEYS.iter().position(|(_, known)| *known == hash)? as u64;
            (place < PRODUCTS).then_some(SubscriptionId(place + 1))
        };
        let keys: Vec<KeyAnswer> = request
            .keys
            .iter()
            .map(|hash| KeyAnswer { hash: *hash, subscription: owner_of(*hash) })
            .collect();
        let mut told: Vec<u64> = keys.iter().filter_map(|key| Some(key.subscription?.0)).collect();
        if tape.once_in(6) {
            told.extend(1..=PRODUCTS);
        }
        told.extend(request.records.iter().map(|report| report.subscription.0));
        let slots = request.records.iter().flat_map(|report| {
            let subscription = report.subscription;
            report.slots.iter().map(move |slot| SlotAck { subscription, slot: slot.clone() })
        });
        let catalog = request.catalog.is_none_or(|known| known < CATALOG.revision);
        let recalls = request.records.iter().flat_map(|report| {
            let subscription = report.subscription;
            report.leases.iter().map(move |lease| (subscription, lease.limit, lease.period))
        });
        let all = tape.flag();
        let recall = |(subscription, limit, period)| Recall { subscription, limit, period, all };
        SyncAnswer {
            protocol: PROTOCOL,
            ledger: LEDGER,
            epoch: self.epoch,
            now_ms: self.now_ms,
            rows: request
                .rows
                .as_ref()
                .map(|batch| RowsAck { incarnation: batch.incarnation, sequence: batch.sequence }),
            slots: slots.collect(),
            revision: self.revision,
            catalog: catalog.then(|| CATALOG.clone()),
            subscriptions: told.iter().map(|id| state(*id, self.revision, self.now_ms)).collect(),
            keys,
            leases: request.leases.iter().map(|ask| granted(ask, tape)).collect(),
            recalls: if tape.once_in(6) { recalls.map(recall).collect() } else { Vec::new() },
        }
    }
}

fn granted(ask: &LeaseAsk, tape: &mut Tape<'_>) -> LeaseAnswer {
    let (retry_ms, more) = (u64::from(tape.byte()) * 16, u64::from(tape.byte() % 8));
    let outcome = match tape.below(6) {
        0 => LeaseOutcome::Wait { retry_ms },
        1 => LeaseOutcome::Exhausted { retry_ms },
        2 => LeaseOutcome::Outdated,
        _ => LeaseOutcome::Granted,
    };
    let more = if outcome == LeaseOutcome::Granted { more + 1 } else { 0 };
    LeaseAnswer {
        subscription: ask.subscription,
        limit: ask.lease.limit,
        period: ask.lease.period,
        granted: ask.lease.granted.saturating_add(more),
        lasts_ms: (ask.lease.period == 0).then_some(1_000),
        outcome,
    }
}
