//! What a catalog may say.

mod billable;
mod docs;
mod gate;
mod gate_mistakes;
mod mistakes;
mod texts;
mod tier;

use super::*;
use crate::gate::{Meter, QuotaPeriod, Rule, Scope};

/// A small catalog without a mistake; the tables below change one thing in it.
const GOOD: &str = "\
currency: USD
key: { header: X-Api-Key, query: api-key }
apis:
  - id: address
    host: api.example.com
    path: /address
    operations:
      - { id: validate, method: POST, path: /validate }
      - { id: street, path: '/streets/{name}/*' }
products:
  - id: basic
    name: Basic
    apis: [address]
    every: month
    price:
      tier: { amount: 14.95, included: 50000 }
    limits:
      - id: bursts
        rate: { calls: 10, period: 1s, burst: 20 }
        scope: gateway
      - id: monthly
        quota: { calls: 50000, period: 30d }
";

/// The good catalog with `from` replaced.
fn with(from: &str, to: &str) -> String {
    change(GOOD, from, to)
}

fn change(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} is there once");
    text.replace(from, to)
}

fn mistakes(text: &str) -> String {
    Catalog::parse(text).map_or_else(|mistakes| mistakes.to_string(), |_| "none".to_owned())
}

#[test]
fn the_reference_catalog_is_read_as_it_is_meant() {
    let catalog = Catalog::parse(include_str!("../../../../catalogs/reference.yaml")).unwrap();
    let mut shown = format!("{:?} {:?}\n", catalog.currency, catalog.apis);
    for product in &catalog.products {
        let Product { id, every, price, limits, .. } = product;
        shown += &[id, " every ", &every.to_string(), ": "].concat();
        shown += &[&format!("{price:?}"), "\n"].concat();
        for limit in limits {
            shown += &["  ", &limit.id, ": ", &format!("{:?}", limit.rule), "\n"].concat();
        }
    }
    insta::assert_snapshot!(shown, @r#"
    USD [Api { id: "address", host: None, path: "/address", operations: [] }]
    free every month: Free { currency: USD }
      monthly: Quota { units: 100, meter: Calls, period: Seconds(2592000), hard: true }
    developer every month: Freemium { included: 100, overage: UnitPrice { amount: 0.20 USD, per: 100 } }
      per-minute: SlidingWindow { calls: 100, period_seconds: 60, scope: Gateway }
    payg every month: Metered { unit: UnitPrice { amount: 0.15 USD, per: 100 } }
      per-minute: SlidingWindow { calls: 200, period_seconds: 60, scope: Gateway }
    basic every month: Tier { amount: 14.95 USD, included: 50000 }
      monthly: Quota { units: 50000, meter: Calls, period: Seconds(2592000), hard: true }
      per-minute: SlidingWindow { calls: 100, period_seconds: 60, scope: Gateway }
    standard every month: TierWithOverage { amount: 89.95 USD, included: 100000, overage: UnitPrice { amount: 0.10 USD, per: 100 } }
      per-minute: SlidingWindow { calls: 200, period_seconds: 60, scope: Gateway }
    pro every month: TierWithOverage { amount: 449.00 USD, included: 500000, overage: UnitPrice { amount: 0.06 USD, per: 100 } }
      per-minute: SlidingWindow { calls: 1200, period_seconds: 60, scope: Gateway }
    enterprise every month: Unit { block: UnitPrice { amount: 749.00 USD, per: 1500000 } }
      per-minute: SlidingWindow { calls: 3500, period_seconds: 60, scope: Gateway }
    "#);
}

#[test]
fn what_is_left_out_has_a_meaning() {
    let text = r#"{
        "currency": "JPY",
        "apis": [{"id": "a"}],
        "products": [{"id": "p", "apis": ["a"], "price": {"metered": {"amount": 0.25}}}]
    }"#;
    let catalog = Catalog::parse(text).unwrap();
    assert_eq!(catalog.key.header, "x-api-key");
    assert_eq!(catalog.key.query, None);
    let api = &catalog.apis[0];
    assert_eq!((api.path.as_str(), &api.host), ("/", &None));
    assert!(api.operations.is_empty());
    let product = catalog.product("p").unwrap();
    assert_eq!(product.name, "p");
    assert_eq!((&product.description, product.every), (&None, BillingPeriod::Month));
    assert!(product.limits.is_empty());
    let Model::Metered { unit } = &product.price else {
        panic!("{:?}", product.price);
    };
    assert_eq!(unit.to_string(), "0.25 JPY per call");
}

#[test]
fn gateways_get_what_they_enforce() {
    let catalog = Catalog::parse(GOOD).unwrap();
    let gate = catalog.gate(7, KeySecrets::derive(&[7; 32]));
    assert_eq!((gate.revision, &gate.apis, &gate.key), (7, &catalog.apis, &catalog.key));
    assert_eq!(gate.products[0].limits, catalog.products[0].limits);
    let json = serde_json::to_string(&gate).unwrap();
    assert_eq!(serde_json::from_str::<GateCatalog>(&json).unwrap(), gate);
}

#[test]
fn billing_periods_print_as_people_say_them() {
    fn check(written: &str, read: &str) {
        let text = with("every: month", &format!("every: {written}"));
        let text = change(&text, "period: 30d", "period: billing");
        let found = Catalog::parse(&text).map(|catalog| catalog.products[0].every.to_string());
        assert_eq!(found.as_deref(), Ok(read), "{written}");
    }
    check("minute", "minute");
    check("1 minute", "minute");
    check("5 minutes", "5 minutes");
    check("90m", "90 minutes");
    check("12h", "12 hours");
    check("day", "day");
    check("24h", "day");
    check("30d", "30 days");
    check("7d", "week");
    check("week", "week");
    check("2 weeks", "14 days");
    check("month", "month");
    check("year", "year");
}

#[test]
fn limits_become_rules() {
    fn check(from: &str, to: &str, index: usize, rule: &Rule) {
        let text = with("tier: { amount: 14.95, included: 50000 }", "metered: { amount: 5 }");
        let catalog = Catalog::parse(&change(&text, from, to)).unwrap();
        assert_eq!(catalog.products[0].limits[index].rule, *rule);
    }
    let ten = NonZeroU32::new(10).unwrap();
    let burst = "{ calls: 10, period: 1s, burst: 20 }";
    let day = NonZeroU32::new(86_400).unwrap();
    check(
        burst,
        "{ calls: 10, period: day }",
        0,
        &Rule::SlidingWindow { calls: ten, period_seconds: day, scope: Scope::Gateway },
    );
    check(
        burst,
        "{ calls: 10, period: 10s, burst: 1 }",
        0,
        &Rule::TokenBucket {
            calls: ten,
            period_seconds: ten,
            burst: NonZeroU32::MIN,
            scope: Scope::Gateway,
        },
    );
    check(
        "{ calls: 50000, period: 30d }",
        "{ calls: 1, period: billing }",
        1,
        &Rule::Quota {
            units: std::num::NonZeroU64::MIN,
            meter: Meter::Calls,
            period: QuotaPeriod::Billing,
            hard: true,
        },
    );
}
