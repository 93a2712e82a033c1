//! Worlds in which something is wrong on purpose: properties that cannot fail prove nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tollgate_pricing::id::Hex128;
use tollgate_pricing::sync::{LeaseOutcome, SlotAck, SyncAnswer, SyncRequest};

use super::play;
use super::runner::text_of;

/// What is wrong with a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    /// Shared data writes whatever was read before.
    LostUpdates,
    /// Processes' clocks run twice as fast as time.
    FastClocks,
    /// Calls look to the plugin as if all had been answered with 200.
    AllWell,
    /// What is reported is acknowledged, and does not arrive.
    HollowAcknowledgements,
    /// Each grant is told to be one more than it is.
    GenerousGrants,
    /// What is reported arrives a second time, as if another process had said it.
    CountedTwice,
    /// Nothing that the operator changes is told to those who did not ask.
    NoNews,
    /// Nobody is told to give units back.
    NoRecalls,
}

impl Wrong {
    /// What reaches the host.
    pub(crate) fn requests(self, request: &SyncRequest) -> Vec<SyncRequest> {
        let request = request.clone();
        match self {
            Self::HollowAcknowledgements => vec![SyncRequest { records: Vec::new(), ..request }],
            Self::CountedTwice => {
                let Hex128(mut boot) = request.boot;
                boot[0] ^= 1;
                let records = request.records.iter().cloned().map(|mut record| {
                    record.leases.clear();
                    record
                });
                let again = SyncRequest {
                    boot: Hex128(boot),
                    rows: None,
                    leases: Vec::new(),
                    records: records.collect(),
                    ..request.clone()
                };
                vec![again, request]
            }
            _ => vec![request],
        }
    }

    /// What a gateway hears.
    pub(crate) fn answer(self, request: &SyncRequest, mut answer: SyncAnswer) -> SyncAnswer {
        match self {
            Self::HollowAcknowledgements => {
                let slots = request.records.iter().flat_map(|record| {
                    let subscription = record.subscription;
                    record
                        .slots
                        .iter()
                        .map(move |slot| SlotAck { subscription, slot: slot.clone() })
                });
                answer.slots = slots.collect();
            }
            Self::GenerousGrants => {
                for lease in &mut answer.leases {
                    lease.granted += u64::from(lease.outcome == LeaseOutcome::Granted);
                }
            }
            Self::NoNews if request.keys.is_empty() && request.since.is_some() => {
                answer.subscriptions.clear();
                answer.keys.clear();
            }
            Self::NoRecalls => answer.recalls.clear(),
            _ => {}
        }
        answer
    }
}

/// Worlds that are played until one notices, from one that is likely to.
const MOST_WORLDS: u64 = 100;

#[test]
fn what_is_wrong_is_noticed() {
    let check = |wrong: Wrong, from: u64, expected: &str| {
        let mut noticed = Vec::new();
        for seed in from..from + MOST_WORLDS {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed, Some(wrong)))) {
                let text = text_of(&*panic);
                if text.contains(expected) {
                    return;
                }
                noticed.push(text);
            }
        }
        panic!("{wrong:?} should break {expected:?}, but only these were noticed: {noticed:#?}");
    };
    check(Wrong::LostUpdates, 12, "law");
    check(Wrong::FastClocks, 15, "law 1");
    check(Wrong::AllWell, 1, "laws 2 and 3");
    check(Wrong::HollowAcknowledgements, 1, "laws 2 and 3");
    check(Wrong::GenerousGrants, 4, "law 1");
    check(Wrong::CountedTwice, 1, "laws 2 and 3");
    check(Wrong::NoNews, 2, "was stopped at");
    check(Wrong::NoRecalls, 35, "out of everybody's reach");
}
