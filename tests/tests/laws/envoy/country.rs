//! Countries: looked up by Envoy, counted by the gate, and never believed of a caller.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tollgate_tests::build;
use tollgate_tests::envoy::TOKEN_VARIABLE;
use tollgate_tests::paths::StateDir;
use tollgate_tests::sample_api::KEEP;

use super::maxmind;
use super::site::{SAID_WITHIN, Setup, Site, Subscriber, installation};

const HEADER: &str = "x-geo-country";

/// Calls with and without a country of the caller's own invention, and the lines of the report by
/// country once it knows them all.
fn countries(site: &mut Site, owner: &Subscriber, unknown: i64) -> Value {
    let key = ("x-api-key", owner.key.as_str());
    for invented in [&[][..], &[(HEADER, "FR")], &[("X-GEO-COUNTRY", "fr"), (HEADER, "GB")]] {
        let headers = [&[key, (KEEP, "1")], invented].concat();
        assert_eq!(site.fetch("/weather", &headers).status(), 200);
    }
    let host = &site.host;
    let read = || host.ask::<Value>(&["usage", &owner.id, "--by", "country"]).unwrap();
    let is_all = || {
        let report = read();
        let all = report["ledger"]["billable"] == 3 && report["unknown"]["billable"] == unknown;
        all.then(|| report["lines"].clone())
    };
    let found = site.envoy.process().wait_until("report every call", SAID_WITHIN, is_all);
    found.unwrap_or_else(|_| panic!("{:#}", read()))
}

fn seen_by_the_api(site: &Site) -> Vec<Vec<String>> {
    let values = |headers: &hyper::HeaderMap| {
        headers.get_all(HEADER).iter().map(|it| it.to_str().unwrap().to_owned()).collect()
    };
    site.api.kept().iter().map(|kept| values(&kept.headers)).collect()
}

#[test]
fn a_country_is_what_the_database_says_and_not_the_caller() {
    let directory = StateDir::new("laws").unwrap();
    let file = directory.join("country.mmdb");
    fs::write(&file, maxmind::database("DE")).unwrap();
    let words = ["--geoip", file.to_str().unwrap()];
    let mut site = Site::start_as(&Setup { words: &words, ..Setup::default() });
    let owner = site.subscribe("plain");
    let lines = countries(&mut site, &owner, 0);
    assert_eq!(lines.as_array().map(Vec::len), Some(1), "{lines:#}");
    assert_eq!((&lines[0]["country"], &lines[0]["billable"]), (&json!("DE"), &json!(3)));
    assert_eq!(seen_by_the_api(&site), vec![vec!["DE"]; 3]);
}

#[test]
fn without_a_database_nobody_has_a_country() {
    let mut site = Site::start();
    let owner = site.subscribe("plain");
    assert_eq!(countries(&mut site, &owner, 3), json!([]));
    assert_eq!(seen_by_the_api(&site), vec![Vec::<String>::new(); 3]);
}

#[test]
fn envoy_takes_every_configuration_there_is() {
    let directory = StateDir::new("laws").unwrap();
    let database = directory.join("country.mmdb");
    fs::write(&database, maxmind::database("DE")).unwrap();
    let (plugin, host) = (build::plugin().unwrap(), build::host().unwrap());
    let all = [
        &["--geoip", database.to_str().unwrap(), "--bytes", "--observe"][..],
        &["--admin", "127.0.0.1:9901", "--listen", "[::1]:8080", "--key-header", "Authorization"],
    ];
    let file = directory.join("envoy.yaml");
    for words in [&[][..], &all.concat()] {
        let made = Command::new(host)
            .args(["envoy-config", "--upstream", "localhost:3000", "--plugin"])
            .arg(plugin)
            .args(words)
            .output()
            .unwrap();
        assert!(made.status.success(), "{words:?}: {made:?}");
        fs::write(&file, made.stdout).unwrap();
        let checked = Command::new(&installation().path)
            .args(["--mode", "validate", "--config-path"])
            .arg(&file)
            .env(TOKEN_VARIABLE, "tgg_00000000000000000000000000000000")
            .output()
            .unwrap();
        assert!(checked.status.success(), "{words:?}: {checked:?}");
    }
}
