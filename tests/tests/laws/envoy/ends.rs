//! What is one call, and which calls are billed: what only a real Envoy can tell.

use hyper::StatusCode;
use tollgate_tests::client::{From, Reply};
use tollgate_tests::sample_api::Answer;

use super::leaver::{Leaver, Way};
use super::log::{self, Logged};
use super::site::{SAID_WITHIN, Setup, Site, Subscriber, Used, send};
use super::upstream::{BROKEN, FLAKY, HALF, HALF_AN_ANSWER, MOVED, SILENT, THERE, Upstream};
use super::{OK, answered, refused};

const CATALOG: &str = include_str!("ends.yaml");

/// A gateway before the API that behaves badly, with some of what operators add to a route.
fn start(upstream: &Upstream) -> Site {
    Site::start_as(&Setup {
        catalog: CATALOG,
        upstream: Some(upstream.address),
        edit: &|configuration, directory| with_routes(&log::added(&configuration, directory)),
        ..Setup::default()
    })
}

fn with_routes(configuration: &str) -> String {
    let routes = "                        - match: { prefix: /weather/retried/ }
                          route:
                            cluster: api
                            retry_policy: { retry_on: 5xx, num_retries: 2 }
                        - match: { prefix: /weather/moved }
                          route: { cluster: api, internal_redirect_policy: {} }
                        - match: { prefix: /weather/closed }
                          route: { cluster: closed }
                        - match: { prefix: /weather/nowhere }
                          route: { cluster: nowhere }
";
    // Nobody listens on port 1, and `nowhere` has no address at all.
    let clusters = "    - name: closed
      load_assignment:
        cluster_name: closed
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 1 } } }
    - name: nowhere
";
    let configuration = log::after(configuration, "                      routes:\n", routes);
    log::after(&configuration, "  clusters:\n", clusters)
}

fn status(code: u16) -> Answer {
    Answer::Status(StatusCode::from_u16(code).unwrap())
}

/// One call, and its status.
fn call(site: &Site, of: &Subscriber, path: &str) -> Reply {
    send(&[site.call(of, path, OK)]).remove(0)
}

#[test]
fn retries_are_one_call_and_its_last_answer_counts() {
    let upstream = Upstream::start();
    let mut site = start(&upstream);
    let owner = site.subscribe("plain");
    assert_eq!(call(&site, &owner, FLAKY).status, 200);
    assert_eq!(upstream.asked(FLAKY), 3);
    let expected = Used { admitted: 1, billable: 1, ..Used::default() };
    assert_eq!(site.used(&owner, expected), expected);
    assert_eq!(call(&site, &owner, BROKEN).status, 503);
    assert_eq!(upstream.asked(BROKEN), 3);
    let expected = Used { admitted: 2, billable: 1, waived: 1, ..Used::default() };
    assert_eq!(site.used(&owner, expected), expected);
}

#[test]
fn each_pass_of_an_internal_redirect_is_a_call() {
    let upstream = Upstream::start();
    let mut site = start(&upstream);
    let owner = site.subscribe("plain");
    // The key is removed on the way to the API, and so is missing when Envoy begins again.
    assert_eq!(refused(&[call(&site, &owner, MOVED)], 401, "missing_key"), 1);
    assert_eq!((upstream.asked(MOVED), upstream.asked(THERE)), (1, 0));
    let expected = Used { admitted: 1, billable: 1, ..Used::default() };
    assert_eq!(site.used(&owner, expected), expected);

    let mut site = Site::start_as(&Setup {
        catalog: CATALOG,
        upstream: Some(upstream.address),
        edit: &|configuration, _| with_routes(&with_the_key_left(&configuration)),
        ..Setup::default()
    });
    let owner = site.subscribe("plain");
    assert_eq!(call(&site, &owner, MOVED).status, 200);
    assert_eq!((upstream.asked(MOVED), upstream.asked(THERE)), (2, 1));
    let expected = Used { admitted: 2, billable: 2, ..Used::default() };
    assert_eq!(site.used(&owner, expected), expected);
    // The second pass is refused, and the caller told so.
    let poor = site.subscribe("one-call");
    assert_eq!(refused(&[call(&site, &poor, MOVED)], 403, "quota_exceeded"), 1);
    assert_eq!((upstream.asked(MOVED), upstream.asked(THERE)), (3, 1));
    let expected = Used { admitted: 1, billable: 1, refused: 1, ..Used::default() };
    assert_eq!(site.used(&poor, expected), expected);
}

