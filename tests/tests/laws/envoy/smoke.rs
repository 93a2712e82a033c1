//! What only a real Envoy can show of the gate's smaller promises, each once.

use hyper::Response;
use tollgate_tests::sample_api::{BYTES, KEEP, SIGNATURE, UNITS};

use super::site::{Setup, Site, Subscriber};

const CATALOG: &str = include_str!("smoke.yaml");
/// More than any of these quotas lets pass, with calls that were not counted yet when the next came.
const ENOUGH: usize = 30;

fn start(more: &[&str]) -> Site {
    Site::start_as(&Setup { catalog: CATALOG, words: more, ..Setup::default() })
}

/// Answers of the API; the gate's own have no signature.
fn is_by_api(response: &Response<String>) -> bool {
    response.status() == 200 && response.headers().contains_key(SIGNATURE)
}

/// One after the other: how many passed before the first refusal, and that nothing passes later.
fn passed(site: &Site, of: &Subscriber, header: (&str, &str)) -> usize {
    let fetch = || site.fetch("/weather", &[("x-api-key", &of.key), header]);
    let answers: Vec<Response<String>> = (0..ENOUGH).map(|_| fetch()).collect();
    let passed = answers.iter().take_while(|it| is_by_api(it)).count();
    for refused in &answers[passed..] {
        assert_eq!(refused.status(), 403, "{refused:?}");
        assert!(refused.body().contains(r#""reason":"quota_exceeded""#), "{refused:?}");
    }
    passed
}

#[test]
fn keys_do_not_travel_to_the_api_limits_are_told_and_metrics_counted() {
    let site = start(&[]);
    let owner = site.subscribe("limited");
    let key = owner.key.as_str();

    let both = format!("/weather/find?city=Paris&api-key={key}&days=3");
    let answers = [
        site.fetch(&both, &[(KEEP, "1")]),
        site.fetch("/weather/find?city=Paris", &[("X-API-Key", key), (KEEP, "1")]),
        site.fetch(&both, &[("x-api-key", key), (KEEP, "1")]),
    ];
    let kept = site.api.kept();
    let paths: Vec<String> = kept.iter().map(|it| it.uri.to_string()).collect();
    let without = "/weather/find?city=Paris&days=3";
    assert_eq!(paths, [without, "/weather/find?city=Paris", without]);
    for kept in &kept {
        let seen = format!("{kept:?}");
        assert!(!seen.contains(key), "{seen}");
    }

    for answer in answers {
        assert!(is_by_api(&answer), "{answer:?}");
        let header = |name: &str| answer.headers().get(name).and_then(|it| it.to_str().ok());
        let policy = header("ratelimit-policy").unwrap_or_else(|| panic!("{answer:?}"));
        assert!(policy.contains(r#""per-minute";q=1000;w=60"#), "{policy}");
        let standing = header("ratelimit").unwrap_or_else(|| panic!("{answer:?}"));
        assert!(standing.contains(r#""per-minute";r=99"#), "{standing}");
    }

    let refused = site.fetch("/weather", &[]);
    assert_eq!(refused.status(), 401);
    let metrics = site.envoy.metrics();
    let shows = |name: &str| metrics.get(name).copied().unwrap_or_else(|| panic!("{metrics:?}"));
    assert_eq!(shows("tollgate_calls_admitted"), 3);
    assert_eq!(shows("tollgate_calls_refused_missing_key"), 1);
    assert!(shows("tollgate_syncs_ok") > 0);
}

#[test]
fn quotas_of_bytes_and_of_units_the_api_tells_block_once_they_are_used() {
    let site = start(&[]);
    // 8,000 and some bytes a call: the fourth makes it 30,000.
    let by_bytes = passed(&site, &site.subscribe("by-bytes"), (BYTES, "8000"));
    assert!((4..=6).contains(&by_bytes), "{by_bytes} calls of 8,000 bytes in a quota of 30,000");
    // The third makes it 100. One may slip through while the last is not counted yet.
    let by_units = passed(&site, &site.subscribe("by-units"), (UNITS, "40"));
    assert!((3..=5).contains(&by_units), "{by_units} calls of 40 units in a quota of 100");
}

#[test]
fn a_gateway_that_only_observes_refuses_nothing() {
    let site = start(&["--observe"]);
    let owner = site.subscribe("one-call");
    let check = |what: &str, path: &str, headers: &[(&str, &str)]| {
        let answer = site.fetch(path, headers);
        assert!(is_by_api(&answer), "{what}: {answer:?}");
    };
    check("admitted", "/weather", &[("x-api-key", &owner.key)]);
    check("over its quota", "/weather", &[("x-api-key", &owner.key)]);
    check("without a key", "/weather", &[]);
    check("nobody's key", "/weather", &[("x-api-key", "nonsense")]);
    check("no operation", "/nowhere", &[("x-api-key", &owner.key)]);
}
