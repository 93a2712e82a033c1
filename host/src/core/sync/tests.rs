use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::value::RawValue;
use tollgate_pricing::id::{Hex128, SubscriptionId, Tag};
use tollgate_pricing::sync::{
    Access, Country, Histogram, Latency, LeaseAsk, LeaseReport, MAX_CHANGES, MAX_RECORDS, Outcome,
    PlaceRow, Reason, RecordReport, Row, RowBatch, Rows, Slot, SyncRequest,
};

use tollgate_pricing::timeline::Timeline;

use super::super::health::ReadHealth;
use super::super::keys::{AddKey, RevokeKey};
use super::super::subscriptions::{CancelSubscription, ResumeSubscription, SuspendSubscription};
use super::super::testing::{CATALOG, World, ask, batch, boot, nothing, question, slot};
use super::super::usage::ReadUsage;
use super::super::usage::detail::{By, ReadDetail};
use super::Sync;

const MERGED: &[&str] = &[
    "slots",
    "unattributed",
    "leases",
    "calls",
    "places",
    "latencies",
    "incarnations",
    "batches",
    "conflicts",
];

fn row(minute: u32, status: u16, calls: u64) -> Row {
    Row {
        period: 0,
        bytes: 0,
        units: 0,
        would_refuse: None,
        subscription: Some(SubscriptionId(1)),
        api: Some("address".to_owned()),
        operation: None,
        status,
        outcome: match status {
            429 => Outcome::Refused(Reason::RateLimited),
            _ => Outcome::Billable,
        },
        minute,
        calls,
        latency_us: calls * 100,
    }
}

fn place(hour: u32, calls: u64) -> PlaceRow {
    PlaceRow {
        subscription: Some(SubscriptionId(1)),
        country: Country::read(b"de").unwrap(),
        status: 200,
        outcome: Outcome::Billable,
        hour,
        calls,
        latency_us: calls * 100,
        bytes: calls * 10,
    }
}

fn latency(hour: u32, times_us: &[u64]) -> Latency {
    let mut histogram = Histogram::default();
    for time in times_us {
        histogram.add(*time);
    }
    Latency {
        subscription: Some(SubscriptionId(1)),
        api: Some("address".to_owned()),
        operation: None,
        hour,
        min_us: times_us.iter().copied().min().unwrap_or(0),
        max_us: times_us.iter().copied().max().unwrap_or(0),
        histogram,
    }
}

fn raw(sequence: u64, text: &str) -> RowBatch {
    let text = RawValue::from_string(text.to_owned()).unwrap();
    RowBatch::new(Hex128([9; 16]), sequence, text)
}

fn of_all_kinds(incarnation: u8, sequence: u64, rows: &Rows) -> RowBatch {
    let text = RawValue::from_string(serde_json::to_string(rows).unwrap()).unwrap();
    RowBatch::new(Hex128([incarnation; 16]), sequence, text)
}

fn with_rows(boot: Hex128, batch: RowBatch) -> SyncRequest {
    SyncRequest { rows: Some(batch), ..nothing(boot) }
}

#[test]
fn slots_merge_by_max_and_are_acknowledged_as_stored() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let subscription = world.subscribe("free");
    let mut check = |sent, stored: (u64, u64, u64)| {
        let answer = world.sync(gateway, slot(boot(1), subscription, sent));
        let acked: Vec<_> = answer
            .slots
            .iter()
            .map(|ack| (ack.slot.admitted, ack.slot.billable, ack.slot.waived))
            .collect();
        assert_eq!(acked, [stored], "{sent:?}");
    };
    check((1, 1, 10, 5, 1), (10, 5, 1));
    check((1, 1, 12, 9, 2), (12, 9, 2));
    // Overtaken, and sent again.
    check((1, 1, 10, 5, 1), (12, 9, 2));
    check((1, 1, 12, 9, 2), (12, 9, 2));
    check((2, 1, 1, 1, 0), (1, 1, 0));
    let usage = world.ask(ReadUsage { subscription: None }).unwrap();
    let period = &usage.periods[0];
    let found = (period.admitted, period.billable, period.waived, period.open);
    assert_eq!(found, (13, 10, 2, 1));
}

