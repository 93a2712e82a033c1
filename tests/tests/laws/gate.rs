//! The gate: who passes, who does not, and what they are told.

use std::time::Duration;

use tollgate_host::core::catalog::LoadCatalog;
use tollgate_host::core::keys::RevokeKey;
use tollgate_host::core::subscriptions::{
    CancelSubscription, ResumeSubscription, SuspendSubscription,
};

use crate::wasm::{End, Progress, Request};
use crate::world::{At, CATALOG, Called, Network, SETTLE, World};

const SECOND: Duration = Duration::from_secs(1);
/// The longest wait for an unknown key: two seconds, and the tick that ends them.
const HELD_BACK: Duration = Duration::from_millis(2_300);

#[track_caller]
fn assert_refused(called: &Called, status: u32, reason: &str) {
    assert_eq!((called.status, called.reason().as_str()), (status, reason), "{called:?}");
    assert_eq!(called.field("statusCode"), status.to_string(), "what clients of APIM read");
    let reply = called.reply.as_ref().expect("refused by the gate");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
}

#[test]
fn a_key_is_found_in_the_header_then_in_the_query() {
    let (mut world, owner) = World::subscribed("plain");
    let wrong = "tg_00000000000000000000000000000000ffffffff";
    let in_query = |key: &str| Request::get(format!("/weather?x=1&api-key={key}&y"));
    assert_eq!(world.call(0, owner.get("/weather")).status, 200);
    assert_eq!(world.call(0, in_query(&owner.key)).status, 200);
    let both = in_query(wrong).header("x-api-key", &owner.key);
    assert_eq!(world.call(0, both).status, 200, "the header wins");
    let both = in_query(&owner.key).header("x-api-key", wrong);
    assert_refused(&world.call(0, both), 401, "invalid_key");
    world.check_books();
}

#[test]
fn who_does_not_pass_is_told_why() {
    let (mut world, owner) = World::subscribed("plain");
    let other = world.subscribe("only-weather");
    let mut check = |request: Request, status: u32, reason: &str, message: &str| {
        for vm in [0, 1] {
            let called = world.call(vm, request.clone());
            assert_refused(&called, status, reason);
            assert_eq!(called.field("message"), message);
        }
    };
    let missing = "Access denied due to missing subscription key. Make sure to include \
                   subscription key when making requests to an API.";
    let invalid = "Access denied due to invalid subscription key. Make sure to provide a valid \
                   key for an active subscription.";
    let with_key = |key: &str| Request::get("/weather").header("x-api-key", key);
    check(Request::get("/weather"), 401, "missing_key", missing);
    check(with_key("nonsense"), 401, "invalid_key", invalid);
    check(with_key(&format!("tg_{}", "0".repeat(40))), 401, "invalid_key", invalid);
    check(other.get("/address/find/7"), 401, "api_not_in_product", invalid);
    let nowhere = "Resource not found";
    check(owner.get("/elsewhere"), 404, "not_found", nowhere);
    check(owner.get("/address/find/7/8"), 404, "not_found", nowhere);
    check(owner.get("/weathers"), 404, "not_found", nowhere);
    let post = Request::new("POST", "/address/find/7").header("x-api-key", &owner.key);
    check(post, 404, "not_found", nowhere);
    let host = owner.get("/address/find/7").without(":authority");
    check(host.header(":authority", "other.example.com"), 404, "not_found", nowhere);
    world.check_books();
}

#[test]
fn operations_match_by_method_and_template() {
    let (mut world, owner) = World::subscribed("plain");
    for path in ["/address/find/7", "/address/find/%20", "/weather", "/weather/a/b?c=d"] {
        assert_eq!(world.call(0, owner.get(path)).status, 200, "{path}");
    }
    let post = Request::new("POST", "/address/validate").header("x-api-key", &owner.key);
    assert_eq!(world.call(1, post).status, 200);
    world.check_books();
}

#[test]
fn open_operations_and_preflights_pass_without_a_key_and_bill_nothing() {
    let mut world = World::running(CATALOG);
    let preflight = Request::new("OPTIONS", "/address/find/7")
        .header("origin", "https://example.org")
        .header("access-control-request-method", "GET");
    assert_eq!(world.call(0, preflight).status, 200);
    assert_eq!(world.call(1, Request::get("/address/health")).status, 200);
    let half = Request::new("OPTIONS", "/weather").header("origin", "https://example.org");
    assert_refused(&world.call(0, half), 401, "missing_key");
    world.check_books();
    let report = world.ask(tollgate_host::core::usage::ReadUsage { subscription: None });
    assert_eq!(report.unidentified.open_operations, 2);
}

