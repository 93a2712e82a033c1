//! Worlds in which something is wrong on purpose: properties that cannot fail prove nothing.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tollgate_pricing::id::{Hex128, SubscriptionId};
use tollgate_pricing::sync::{LeaseOutcome, SlotAck, SyncAnswer, SyncRequest};

use super::play;
use super::runner::text_of;
use crate::wasm::Answer;
use crate::world::Host;

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
    /// Some reports are acknowledged, and their commit is lost.
    AcknowledgedBeforeCommit,
    /// Units are told as granted, and their commit is lost.
    GrantedBeforeCommit,
    /// What is reported again is added again.
    AddedInsteadOfMax,
    /// Batches of rows that come again are added again.
    NoSequenceCheck,
    /// What comes for a closed period is acknowledged, and dropped.
    LateDropped,
    /// The plugin makes a mistake, by its name in its environment.
    Plugin(&'static str),
}

/// One in so many messages loses its commit.
const LOST_COMMITS: u64 = 4;

/// What a host that is wrong remembers.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    messages: u64,
    sums: BTreeMap<(Hex128, SubscriptionId, u32), [u64; 3]>,
}

/// What was reported before is added to what is.
fn added(memory: &mut Memory, mut request: SyncRequest) -> SyncRequest {
    for record in &mut request.records {
        for slot in &mut record.slots {
            let key = (request.boot, record.subscription, slot.number);
            let sums = memory.sums.entry(key).or_default();
            let parts = [&mut slot.admitted, &mut slot.billable, &mut slot.waived];
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum += *part;
                *part = *sum;
            }
        }
    }
    request
}

impl Wrong {
    /// What the environment of VMs says.
    pub(crate) fn fault(self) -> Option<&'static str> {
        match self {
            Self::Plugin(fault) => Some(fault),
            _ => None,
        }
    }

    /// One POST to the host, which is wrong.
    pub(crate) fn sync(
        self,
        host: &mut Host,
        token: &str,
        request: &SyncRequest,
        now: Duration,
    ) -> Answer {
        host.memory.messages += 1;
        // One mistake at a time.
        host.live();
        let is_lost = host.memory.messages.is_multiple_of(LOST_COMMITS);
        let answer = match self {
            Self::AcknowledgedBeforeCommit if is_lost => {
                host.sync_in_vain(token, request.clone(), now)
            }
            Self::GrantedBeforeCommit if !request.leases.is_empty() => {
                let told = host.sync_in_vain(token, request.clone(), now);
                host.sync(token, SyncRequest { leases: Vec::new(), ..request.clone() }, now);
                told
            }
            Self::AddedInsteadOfMax => {
                let request = added(&mut host.memory, request.clone());
                host.sync(token, request, now)
            }
            Self::LateDropped => {
                let closed = host.closed_periods(now);
                let mut kept = request.clone();
                for record in &mut kept.records {
                    let id = record.subscription;
                    record.slots.retain(|slot| !closed.contains(&(id, slot.period)));
                }
                host.sync(token, kept, now)
            }
            _ => {
                let requests = self.requests(host, request).into_iter();
                let answers = requests.map(|request| host.sync(token, request, now));
                answers.last().expect("one at least")
            }
        };
        match serde_json::from_slice::<SyncAnswer>(&answer.body) {
            Ok(said) => {
                let said = self.answer(request, said);
                Answer::json(200, serde_json::to_vec(&said).expect("JSON"))
            }
            Err(_) => answer,
        }
    }

    /// What reaches the host.
    fn requests(self, host: &Host, request: &SyncRequest) -> Vec<SyncRequest> {
        let request = request.clone();
        match self {
            Self::NoSequenceCheck => {
                let rows = request.rows.clone().map(|mut batch| {
                    batch.incarnation.0[..8].copy_from_slice(&host.memory.messages.to_le_bytes());
                    batch
                });
                vec![SyncRequest { rows, ..request }]
            }
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
    fn answer(self, request: &SyncRequest, mut answer: SyncAnswer) -> SyncAnswer {
        match self {
            Self::NoSequenceCheck => {
                if let (Some(ack), Some(rows)) = (&mut answer.rows, &request.rows) {
                    ack.incarnation = rows.incarnation;
                }
            }
            Self::HollowAcknowledgements | Self::LateDropped => {
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
const MOST_WORLDS: u64 = 60;

/// What is wrong, a seed from which on it is soon noticed, and what then is said.
const MISTAKES: [(Wrong, u64, &str); 17] = [
    (Wrong::LostUpdates, 14, "law"),
    (Wrong::FastClocks, 4, "law 1"),
    (Wrong::AllWell, 1, "laws 2 and 3"),
    (Wrong::HollowAcknowledgements, 1, "laws 2 and 3"),
    (Wrong::GenerousGrants, 2, "law 1"),
    (Wrong::CountedTwice, 1, "laws 2 and 3"),
    (Wrong::NoNews, 23, "was stopped at"),
    (Wrong::NoRecalls, 33, "told to come"),
    (Wrong::AcknowledgedBeforeCommit, 2, "law"),
    (Wrong::GrantedBeforeCommit, 2, "law 1"),
    (Wrong::AddedInsteadOfMax, 1, "laws 2 and 3"),
    (Wrong::NoSequenceCheck, 2, "rows"),
    (Wrong::LateDropped, 45, "laws 2 and 3"),
    (Wrong::Plugin("charge_before_check"), 7, "law"),
    (Wrong::Plugin("reuse_returned"), 2, "law 1"),
    (Wrong::Plugin("recreate_record"), 3, "law"),
    (Wrong::Plugin("settle_twice"), 1, "law"),
];

/// The first seed from `from` on by which it is noticed.
fn notice(wrong: Wrong, from: u64, expected: &str) -> Result<u64, Vec<String>> {
    let mut noticed = Vec::new();
    for seed in from..from + MOST_WORLDS {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed, Some(wrong), false))) {
            let text = text_of(&*panic);
            if text.contains(expected) {
                return Ok(seed);
            }
            noticed.push(format!("{seed}: {text}"));
        }
    }
    Err(noticed)
}

/// Looks for the first seed of each, for the table: whether all were found.
#[allow(dead_code, reason = "of the program, not of the tests")]
pub(super) fn search() -> bool {
    let search = |mistakes: &[(Wrong, u64, &str)]| {
        let mut all = true;
        for (wrong, _, expected) in mistakes {
            let found = notice(*wrong, 1, expected);
            all &= found.is_ok();
            eprintln!("{wrong:?}: {found:?}");
        }
        all
    };
    std::thread::scope(|scope| {
        let halves = MISTAKES.chunks(MISTAKES.len().div_ceil(2));
        let halves: Vec<_> = halves.map(|half| scope.spawn(|| search(half))).collect();
        halves.into_iter().all(|half| half.join().is_ok_and(|all| all))
    })
}

#[test]
fn what_is_wrong_is_noticed() {
    for (wrong, from, expected) in MISTAKES {
        let found = notice(wrong, from, expected);
        assert!(found.is_ok(), "{wrong:?} should break {expected:?}, but only {found:?}");
    }
}