#[test]
fn what_contradicts_the_ledger_is_kept_aside_once_and_not_acknowledged() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("free");
    world.sync(gateway, slot(boot(1), id, (1, 1, 10, 5, 1)));
    let past = i64::MAX.unsigned_abs() + 1;
    let nobody = SubscriptionId(u64::MAX);
    for (request, problem) in [
        (slot(boot(1), id, (0, 1, 1, 1, 0)), "counted from 1, found 0 of 1 Slot"),
        (slot(boot(1), id, (2, 0, 1, 1, 0)), "counted from 1, found 2 of 0 Slot"),
        (slot(boot(1), id, (1, 2, 11, 5, 1)), "expected period 1, found 2"),
        (slot(boot(1), id, (2, 1, 1, 7, 1)), "found 12 + 2 of 11"),
        (slot(boot(1), id, (2, 1, 9, u64::MAX, 1)), "billable 18446744073709551615 is past"),
        (slot(boot(1), id, (2, 1, past, 0, 0)), "admitted 9223372036854775808 is past"),
        (slot(boot(1), nobody, (1, 1, 1, 1, 0)), "no such subscription"),
    ] {
        for _ in 0..2 {
            assert_eq!(world.sync(gateway, request.clone()).slots, [], "{problem}");
        }
        let kept = world.dump(&["conflicts"]);
        assert_eq!(kept.matches(problem).count(), 1, "{problem} in {kept}");
    }
    // A late slot settles what the first one admitted.
    let late = slot(boot(1), id, (3, 1, 0, 4, 0));
    assert_eq!(world.sync(gateway, late).slots.len(), 1);
    let health = world.ask(ReadHealth).unwrap();
    assert_eq!(health.conflicts, 7, "{}", world.dump(&["conflicts"]));
    assert_eq!(world.dump(&["slots"]), "slots: x01 1 1 1 10 5 1 []\nslots: x01 1 3 1 0 4 0 []\n");
}

#[test]
fn rows_are_added_once() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    world.subscribe("free");
    let mut check = |sequence, rows: &[Row], added: u64, missing: u64| {
        let batch = batch(9, sequence, rows);
        let answer = world.sync(gateway, with_rows(boot(1), batch));
        assert_eq!(answer.rows.map(|ack| ack.sequence), Some(sequence));
        let calls: u64 = world
            .dump(&["calls"])
            .lines()
            .filter_map(|line| line.split(' ').rev().nth(3)?.parse::<u64>().ok())
            .sum();
        assert_eq!(calls, added, "calls after batch {sequence}");
        let health = world.ask(ReadHealth).unwrap();
        assert_eq!(health.missing_batches, missing, "missing after {sequence}");
    };
    check(1, &[row(1, 200, 5), row(1, 429, 2)], 7, 0);
    check(1, &[row(1, 200, 5), row(1, 429, 2)], 7, 0);
    // The same number with other content is kept aside.
    check(1, &[row(1, 200, 50)], 7, 0);
    check(2, &[row(1, 200, 1)], 8, 0);
    // A gap does not block, and what comes after all fills it.
    check(5, &[row(2, 200, 1)], 9, 2);
    check(3, &[row(2, 200, 1)], 10, 1);
    check(3, &[row(2, 200, 1)], 10, 1);
    check(300, &[], 10, 295);
    // Too old to tell: as if it had been added.
    check(4, &[row(2, 200, 1)], 10, 295);
    assert_eq!(world.dump(&["conflicts"]).lines().count(), 1);
}