#[test]
fn a_key_one_vm_has_asked_for_is_known_to_the_other() {
    let (mut world, owner) = World::subscribed("plain");
    assert_eq!(world.call(0, owner.get("/weather")).status, 200);
    let asked = world.messages.len();
    world.network = Network::Down;
    assert_eq!(world.call(1, owner.get("/weather")).status, 200);
    assert_eq!(world.messages.len(), asked, "nobody was asked");
    world.network = Network::Up;
    world.check_books();
}

#[test]
fn requests_with_one_unknown_key_ask_once() {
    let (mut world, owner) = World::subscribed("plain");
    let before = world.messages.len();
    world.network = Network::Silent;
    let waiting: Vec<_> = (0..5).map(|_| world.open(0, owner.get("/weather"))).collect();
    world.run(Duration::ZERO);
    let asks = world.messages[before..].iter();
    assert_eq!(asks.filter(|message| !message.request.keys.is_empty()).count(), 1);
    // Nobody answers: each of them is told to come back, within two waits.
    world.run(5 * SECOND);
    for stream in waiting {
        let Progress::Answered(reply) = world.progress(stream) else {
            panic!("held back for more than 5 s");
        };
        assert_eq!(reply.status, 503);
        assert!(reply.header("retry-after").is_some());
    }
    world.network = Network::Up;
    world.check_books();
}

#[test]
fn a_caller_who_leaves_while_held_back_is_not_charged() {
    let (mut world, owner) = World::subscribed("hundred");
    world.network = Network::Silent;
    let stream = world.open(0, owner.get("/weather"));
    assert_eq!(world.progress(stream), Progress::Paused);
    world.end(stream, End::Aborted);
    world.network = Network::Up;
    world.check_books();
    assert_eq!(world.call(0, owner.get("/weather")).status, 200);
    world.check_books();
}

#[test]
fn a_window_lets_through_its_calls_and_not_one_more_over_both_vms() {
    let (mut world, owner) = World::subscribed("window");
    for call in 0..10 {
        assert_eq!(world.call(call % 2, owner.get("/weather")).status, 200, "call {call}");
    }
    let refused = world.call(0, owner.get("/weather"));
    assert_refused(&refused, 429, "rate_limited");
    assert_eq!(refused.field("limit"), "per-minute");
    let wait = refused.retry_after().expect("a time to come back");
    let message = format!("Rate limit is exceeded. Try again in {wait} seconds.");
    assert_eq!(refused.field("message"), message);
    assert!((1..=61).contains(&wait), "{wait} s");
    assert_refused(&world.call(1, owner.get("/weather")), 429, "rate_limited");
    // Refused calls have used nothing up: after the time told, there is room again.
    world.run(SECOND * u32::try_from(wait).unwrap());
    assert_eq!(world.call(1, owner.get("/weather")).status, 200);
    world.check_books();
}

#[test]
fn no_window_of_its_length_holds_more_than_a_rate() {
    let (mut world, owner) = World::subscribed("window");
    let mut admitted = Vec::new();
    for call in 0..400 {
        if world.call(call % 2, owner.get("/weather")).status == 200 {
            admitted.push(world.now());
        }
        world.run(Duration::from_millis(750));
    }
    for from in &admitted {
        let inside = admitted.iter().filter(|at| (*from..*from + 60 * SECOND).contains(at));
        assert!(inside.count() <= 10, "from {from:?}");
    }
    assert!(admitted.len() >= 45, "{} of at most 50 in five minutes", admitted.len());
    world.check_books();
}

#[test]
fn a_bucket_lets_through_its_burst_then_its_rate_over_both_vms() {
    let (mut world, owner) = World::subscribed("bucket");
    for call in 0..5 {
        assert_eq!(world.call(call % 2, owner.get("/weather")).status, 200, "call {call}");
    }
    let refused = world.call(1, owner.get("/weather"));
    assert_refused(&refused, 429, "rate_limited");
    assert_eq!(refused.retry_after(), Some(2));
    let mut admitted = 0;
    for call in 0..40 {
        world.run(SECOND / 2);
        admitted += u32::from(world.call(call % 2, owner.get("/weather")).status == 200);
    }
    assert_eq!(admitted, 10, "one every 2 s, for 20 s");
    world.check_books();
}

