//! Laws 1 and 4 over any sequence of calls, endings and grants on one record.

use std::num::{NonZeroU32, NonZeroU64};

use proptest::prelude::*;
use tollgate_pricing::gate::{Meter, OnOutage, QuotaPeriod, Scope};
use tollgate_pricing::sync::{LeaseAnswer, LeaseOutcome, QuotaPeriods, Slot, SubscriptionState};
use tollgate_pricing::timeline::Timeline;

use super::*;
use crate::limit::LimitState;
use crate::record::MAX_ADMISSION_SLOTS;
use crate::settle::{Ending, Measured, NoSlot, settle};

const MINUTE_MS: u64 = 60_000;
const START_MS: u64 = 1_800_000_000_000;

fn granted(limit: Tag, period: u32, granted: u64) -> LeaseAnswer {
    let (subscription, outcome) = (SubscriptionId(7), LeaseOutcome::Granted);
    LeaseAnswer { subscription, limit, period, granted, lasts_ms: None, outcome }
}

fn call<'a>(product: &'a GateProduct, api: &'a str, now: Now) -> Call<'a> {
    let (operation, reach) = ("*", Reach::Near);
    Call { product: Some(product), api, operation, weight: 1, now, reach, spent: &|_, _| None }
}

fn product(limits: Vec<Limit>) -> GateProduct {
    GateProduct {
        id: "basic".to_owned(),
        apis: vec!["address".to_owned()],
        limits,
        on_outage: OnOutage::Deny,
    }
}

fn limit(id: &str, rule: Rule) -> Limit {
    Limit { id: id.to_owned(), on: None, rule, enforce: true }
}

fn window(calls: u32) -> Limit {
    let (calls, period_seconds) = (NonZeroU32::new(calls).unwrap(), NonZeroU32::new(60).unwrap());
    limit("per-minute", Rule::SlidingWindow { calls, period_seconds, scope: Scope::Gateway })
}

fn quota(calls: u64) -> Limit {
    let period = QuotaPeriod::Billing;
    limit(
        "monthly",
        Rule::Quota {
            units: NonZeroU64::new(calls).unwrap(),
            meter: Meter::Calls,
            period,
            hard: true,
        },
    )
}

/// Billing and quota periods of a minute each, `count` of them.
fn state(count: u32) -> SubscriptionState {
    let periods: Vec<Period> = (1..=count)
        .map(|number| {
            let start_ms = START_MS + u64::from(number - 1) * MINUTE_MS;
            Period { number, start_ms, end_ms: start_ms + MINUTE_MS }
        })
        .collect();
    let periods = Timeline::of(&periods);
    SubscriptionState {
        id: SubscriptionId(7),
        revision: 1,
        product: Tag::of("basic"),
        catalog: 1,
        access: Access::Active,
        expires_ms: None,
        quotas: vec![QuotaPeriods { limit: Tag::of("monthly"), periods: periods.clone() }],
        overrides: Vec::new(),
        periods,
    }
}

fn record(periods: u32) -> Record {
    let state = state(periods);
    let mut record = Record::unconfirmed(&state);
    record.take(&state);
    record
}

fn at(ms: u64) -> Now {
    Now { wall_ms: START_MS + ms, mono_ns: (5_000_000 + ms) * 1_000_000 }
}

fn word(admission: &Admission) -> String {
    match admission {
        Admission::Admitted { .. } => "admitted".to_owned(),
        Admission::Refused(refusal) => refusal.reason.as_str().to_owned(),
        Admission::Empty(ask) => format!("empty {}", ask.lease.period),
        Admission::Outdated => "outdated".to_owned(),
    }
}

#[test]
fn one_call_is_decided_by_state_then_product_then_limits() {
    let check = |change: fn(&mut Record), api: &str, ms: u64, expected: &str| {
        let product = product(vec![window(1), quota(10)]);
        let mut record = record(3);
        record.grant(&granted(Tag::of("monthly"), 1, 1), 0);
        change(&mut record);
        assert_eq!(word(&admit(&mut record, &call(&product, api, at(ms)))), expected);
    };
    check(|_| {}, "address", 0, "admitted");
    check(|record| record.revision = 0, "address", 0, "outdated");
    check(|_| {}, "other", 0, "api_not_in_product");
    check(|record| record.access = Access::Suspended, "address", 0, "subscription_inactive");
    check(|record| record.access = Access::Ended, "address", 0, "subscription_inactive");
    check(|record| record.expires_ms = Some(START_MS + 5), "address", 4, "admitted");
    check(|record| record.expires_ms = Some(START_MS + 5), "address", 5, "subscription_inactive");
    check(|_| {}, "address", MINUTE_MS, "empty 2");
    check(|_| {}, "address", 3 * MINUTE_MS, "outdated");
    check(|record| record.quotas.clear(), "address", 0, "outdated");
    let fill = |record: &mut Record| {
        let slot = |number| Slot { number, period: 100 + number, ..Slot::default() };
        record.slots = (0..u32::try_from(MAX_ADMISSION_SLOTS).unwrap()).map(slot).collect();
    };
    check(fill, "address", 0, "busy");
}

