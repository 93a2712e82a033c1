use tollgate_pricing::sync::{Outcome, Reason, Row, SyncRequest};

use super::super::testing::{World, batch, boot, nothing};
use super::*;

#[test]
fn what_would_have_been_refused_is_counted_apart() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("free");
    let minute = u32::try_from(world.now.as_second() / 60).unwrap();
    let row = |subscription, outcome, would_refuse, calls| Row {
        period: 0,
        bytes: 0,
        units: 0,
        subscription,
        api: None,
        operation: None,
        status: 200,
        outcome,
        would_refuse,
        minute,
        calls,
        latency_us: 0,
    };
    let rows = [
        row(Some(id), Outcome::Billable, None, 1),
        row(Some(id), Outcome::Billable, Some(Reason::RateLimited), 2),
        row(Some(id), Outcome::Billable, Some(Reason::QuotaExceeded), 4),
        row(Some(id), Outcome::Open, Some(Reason::SubscriptionInactive), 8),
        row(Some(id), Outcome::Refused(Reason::RateLimited), None, 16),
        row(None, Outcome::Open, None, 32),
        row(None, Outcome::Open, Some(Reason::MissingKey), 64),
    ];
    let request = SyncRequest { rows: Some(batch(9, 1, &rows)), ..nothing(boot(1)) };
    world.sync(gateway, request);
    let report = world.ask(ReadUsage { subscription: None }).unwrap();
    let period = &report.periods[0];
    assert_eq!((period.refused, period.would_refuse), (16, 14));
    let reasons = format!("{:?}", period.would_refuse_by_reason);
    assert_eq!(reasons, r#"{"quota_exceeded": 4, "rate_limited": 2, "subscription_inactive": 8}"#);
    let unidentified = &report.unidentified;
    assert_eq!((unidentified.open_operations, unidentified.would_refuse), (32, 64));
}

#[test]
fn a_report_says_when_it_is_cut() {
    let mut world = World::new();
    let id = world.subscribe("over");
    world.pass(10 * 60);
    assert!(!world.ask(ReadUsage { subscription: None }).unwrap().truncated);
    // Periods are written ahead: these have begun some minutes later.
    for _ in 0..1_000 {
        world.subscribe("over");
    }
    world.pass(11 * 60);
    assert!(world.ask(ReadUsage { subscription: None }).unwrap().truncated);
    assert!(!world.ask(ReadUsage { subscription: Some(id) }).unwrap().truncated);
}
