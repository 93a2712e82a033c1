//! A host that is away for a day, and 10,000 subscriptions that go on calling.

use std::collections::HashMap;
use std::mem::size_of;

use tollgate_pricing::sync::{Outcome, Rows as Wire};

use super::*;
use crate::sync::rows::series::{CallSum, LatencySum, PlaceSum};

const SUBSCRIPTIONS: u64 = 10_000;
const DAY_MINUTES: u32 = 24 * 60;
/// Six in the evening, so that the outage goes on into the next day.
const BEGIN: u32 = 20_000 * DAY_MINUTES + 18 * 60;
/// Each subscription calls once an hour.
const CALLS_A_MINUTE: u64 = SUBSCRIPTIONS / 60;

/// The call with a number: each operation, status and country in turn.
fn call_of(number: u64, minute: u32, routes: &[Rc<RouteName>]) -> Described {
    let turn = number / SUBSCRIPTIONS;
    let is_waived = turn % 5 == 4;
    Described {
        route: Some(routes[(turn % 2) as usize].clone()),
        status: if is_waived { 503 } else { 200 },
        outcome: if is_waived { Outcome::Waived } else { Outcome::Billable },
        country: Country::read(if number.is_multiple_of(3) { b"DE" } else { b"FR" }),
        latency_us: 500 + number % 40_000,
        ..call(1 + number % SUBSCRIPTIONS, minute)
    }
}

/// Bytes of what is held, without the hash tables' own.
fn held_bytes(rows: &Rows) -> usize {
    let calls = rows.calls.len() * (size_of::<CallSeries>() + size_of::<CallSum>());
    let places = rows.places.len() * (size_of::<PlaceSeries>() + size_of::<PlaceSum>());
    // Histograms of these latencies have at most 60 steps.
    let latency = size_of::<LatencySeries>() + size_of::<LatencySum>() + 64 * 16;
    calls + places + rows.latencies.len() * latency
}

/// Law 8, and law 3 of descriptions.
#[test]
fn a_day_without_the_host_loses_no_call_and_takes_little_memory() {
    let mut rows = Rows::default();
    let routes = [route("find"), route("list")];
    rows.add(call_of(0, BEGIN, &routes));
    let sealed = rows.batch(VM).unwrap();
    let (mut number, mut most) = (1, 0);
    for minute in BEGIN..BEGIN + DAY_MINUTES {
        for _ in 0..CALLS_A_MINUTE {
            rows.add(call_of(number, minute, &routes));
            number += 1;
        }
        most = most.max(held_bytes(&rows));
        assert_eq!(rows.batch(VM).unwrap().hash, sealed.hash, "the first is sent all the time");
    }
    assert!(most < 32 * 1024 * 1024, "{most} bytes");

    // The host is back: so many batches, one after another.
    let batches = drain(&mut rows);
    assert!(batches.len() < 100, "{} batches", batches.len());
    let told: Vec<Wire> = batches.iter().map(read).collect();
    let mut by_subscription: HashMap<u64, u64> = HashMap::new();
    for row in told.iter().flat_map(|rows| &rows.calls) {
        *by_subscription.entry(row.subscription.unwrap().0).or_default() += row.calls;
    }
    assert_eq!(by_subscription.len() as u64, SUBSCRIPTIONS);
    let expected = |subscription: u64| (number + SUBSCRIPTIONS - subscription) / SUBSCRIPTIONS;
    for (subscription, calls) in by_subscription {
        assert_eq!(calls, expected(subscription), "{subscription}");
    }
    let sum = |of: fn(&Wire) -> u64| told.iter().map(of).sum::<u64>();
    assert_eq!(sum(|rows| rows.calls.iter().map(|row| row.bytes).sum()), 10 * number);
    assert_eq!(sum(|rows| rows.places.iter().map(|row| row.calls).sum()), number);
    assert_eq!(sum(|rows| rows.latencies.iter().map(|row| row.histogram.total()).sum()), number);
}
