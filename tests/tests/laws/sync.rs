//! Sync: what is said between gateways and host, and what becomes of it when messages fail.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tollgate_host::core::keys::RevokeKey;
use tollgate_host::core::subscriptions::SuspendSubscription;
use tollgate_pricing::id::Hex128;
use tollgate_pricing::sync::{Rows, SyncRequest};

use crate::wasm::Status;
use crate::world::{CATALOG, Network, SETTLE, Subscribed, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn nothing_is_lost_or_counted_twice_whatever_happens_to_messages() {
    let check = |trouble: Network| {
        let (mut world, owner) = World::subscribed("plain");
        world.mixed_calls(&owner);
        world.network = trouble;
        world.run(7 * SECOND);
        // The VMs go on counting meanwhile.
        world.mixed_calls(&owner);
        world.run(7 * SECOND);
        if trouble == Network::AnswersLost {
            let reached = world.ledger()[&owner.id];
            assert_eq!(reached.admitted, 28, "counters are cumulative");
        }
        world.network = Network::Up;
        world.check_books();
        let rows = rows_of(&world, &owner);
        assert_eq!(rows, 28, "rows describe the same calls under {trouble:?}");
    };
    check(Network::Up);
    check(Network::Down);
    check(Network::Silent);
    check(Network::AnswersLost);
    check(Network::Twice);
    check(Network::Unacknowledged);
    check(Network::Impostor(""));
    check(Network::Impostor("ok"));
    check(Network::Impostor("{}"));
    check(Network::Impostor("<html>"));
}

/// Calls that rows told the host of, each batch once.
fn rows_of(world: &World, owner: &Subscribed) -> u64 {
    let mut batches = BTreeMap::new();
    for message in &world.messages {
        if let Some(batch) = &message.request.rows {
            batches.insert((batch.incarnation, batch.sequence), batch.rows.get().to_owned());
        }
    }
    let read = |text: &String| serde_json::from_str::<Rows>(text).expect("rows").calls;
    batches
        .values()
        .flat_map(read)
        .filter(|row| row.subscription == Some(owner.id))
        .map(|row| row.calls)
        .sum()
}

#[test]
fn rows_are_resent_byte_for_byte_until_they_are_acknowledged() {
    let (mut world, owner) = World::subscribed("plain");
    world.call(0, owner.get("/weather"));
    world.network = Network::AnswersLost;
    world.run(3 * SECOND);
    world.call(0, owner.get("/weather"));
    world.run(5 * SECOND);
    world.network = Network::Up;
    world.run(SETTLE);
    let batches = |request: &SyncRequest| {
        let rows = request.rows.as_ref()?;
        Some((rows.incarnation, rows.sequence, rows.rows.get().to_owned()))
    };
    let mut sent: Vec<_> = world.messages.iter().filter_map(|it| batches(&it.request)).collect();
    assert!(sent.len() > 3, "they were sent again");
    sent.dedup();
    let mut numbers: Vec<_> = sent.iter().map(|(vm, number, _)| (*vm, *number)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), sent.len(), "one number, one content");
    world.check_books();
    let quiet = world.messages.len();
    world.run(SETTLE);
    let after = &world.messages[quiet..];
    assert!(after.iter().all(|it| it.request.rows.is_none()), "acknowledged rows are not resent");
}

#[test]
fn calls_that_envoy_refuses_to_send_are_sent_later() {
    for refusal in [Status::BadArgument, Status::InternalFailure] {
        let (mut world, owner) = World::subscribed("plain");
        world.mixed_calls(&owner);
        world.process(0).refuse_calls(Some(refusal));
        world.run(5 * SECOND);
        world.mixed_calls(&owner);
        world.process(0).refuse_calls(None);
        world.check_books();
    }
}

#[test]
fn a_process_speaks_every_second_and_not_much_more() {
    let mut world = World::running(CATALOG);
    let before = world.messages.len();
    world.run(20 * SECOND);
    let said = world.messages.len() - before;
    assert!((16..=25).contains(&said), "{said} messages in 20 s without a call");
    let boots: BTreeSet<Hex128> = world.messages.iter().map(|it| it.request.boot).collect();
    assert_eq!(boots.len(), 1, "both VMs speak for one boot");
}