#[test]
fn bad_batches_are_kept_aside_and_do_not_block() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let placed = |places: PlaceRow| Rows { places: vec![places], ..Rows::default() };
    let timed = |latency: Latency| Rows { latencies: vec![latency], ..Rows::default() };
    let past = i64::MAX.unsigned_abs() + 1;
    let backwards = Latency { min_us: 8, ..latency(1, &[7]) };
    let unsound = serde_json::from_str("[[7,1],[7,1]]").unwrap();
    let unsound = Latency { histogram: unsound, ..latency(1, &[7]) };
    let long_latency = Latency { api: Some("a".repeat(66)), ..latency(1, &[7]) };
    let wrong_hash = RowBatch { hash: Hex128([0; 16]), ..raw(4, "{}") };
    let long = Row { api: Some("a".repeat(65)), ..row(1, 200, 1) };
    let nobody = Row { subscription: Some(SubscriptionId(u64::MAX)), ..row(1, 200, 1) };
    let many: Vec<Row> = (0..2_001).map(|minute| row(minute, 200, 1)).collect();
    for (batch, problem) in [
        (raw(0, "[]"), "no batch is number 0"),
        (raw(u64::MAX, "[]"), "no batch is number 18446744073709551615"),
        (raw(1, "[]"), "batch 1 cannot be read: expected an object, found '['"),
        (raw(2, "{\"calls\":[{\"calls\":-1}]}"), "batch 2 cannot be read"),
        (batch(9, 3, &[row(1, 200, 1), long]), "ids of at most 64 bytes, found 65"),
        (wrong_hash, "batch 4 has not its hash"),
        (batch(9, 5, &[nobody]), "subscription 18446744073709551615 is past"),
        (batch(9, 6, &many), "expected at most 2000, found 2001"),
        (
            batch(9, 7, &[Row { units: past, ..row(1, 200, 1) }]),
            "units 9223372036854775808 is past",
        ),
        (of_all_kinds(9, 8, &placed(PlaceRow { bytes: past, ..place(1, 1) })), "bytes 92233"),
        (of_all_kinds(9, 9, &timed(backwards)), "min_us of at most max_us, found 8 and 7"),
        (of_all_kinds(9, 10, &timed(unsound)), "a histogram's steps ascending"),
        (of_all_kinds(9, 11, &timed(long_latency)), "found 66"),
        (raw(12, r#"{"places":[{"country":"DEU"}]}"#), "expected two letters, found \"DEU\""),
    ] {
        for _ in 0..2 {
            let answer = world.sync(gateway, with_rows(boot(1), batch.clone()));
            let acked = answer.rows.map(|ack| ack.sequence);
            assert_eq!(acked, Some(batch.sequence), "{problem}");
        }
        let kept = world.dump(&["conflicts"]);
        assert_eq!(kept.matches(problem).count(), 1, "{problem} in {kept}");
    }
    assert_eq!(world.dump(&["calls", "places", "latencies"]), "");
    let next = batch(9, 13, &[row(1, 200, 1)]);
    world.sync(gateway, with_rows(boot(1), next));
    assert_eq!(world.dump(&["calls"]).lines().count(), 1);
    assert_eq!(world.ask(ReadHealth).unwrap().missing_batches, 0);
}

#[test]
fn a_cell_of_rows_ends_at_its_bound() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let most = Row {
        calls: i64::MAX.unsigned_abs(),
        latency_us: i64::MAX.unsigned_abs(),
        bytes: i64::MAX.unsigned_abs(),
        units: i64::MAX.unsigned_abs(),
        ..row(1, 429, 1)
    };
    for sequence in 1..=2 {
        world.sync(gateway, with_rows(boot(1), batch(9, sequence, std::slice::from_ref(&most))));
    }
    let cell = "calls: 1 0 1 address - 429 refused rate_limited - 9223372036854775807 9223372036854775807 \
         9223372036854775807 9223372036854775807\n";
    assert_eq!(world.dump(&["calls"]), cell);
}

