//! The meter: what is in the ledger is what callers saw, to the call.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tollgate_host::core::close::Close;
use tollgate_host::core::invoice::ListInvoices;
use tollgate_host::core::usage::{PeriodState, ReadUsage};

use crate::wasm::{End, Progress};
use crate::world::{At, Network, SETTLE, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn admitted_is_billable_plus_waived_plus_open() {
    let (mut world, owner) = World::subscribed("plain");
    world.mixed_calls(&owner);
    world.check_books();
    let ledger = world.ledger()[&owner.id];
    assert_eq!(ledger.admitted, 14);
    assert_eq!(ledger.billable, 8, "200, 404, 499 and the caller who left");
    assert_eq!(ledger.waived, 6, "500, 599 and the call that found no upstream");
    // A call under way is open until it ends.
    let stream = world.open(0, owner.get("/weather"));
    world.run(SETTLE);
    assert_eq!(world.ledger()[&owner.id].open, 1);
    world.end(stream, End::Status(200));
    world.check_books();
}

#[test]
fn a_trap_loses_no_settled_call() {
    let (mut world, owner) = World::subscribed("plain");
    world.mixed_calls(&owner);
    let open = world.open(0, owner.get("/weather"));
    assert_eq!(world.progress(open), Progress::Forwarded);
    // Nothing of all this has been reported yet.
    world.process(0).vm(0).trap_at("clock_time_get", 0);
    world.run(SECOND);
    assert!(!world.process(0).vm(0).alive());
    assert_eq!(world.progress(open), Progress::Died);
    world.end(open, End::Aborted);
    world.check_books();
    assert_eq!(world.ledger()[&owner.id].open, 1, "the call that died with its VM");
}

#[test]
fn a_reloaded_vm_knows_keys_with_the_host_away() {
    let (mut world, owner) = World::subscribed("plain");
    assert_eq!(world.call(0, owner.get("/weather")).status, 200);
    world.run(SECOND);
    world.network = Network::Down;
    world.process(0).reload(0);
    world.process(0).reload(1);
    for vm in [0, 1] {
        assert_eq!(world.call(vm, owner.get("/weather")).status, 200, "VM {vm}");
    }
    world.network = Network::Up;
    world.check_books();
}

#[test]
fn usage_of_two_processes_adds_up() {
    let (mut world, owner) = World::subscribed("plain");
    world.start();
    world.run(SETTLE);
    for call in 0..40 {
        world.call(At(call % 2, call / 2 % 2), owner.get("/weather"));
    }
    world.check_books();
    assert_eq!(world.ledger()[&owner.id].billable, 40);
}

#[test]
fn a_minute_period_closes_by_itself_with_exact_counts() {
    let (mut world, owner) = World::subscribed("minutely");
    world.run_to_next_minute();
    for call in 0..37 {
        let end = if call % 5 == 0 { End::Status(503) } else { End::Status(200) };
        world.call_ending(call % 2, owner.get("/weather"), end);
        world.run(SECOND);
    }
    // The last of this minute and the first of the next.
    world.run_to_next_minute();
    let next = world.call(0, owner.get("/weather"));
    assert_eq!(next.status, 200);
    world.run(SETTLE);
    let grace = SignedDuration::from_hours(1);
    let closed = world.ask(Close { grace, serving_since: Timestamp::MIN });
    assert_eq!(closed.waiting, [], "both VMs are alive and have swept");
    let invoices = world.ask(ListInvoices);
    let of_minute = |calls: u64| invoices.iter().filter(|it| it.calls == calls).count();
    assert_eq!((invoices.len(), of_minute(29)), (1, 1), "{invoices:?}");
    assert_eq!(invoices[0].total.to_string(), "0.29 USD");
    assert!(
        world.ask(Close { grace, serving_since: Timestamp::MIN }).closed.is_empty(),
        "again changes nothing"
    );

    let periods = world.ask(ReadUsage { subscription: Some(owner.id) }).periods;
    let closed: u64 = periods
        .iter()
        .filter(|period| period.state == PeriodState::Closed)
        .map(|period| period.billable)
        .sum();
    assert_eq!(closed, 29);
    world.check_books();
}

#[test]
fn a_quota_of_the_billing_period_begins_anew_with_it() {
    let (mut world, owner) = World::subscribed("capped");
    world.run_to_next_minute();
    for minute in 0..3 {
        let mut admitted = 0;
        for call in 0..30 {
            let called = world.call(call % 2, owner.get("/weather"));
            admitted += u32::from(called.status == 200);
        }
        assert_eq!(admitted, 20, "minute {minute}");
        world.run_to_next_minute();
    }
    world.check_books();
}

#[test]
fn a_period_with_a_call_under_way_waits_for_it() {
    let (mut world, owner) = World::subscribed("minutely");
    world.run_to_next_minute();
    let stream = world.open(0, owner.get("/weather"));
    world.run(SETTLE);
    let stream = match world.progress(stream) {
        Progress::Forwarded => stream,
        other => panic!("{other:?}"),
    };
    world.run_to_next_minute();
    world.run(SETTLE);
    let grace = SignedDuration::from_hours(1);
    let waiting = world.ask(Close { grace, serving_since: Timestamp::MIN }).waiting;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    world.end(stream, End::Status(200));
    world.run(SETTLE);
    assert_eq!(world.ask(Close { grace, serving_since: Timestamp::MIN }).waiting, []);
    let calls: Vec<u64> = world.ask(ListInvoices).iter().map(|it| it.calls).collect();
    assert_eq!(calls, [1], "billed in the period that admitted it");
    world.check_books();
}