#[test]
fn a_quota_admits_exactly_its_calls_over_both_vms() {
    let (mut world, owner) = World::subscribed("hundred");
    for call in 0..100 {
        let called = world.call(call % 2, owner.get("/weather"));
        assert_eq!(called.status, 200, "call {call}: {called:?}");
    }
    for vm in [0, 1] {
        let refused = world.call(vm, owner.get("/weather"));
        assert_refused(&refused, 403, "quota_exceeded");
        assert_eq!(refused.field("limit"), "monthly");
        let wait = refused.retry_after().expect("a time to come back");
        assert!(wait > 29 * 24 * 3600, "{wait} s");
    }
    world.check_books();
}

/// A state names forty periods; a quota's may be shorter than that, and the billing period longer.
#[test]
fn a_quota_of_minutes_goes_on_for_longer_than_is_told_at_once() {
    let (mut world, owner) = World::subscribed("five-a-minute");
    for _ in 0..3 {
        world.run_to_next_minute();
        for call in 0..5 {
            let called = world.call(call % 2, owner.get("/weather"));
            assert_eq!(called.status, 200, "call {call}: {called:?}");
        }
        assert_refused(&world.call(0, owner.get("/weather")), 403, "quota_exceeded");
        world.run(Duration::from_mins(45));
    }
    world.check_books();
}

/// Its product may be gone as well: that is no reason to wait for news of it.
#[test]
fn a_cancelled_caller_is_refused_at_once_even_without_a_product() {
    let (mut world, owner) = World::subscribed("hundred");
    assert_eq!(world.call(0, owner.get("/weather")).status, 200);
    world.ask(CancelSubscription(owner.id));
    let without: String =
        CATALOG.split_inclusive("  - ").filter(|part| !part.starts_with("id: hundred")).collect();
    world.ask(LoadCatalog { text: without });
    world.run(SETTLE);
    let refused = world.call(0, owner.get("/weather"));
    assert_refused(&refused, 401, "subscription_inactive");
    assert_eq!(refused.waited, Duration::ZERO);
    world.check_books();
}

#[test]
fn waived_calls_give_their_quota_back() {
    let (mut world, owner) = World::subscribed("hundred");
    for call in 0..60 {
        let end = if call % 2 == 0 { End::Status(502) } else { End::NoUpstream(503) };
        world.call_ending(call % 2, owner.get("/weather"), end);
    }
    for call in 0..100 {
        let called = world.call(call % 2, owner.get("/weather"));
        assert_eq!(called.status, 200, "call {call}: {called:?}");
    }
    assert_refused(&world.call(0, owner.get("/weather")), 403, "quota_exceeded");
    world.check_books();
}

#[test]
fn a_quota_holds_over_two_processes_and_none_of_it_is_out_of_reach() {
    let (mut world, owner) = World::subscribed("hundred");
    world.start();
    world.run(SETTLE);
    let mut admitted = 0;
    for call in 0..400 {
        let called = world.call(At(call / 2 % 2, call % 2), owner.get("/weather"));
        admitted += u32::from(called.status == 200);
        world.run(SECOND / 10);
    }
    assert_eq!(admitted, 100);
    world.check_books();
}

#[test]
fn a_call_refused_by_one_limit_uses_nothing_of_another() {
    let (mut world, owner) = World::subscribed("both");
    let mut statuses = Vec::new();
    for minute in 0..3 {
        for call in 0..12 {
            statuses.push((minute, world.call(call % 2, owner.get("/weather")).status));
        }
        world.run(Duration::from_secs(62));
    }
    let count = |minute, status| statuses.iter().filter(|it| **it == (minute, status)).count();
    assert_eq!([count(0, 200), count(0, 429)], [10, 2]);
    assert_eq!([count(1, 200), count(1, 403)], [5, 7], "the quota has 15");
    assert_eq!([count(2, 200), count(2, 403)], [0, 12]);
    world.check_books();
}

