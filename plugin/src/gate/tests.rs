//! A process of gates, from headers to log: what waits, what is asked, and who passes when.

use std::cell::RefCell;
use std::num::NonZeroU64;

use tollgate_pricing::gate::{Limit, Meter, OnOutage, Rule, Scope};
use tollgate_pricing::sync::{LeaseOutcome, Rows};

use super::room::{MAX_FOREIGN, MAX_WAITING};
use super::*;
use crate::testing::{MS, Process, SECOND, START_MS, catalog, product, quota, rate};

const FIND: &str = "/a/find";

fn process(limits: Vec<Limit>) -> (Process, String) {
    let mut process = Process::new(2, catalog(vec![product("basic", limits)]));
    let (_, key) = process.subscribe();
    (process, key)
}

/// Rows that were reported, as `outcome would_refuse calls`.
fn rows(process: &Process) -> Vec<String> {
    let batches = process.heard.iter().filter_map(|request| request.rows.as_ref());
    let rows =
        batches.flat_map(|batch| serde_json::from_str::<Rows>(batch.rows.get()).unwrap().calls);
    rows.map(|row| format!("{:?} {:?} {}", row.outcome, row.would_refuse, row.calls)).collect()
}

#[test]
fn questions_gather_while_two_are_under_way() {
    let (mut process, _) = process(vec![]);
    let keys: Vec<String> = (0..50_u8)
        .map(|number| process.catalog.secrets.write([100 + number; 16]).reveal().to_owned())
        .collect();
    let streams: Vec<u32> = keys.iter().map(|key| process.get(0, FIND, key)).collect();
    process.get(0, FIND, &keys[49]);
    let first = process.next_posted().unwrap();
    let second = process.next_posted().unwrap();
    assert_eq!((first.request.keys.len(), second.request.keys.len()), (1, 1));
    assert!(process.next_posted().is_none());
    process.answer(&first);
    let third = process.next_posted().unwrap();
    assert_eq!(third.request.keys.len(), 48, "all that gathered, each once");
    process.answer(&third);
    process.answer(&second);
    assert!(process.next_posted().is_none());
    assert!(streams.iter().all(|stream| process.fate(0, *stream) == "invalid_key"));
    assert_eq!(process.metric(Metric::Asks), 50);
    // What nobody has is remembered.
    process.get(0, FIND, &keys[7]);
    assert!(process.next_posted().is_none());
}

/// Law 8, and: whoever pays does not wait for those who spray.
#[test]
fn under_a_spray_a_cold_key_is_answered_with_the_next_batch() {
    let (mut process, key) = process(vec![]);
    process.catalog.key.imported = true;
    process.catalog.revision = 2;
    process.run(3 * SECOND);
    let mut invented = 0_u128;
    let mut spray = |process: &mut Process, count: u32| -> Vec<u32> {
        (0..count)
            .map(|_| {
                invented += 1;
                let text = format!("an-invented-key-{invented:032}");
                process.get(0, FIND, &text)
            })
            .collect()
    };
    let sprayed = spray(&mut process, 1_000);
    let waiting = sprayed.iter().filter(|stream| process.fate(0, **stream) == "waits").count();
    assert_eq!(waiting, MAX_FOREIGN);
    assert_eq!(process.fate(0, sprayed[999]), "busy");
    assert_eq!(process.look(0, sprayed[999], |stream| stream.reply.as_ref().unwrap().status), 503);
    let cold = process.get(0, FIND, &key);
    assert_eq!(process.fate(0, cold), "waits");
    let first = process.next_posted().unwrap();
    process.answer(&first);
    spray(&mut process, 1_000);
    let second = process.next_posted().unwrap();
    let third = process.next_posted().unwrap();
    assert_eq!(third.request.keys[0], process.catalog.secrets.lookup_hash(key.as_bytes()));
    process.answer(&third);
    assert_eq!(process.fate(0, cold), "forwarded", "though {} wait", second.request.keys.len());
}

