//! What a record takes over, keeps and forgets.

use std::num::{NonZeroU32, NonZeroU64};

use tollgate_pricing::gate::{Meter, OnOutage, QuotaPeriod, Rule, Scope};
use tollgate_pricing::sync::{LeaseOutcome, QuotaPeriods};
use tollgate_pricing::timeline::Run;

use super::*;

const NOW: Now = Now { wall_ms: 0, mono_ns: 1_000_000_000_000 };

fn line(periods: u8, seconds: u32) -> Timeline {
    Timeline { first: 1, start_ms: 0, runs: vec![Run { seconds, count: periods }] }
}

fn state(revision: u64, billing: Timeline, quota: Timeline) -> SubscriptionState {
    SubscriptionState {
        id: SubscriptionId(1),
        revision,
        product: Tag::of("basic"),
        catalog: 1,
        access: Access::Active,
        expires_ms: None,
        periods: billing,
        quotas: vec![QuotaPeriods { limit: Tag::of("hourly"), periods: quota }],
        overrides: Vec::new(),
    }
}

fn limit(id: &str, rule: Rule) -> Limit {
    Limit { id: id.to_owned(), on: None, rule, enforce: true }
}

fn rate(id: &str) -> Limit {
    let calls = NonZeroU32::MIN;
    limit(id, Rule::SlidingWindow { calls, period_seconds: NonZeroU32::MIN, scope: Scope::Gateway })
}

fn quota(id: &str) -> Limit {
    limit(
        id,
        Rule::Quota {
            units: NonZeroU64::MIN,
            meter: Meter::Calls,
            period: QuotaPeriod::Billing,
            hard: true,
        },
    )
}

fn granted(limit: Tag, period: u32, granted: u64) -> LeaseAnswer {
    let (subscription, outcome) = (SubscriptionId(7), LeaseOutcome::Granted);
    LeaseAnswer { subscription, limit, period, granted, lasts_ms: None, outcome }
}

fn product(limits: Vec<Limit>) -> GateProduct {
    GateProduct { id: "basic".to_owned(), apis: Vec::new(), limits, on_outage: OnOutage::Deny }
}

#[test]
fn news_are_a_higher_revision_or_any_periods_told_further_ahead() {
    let mut record = Record::unconfirmed(&state(5, line(2, 86_400), line(40, 3_600)));
    let check = |record: &Record, news: &SubscriptionState, expected: bool| {
        assert_eq!(record.is_behind(news), expected, "{news:?}");
    };
    let told = state(5, line(2, 86_400), line(40, 3_600));
    check(&record, &told, true);
    record.take(&told);
    check(&record, &told, false);
    check(&record, &state(4, line(9, 86_400), line(90, 3_600)), false);
    check(&record, &state(5, line(2, 86_400), line(41, 3_600)), true);
    check(&record, &state(6, line(1, 86_400), line(1, 3_600)), true);
}

/// Units granted once are spent once, whatever plans use the limit's id for in between.
#[test]
fn a_quota_is_not_forgotten_while_its_period_runs() {
    let mut record = Record::unconfirmed(&state(1, line(2, 60), line(2, 60)));
    record.take(&state(1, line(2, 60), line(2, 60)));
    record.grant(&granted(Tag::of("hourly"), 1, 10), 0);
    record.lease_mut(Tag::of("hourly"), 1).unwrap().used = 10;

    let other = product(vec![rate("hourly")]);
    assert!(matches!(
        record.limit_mut(&other, &other.limits[0], NOW).unwrap().kind,
        Kind::Window(_)
    ));
    for plan in 0..40 {
        let limits = (0..2).map(|place| rate(&format!("{plan}-{place}"))).collect();
        let busy = product(limits);
        for limit in &busy.limits {
            assert!(record.limit_mut(&busy, limit, NOW).is_some(), "{plan}");
        }
    }
    assert_eq!(record.lease_mut(Tag::of("hourly"), 1).unwrap().left(), 0);

    let over = Now { wall_ms: 60_000, ..NOW };
    for plan in 0..40 {
        let next = product(vec![quota(&format!("q{plan}"))]);
        assert!(record.limit_mut(&next, &next.limits[0], over).is_some(), "{plan}");
    }
    assert!(record.lease_mut(Tag::of("hourly"), 1).is_none(), "its period is over");
}
