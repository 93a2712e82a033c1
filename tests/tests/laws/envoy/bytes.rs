//! Bytes that are metered are those that Envoy itself has counted.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_tests::client;
use tollgate_tests::sample_api::{ANSWER, BYTES};

use super::log;
use super::site::{SAID_WITHIN, Setup, Site, Subscriber};

const CATALOG: &str = include_str!("ends.yaml");

fn start(words: &[&str]) -> Site {
    let edit = |configuration: String, directory: &Path| log::added(&configuration, directory);
    Site::start_as(&Setup { catalog: CATALOG, words, edit: &edit, ..Setup::default() })
}

/// Calls of all sizes: without a body, with one, with a long answer, waived, and refused.
fn call(site: &Site, of: &Subscriber) {
    let get = |headers: &[(&str, &str)]| {
        let key = ("x-api-key", of.key.as_str());
        site.fetch("/weather", &[&[key], headers].concat()).status().as_u16()
    };
    assert_eq!(get(&[]), 200);
    assert_eq!(get(&[(BYTES, "100000"), ("x-long", &"y".repeat(3_000))]), 200);
    let post = client::agent(Duration::from_secs(5))
        .post(format!("http://{}/weather/upload", site.envoy.listener()))
        .header("x-api-key", &of.key)
        .send(&vec![b'z'; 50_000][..]);
    assert_eq!(post.unwrap().status(), 200);
    assert_eq!(get(&[(ANSWER, "500"), (BYTES, "7000")]), 500);
}

/// What a report says of a subscription, once it has everything.
fn report(site: &mut Site, of: &Subscriber, by: &[&str], is_all: fn(&Value) -> bool) -> Value {
    let host = &site.host;
    let read = || host.ask::<Value>(&[&["usage", &of.id], by].concat()).unwrap();
    let process = site.envoy.process();
    let found =
        process.wait_until("report every call", SAID_WITHIN, || Some(read()).filter(is_all));
    found.unwrap_or_else(|_| panic!("{:#}", read()))
}

#[test]
fn metered_bytes_are_those_of_envoys_access_log() {
    let mut site = start(&[]);
    let owner = site.subscribe("by-bytes");
    call(&site, &owner);
    let metered = report(&mut site, &owner, &[], |all| {
        let period = &all["periods"][0];
        (&period["billable"], &period["waived"]) == (&json!(3), &json!(1))
    });
    let metered = metered.pointer("/periods/0/meters/bytes").and_then(Value::as_u64);
    let log = log::read(&mut site);
    let billable: u64 = log.iter().filter(|it| it.status == 200).map(|it| it.bytes).sum();
    assert!(billable > 153_000, "{log:?}");
    assert_eq!(metered, Some(billable), "{log:?}");
}

#[test]
fn bytes_of_every_call_are_reported_where_the_gateway_wants_them() {
    let mut site = start(&["--bytes"]);
    let owner = site.subscribe("plain");
    call(&site, &owner);
    let detail = report(&mut site, &owner, &["--by", "status"], |all| {
        all["ledger"] == json!({ "billable": 3, "waived": 1 })
            && all["unknown"]["billable"] == 0
            && all["unknown"]["waived"] == 0
    });
    let log = log::read(&mut site);
    for status in [200, 500] {
        let lines = detail["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["status"] == status);
        let logged: u64 = log.iter().filter(|it| it.status == status).map(|it| it.bytes).sum();
        assert_eq!(line.map(|line| &line["bytes"]), Some(&logged.into()), "{detail:#} {log:?}");
    }
}