#[test]
fn requests_no_gateway_sends_are_refused_by_name() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let other = world.gateway("other");
    world.sync(gateway, nothing(boot(1)));
    let record = RecordReport {
        subscription: SubscriptionId(1),
        known_until_ms: 0,
        slots: vec![Slot::default(); 33],
        leases: Vec::new(),
    };
    let check = |world: &mut World, gateway, request: SyncRequest, refusal: &str| {
        assert_eq!(world.refused(Sync { gateway, request }), refusal);
    };
    let request = SyncRequest { protocol: 2, ..nothing(boot(1)) };
    check(&mut world, gateway, request, "invalid: protocol: expected 1, found 2");
    let request = SyncRequest { records: vec![record.clone()], ..nothing(boot(1)) };
    let refusal = "invalid: slots of a record: expected at most 32, found 33";
    check(&mut world, gateway, request, refusal);
    let request = SyncRequest {
        records: vec![RecordReport { slots: Vec::new(), ..record }; MAX_RECORDS + 1],
        ..nothing(boot(1))
    };
    let refusal = "invalid: records: expected at most 1000, found 1001";
    check(&mut world, gateway, request, refusal);
    let refusal =
        "foreign_boot: boot 01010101010101010101010101010101 belongs to another gateway's token";
    check(&mut world, other, nothing(boot(1)), refusal);
}

#[test]
fn a_process_of_another_ledger_keeps_its_usage_and_gets_nothing() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("quota");
    let foreign = SyncRequest {
        ledger: Some(Hex128([7; 16])),
        records: slot(boot(1), id, (1, 1, 1, 1, 0)).records,
        rows: Some(batch(9, 1, &[row(1, 200, 1)])),
        since: Some(0),
        ..ask(boot(1), id, "monthly", 0, 10)
    };
    let answer = world.sync(gateway, foreign);
    assert_eq!(answer.ledger, Hex128([1; 16]));
    assert_eq!((answer.rows, answer.slots.len(), answer.leases.len()), (None, 0, 0));
    assert_eq!(world.dump(MERGED), "");
    assert_eq!(world.dump(&["boots"]), "");
}

#[test]
fn asks_for_what_is_not_there_get_nothing() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("quota");
    let free = world.subscribe("free");
    let mut check = |subscription, limit: &str, period, why: &str| {
        let leases = vec![question(subscription, Tag::of(limit), period, 0, 5)];
        let request = SyncRequest { leases, ..nothing(boot(1)) };
        let answer = world.sync(gateway, request);
        assert_eq!(answer.leases[0].granted, 0, "{why}");
    };
    check(SubscriptionId(99), "monthly", 1, "no such subscription");
    check(SubscriptionId(u64::MAX), "monthly", 1, "no such subscription");
    check(id, "yearly", 1, "no such limit");
    check(free, "monthly", 1, "another product's limit");
    check(id, "monthly", 0, "periods count from 1");
    check(id, "monthly", 2, "a period far ahead");
    check(id, "monthly", u32::MAX, "a period past time");
    world.ask(SuspendSubscription(id)).unwrap();
    let answer = world.sync(gateway, ask(boot(1), id, "monthly", 0, 5));
    assert_eq!(answer.leases[0].granted, 0, "suspended");
    world.ask(ResumeSubscription(id)).unwrap();
    let answer = world.sync(gateway, ask(boot(1), id, "monthly", 0, 5));
    assert_eq!(answer.leases[0].granted, 5);
}

