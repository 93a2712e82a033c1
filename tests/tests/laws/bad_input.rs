//! Whatever callers send is answered in the ordinary way, and nothing traps: a trap that no test
//! asked for fails any test here.

use proptest::prelude::*;

use crate::wasm::{End, Request};
use crate::world::{CATALOG, World};

#[test]
fn absurd_requests_get_an_ordinary_4xx() {
    let mut world = World::running(CATALOG);
    let owner = world.subscribe("plain");
    let mut check = |what: &str, request: Request| {
        for vm in [0, 1] {
            let called = world.call(vm, request.clone());
            assert!((400..500).contains(&called.status), "{what}: {called:?}");
            assert!(!called.reason().is_empty(), "{what}");
        }
    };
    let key = |value: &[u8]| Request::get("/weather").header("x-api-key", value);
    check("an empty key", key(b""));
    check("a key of 64 KB", key(&vec![b'k'; 65_536]));
    check("a key that is not UTF-8", key(b"\xff\xfe\x00"));
    check(
        "a key of 64 KB in the query",
        Request::get(format!("/weather?api-key={}", "k".repeat(65_536))),
    );
    check("an empty key in the query", Request::get("/weather?api-key="));

    let path = |path: &[u8]| Request::get(path).header("x-api-key", &owner.key);
    check("no slash", path(b"weather"));
    check("no path", path(b""));
    check("a star", path(b"*"));
    check("64 KB of path", path(&vec![b'/'; 65_536]));
    check("64 KB in one segment", path(&[b"/".as_slice(), "a".repeat(65_536).as_bytes()].concat()));
    check("percent garbage", path(b"/%zz%/%f%"));
    check("not UTF-8", path(b"/\xc3\x28"));
    check("zero bytes", path(b"/\0\0"));
    check("dot segments", path(b"/weather/../address/find/7"));
    check("encoded dot segments", path(b"/weather/%2e%2E/address"));
    check("doubled slashes", path(b"//weather"));
    check("an encoded slash", path(b"/weather%2fx"));
    check("a backslash", path(b"/weather\\..\\x"));

    check("no headers at all", Request { headers: Vec::new() });
    check("no path header", path(b"/weather").without(":path"));
    check("no key", Request::get("/weather").header("\u{fffd}", b"\xff"));
    world.check_books();
}

#[test]
fn what_envoy_refuses_by_itself_is_not_billed() {
    let mut world = World::running(CATALOG);
    let owner = world.subscribe("plain");
    assert_eq!(world.call(0, owner.get("/weather")).status, 200);
    world.process(0).vm(0).request_refused_by_envoy(owner.get("/weather"), 400);
    world.check_books();
}

#[test]
fn headers_that_are_not_utf8_change_nothing_for_a_good_key() {
    let mut world = World::running(CATALOG);
    let owner = world.subscribe("plain");
    let request = owner
        .get("/weather/\u{fe0f}?\u{0}=%ff")
        .header(b"x-\xff", b"\xff\xfe\xfd")
        .header(b"", b"")
        .header("cookie", "c".repeat(30_000));
    assert_eq!(world.call(0, request).status, 200);
    world.check_books();
}

#[test]
fn two_keys_are_one_if_they_are_the_same_and_else_none() {
    let mut world = World::running(CATALOG);
    let owner = world.subscribe("plain");
    let mut check = |request: Request, status: u32, reason: &str| {
        let called = world.call(0, request);
        assert_eq!((called.status, called.reason().as_str()), (status, reason), "{called:?}");
    };
    let twice = |other: &str| owner.get("/weather").header("x-api-key", other);
    check(twice(&owner.key), 200, "");
    check(twice(""), 200, "");
    check(twice("other"), 400, "bad_request");
    check(twice(&owner.key.to_uppercase()), 400, "bad_request");
    let query = |parts: &str| Request::get(format!("/weather?{parts}"));
    check(query(&format!("api-key={0}&api-key={0}", owner.key)), 200, "");
    check(query(&format!("api-key={}&api-key=other", owner.key)), 400, "bad_request");
    world.check_books();
}

/// Matching is on one reading of the path: another spelling is refused, or is the same operation.
#[test]
fn no_spelling_of_a_path_goes_round_its_operation() {
    let mut world = World::running(CATALOG);
    let owner = world.subscribe("plain");
    let mut check = |method: &str, path: &str, status: u32| {
        let called = world.call(0, Request::new(method, path).header("x-api-key", &owner.key));
        assert_eq!(called.status, status, "{method} {path}: {called:?}");
    };
    check("GET", "/weather/x", 200);
    check("HEAD", "/weather/x", 200);
    check("GET", "/weather;v=1/x", 200);
    check("GET", "/weather/", 200);
    check("GET", "/Weather", 404);
    check("GET", "/weather/%2e%2e/address/find/7", 400);
    check("GET", "/weather/..;/address/find/7", 400);
    check("GET", "/weather//x", 400);
    check("GET", "/weather/%c0%ae%c0%ae/x", 400);
    check("GET", "/weather#/x", 400);
    check("GET", "http://api.example.com/weather", 400);
    check("GET", "/address/health;v=1", 400);
    check("GET", "/address/health%3bv=1", 404);
    check("GET", "/address/find/7;v=1", 200);
    check("get", "/address/find/7", 404);
    world.check_books();
}

#[test]
fn no_request_traps() {
    let bytes = |most: usize| proptest::collection::vec(any::<u8>(), 0..most);
    let headers = proptest::collection::vec((bytes(20), bytes(200)), 0..20);
    let strategy = (headers, bytes(300), any::<bool>());
    // One world for all: starting it costs more than a thousand requests.
    let world = std::cell::RefCell::new(World::running(CATALOG));
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(&strategy, |(headers, path, keyed)| {
            let mut world = world.borrow_mut();
            let mut request = Request::get(path);
            if keyed {
                request =
                    request.header("x-api-key", headers.first().map_or(vec![], |it| it.1.clone()));
            }
            request.headers.extend(headers);
            let called = world.call_ending(0, request, End::Status(200));
            prop_assert!((400..500).contains(&called.status), "{called:?}");
            Ok(())
        })
        .unwrap();
    world.into_inner().check_books();
}

#[test]
fn answers_that_make_no_sense_change_nothing() {
    let mut world = World::running(CATALOG);
    let owner = world.subscribe("plain");
    assert_eq!(world.call(0, owner.get("/weather")).status, 200);
    for body in [
        "",
        "null",
        "[]",
        "{",
        "\u{0}",
        "1e999",
        r#"{"protocol":1}"#,
        r#"{"protocol":65535}"#,
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    ] {
        world.network = crate::world::Network::Impostor(body);
        world.run(std::time::Duration::from_secs(2));
        assert_eq!(world.call(1, owner.get("/weather")).status, 200, "{body:?}");
    }
    world.network = crate::world::Network::Up;
    world.check_books();
}
