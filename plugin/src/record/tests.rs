//! What a record takes over, keeps and forgets.

use std::num::{NonZeroU32, NonZeroU64};

use tollgate_pricing::gate::{
    Billable, GateProduct, Limit, Meter, OnOutage, QuotaPeriod, Rule, Scope,
};
use tollgate_pricing::sync::{LeaseAnswer, LeaseOutcome, Meters, QuotaPeriods, Recall};
use tollgate_pricing::timeline::Run;

use super::*;
use crate::admit::Now;

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

fn fleet() -> Rule {
    let calls = NonZeroU32::MIN;
    Rule::SlidingWindow { calls, period_seconds: NonZeroU32::MIN, scope: Scope::Fleet }
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
    GateProduct {
        id: "basic".to_owned(),
        apis: Vec::new(),
        limits,
        on_outage: OnOutage::Deny,
        billable: Billable::default(),
        meters: Vec::new(),
    }
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

/// Nothing of what is billed is left out, whatever a catalog calls its meters in a period.
#[test]
fn a_slot_without_room_for_a_meter_is_followed_by_one_of_the_same_period() {
    let mut record = Record::unconfirmed(&state(1, line(2, 60), line(2, 60)));
    let of =
        |tags: std::ops::Range<u32>| Meters::new(tags.map(|tag| (Tag(tag), 5)).collect()).unwrap();
    let add = |record: &mut Record, took: &Meters, max: usize| {
        let slot = record.slot_for(1, took, max)?;
        assert!(took.as_slice().iter().all(|(meter, units)| slot.meters.add(*meter, *units)));
        Some(slot.number)
    };
    assert_eq!(add(&mut record, &of(0..8), 2), Some(1));
    assert_eq!(add(&mut record, &of(4..8), 2), Some(1));
    assert_eq!(add(&mut record, &of(4..9), 2), Some(2));
    assert_eq!(add(&mut record, &of(0..3), 2), Some(1));
    assert_eq!(add(&mut record, &Meters::default(), 2), Some(1));
    assert_eq!(add(&mut record, &of(20..28), 2), None, "it is kept until there is room");
    let total: u64 = record.slots.iter().map(|slot| slot.meters.get(Tag(6))).sum();
    assert_eq!(total, 15);
}

/// Makes states of the product's limits, as an admitted call does.
fn enter(record: &mut Record, product: &GateProduct, now: Now) -> bool {
    let made = |record: &Record, limit: &Limit| record.state(limit.tag(), &limit.rule).is_some();
    let fresh = product.limits.iter().filter(|limit| !made(record, limit)).count();
    if !record.has_room(fresh, product, now) {
        return false;
    }
    record.make_room(product, now);
    product.limits.iter().all(|limit| record.state_mut(limit.tag(), &limit.rule).is_some())
}

/// Units granted once are spent once, whatever plans use the limit's id for in between.
#[test]
fn a_quota_is_not_forgotten_while_its_period_runs() {
    let mut record = Record::unconfirmed(&state(1, line(2, 60), line(2, 60)));
    record.take(&state(1, line(2, 60), line(2, 60)));
    record.grant(&granted(Tag::of("hourly"), 1, 10), 0);
    record.lease_mut(Tag::of("hourly"), 1).unwrap().used = 10;

    let other = product(vec![rate("hourly")]);
    assert!(enter(&mut record, &other, NOW));
    assert_eq!(record.limits.len(), 2, "each kind has a state of its own");
    for plan in 0..40 {
        let limits = (0..2).map(|place| rate(&format!("{plan}-{place}"))).collect();
        assert!(enter(&mut record, &product(limits), NOW), "{plan}");
    }
    assert_eq!(record.lease_mut(Tag::of("hourly"), 1).unwrap().left(), 0);

    let over = Now { wall_ms: 60_000, ..NOW };
    for plan in 0..40 {
        assert!(enter(&mut record, &product(vec![quota(&format!("q{plan}"))]), over), "{plan}");
    }
    assert!(record.lease_mut(Tag::of("hourly"), 1).is_none(), "its period is over");

    // A clock that stepped back does not enter it again, and a late answer does not revive it.
    assert_eq!(record.quota_period(Tag::of("hourly"), NOW.wall_ms).unwrap().number, 2);
    assert!(!record.grant(&granted(Tag::of("hourly"), 1, 10), 0));
    assert!(record.lease_mut(Tag::of("hourly"), 1).is_none());
}

/// The counters of a fleet-wide rate never begin again in one boot: the host's are cumulative.
#[test]
fn rates_of_earlier_plans_are_remembered_until_there_is_no_room() {
    let mut record = Record::unconfirmed(&state(1, line(2, 60), line(2, 60)));
    let mut plans = 0;
    let last = loop {
        let plan = format!("rate-{plans}");
        let fleet = product(vec![limit(&plan, fleet())]);
        if !enter(&mut record, &fleet, NOW) {
            break fleet;
        }
        let answer = LeaseAnswer { lasts_ms: Some(1_000), ..granted(Tag::of(&plan), 0, 5) };
        assert!(record.grant(&answer, NOW.mono_ns));
        plans += 1;
        assert!(plans <= MAX_STATES, "the first was forgotten");
    };
    assert_eq!(plans, MAX_STATES);
    let returned = record.limits.iter().flat_map(LimitState::leases).map(|lease| lease.returned);
    assert_eq!(returned.sum::<u64>(), 5 * (MAX_STATES as u64 - 1), "all but the last one's");
    record.make_room(&last, NOW);
    assert_eq!(record.limits.len(), MAX_STATES);
}

/// A plan with as many leased limits as there can be, after another: what is left of that one is
/// not in the way of the grants for long.
#[test]
fn a_full_record_makes_room_as_its_windows_pass() {
    let mut record = Record::unconfirmed(&state(1, line(2, 60), line(2, 60)));
    let of = |rule: fn(&str) -> Limit, kind: &str| -> GateProduct {
        product((0..MAX_LIMITS).map(|place| rule(&format!("{kind}{place}"))).collect())
    };
    assert!(enter(&mut record, &of(rate, "w"), NOW));
    for state in &mut record.limits {
        let Kind::Window(window) = &mut state.kind else { panic!("rates are windows here") };
        window.charge(NOW.mono_ns);
    }
    let leased = of(|id| limit(id, fleet()), "f");
    assert!(!record.has_room(MAX_LIMITS, &leased, NOW), "its windows hold calls");
    assert!(!record.forget_past(NOW));
    let grants = |record: &mut Record| -> usize {
        let news = leased.limits.iter().filter(|limit| {
            let answer = LeaseAnswer { lasts_ms: Some(1_000), ..granted(limit.tag(), 0, 5) };
            record.grant(&answer, NOW.mono_ns)
        });
        news.count()
    };
    assert_eq!(grants(&mut record), MAX_STATES - MAX_LIMITS);
    let later = Now { mono_ns: NOW.mono_ns + 2_000_000_000, ..NOW };
    assert!(record.pass_time(later));
    assert_eq!(grants(&mut record), MAX_LIMITS - (MAX_STATES - MAX_LIMITS));
    assert!(enter(&mut record, &leased, later));
}

/// What grants, recalls and time do to one lease, step by step.
#[test]
fn a_lease_lives_like_this() {
    const SECOND: u64 = 1_000_000_000;
    let mut record = Record::unconfirmed(&state(1, line(9, 3_600), line(9, 3_600)));
    record.take(&state(1, line(9, 3_600), line(9, 3_600)));
    let hourly = Tag::of("hourly");
    let at = |wall_s: u64, mono_s: u64| Now {
        wall_ms: wall_s * 1_000,
        mono_ns: NOW.mono_ns + mono_s * SECOND,
    };
    let left = |record: &mut Record, period| record.lease_mut(hourly, period).unwrap().left();
    let recall =
        |period, all| Recall { subscription: SubscriptionId(1), limit: hourly, period, all };

    assert!(record.pass_time(at(0, 0)), "the first billing period is entered");
    assert!(!record.pass_time(at(0, 0)));
    assert!(record.grant(&granted(hourly, 1, 100), NOW.mono_ns));
    assert!(!record.grant(&granted(hourly, 1, 100), NOW.mono_ns), "told twice");
    assert!(!record.grant(&granted(hourly, 1, 40), NOW.mono_ns), "an older answer");
    assert!(!record.grant(&granted(hourly, 77, 40), NOW.mono_ns), "a period unheard of");
    assert_eq!(left(&mut record, 1), 100);

    assert!(record.give_back(&recall(1, false), at(0, 0)));
    assert_eq!(left(&mut record, 1), 50, "half of what was received just now");
    assert!(record.give_back(&recall(1, true), at(0, 0)));
    assert_eq!(left(&mut record, 1), 0);
    assert!(!record.give_back(&recall(1, true), at(0, 0)), "nothing to return");
    assert!(!record.give_back(&recall(2, true), at(0, 0)), "no such lease");

    assert!(record.grant(&granted(hourly, 1, 130), NOW.mono_ns));
    assert!(!record.pass_time(at(299, 299)));
    assert!(record.give_back(&recall(1, false), at(299, 299)), "unused for a while: all");
    assert_eq!(left(&mut record, 1), 0);
    assert!(record.grant(&granted(hourly, 1, 140), NOW.mono_ns + 299 * SECOND));
    assert!(!record.pass_time(at(598, 598)), "idleness is counted from the last grant");
    assert!(record.pass_time(at(599, 599)));
    assert_eq!(record.lease_mut(hourly, 1).unwrap().returned, 140);

    assert!(record.grant(&granted(hourly, 1, 150), NOW.mono_ns + 3_599 * SECOND));
    assert!(!record.pass_time(at(3_599, 3_599)));
    assert!(record.pass_time(at(3_600, 3_600)), "the period is over");
    assert_eq!(left(&mut record, 1), 0);
    assert!(!record.pass_time(at(3_600, 3_600)));
}