#[test]
fn news_reach_whoever_asks_from_where_it_was() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("free");
    let first = world.sync(gateway, nothing(boot(1)));
    assert_eq!((first.revision, first.subscriptions.len(), first.keys.len()), (2, 0, 0));
    assert_eq!(first.catalog.map(|catalog| catalog.revision), Some(1));

    let since =
        |revision| SyncRequest { since: Some(revision), catalog: Some(1), ..nothing(boot(1)) };
    let answer = world.sync(gateway, since(0));
    assert_eq!((answer.subscriptions.len(), answer.keys.len()), (1, 1));
    assert!(answer.catalog.is_none());
    let hash = answer.keys[0].hash;

    world.ask(SuspendSubscription(id)).unwrap();
    let random = world.chance();
    let added = world.ask(AddKey { subscription: id, random }).unwrap();
    world.ask(RevokeKey(added.id)).unwrap();
    let answer = world.sync(gateway, since(first.revision));
    assert_eq!(answer.revision, 5);
    assert_eq!(answer.subscriptions[0].access, Access::Suspended);
    assert_eq!(answer.subscriptions[0].revision, 3);
    assert_eq!(answer.keys.len(), 1);
    assert_eq!(answer.keys[0].subscription, None);

    // Asked by hash: a key that is live, with its owner's state, and one that is not.
    let asked = SyncRequest {
        keys: vec![hash, answer.keys[0].hash, Hex128([9; 16])],
        since: Some(5),
        ..nothing(boot(1))
    };
    let answer = world.sync(gateway, asked);
    let owners: Vec<_> = answer.keys.iter().map(|key| key.subscription).collect();
    assert_eq!(owners, [Some(id), None, None]);
    assert_eq!(answer.subscriptions.len(), 1);

    let changed = CATALOG.replace("calls: 100, period: 30d", "calls: 50, period: 30d");
    let quota = world.subscribe("quota");
    let revision = world.sync(gateway, since(0)).revision;
    assert_eq!(world.load(&changed).unwrap(), 2);
    let answer = world.sync(gateway, since(revision));
    assert_eq!(answer.catalog.map(|catalog| catalog.revision), Some(2));
    let told: Vec<_> = answer.subscriptions.iter().map(|s| (s.id, s.catalog)).collect();
    assert_eq!(told, [(quota, 2)]);
}

#[test]
fn many_changes_come_in_order_over_several_answers() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    for _ in 0..MAX_CHANGES {
        world.subscribe("free");
    }
    let (mut since, mut subscriptions, mut keys, mut answers) = (0, 0, 0, 0);
    loop {
        let request = SyncRequest { since: Some(since), ..nothing(boot(1)) };
        let answer = world.sync(gateway, request);
        subscriptions += answer.subscriptions.len();
        keys += answer.keys.len();
        if answer.revision == since {
            break;
        }
        since = answer.revision;
        answers += 1;
    }
    assert_eq!((subscriptions, keys, answers), (MAX_CHANGES, MAX_CHANGES, 2));
}

#[test]
fn states_name_periods_for_as_long_as_a_gateway_may_be_alone() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let minute = world.subscribe("free");
    let short = world.subscribe("short");
    let state = |world: &mut World, id: SubscriptionId, known_until_ms| {
        let request = SyncRequest {
            records: vec![RecordReport {
                subscription: id,
                known_until_ms,
                slots: Vec::new(),
                leases: Vec::new(),
            }],
            ..nothing(boot(1))
        };
        world.sync(gateway, request).subscriptions.pop()
    };
    let numbers = |line: &Timeline| line.iter().map(|period| period.number).collect::<Vec<_>>();
    let told = state(&mut world, minute, 0).unwrap();
    assert_eq!(numbers(&told.periods), (1..=16).collect::<Vec<_>>());
    // Enough is known: nothing to say. Less than half the bound ahead: more.
    let end_of = |number| told.periods.get(number).unwrap().end_ms;
    assert_eq!(state(&mut world, minute, end_of(16)), None);
    assert!(state(&mut world, minute, end_of(7)).is_some());
    world.pass(10 * 60);
    let more = state(&mut world, minute, end_of(16)).unwrap();
    assert_eq!(numbers(&more.periods), (10..=26).collect::<Vec<_>>());

    // Hours do not reach to a month's end: it is they that run short, and more of them are told.
    let told = state(&mut world, short, 0).unwrap();
    assert_eq!(told.periods.iter().count(), 2);
    assert_eq!(numbers(&told.quotas[0].periods), (1..=40).collect::<Vec<_>>());
    assert_eq!(told.known_until_ms(), told.quotas[0].periods.end_ms());
    assert_eq!(state(&mut world, short, told.known_until_ms()), None);
    world.pass(39 * 60 * 60 + 50 * 60);
    let more = state(&mut world, short, told.known_until_ms()).unwrap();
    assert!(more.known_until_ms() > told.known_until_ms());
    world.ask(CancelSubscription(short)).unwrap();
    assert_eq!(state(&mut world, short, 0), None);
}

