//! Admission and settlement on one record: tables, the truth of Retry-After, and the laws.

mod cases;
mod garbage;
mod laws;
mod retry;

use std::num::{NonZeroU32, NonZeroU64};

use tollgate_pricing::gate::{Billable, Limit, Meter, QuotaPeriod, Scope, Target};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::{
    LeaseAnswer, LeaseOutcome, QuotaPeriods, RATE_PERIOD, SubscriptionState,
};
use tollgate_pricing::timeline::{Run, Timeline};

use super::*;
use crate::testing::meters_of;

const START_MS: u64 = 1_800_000_000_000;
/// No whole number of anything, so that nothing fits by chance.
const START_NS: u64 = 5_000_123_456_789;
const MS: u64 = 1_000_000;

/// So many milliseconds later, by both clocks.
fn at(ms: u64) -> Now {
    Now { wall_ms: START_MS + ms, mono_ns: START_NS + ms * MS }
}

fn limit(id: &str, rule: Rule) -> Limit {
    Limit { id: id.to_owned(), on: None, rule, enforce: true }
}

fn on(operation: &str, limit: Limit) -> Limit {
    let operation = Some(operation.to_owned());
    Limit { on: Some(Target { api: "address".to_owned(), operation }), ..limit }
}

fn observed(limit: Limit) -> Limit {
    Limit { enforce: false, ..limit }
}

fn soft(mut limit: Limit) -> Limit {
    if let Rule::Quota { hard, .. } = &mut limit.rule {
        *hard = false;
    }
    limit
}

fn calls(calls: u32) -> NonZeroU32 {
    NonZeroU32::new(calls).unwrap()
}

fn window(id: &str, most: u32, seconds: u32) -> Limit {
    let period_seconds = calls(seconds);
    let scope = Scope::Gateway;
    limit(id, Rule::SlidingWindow { calls: calls(most), period_seconds, scope })
}

fn bucket(id: &str, most: u32, seconds: u32, burst: u32) -> Limit {
    let (period_seconds, burst, scope) = (calls(seconds), calls(burst), Scope::Gateway);
    limit(id, Rule::TokenBucket { calls: calls(most), period_seconds, burst, scope })
}

fn fleet(id: &str, most: u32, seconds: u32) -> Limit {
    let period_seconds = calls(seconds);
    limit(id, Rule::SlidingWindow { calls: calls(most), period_seconds, scope: Scope::Fleet })
}

fn metered(id: &str, units: u64, meter: Meter) -> Limit {
    let (units, period) = (NonZeroU64::new(units).unwrap(), QuotaPeriod::Billing);
    limit(id, Rule::Quota { units, meter, period, hard: true })
}

fn quota(id: &str, units: u64) -> Limit {
    metered(id, units, Meter::Calls)
}

fn lifetime(id: &str, units: u64) -> Limit {
    let (units, period) = (NonZeroU64::new(units).unwrap(), QuotaPeriod::Lifetime);
    limit(id, Rule::Quota { units, meter: Meter::Calls, period, hard: true })
}

fn product(limits: Vec<Limit>) -> Rc<GateProduct> {
    let apis = vec!["address".to_owned()];
    let meters = meters_of(&limits);
    Rc::new(GateProduct {
        id: "basic".to_owned(),
        apis,
        limits,
        on_outage: OnOutage::Deny,
        billable: Billable::default(),
        meters,
    })
}

fn in_outages(on_outage: OnOutage, product: Rc<GateProduct>) -> Rc<GateProduct> {
    Rc::new(GateProduct { on_outage, ..Rc::unwrap_or_clone(product) })
}

/// Periods from the start on.
fn line(seconds: u32, count: u8) -> Timeline {
    Timeline { first: 1, start_ms: START_MS, runs: vec![Run { seconds, count }] }
}

/// A record with these billing periods, and for quotas of these ids periods of so many seconds.
fn record(billing: Timeline, quotas: &[(&str, u32)]) -> Record {
    let periods_of = |(id, seconds): &(&str, u32)| QuotaPeriods {
        limit: Tag::of(id),
        periods: line(*seconds, 40),
    };
    let state = SubscriptionState {
        id: SubscriptionId(7),
        revision: 1,
        product: Tag::of("basic"),
        catalog: 1,
        access: Access::Active,
        expires_ms: None,
        periods: billing,
        quotas: quotas.iter().map(periods_of).collect(),
        overrides: Vec::new(),
    };
    let mut record = Record::unconfirmed(&state);
    record.take(&state);
    record
}

fn granted(limit: Tag, period: u32, granted: u64) -> LeaseAnswer {
    let (subscription, outcome) = (SubscriptionId(7), LeaseOutcome::Granted);
    let lasts_ms = (period == RATE_PERIOD).then_some(1_000);
    LeaseAnswer { subscription, limit, period, granted, lasts_ms, outcome }
}

fn call<'a>(product: &'a Rc<GateProduct>, operation: &'a str, now: Now) -> Call<'a> {
    let (api, reach) = ("address", Reach::Near);
    Call { product: Some(product), api, operation, weight: 1, now, reach, spent: &|_, _| None }
}

/// A decision in a word.
fn word(admission: &Admission) -> String {
    match admission {
        Admission::Admitted { overdrawn: true, .. } => "overdrawn".to_owned(),
        Admission::Admitted { would_refuse: Some(reason), .. } => {
            format!("admitted, else {}", reason.as_str())
        }
        Admission::Admitted { .. } => "admitted".to_owned(),
        Admission::Refused(refusal) => {
            let by = refusal.by.as_ref().map(|by| format!(" by {}", by.limit));
            let after = refusal.retry_after_ns.map(|ns| format!(" for {} ms", ns.div_ceil(MS)));
            let (by, after) = (by.unwrap_or_default(), after.unwrap_or_default());
            format!("{}{by}{after}", refusal.reason.as_str())
        }
        Admission::Empty(ask) => format!("empty {} needs {}", ask.lease.period, ask.need),
        Admission::Outdated => "outdated".to_owned(),
    }
}

/// Decides a call on a record, and asserts that only an admitted one changes it.
fn admit_or_leave(record: &mut Record, call: &Call<'_>) -> Admission {
    let before = record.encode();
    let admission = admit(record, call);
    if !matches!(admission, Admission::Admitted { .. }) {
        assert_eq!(record.encode(), before, "{admission:?}");
    }
    admission
}
