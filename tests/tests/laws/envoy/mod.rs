//! The same plugin file in a real Envoy with two workers, before the real host.

mod bytes;
mod country;
mod ends;
mod leaver;
mod log;
mod maxmind;
mod site;
mod smoke;
mod upstream;

use std::path::Path;
use std::process::{Command, Output};

use hyper::StatusCode;
use tollgate_tests::build;
use tollgate_tests::client::{Call, From, Reply};
use tollgate_tests::sample_api::Answer;

use site::{SAID_WITHIN, Site, Subscriber, Used, send};

const OK: Answer = Answer::Status(StatusCode::OK);

/// How many of the replies have this status and were made by the gate for this reason.
fn refused(replies: &[Reply], status: u16, reason: &str) -> usize {
    let wanted = Reply { status, from: From::Gate(reason.to_owned()) };
    replies.iter().filter(|reply| **reply == wanted).count()
}

/// How many were answered by the API.
fn answered(replies: &[Reply], status: u16) -> usize {
    let wanted = Reply { status, from: From::Api };
    replies.iter().filter(|reply| **reply == wanted).count()
}

#[test]
fn a_quota_is_exact_over_workers_and_connections() {
    let mut site = Site::start();
    let owner = site.subscribe("hundred");
    let replies = send(&vec![site.call(&owner, "/weather", OK); 400]);
    assert_eq!(answered(&replies, 200), 100, "{:?}", replies.iter().take(5).collect::<Vec<_>>());
    assert_eq!(refused(&replies, 403, "quota_exceeded"), 300);
    assert_eq!(site.reached(&owner, 0..600), 100);
    let expected = Used { admitted: 100, billable: 100, refused: 300, ..Used::default() };
    assert_eq!(site.used(&owner, expected), expected);
}

#[test]
fn a_rate_is_exact_over_workers_and_connections() {
    let mut site = Site::start();
    let owner = site.subscribe("window");
    let replies = send(&vec![site.call(&owner, "/weather", OK); 60]);
    assert_eq!(answered(&replies, 200), 10);
    assert_eq!(refused(&replies, 429, "rate_limited"), 50);
    let expected = Used { admitted: 10, billable: 10, refused: 50, ..Used::default() };
    assert_eq!(site.used(&owner, expected), expected);
}

#[test]
fn what_reached_the_api_is_what_the_ledger_holds() {
    let mut site = Site::start();
    let owner = site.subscribe("plain");
    let status = |code: u16| Answer::Status(StatusCode::from_u16(code).unwrap());
    let answers = [OK, status(404), status(500), Answer::Cut, status(201), status(503)];
    let calls: Vec<Call> =
        answers.iter().cycle().take(300).map(|it| site.call(&owner, "/weather", *it)).collect();
    let replies = send(&calls);
    assert_eq!(site.reached(&owner, 0..600), 300, "{:?}", &replies[..6]);
    let billable = site.reached(&owner, 200..500);
    assert_eq!(billable, 150);
    let expected = Used { admitted: 300, billable, waived: 150, ..Used::default() };
    assert_eq!(site.used(&owner, expected), expected);
}

#[test]
fn who_does_not_pass_is_told_why() {
    let site = Site::start();
    let owner = site.subscribe("only-weather");
    let check = |key: &str, path: &str, status: u16, reason: &str| {
        let who = Subscriber { id: "refused".to_owned(), key: key.to_owned() };
        let replies = send(&[site.call(&who, path, OK)]);
        assert_eq!(refused(&replies, status, reason), 1, "{path}: {replies:?}");
    };
    check("", "/weather", 401, "missing_key");
    check("nonsense", "/weather", 401, "invalid_key");
    check(&format!("tg_{}", "0".repeat(40)), "/weather", 401, "invalid_key");
    check(&"k".repeat(10_000), "/weather", 401, "invalid_key");
    check(&owner.key, "/nowhere", 404, "not_found");
    check(&owner.key, "/weather;v=1/../../address/find/7", 404, "not_found");
    assert_eq!(site.api.counts().len(), 0, "none of this reached the API");
    let replies = send(&[site.call(&owner, "/weather", OK)]);
    assert_eq!(answered(&replies, 200), 1);
}

#[test]
fn a_refused_token_is_said_with_what_to_do() {
    let mut site = Site::start_with(|_| "tgg_00000000000000000000000000000000".to_owned());
    let owner = site.subscribe("plain");
    let line = site.envoy.process().wait_for_line("say what is wrong", SAID_WITHIN, |line| {
        line.contains("refuses this gateway's token").then(|| line.to_owned())
    });
    let line = line.unwrap_or_else(|error| panic!("{error}"));
    assert!(line.contains("tollgate gateways add NAME"), "{line}");
    let replies = send(&[site.call(&owner, "/weather", OK)]);
    assert_eq!(refused(&replies, 503, "host_unavailable"), 1, "{replies:?}");
}

#[test]
fn a_port_in_use_is_said_in_one_sentence() {
    let site = Site::start();
    let address = site.host.address().to_string();
    let catalog = site.directory.join("catalog.yaml");
    let data = site.directory.join("other");
    let said = refusal(Command::new(build::host().unwrap()).args([
        "serve",
        "--catalog",
        path(&catalog),
        "--data",
        path(&data),
        "--listen",
        &address,
    ]));
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

#[test]
fn a_missing_envoy_is_said_in_one_sentence() {
    let said = refusal(
        Command::new(env!("CARGO_BIN_EXE_demo")).arg("--exit").env("ENVOY", "/nowhere/envoy"),
    );
    assert!(said.contains("/nowhere/envoy is not an Envoy that runs here"), "{said}");
    assert!(said.contains("set ENVOY to the path of"), "{said}");
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path under the project's own")
}

/// What a program says on standard error, in its last line, when it gives up.
fn refusal(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stderr).trim().to_owned();
    assert_eq!(status.code(), Some(1), "{said}");
    said.lines().last().unwrap_or_default().to_owned()
}