/// Snapshots of one process's counters, in the order it would take them.
fn history() -> impl Strategy<Value = Vec<(u64, u64, u64, bool)>> {
    proptest::collection::vec((0_u64..5, 0_u64..5, 0_u64..5, any::<bool>()), 1..12)
}

/// What a process sends over its life: counters that grow, leases that are used and returned, and
/// numbered batches of rows.
fn messages(
    boot_number: u8,
    id: SubscriptionId,
    steps: &[(u64, u64, u64, bool)],
) -> Vec<SyncRequest> {
    let mut slot = Slot { number: 1, period: 1, ..Slot::default() };
    let mut lease =
        LeaseReport { limit: Tag::of("monthly"), period: 1, granted: 10, ..LeaseReport::default() };
    let mut requests = Vec::new();
    for (sequence, (admit, bill, waive, next_slot)) in (1..).zip(steps) {
        if *next_slot && slot.admitted > 0 {
            slot = Slot { number: slot.number + 1, period: 1, ..Slot::default() };
        }
        slot.admitted += admit;
        slot.billable += *bill.min(&(slot.admitted - slot.billable - slot.waived));
        slot.waived += *waive.min(&(slot.admitted - slot.billable - slot.waived));
        assert!(slot.meters.add(Tag(3), *bill * 100) && slot.meters.add(Tag(7), *admit));
        let free = lease.granted - lease.returned - (lease.used - lease.waived);
        lease.used += *admit.min(&free);
        lease.waived += *waive.min(&(lease.used - lease.waived));
        let free = lease.granted - lease.returned - (lease.used - lease.waived);
        lease.returned += *bill.min(&free);
        let told = Rows {
            calls: vec![row(1, 200, *admit)],
            places: vec![place(1, *admit)],
            latencies: vec![latency(1, &[*admit, *bill * 1_000])],
        };
        requests.push(SyncRequest {
            rows: Some(of_all_kinds(boot_number, sequence, &told)),
            records: vec![RecordReport {
                subscription: id,
                known_until_ms: u64::MAX,
                slots: vec![slot.clone()],
                leases: vec![lease],
            }],
            ..nothing(boot(boot_number))
        });
    }
    requests
}

fn merged(deliveries: &[SyncRequest]) -> String {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("quota");
    for number in [1, 2] {
        world.sync(gateway, ask(boot(number), id, "monthly", 0, 10));
    }
    for request in deliveries {
        world.sync(gateway, request.clone());
    }
    world.dump(MERGED)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_and_any_repetition_merge_to_the_same(
        one in history(),
        two in history(),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        seed in any::<u64>(),
    ) {
        let id = SubscriptionId(1);
        let mut all = messages(1, id, &one);
        all.extend(messages(2, id, &two));
        let in_order = merged(&all);
        let mut shuffled = all.clone();
        shuffled.extend(picks.iter().map(|pick| pick.get(&all).clone()));
        let mut state = seed;
        for place in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let other = usize::try_from(state >> 33).unwrap() % (place + 1);
            shuffled.swap(place, other);
        }
        prop_assert_eq!(in_order, merged(&shuffled));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_request_panics_or_damages_the_ledger(requests in proptest::collection::vec(hostile(), 1..8)) {
        let mut world = World::new();
        let gateway = world.gateway("edge");
        world.subscribe("quota");
        // The last is one that hostile requests hardly name.
        let others = [(); 7].map(|()| world.subscribe("free"));
        for request in requests {
            match world.ask(Sync { gateway, request }) {
                Ok(_) => {}
                Err(refusal) => prop_assert_eq!(refusal.kind(), super::super::Kind::Invalid),
            }
        }
        world.pass(3 * 60 * 60);
        // Nothing that one subscription's counters say keeps another from being closed.
        let closed = world.close().closed;
        prop_assert!(closed.iter().any(|period| period.subscription == others[6]));
        let usage = world.ask(ReadUsage { subscription: None });
        prop_assert!(usage.is_ok());
        for by in [By::Operation, By::Status, By::Country, By::Hour] {
            let detail = world.ask(ReadDetail { by, subscription: None });
            prop_assert!(detail.is_ok());
        }
    }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..5, any::<u64>(), Just(i64::MAX.unsigned_abs()), Just(u64::MAX)]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..4, any::<u32>(), Just(u32::MAX)]
}