#[test]
fn the_room_is_bounded_and_says_busy() {
    let (mut process, _) = process(vec![]);
    let key = |number: usize| {
        let mut bytes = [200; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        process.catalog.secrets.write(bytes).reveal().to_owned()
    };
    let keys: Vec<String> = (0..=MAX_WAITING).map(key).collect();
    let streams: Vec<u32> = keys.iter().map(|key| process.get(0, FIND, key)).collect();
    assert_eq!(process.fate(0, streams[MAX_WAITING - 1]), "waits");
    assert_eq!(process.fate(0, streams[MAX_WAITING]), "busy");
    process.end(0, streams[0], 0);
    let stream = process.get(0, FIND, &keys[MAX_WAITING]);
    assert_eq!(process.fate(0, stream), "waits", "one went away");
}

#[test]
fn keys_of_others_are_looked_up_only_where_the_catalog_says_so() {
    for imported in [false, true] {
        let mut catalog = catalog(vec![product("basic", vec![])]);
        catalog.key.imported = imported;
        let mut process = Process::new(1, catalog);
        process.subscribe_with("brought+by/its=owner");
        let brought = if imported { "forwarded" } else { "invalid_key" };
        assert_eq!(process.call(0, FIND, "brought+by/its=owner"), brought);
        assert_eq!(process.call(0, "/a/x?api-key=brought%2Bby/its%3Downer", ""), brought);
        let asked = process.metric(Metric::Asks);
        for no_key in [
            "too-short",
            "with a blank inside it",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert_eq!(process.call(0, FIND, no_key), "invalid_key");
        }
        assert_eq!(process.metric(Metric::Asks), asked, "nobody was asked");
    }
}

#[test]
fn a_key_is_cut_out_of_the_path_whatever_becomes_of_the_call() {
    let (mut process, key) = process(vec![quota(100, Meter::Calls)]);
    let path = format!("/a/find?x=%20+1&api%2Dkey={key}&y=2");
    let cold = process.open(0, &[(":method", "GET"), (":path", &path)]);
    assert_eq!(process.fate(0, cold), "waits");
    process.settle_messages();
    let cut = "/a/find?x=%20+1&y=2";
    let warm = process.get(0, &path, &key);
    let open = process.get(0, &path.replace("find", "open"), "");
    let preflight = [
        (":method", "OPTIONS"),
        (":path", &path),
        ("origin", "x"),
        ("access-control-request-method", "GET"),
    ];
    let preflight = process.open(0, &preflight);
    let refused = process.get(0, &path.replace("/a/", "/b/"), "");
    assert_eq!(process.fate(0, refused), "not_found");
    assert_eq!(process.look(0, refused, |stream| stream.path()), "/b/find?x=%20+1&y=2");
    for (stream, path) in
        [(cold, cut), (warm, cut), (open, "/a/open?x=%20+1&y=2"), (preflight, cut)]
    {
        assert_eq!(process.fate(0, stream), "forwarded");
        assert_eq!(process.look(0, stream, |stream| stream.path()), path);
    }
}

#[test]
fn a_wait_is_kept_and_asked_again_when_told() {
    let (mut process, key) = process(vec![quota(100, Meter::Calls)]);
    process.grants = Box::new(|ask| {
        let outcome = LeaseOutcome::Wait { retry_ms: 300 };
        (ask.lease.granted, outcome)
    });
    let before = process.heard.len();
    let stream = process.get(0, FIND, &key);
    process.run(1_400 * MS);
    assert_eq!(process.fate(0, stream), "waits");
    let asks = process.heard[before..].iter().filter(|request| !request.leases.is_empty()).count();
    assert!((2..=4).contains(&asks), "{asks} in 1.4 s");
    process.grants = Box::new(|_| (5, LeaseOutcome::Granted));
    process.run(500 * MS);
    assert_eq!(process.fate(0, stream), "forwarded");
}

#[test]
fn who_was_told_to_wait_in_vain_may_come_back_in_a_second() {
    let (mut process, key) = process(vec![quota(100, Meter::Calls)]);
    process.grants = Box::new(|_| (0, LeaseOutcome::Wait { retry_ms: 100 }));
    let stream = process.get(0, FIND, &key);
    process.run(2_300 * MS);
    assert_eq!(process.fate(0, stream), "quota_exceeded");
    let reply = process.look(0, stream, |stream| stream.reply.clone().unwrap());
    assert!(reply.headers.contains(&("retry-after", "1".to_owned())), "{reply:?}");
}

#[test]
fn what_is_spent_costs_the_host_one_question_until_it_is_free() {
    let (mut process, key) = process(vec![quota(100, Meter::Calls)]);
    process.grants = Box::new(|_| (0, LeaseOutcome::Exhausted { retry_ms: 400 }));
    assert_eq!(process.call(0, FIND, &key), "quota_exceeded");
    let asked = process.metric(Metric::Asks);
    for _ in 0..7 {
        process.run(50 * MS);
        assert_eq!(process.call(0, FIND, &key), "quota_exceeded");
    }
    assert_eq!(process.metric(Metric::Asks), asked);
    process.grants = Box::new(|_| (5, LeaseOutcome::Granted));
    process.run(100 * MS);
    assert_eq!(process.call(0, FIND, &key), "forwarded", "not a tick later");
    process.grants = Box::new(|_| (5, LeaseOutcome::Exhausted { retry_ms: 9_000_000 }));
    for _ in 0..4 {
        assert_eq!(process.call(0, FIND, &key), "forwarded");
    }
    assert_eq!(process.call(0, FIND, &key), "quota_exceeded");
    process.grants = Box::new(|_| (6, LeaseOutcome::Granted));
    process.revision = 2;
    process.run(1_050 * MS);
    assert_eq!(process.call(0, FIND, &key), "forwarded", "at a new revision, or after a second");
}

#[test]
fn a_call_that_nobody_answers_ends_by_the_rule_for_outages() {
    let check = |on_outage, expected: &str| {
        let mut product = product("basic", vec![quota(100, Meter::Calls)]);
        product.on_outage = on_outage;
        let mut process = Process::new(1, catalog(vec![product]));
        let (_, key) = process.subscribe();
        process.grants = Box::new(|_| (1, LeaseOutcome::Granted));
        assert_eq!(process.call(0, FIND, &key), "forwarded");
        let stream = process.get(0, FIND, &key);
        // Its question stays under way.
        while process.next_posted().is_some() {}
        let waited = RefCell::new(0);
        while process.fate(0, stream) == "waits" {
            process.outside.borrow_mut().now_ns += 50 * MS;
            *waited.borrow_mut() += 50;
            process.gates[0].on_tick(1);
            while process.next_posted().is_some() {}
        }
        assert_eq!(process.fate(0, stream), expected, "{on_outage:?}");
        assert!((1_750..=2_000).contains(&*waited.borrow()), "{waited:?}");
    };
    check(OnOutage::Deny, "host_unavailable");
    check(OnOutage::Allow, "forwarded");
    check(OnOutage::AllowUpTo(NonZeroU64::MIN), "forwarded");
}

#[test]
fn with_the_host_away_known_callers_go_on_and_it_is_said_once() {
    let (mut process, key) = process(vec![rate(1_000)]);
    assert_eq!(process.call(0, FIND, &key), "forwarded");
    process.down = true;
    process.run(3 * SECOND);
    process.load(1);
    let unknown = process.catalog.secrets.write([250; 16]).reveal().to_owned();
    for round in 0..20 {
        process.run(SECOND);
        for vm in [0, 1] {
            assert_eq!(process.call(vm, FIND, &key), "forwarded", "{vm} {round}");
            let stream = process.get(vm, FIND, &unknown);
            process.settle_messages();
            assert_eq!(process.fate(vm, stream), "host_unavailable", "at once");
        }
    }
    assert_eq!(process.metric(Metric::HostAway), 1);
    let said = process.outside.borrow().log.iter().filter(|it| it.contains("reached")).count();
    assert_eq!(said, 3, "each life of a VM once");
    // Every VM tries once in one or two seconds, whatever its callers want.
    let tries = process.metric(Metric::SyncsFailed);
    process.run(10 * SECOND);
    let tries = process.metric(Metric::SyncsFailed) - tries;
    assert!((8..=22).contains(&tries), "{tries} tries of 2 VMs in 10 s");
    process.down = false;
    process.run(3 * SECOND);
    assert_eq!(process.call(0, FIND, &unknown), "invalid_key");
    assert_eq!(process.call(1, FIND, &unknown), "invalid_key");
    assert_eq!(process.metric(Metric::HostAway), 0);
}

#[test]
fn past_max_stale_the_rule_for_outages_decides() {
    let check = |on_outage, expected: &str| {
        let mut product = product("basic", vec![]);
        product.on_outage = on_outage;
        let mut process = Process::new(1, catalog(vec![product]));
        let (_, key) = process.subscribe();
        assert_eq!(process.call(0, FIND, &key), "forwarded");
        process.down = true;
        process.run(55 * SECOND);
        assert_eq!(process.call(0, FIND, &key), "forwarded", "60 s in this catalog");
        process.run(10 * SECOND);
        assert_eq!(process.call(0, FIND, &key), expected, "{on_outage:?}");
        process.down = false;
        process.run(3 * SECOND);
        assert_eq!(process.call(0, FIND, &key), "forwarded");
    };
    check(OnOutage::Deny, "host_unavailable");
    check(OnOutage::Allow, "forwarded");
}

#[test]
fn a_gate_that_observes_refuses_nobody_and_says_what_it_would_have_done() {
    let settings = r#"{"mode":"observe"}"#;
    let catalog = catalog(vec![product("basic", vec![rate(1)])]);
    let mut process = Process::with_settings(1, catalog, settings);
    let (_, key) = process.subscribe();
    let wrong = process.catalog.secrets.write([250; 16]).reveal().to_owned();
    for (path, key) in [
        (FIND, key.as_str()),
        (FIND, &key),
        (FIND, ""),
        (FIND, "nonsense"),
        (FIND, &wrong),
        ("/elsewhere", &key),
        ("/a/../b", &key),
    ] {
        assert_eq!(process.call(0, path, key), "forwarded", "{path}");
    }
    process.run(3 * SECOND);
    let mut rows = rows(&process);
    rows.sort();
    insta::assert_snapshot!(rows.join("\n"), @r"
    Billable None 1
    Open Some(BadRequest) 1
    Open Some(InvalidKey) 2
    Open Some(MissingKey) 1
    Open Some(NotFound) 1
    Open Some(RateLimited) 1
    ");
    let slots = process.heard.iter().flat_map(|it| &it.records).flat_map(|it| &it.slots);
    assert_eq!(
        slots.map(|slot| slot.admitted).max(),
        Some(1),
        "what would have been refused is free"
    );
    assert_eq!(process.metric(Metric::WouldRefuse(Reason::RateLimited)), 1);
    assert_eq!(process.metric(Metric::Open), 6);
    // With nobody to ask as well.
    process.down = true;
    let cold = process.catalog.secrets.write([251; 16]).reveal().to_owned();
    assert_eq!(process.call(0, FIND, &cold), "forwarded");
}

#[test]
fn a_damaged_record_is_kept_said_once_and_answers_503() {
    let (mut process, key) = process(vec![rate(100)]);
    let stream = process.get(0, FIND, &key);
    process.settle_messages();
    for bytes in [&b""[..], b"\xff garbage", &[0; 40], &[9; 400]] {
        process.damage_records(bytes);
        for vm in [0, 1, 0] {
            assert_eq!(process.call(vm, FIND, &key), "busy");
        }
    }
    process.end(0, stream, 200);
    process.run(5 * SECOND);
    assert_eq!(process.metric(Metric::Damaged), 1);
    assert_eq!(process.metric(Metric::Lost), 1);
    let said = process.outside.borrow().log.iter().filter(|it| it.contains("cannot be")).count();
    assert_eq!(said, 1, "{:?}", process.outside.borrow().log);
    assert_eq!(process.records(), [&[9; 400][..]], "kept as it is");
    let swept = process.heard.last().unwrap().swept_through_ms;
    process.run(5 * SECOND);
    assert_eq!(process.heard.last().unwrap().swept_through_ms, swept, "not all is known");
}

#[test]
fn a_restored_ledger_is_told_everything_again() {
    let (mut process, key) = process(vec![rate(100)]);
    assert_eq!(process.call(0, FIND, &key), "forwarded");
    process.run(5 * SECOND);
    let swept = process.heard.last().unwrap().swept_through_ms;
    assert!(swept.is_some_and(|ms| ms > START_MS), "{swept:?}");
    let before = process.heard.len();
    process.run(3 * SECOND);
    assert!(process.heard[before..].iter().all(|request| request.records.is_empty()));
    (process.epoch, process.revision) = (2, 1 << 32);
    let before = process.heard.len();
    process.run(5 * SECOND);
    let mut told = false;
    let under_new = process.heard[before..].iter().filter(|request| request.epoch == 2);
    for request in under_new {
        assert!(told || request.swept_through_ms.is_none(), "swept before anything was told");
        told |= !request.records.is_empty();
    }
    let last = process.heard.last().unwrap();
    assert!(told && last.epoch == 2 && last.swept_through_ms > swept, "{last:?}");
}

#[test]
fn a_recall_is_answered_at_once() {
    let (mut process, key) = process(vec![quota(100, Meter::Calls)]);
    assert_eq!(process.call(0, FIND, &key), "forwarded");
    process.run(2 * SECOND);
    process.recall(&key, "quota", 1);
    let before = process.heard.len();
    // The answer to whatever is said next carries it.
    process.call(0, FIND, "tg_0");
    process.run(1_300 * MS);
    let told = &process.heard[before..];
    let reports = told.iter().flat_map(|it| it.records.iter().map(move |record| (it, record)));
    let returned: Vec<bool> = reports
        .filter(|(_, record)| record.leases.iter().any(|lease| lease.returned > 0))
        .map(|(request, _)| request.rows.is_none())
        .collect();
    assert_eq!(returned.first(), Some(&true), "in a POST of its own, without rows");
}

#[test]
fn what_is_metered_late_is_measured_where_a_limit_counts_it() {
    let check = |meter: Meter, header: Option<&str>, used: u64, unreadable: i64| {
        let (mut process, key) = process(vec![quota(10_000, meter)]);
        assert_eq!(process.call(0, "/a/open", ""), "forwarded");
        let stream = process.get(0, FIND, &key);
        process.settle_messages();
        assert_eq!(process.fate(0, stream), "forwarded");
        process.look(0, stream, |stream| {
            let mut put = |name: &str, value: Vec<u8>| {
                stream.properties.insert(name.to_owned(), value);
            };
            put("request.total_size", 100_u64.to_le_bytes().to_vec());
            put("response.total_size", 23_u64.to_le_bytes().to_vec());
            if let Some(value) = header {
                put("response.headers.x-units", value.as_bytes().to_vec());
            }
        });
        process.end(0, stream, 200);
        process.run(2 * SECOND);
        let leases = process.heard.iter().flat_map(|it| &it.records).flat_map(|it| &it.leases);
        assert_eq!(leases.map(|lease| lease.used).max(), Some(used), "{header:?}");
        assert_eq!(process.metric(Metric::Unreadable), unreadable);
    };
    let units = || Meter::Header("x-units".to_owned());
    check(Meter::Bytes, None, 123, 0);
    check(units(), Some("17"), 17, 0);
    check(units(), Some("many"), 0, 1);
    check(units(), None, 0, 1);
    check(Meter::Calls, Some("17"), 1, 0);
}

#[test]
fn limits_are_told_on_every_answer_where_the_catalog_says_so() {
    for told in [false, true] {
        let mut catalog = catalog(vec![product("basic", vec![rate(100)])]);
        catalog.answers.limits_on_every_answer = told;
        let mut process = Process::new(1, catalog);
        let (_, key) = process.subscribe();
        let stream = process.get(0, FIND, &key);
        process.settle_messages();
        let notes = process.look(0, stream, |stream| stream.notes.clone());
        if told {
            assert_eq!(notes["tollgate_ratelimit_policy"], "\"rate\";q=100;w=60");
            assert!(notes["tollgate_ratelimit"].starts_with("\"rate\";r="), "{notes:?}");
        } else {
            assert!(notes.is_empty(), "{notes:?}");
        }
    }
}

/// A root that goes away takes the answers to its calls with it.
#[test]
fn a_question_whose_answer_never_comes_can_be_asked_again() {
    let (mut process, key) = process(vec![]);
    let stream = process.get(0, FIND, &key);
    process.next_posted().unwrap();
    process.run(4 * SECOND);
    assert_eq!(process.fate(0, stream), "busy");
    assert_eq!(process.metric(Metric::HostAway), 0, "other calls are answered");
    assert_eq!(process.call(0, FIND, &key), "forwarded");
}

/// The host looks for units that others hold only where a call waits.
#[test]
fn one_who_waits_is_not_answered_what_was_said_of_running_low() {
    let mut limit = rate(1_000);
    if let Rule::SlidingWindow { scope, .. } = &mut limit.rule {
        *scope = Scope::Fleet;
    }
    let (mut process, key) = process(vec![limit]);
    process.grants = Box::new(|ask| match ask.need {
        0 => (ask.lease.granted, LeaseOutcome::Exhausted { retry_ms: 9_000 }),
        _ => (10, LeaseOutcome::Granted),
    });
    assert_eq!(process.call(0, FIND, &key), "forwarded");
    for number in [240, 241] {
        let cold = process.catalog.secrets.write([number; 16]).reveal().to_owned();
        process.get(0, FIND, &cold);
    }
    for _ in 0..9 {
        let stream = process.get(0, FIND, &key);
        assert_eq!(process.fate(0, stream), "forwarded");
    }
    let stream = process.get(0, FIND, &key);
    assert_eq!(process.fate(0, stream), "waits");
    process.grants = Box::new(|ask| match ask.need {
        0 => (ask.lease.granted, LeaseOutcome::Exhausted { retry_ms: 9_000 }),
        _ => (ask.lease.granted, LeaseOutcome::Wait { retry_ms: 250 }),
    });
    let first = process.next_posted().unwrap();
    process.answer(&first);
    process.settle_messages();
    assert_eq!(process.heard.last().unwrap().leases.len(), 1, "of the lease that ran low and out");
    assert_eq!(process.fate(0, stream), "waits");
}

/// Law 7.
#[test]
fn an_answer_that_cannot_be_read_is_not_quoted_in_the_log() {
    let (mut process, key) = process(vec![]);
    process.get(0, FIND, &key);
    let posted = process.next_posted().unwrap();
    process.answer_with(&posted, (200, br#"{"protocol":"a-secret"}"#.to_vec()));
    let outside = process.outside.borrow();
    assert!(outside.log.iter().any(|line| line.contains("column 22")), "{:?}", outside.log);
    assert!(!outside.log.iter().any(|line| line.contains("a-secret")), "{:?}", outside.log);
}

/// Law 3: what a ledger stored after its backup was made, the restored one is told again.
#[test]
fn a_late_answer_from_before_a_restore_acknowledges_nothing() {
    let (mut process, key) = process(vec![rate(100)]);
    let (other, other_key) = process.subscribe();
    assert_eq!(process.call(0, FIND, &other_key), "forwarded");
    assert_eq!(process.call(1, FIND, &key), "forwarded");
    process.run(5 * SECOND);
    let stream = process.get(0, FIND, &other_key);
    process.end(0, stream, 200);
    process.outside.borrow_mut().now_ns += SECOND;
    process.gates[0].on_tick(1);
    let late = process.next_posted().unwrap();
    assert_eq!(late.request.records.len(), 1);
    (process.epoch, process.revision) = (2, 1 << 32);
    assert_eq!(process.call(1, FIND, &key), "forwarded");
    process.outside.borrow_mut().now_ns += SECOND;
    process.gates[1].on_tick(1);
    process.settle_messages();
    process.gates[0].on_tick(1);
    (process.epoch, process.revision) = (1, 1);
    process.answer(&late);
    (process.epoch, process.revision) = (2, 1 << 32);
    let before = process.heard.len();
    process.run(5 * SECOND);
    let mut told = process.heard[before..].iter().flat_map(|request| &request.records);
    assert!(told.any(|record| record.subscription == other));
}

/// Law 3: a slot whose period is over is dropped when it is stored; where it was stored is lost.
#[test]
fn a_late_answer_from_before_a_restore_drops_no_counters() {
    let (mut process, key) = process(vec![rate(100)]);
    assert_eq!(process.call(0, FIND, &key), "forwarded");
    let stream = process.get(0, FIND, &key);
    process.run(5 * SECOND);
    process.outside.borrow_mut().now_ns += 24 * 3_600 * SECOND;
    process.end(0, stream, 200);
    process.gates[0].on_tick(1);
    let late = process.next_posted().unwrap();
    let old = process.word_to(&late);
    process.heard.clear();
    (process.epoch, process.revision) = (2, 1 << 32);
    process.outside.borrow_mut().now_ns += SECOND;
    assert_eq!(process.call(1, "/a/open", ""), "forwarded");
    process.gates[1].on_tick(1);
    process.settle_messages();
    process.answer_with(&late, old);
    process.run(5 * SECOND);
    let told = process.heard.iter().flat_map(|request| &request.records);
    let told = told.flat_map(|record| &record.slots).map(|slot| (slot.admitted, slot.billable));
    assert_eq!(told.max(), Some((2, 2)));
}

/// Law 1: what a lost ledger granted, the restored one may grant to others.
#[test]
fn a_late_answer_from_before_a_restore_grants_nothing() {
    let (mut process, key) = process(vec![quota(100, Meter::Calls)]);
    assert_eq!(process.call(1, FIND, &key), "forwarded");
    let other = process.get(1, FIND, &key);
    process.run(5 * SECOND);
    let stream = loop {
        let stream = process.get(0, FIND, &key);
        if process.fate(0, stream) == "waits" {
            break stream;
        }
    };
    let asked = process.next_posted().unwrap();
    let old = process.word_to(&asked);
    (process.epoch, process.revision) = (2, 1 << 32);
    process.outside.borrow_mut().now_ns += SECOND;
    process.end(1, other, 200);
    process.gates[1].on_tick(1);
    process.settle_messages();
    process.grants =
        Box::new(|ask| (ask.lease.granted, LeaseOutcome::Exhausted { retry_ms: 1_000 }));
    process.answer_with(&asked, old);
    process.run(SECOND);
    assert_eq!(process.fate(0, stream), "quota_exceeded");
}

#[test]
fn gauges_show_what_is_now() {
    let (mut process, key) = process(vec![]);
    let stream = process.get(0, FIND, &key);
    process.gates[0].on_tick(1);
    assert_eq!(process.metric(Metric::Waiting), 1);
    process.settle_messages();
    assert_eq!(process.fate(0, stream), "forwarded");
    process.run(SECOND);
    assert_eq!(process.metric(Metric::Waiting), 0);
    assert_eq!(process.metric(Metric::HostHeardSeconds), 0);
    assert_eq!(process.metric(Metric::Admitted), 1);
}