fn with_the_key_left(configuration: &str) -> String {
    let removed = "                        - \"x-api-key\"\n";
    assert_eq!(configuration.matches(removed).count(), 1);
    configuration.replace(removed, "")
}

#[test]
fn who_leaves_before_the_end_is_billed_as_the_product_says() {
    let upstream = Upstream::start();
    let mut site = start(&upstream);
    let (plain, complete) = (site.subscribe("plain"), site.subscribe("complete"));
    let listener = site.envoy.listener();
    for owner in [&plain, &complete] {
        for way in [Way::Closes, Way::Resets] {
            let asked = upstream.asked(SILENT);
            let leaver = Leaver::call(listener, way, SILENT, &owner.key);
            let arrived = || (upstream.asked(SILENT) > asked).then_some(());
            let process = site.envoy.process();
            process.wait_until("forward the call", SAID_WITHIN, arrived).unwrap();
            leaver.leave();
            let mut leaver = Leaver::call(listener, way, HALF, &owner.key);
            leaver.read(HALF_AN_ANSWER);
            leaver.leave();
        }
        assert_eq!(call(&site, owner, THERE).status, 200);
    }
    let expected = Used { admitted: 5, billable: 5, ..Used::default() };
    assert_eq!(site.used(&plain, expected), expected);
    let expected = Used { admitted: 5, billable: 1, waived: 4, ..Used::default() };
    assert_eq!(site.used(&complete, expected), expected);

    let count = |path: &str, status: u16, flags: &str, log: &[Logged]| {
        log.iter()
            .filter(|it| (it.path.as_str(), it.status, it.flags.as_str()) == (path, status, flags))
            .count()
    };
    // The same in Envoy's own words: the caller's connection, or the caller's stream, has ended.
    let log = log::read(&mut site);
    for flags in ["DC", "DR"] {
        assert_eq!(count(SILENT, 0, flags, &log), 2, "{log:?}");
        assert_eq!(count(HALF, 200, flags, &log), 2, "{log:?}");
    }
    assert_eq!(count(THERE, 200, "-", &log), 2, "{log:?}");
}

#[test]
fn what_never_reached_the_api_is_billed_only_where_a_product_says_so() {
    let mut site = start(&Upstream::start());
    for path in ["/weather/closed", "/weather/nowhere"] {
        for (product, billable) in [("plain", 0), ("reached", 0), ("tried", 1)] {
            let owner = site.subscribe(product);
            let reply = call(&site, &owner, path);
            assert_eq!(reply, Reply { status: 503, from: From::Envoy }, "{path}");
            let expected = Used { admitted: 1, billable, waived: 1 - billable, ..Used::default() };
            assert_eq!(site.used(&owner, expected), expected, "{product} {path}");
        }
    }
    let owner = site.subscribe("reached");
    assert_eq!(call(&site, &owner, BROKEN).status, 503);
    let expected = Used { admitted: 1, billable: 1, ..Used::default() };
    assert_eq!(site.used(&owner, expected), expected);
}

#[test]
fn a_status_that_is_not_billed_gives_the_quota_back() {
    let mut site = Site::start_as(&Setup { catalog: CATALOG, ..Setup::default() });
    let owner = site.subscribe("found");
    let one_by_one = |answer: Answer, calls: usize| -> Vec<Reply> {
        (0..calls).map(|_| send(&[site.call(&owner, "/weather", answer)]).remove(0)).collect()
    };
    assert_eq!(answered(&one_by_one(status(404), 20), 404), 20);
    let replies = one_by_one(OK, 7);
    assert_eq!((answered(&replies, 200), refused(&replies, 403, "quota_exceeded")), (5, 2));
    let expected = Used { admitted: 25, billable: 5, waived: 20, refused: 2, ..Used::default() };
    assert_eq!(site.used(&owner, expected), expected);
}
