//! Products, states and grants made of choices, plausible and absurd ones.

use std::num::{NonZeroU32, NonZeroU64};

use tollgate_plugin::record::Record;
use tollgate_pricing::gate::{
    Billable, GateProduct, Limit, Meter, OnOutage, Override, QuotaPeriod, Rule, Scope, Target as Of,
};
use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::{Access, LeaseAnswer, LeaseOutcome, QuotaPeriods, SubscriptionState};
use tollgate_pricing::timeline::{Run, Timeline};

use crate::tape::Tape;

/// Ids of limits.
pub(super) const IDS: [&str; 6] = ["l0", "l1", "l2", "l3", "l4", "l5"];

pub(super) fn grant(tape: &mut Tape<'_>, record: &Record) -> LeaseAnswer {
    let outcome = match tape.below(4) {
        0 => LeaseOutcome::Wait { retry_ms: tape.number() },
        1 => LeaseOutcome::Exhausted { retry_ms: tape.number() },
        _ => LeaseOutcome::Granted,
    };
    let limit = Tag::of(tape.pick(&IDS));
    let known = record.quotas.iter().find(|(quota, _)| *quota == limit);
    let period = match known {
        Some((_, periods)) if !tape.once_in(8) => {
            periods.first.saturating_add(u32::from(tape.byte() % 3))
        }
        _ => tape.number32(),
    };
    LeaseAnswer {
        subscription: record.id,
        limit,
        period,
        granted: tape.number(),
        lasts_ms: tape.flag().then(|| tape.number()),
        outcome,
    }
}

fn timeline(tape: &mut Tape<'_>) -> Timeline {
    let runs = tape.list(10, |tape| Run { seconds: tape.number32(), count: tape.byte() });
    Timeline { first: tape.number32(), start_ms: tape.number(), runs }
}

pub(super) fn state(tape: &mut Tape<'_>) -> SubscriptionState {
    let quotas = tape
        .list(5, |tape| QuotaPeriods { limit: Tag::of(tape.pick(&IDS)), periods: timeline(tape) });
    let overrides = tape.list(2, |tape| Override {
        limit: Tag::of(tape.pick(&IDS)),
        units: non_zero(tape),
        burst: tape.flag().then(|| non_zero32(tape)),
    });
    SubscriptionState {
        id: SubscriptionId(tape.number()),
        revision: tape.number(),
        product: Tag::of("p"),
        catalog: tape.number32(),
        access: tape.pick(&[Access::Active, Access::Suspended, Access::Ended]),
        expires_ms: tape.flag().then(|| tape.number()),
        periods: timeline(tape),
        quotas,
        overrides,
    }
}

fn non_zero(tape: &mut Tape<'_>) -> NonZeroU64 {
    NonZeroU64::new(tape.number()).unwrap_or(NonZeroU64::MIN)
}

fn non_zero32(tape: &mut Tape<'_>) -> NonZeroU32 {
    NonZeroU32::new(tape.number32()).unwrap_or(NonZeroU32::MIN)
}

pub(super) fn product(tape: &mut Tape<'_>) -> GateProduct {
    let on_outage = match tape.below(3) {
        0 => OnOutage::Deny,
        1 => OnOutage::Allow,
        _ => OnOutage::AllowUpTo(non_zero(tape)),
    };
    let count = tape.below(IDS.len() + 1);
    let limits = IDS[..count].iter().map(|id| limit(id, tape)).collect();
    // Sometimes others than a quota counts, sometimes more than a catalog may have.
    let header = |number: usize| Meter::Header(format!("x-{number}"));
    let others = (0..tape.below(12)).map(header);
    let meters = [Meter::Weight, Meter::Bytes, Meter::Header("x-units".to_owned())];
    let meters = meters.into_iter().skip(tape.below(3)).chain(others).collect();
    GateProduct {
        id: "p".to_owned(),
        apis: vec!["a".to_owned()],
        limits,
        on_outage,
        billable: Billable::default(),
        meters,
    }
}

fn limit(id: &str, tape: &mut Tape<'_>) -> Limit {
    let scope = if tape.flag() { Scope::Fleet } else { Scope::Gateway };
    let rule = match tape.below(4) {
        0 => {
            Rule::SlidingWindow { calls: non_zero32(tape), period_seconds: non_zero32(tape), scope }
        }
        1 => Rule::TokenBucket {
            calls: non_zero32(tape),
            period_seconds: non_zero32(tape),
            burst: non_zero32(tape),
            scope,
        },
        _ => Rule::Quota {
            units: non_zero(tape),
            meter: match tape.below(6) {
                0 => Meter::Weight,
                1 => Meter::Bytes,
                2 => Meter::Header("x-units".to_owned()),
                _ => Meter::Calls,
            },
            period: QuotaPeriod::Billing,
            hard: !tape.once_in(4),
        },
    };
    let on = tape
        .once_in(6)
        .then(|| Of { api: "a".to_owned(), operation: tape.flag().then(|| "o".to_owned()) });
    Limit { id: id.to_owned(), on, rule, enforce: !tape.once_in(5) }
}
