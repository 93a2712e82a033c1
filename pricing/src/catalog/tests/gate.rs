//! What gateways enforce: how each field is read, and what is a mistake in it.

use super::change;
use crate::catalog::Catalog;
use crate::gate::{OnOutage, Rule, Scope};

/// A catalog without a mistake that has something of everything.
pub(super) const GATE: &str = "\
currency: USD
key: { header: X-Api-Key }
answers: { status: { quota_exceeded: 429 } }
max_stale: 10m
apis:
  - id: address
    path: /address
    operations:
      - { id: validate, path: /validate, weight: 5 }
      - { id: find, path: '/find/{id}' }
      - { id: health, path: /health, open: true }
  - { id: weather, path: /weather }
  - { id: status, path: /status, operations: [{ id: up, path: /, open: true }] }
products:
  - id: pro
    apis: [address, status]
    price: free
    on_outage: deny
    limits:
      - { id: fast, rate: { calls: 10, period: 1s, burst: 20 }, api: address, operation: find }
      - { id: much, quota: { calls: 10, period: month, zone: Europe/Berlin }, api: address }
      - { id: load, quota: { weight: 100, period: billing } }
    billable: { aborted: true }
";

#[test]
fn all_of_it_is_read() {
    let catalog = Catalog::parse(GATE).unwrap();
    let product = &catalog.products[0];
    let weights: Vec<u32> = catalog.apis[0].operations.iter().map(|it| it.weight).collect();
    let mut shown = format!(
        "{:?} {:?} {} {weights:?} {:?}\n",
        catalog.key, catalog.answers, catalog.max_stale_seconds, product.on_outage
    );
    shown.extend(product.limits.iter().map(|limit| format!("{limit:?}\n")));
    insta::assert_snapshot!(shown, @r#"
    KeyPlaces { header: "x-api-key", query: None, imported: false } Answers { statuses: [(QuotaExceeded, 429)], limits_on_every_answer: false } 600 [5, 1, 1] Deny
    Limit { id: "fast", on: Some(Target { api: "address", operation: Some("find") }), rule: TokenBucket { calls: 10, period_seconds: 1, burst: 20, scope: Fleet }, enforce: true }
    Limit { id: "much", on: Some(Target { api: "address", operation: None }), rule: Quota { units: 10, meter: Calls, period: Calendar { unit: Month, zone: "Europe/Berlin" }, hard: true }, enforce: true }
    Limit { id: "load", on: None, rule: Quota { units: 100, meter: Weight, period: Billing, hard: true }, enforce: true }
    "#);
}

/// What a limit becomes.
#[test]
fn limits_are_read() {
    let check = |limit: &str| {
        let text = change(GATE, "load, quota: { weight: 100, period: billing }", limit);
        let text = text.replace(", weight: 5", "");
        let catalog = Catalog::parse(&text).map_err(|mistakes| mistakes.to_string()).unwrap();
        let limit = &catalog.products[0].limits[2];
        let on = limit.on.as_ref().map_or("all", |on| on.operation.as_deref().unwrap_or(&on.api));
        let does = if limit.blocks() { "blocks" } else { "counts" };
        format!("{on} {does} {:?}\n", limit.rule)
    };
    let shown = [
        check("l, rate: { calls: 1, period: 1s }"),
        check("l, rate: { calls: 1, period: day }, scope: fleet"),
        check("l, rate: { calls: 1, period: 24h }, scope: gateway, enforce: false"),
        check("l, rate: { calls: 1, period: 1s, burst: 2 }"),
        check("l, rate: { calls: 1, period: 1s, burst: 1 }, scope: gateway, enforce: true"),
        check("l, quota: { calls: 1, period: hour }, soft: true"),
        check("l, quota: { calls: 1, period: day }, soft: false, enforce: false"),
        check("l, quota: { calls: 1, period: 1 day }, api: address"),
        check("l, quota: { calls: 1, period: week, zone: Asia/Kolkata }"),
        check("l, quota: { weight: 1, period: 1 week }, api: address, operation: find"),
        check("l, quota: { bytes: 1000000000000000, period: year }"),
        check("l, quota: { units: 1, header: X-Units, period: lifetime }"),
        check("l, quota: { units: 1, header: x-units, period: 5 minutes }"),
    ]
    .concat();
    insta::assert_snapshot!(shown, @r#"
    all blocks SlidingWindow { calls: 1, period_seconds: 1, scope: Fleet }
    all blocks SlidingWindow { calls: 1, period_seconds: 86400, scope: Fleet }
    all counts SlidingWindow { calls: 1, period_seconds: 86400, scope: Gateway }
    all blocks TokenBucket { calls: 1, period_seconds: 1, burst: 2, scope: Fleet }
    all blocks TokenBucket { calls: 1, period_seconds: 1, burst: 1, scope: Gateway }
    all counts Quota { units: 1, meter: Calls, period: Calendar { unit: Hour, zone: "UTC" }, hard: false }
    all counts Quota { units: 1, meter: Calls, period: Calendar { unit: Day, zone: "UTC" }, hard: true }
    address blocks Quota { units: 1, meter: Calls, period: Seconds(86400), hard: true }
    all blocks Quota { units: 1, meter: Calls, period: Calendar { unit: Week, zone: "Asia/Kolkata" }, hard: true }
    find blocks Quota { units: 1, meter: Weight, period: Seconds(604800), hard: true }
    all blocks Quota { units: 1000000000000000, meter: Bytes, period: Calendar { unit: Year, zone: "UTC" }, hard: true }
    all blocks Quota { units: 1, meter: Header("x-units"), period: Lifetime, hard: true }
    all blocks Quota { units: 1, meter: Header("x-units"), period: Seconds(300), hard: true }
    "#);
}

#[test]
fn a_rate_counts_over_the_fleet_unless_it_says_otherwise() {
    let scope = |to: &str| {
        let catalog = Catalog::parse(&change(GATE, "burst: 20 }", to)).unwrap();
        match &catalog.products[0].limits[0].rule {
            Rule::TokenBucket { scope, .. } => Some(*scope),
            _ => None,
        }
    };
    assert_eq!(scope("burst: 20 }"), Some(Scope::Fleet));
    assert_eq!(scope("burst: 20 }, scope: fleet"), Some(Scope::Fleet));
    assert_eq!(scope("burst: 20 }, scope: gateway"), Some(Scope::Gateway));
}

#[test]
fn outages_are_decided_by_a_word_or_a_bound() {
    let check = |written: &str, read: OnOutage| {
        let catalog = Catalog::parse(&change(GATE, "deny", written)).unwrap();
        assert_eq!(catalog.products[0].on_outage, read);
    };
    check("deny", OnOutage::Deny);
    check("allow", OnOutage::Allow);
    check("{ allow_up_to: 7 }", OnOutage::AllowUpTo(7.try_into().unwrap()));
}