#[test]
fn a_refused_call_changes_nothing_that_is_stored() {
    let product = product(vec![window(1), quota(10)]);
    let mut record = record(3);
    record.grant(&granted(Tag::of("monthly"), 1, 5), 0);
    assert_eq!(word(&admit(&mut record, &call(&product, "address", at(0)))), "admitted");
    let mut after = record.clone();
    assert_eq!(word(&admit(&mut after, &call(&product, "address", at(0)))), "rate_limited");
    assert_eq!(after, record, "the quota's unit is not charged");
}

#[derive(Clone, Debug)]
enum Step {
    Call { wait_ms: u64 },
    End { which: usize, waived: bool },
    Grant { more: u64 },
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..9_000).prop_map(|wait_ms| Step::Call { wait_ms }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, waived)| Step::End { which, waived }),
        1 => (0_u64..4).prop_map(|more| Step::Grant { more }),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    /// Admitted = billable + waived + open per period, through slots that are stored and dropped;
    /// billable and open calls of a quota's period never exceed what was granted.
    #[test]
    fn counters_add_up_and_no_unit_is_spent_twice(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let product = product(vec![window(20), quota(1_000)]);
        let mut record = record(40);
        let (mut ms, mut open, mut dropped): (u64, Vec<Permit>, Vec<Slot>) =
            (0, Vec::new(), Vec::new());
        let (mut billed, mut waived) = ([0_u64; 64], [0_u64; 64]);
        for step in steps {
            match step {
                Step::Call { wait_ms } => {
                    ms += wait_ms;
                    let mut changed = record.clone();
                    match admit(&mut changed, &call(&product, "address", at(ms))) {
                        Admission::Admitted { permit, .. } => {
                            record = changed;
                            open.push(permit);
                        }
                        Admission::Empty(ask) => record.grant(&granted(ask.lease.limit, ask.lease.period, ask.lease.granted + 1), 0),
                        _ => {}
                    }
                }
                Step::End { which, waived: is_waived } if !open.is_empty() => {
                    let permit = open.swap_remove(which % open.len());
                    let ending = if is_waived { Ending::Waived } else { Ending::Billable };
                    prop_assert_ne!(settle(&mut record, &permit, ending, &Measured::default()), Err(NoSlot));
                    let ended = if is_waived { &mut waived } else { &mut billed };
                    ended[permit.period() as usize] += 1;
                }
                Step::End { .. } => {}
                Step::Grant { more } => {
                    let lease = record.limits.iter().flat_map(LimitState::leases).last();
                    if let Some(lease) = lease {
                        record.grant(&granted(lease.limit, lease.period, lease.granted + more), 0);
                    }
                }
                Step::Forget => {
                    let oldest = record.slots.first().copied();
                    if let Some(oldest) = oldest.filter(|slot| record.forget_slot(slot)) {
                        dropped.push(oldest);
                    }
                }
            }
            record = Record::decode(&record.encode()).unwrap();
            for period in 1..40_u32 {
                let of_period = |slot: &&Slot| slot.period == period;
                let slots = || record.slots.iter().chain(&dropped).filter(of_period);
                let open_calls = open.iter().filter(|permit| permit.period() == period).count();
                let ended = (billed[period as usize], waived[period as usize]);
                prop_assert_eq!(slots().map(|slot| slot.billable).sum::<u64>(), ended.0);
                prop_assert_eq!(slots().map(|slot| slot.waived).sum::<u64>(), ended.1);
                let admitted = slots().map(|slot| slot.admitted).sum::<u64>();
                prop_assert_eq!(admitted, ended.0 + ended.1 + open_calls as u64);
            }
            for lease in record.limits.iter().flat_map(LimitState::leases) {
                let period = lease.period as usize;
                let holding = open.iter().filter(|permit| permit.period() == lease.period).count();
                prop_assert!(billed[period] + holding as u64 <= lease.granted);
                prop_assert_eq!(lease.used - lease.waived, billed[period] + holding as u64);
            }
        }
    }
}