#[test]
fn another_life_of_a_process_is_another_boot() {
    let (mut world, owner) = World::subscribed("hundred");
    for _ in 0..30 {
        world.call(0, owner.get("/weather"));
    }
    world.run(SETTLE);
    world.restart(0);
    world.run(SETTLE);
    let mut admitted = 30;
    for call in 0..100 {
        admitted += u32::from(world.call(call % 2, owner.get("/weather")).status == 200);
    }
    let boots: BTreeSet<Hex128> = world.messages.iter().map(|it| it.request.boot).collect();
    assert_eq!(boots.len(), 2);
    assert!(admitted <= 100, "what the dead process still held is gone: {admitted}");
    world.check_books();
}

#[test]
fn a_refused_token_is_said_once_with_what_to_do() {
    let mut world = World::new(CATALOG);
    let owner = world.subscribe("plain");
    world.start_with_token("tgg_00000000000000000000000000000000");
    world.run(20 * SECOND);
    let called = world.call(0, owner.get("/weather"));
    assert_eq!((called.status, called.reason().as_str()), (503, "host_unavailable"));
    let log = world.process(0).log();
    let lines: Vec<&String> = log.iter().filter(|line| line.contains("token")).collect();
    assert!(!lines.is_empty() && lines.len() <= 2, "once a VM: {log:?}");
    assert!(lines[0].contains("tollgate gateways add"), "{lines:?}");
    assert!(log.iter().all(|line| !line.contains("tgg_")), "a token is never logged");
}

#[test]
fn no_key_and_no_token_is_logged() {
    let (mut world, owner) = World::subscribed("plain");
    for network in [Network::Up, Network::Down, Network::Impostor("x"), Network::Up] {
        world.network = network;
        world.call(0, owner.get("/weather"));
        world.call(1, owner.get("/nowhere"));
        world.run(3 * SECOND);
    }
    let token = world.host.gateway_token.clone();
    for line in world.process(0).log() {
        assert!(!line.contains(&owner.key) && !line.contains(&token), "{line}");
    }
}

#[test]
fn an_outage_is_said_once_and_not_for_every_call() {
    let (mut world, owner) = World::subscribed("plain");
    world.call(0, owner.get("/weather"));
    world.run(SETTLE);
    let before = world.process(0).log().len();
    world.network = Network::Down;
    for call in 0..200 {
        world.call(call % 2, owner.get("/weather"));
        world.run(SECOND / 4);
    }
    let log = world.process(0).log();
    // Each VM: that nobody answers, and after 30 s what it has not delivered, with a word on that.
    assert!((1..=6).contains(&(log.len() - before)), "{:?}", &log[before..]);
    world.network = Network::Up;
    world.check_books();
}

#[test]
fn without_the_host_for_too_long_nobody_is_admitted_on_old_news() {
    let (mut world, owner) = World::subscribed("plain");
    world.call(0, owner.get("/weather"));
    world.run(SETTLE);
    world.network = Network::Down;
    world.run(Duration::from_mins(14));
    for vm in [0, 1] {
        assert_eq!(world.call(vm, owner.get("/weather")).status, 200, "after 14 minutes");
    }
    world.run(Duration::from_mins(2));
    for vm in [0, 1] {
        let called = world.call(vm, owner.get("/weather"));
        assert_eq!((called.status, called.reason().as_str()), (503, "host_unavailable"));
    }
    world.network = Network::Up;
    world.run(3 * SECOND);
    for vm in [0, 1] {
        assert_eq!(world.call(vm, owner.get("/weather")).status, 200, "after the outage");
    }
    world.check_books();
}

#[test]
fn news_of_one_vm_hold_for_the_other() {
    // Whichever of them speaks for the process.
    for deaf in [0, 1] {
        let (mut world, suspended) = World::subscribed("plain");
        let revoked = world.subscribe("plain");
        for (vm, owner) in [(0, &suspended), (1, &suspended), (0, &revoked), (1, &revoked)] {
            assert_eq!(world.call(vm, owner.get("/weather")).status, 200);
        }
        world.run(SETTLE);
        // It hears by shared data alone: whatever it sends itself is lost.
        world.deaf = Some(deaf);
        world.ask(SuspendSubscription(suspended.id));
        world.ask(RevokeKey(revoked.key_id));
        world.run(8 * SECOND);
        let mut reason = |of: &Subscribed| world.call(deaf, of.get("/weather")).reason();
        assert_eq!(reason(&suspended), "subscription_inactive", "VM {deaf}");
        assert_eq!(reason(&revoked), "invalid_key", "VM {deaf}");
        world.deaf = None;
        world.check_books();
    }
}