prop_compose! {
    fn any_slot()(number in small(), period in small(), admitted in number(), billable in number(),
        waived in number(), meters in proptest::collection::vec((0_u32..12, number()), 0..10))
        -> Slot {
        let meters = serde_json::from_str(&serde_json::to_string(&meters).unwrap()).unwrap();
        Slot { number, period, admitted, billable, waived, meters }
    }
}

prop_compose! {
    fn any_lease()(known in any::<bool>(), limit in any::<u32>(), period in small(),
        granted in number(), used in number(), waived in number(), returned in number())
        -> LeaseReport {
        let limit = if known { Tag::of("monthly") } else { Tag(limit) };
        LeaseReport { limit, period, granted, used, waived, returned }
    }
}

prop_compose! {
    fn any_record()(id in number(), known_until_ms in number(),
        slots in proptest::collection::vec(any_slot(), 0..34),
        leases in proptest::collection::vec(any_lease(), 0..4)) -> RecordReport {
        RecordReport { subscription: SubscriptionId(id), known_until_ms, slots, leases }
    }
}

prop_compose! {
    fn any_ask()(id in number(), known in any::<bool>(), limit in any::<u32>(), period in small(),
        granted in number(), want in number()) -> LeaseAsk {
        let limit = if known { Tag::of("monthly") } else { Tag(limit) };
        let lease = LeaseReport { limit, period, granted, ..LeaseReport::default() };
        LeaseAsk { subscription: SubscriptionId(id), lease, want, need: 1 }
    }
}

prop_compose! {
    fn any_rows()(sequence in number(), minute in any::<u32>(), calls in number(),
        period in small(), bytes in number(), id in proptest::option::of(number()),
        latency_us in number(), steps in proptest::collection::vec((any::<u8>(), number()), 0..4),
        text in any::<bool>()) -> RowBatch {
        if text {
            return raw(sequence, &format!("[{calls}]"));
        }
        let subscription = id.map(SubscriptionId);
        let row = Row { period, bytes, subscription, latency_us, calls, ..row(minute, 200, 1) };
        let place = PlaceRow { subscription, bytes, calls, ..place(minute, 1) };
        let histogram = serde_json::from_str(&serde_json::to_string(&steps).unwrap()).unwrap();
        let max_us = latency_us;
        let latency = Latency { subscription, max_us, histogram, ..latency(minute, &[0]) };
        let rows = Rows { calls: vec![row], places: vec![place], latencies: vec![latency] };
        of_all_kinds(9, sequence, &rows)
    }
}

prop_compose! {
    fn hostile()(protocol in 0_u16..3, ledger in proptest::option::of(0_u8..3),
        since in proptest::option::of(number()), catalog in proptest::option::of(small()),
        swept in proptest::option::of(number()), rows in proptest::option::of(any_rows()),
        records in proptest::collection::vec(any_record(), 0..4),
        asks in proptest::collection::vec(any_ask(), 0..6)) -> SyncRequest {
        SyncRequest {
            protocol: protocol.max(1),
            ledger: ledger.map(|byte| Hex128([byte; 16])),
            since,
            catalog,
            swept_through_ms: swept,
            rows,
            records,
            leases: asks,
            ..nothing(boot(1))
        }
    }
}

#[test]
fn a_sweep_is_never_later_than_now() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let swept = SyncRequest { swept_through_ms: Some(u64::MAX), ..nothing(boot(1)) };
    world.sync(gateway, swept);
    let now = world.now.as_millisecond();
    let seen_and_swept = format!("boots: x01 1 {now} {now} {now} ");
    assert!(world.dump(&["boots"]).starts_with(&seen_and_swept));
    world.now = Timestamp::UNIX_EPOCH;
    world.sync(gateway, nothing(boot(1)));
    assert!(world.dump(&["boots"]).starts_with(&seen_and_swept));
}