#[test]
fn changes_reach_both_vms_within_two_seconds() {
    let (mut world, owner) = World::subscribed("plain");
    let check = |what: &str, world: &mut World, expected: Result<(), &str>| {
        world.run(2 * SECOND);
        for vm in [0, 1] {
            let called = world.call(vm, owner.get("/weather"));
            match expected {
                Ok(()) => assert_eq!(called.status, 200, "{what}"),
                Err(reason) => assert_refused(&called, 401, reason),
            }
        }
    };
    check("new", &mut world, Ok(()));
    world.ask(SuspendSubscription(owner.id));
    check("suspended", &mut world, Err("subscription_inactive"));
    world.ask(ResumeSubscription(owner.id));
    check("resumed", &mut world, Ok(()));
    world.ask(RevokeKey(owner.key_id));
    check("revoked", &mut world, Err("invalid_key"));
    world.check_books();
}

#[test]
fn a_cancelled_subscription_stays_cancelled() {
    let (mut world, owner) = World::subscribed("plain");
    assert_eq!(world.call(0, owner.get("/weather")).status, 200);
    world.ask(CancelSubscription(owner.id));
    for _ in 0..5 {
        world.run(2 * SECOND);
        for vm in [0, 1] {
            assert_refused(&world.call(vm, owner.get("/weather")), 401, "subscription_inactive");
        }
    }
    world.check_books();
}

#[test]
fn a_host_away_at_start_is_said_and_recovered_from() {
    let mut world = World::new(CATALOG);
    let owner = world.subscribe("plain");
    for away in [Network::Down, Network::Silent, Network::Impostor("ok")] {
        world.network = away;
        let process = world.start();
        for vm in [0, 1] {
            world.run(SECOND);
            let called = world.call(At(process, vm), owner.get("/weather"));
            assert_refused(&called, 503, "host_unavailable");
            assert!(called.retry_after().is_some(), "{away:?}");
            assert!(called.waited <= HELD_BACK, "{away:?}: {:?}", called.waited);
        }
        world.network = Network::Up;
        world.run(3 * SECOND);
        for vm in [0, 1] {
            let called = world.call(At(process, vm), owner.get("/weather"));
            assert_eq!(called.status, 200, "after {away:?}");
        }
    }
    world.check_books();
}

#[test]
fn known_keys_go_on_under_their_lease_with_the_host_away() {
    let (mut world, owner) = World::subscribed("hundred");
    assert_eq!(world.call(0, owner.get("/weather")).status, 200);
    // Its low water is asked for while the host is there.
    world.run(SETTLE);
    world.network = Network::Down;
    let mut admitted = 1;
    for call in 0..120 {
        let called = world.call(call % 2, owner.get("/weather"));
        match called.status {
            200 => admitted += 1,
            _ => assert_refused(&called, 503, "host_unavailable"),
        }
    }
    assert!(admitted >= 10, "the first lease is a tenth: {admitted}");
    assert!(admitted <= 100, "{admitted}");
    world.network = Network::Up;
    world.run(3 * SECOND);
    for call in admitted..100 {
        assert_eq!(world.call(call % 2, owner.get("/weather")).status, 200, "call {call}");
    }
    assert_refused(&world.call(0, owner.get("/weather")), 403, "quota_exceeded");
    world.check_books();
}

#[test]
fn a_canary_changes_nothing() {
    let mut world = World::new(CATALOG);
    let process = world.start();
    assert!(world.process(process).untouched(), "started, but nothing has ticked");
}

#[test]
fn calls_under_way_count_against_a_quota() {
    let (mut world, owner) = World::subscribed("hundred");
    let streams: Vec<_> =
        (0..150).map(|call| world.open(call % 2, owner.get("/weather"))).collect();
    world.run(5 * SECOND);
    let going = |world: &mut World, it| world.progress(it) == Progress::Forwarded;
    let (let_through, refused): (Vec<_>, Vec<_>) =
        streams.into_iter().partition(|stream| going(&mut world, *stream));
    assert_eq!((let_through.len(), refused.len()), (100, 50));
    for stream in refused {
        assert!(matches!(world.progress(stream), Progress::Answered(it) if it.status == 403));
    }
    for (call, stream) in let_through.into_iter().enumerate() {
        let end = if call < 40 { End::Status(500) } else { End::Status(200) };
        world.end(stream, end);
    }
    for call in 0..40 {
        assert_eq!(world.call(call % 2, owner.get("/weather")).status, 200, "call {call}");
    }
    assert_refused(&world.call(0, owner.get("/weather")), 403, "quota_exceeded");
    world.check_books();
}
