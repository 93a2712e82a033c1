//! A day without the host: every subscription calls in every hour of it, nothing grows past its
//! bound, and when the host is back everything is in the ledger, to the call.

use std::time::{Duration, Instant};

use crate::wasm::End;
use crate::world::{Network, SETTLE, Subscribed, World};

const CATALOG: &str = "
currency: USD
key: { header: X-Api-Key }
apis: [{ id: shop, path: /shop }]
products:
  - { id: all, apis: [shop], every: day, price: free, on_outage: allow }
";
/// A day.
pub(super) const HOURS: u64 = 24;
/// Of a VM, whatever it was asked while the host was away.
const MAX_MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// Time in which all is reported: a thousand records a request, a request a second.
const REPORTING: Duration = Duration::from_secs(30);

/// What a day cost.
pub(super) struct Day {
    pub(super) subscriptions: u64,
    pub(super) calls: u64,
    pub(super) memory_bytes: usize,
    pub(super) log_bytes: usize,
    pub(super) took: Duration,
}

/// Plays so many hours.
///
/// # Panics
/// If anything is lost, or larger than it may be.
pub(super) fn play(subscriptions: u64, hours: u64) -> Day {
    let began = Instant::now();
    let mut world = World::new(CATALOG);
    let token = world.host.gateway_token.clone();
    world.start_with(&token, 1);
    world.run(SETTLE);
    let owners: Vec<Subscribed> = (0..subscriptions).map(|_| world.subscribe("all")).collect();
    world.run(SETTLE);
    // Known here before the host is gone; a few questions at a time.
    for some in owners.chunks(100) {
        for owner in some {
            assert_eq!(world.call(0, owner.get("/shop")).status, 200);
        }
    }
    world.run(SETTLE);
    world.network = Network::Down;
    let mut memory_bytes = 0;
    for hour in 0..hours {
        for (number, owner) in owners.iter().enumerate() {
            let end = if (number as u64 + hour).is_multiple_of(10) { 503 } else { 200 };
            let called = world.call_ending(0, owner.get("/shop"), End::Status(end));
            assert_eq!(u64::from(called.status), u64::from(end), "hour {hour}: {called:?}");
        }
        world.run(Duration::from_hours(1));
        memory_bytes = memory_bytes.max(world.process(0).vm(0).memory_bytes());
        assert!(memory_bytes <= MAX_MEMORY_BYTES, "law 8: {memory_bytes} bytes in hour {hour}");
    }
    world.network = Network::Up;
    world.run(REPORTING + Duration::from_secs(subscriptions / 100));
    world.check_books();
    let ledger = world.ledger();
    let admitted: u64 = ledger.values().map(|counters| counters.admitted).sum();
    assert_eq!(admitted, subscriptions * (hours + 1), "law 3");
    let log_bytes = world.process(0).log().iter().map(String::len).sum();
    Day { subscriptions, calls: admitted, memory_bytes, log_bytes, took: began.elapsed() }
}

#[test]
fn hours_without_the_host_lose_nothing() {
    let day = play(200, 2);
    assert_eq!(day.calls, 200 * 3);
}
