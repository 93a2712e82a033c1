use tollgate_pricing::catalog::MAX_TEXT_BYTES;
use tollgate_pricing::gate::GateCatalog;
use tollgate_pricing::sync::SyncRequest;

use super::super::subscriptions::CancelSubscription;
use super::super::testing::{CATALOG, World, boot, nothing};
use super::LoadCatalog;

#[test]
fn the_same_text_is_the_same_revision() {
    let mut world = World::empty();
    assert_eq!(world.load(CATALOG).unwrap(), 1);
    assert_eq!(world.load(CATALOG).unwrap(), 1);
    let other = format!("{CATALOG}# later\n");
    assert_eq!(world.load(&other).unwrap(), 2);
    // Going back is a change too.
    assert_eq!(world.load(CATALOG).unwrap(), 3);
}

#[test]
fn live_subscriptions_hold_their_product() {
    let change = |from: &str, to: &str| {
        assert!(CATALOG.contains(from), "{from}");
        CATALOG.replace(from, to)
    };
    let payg = "  - { id: payg, apis: [address], every: minute, price: \
                { metered: { per: 10, amount: 0.15 } } }\n";
    for (text, refusal) in [
        (
            change(payg, ""),
            "product_in_use: product \"payg\" has live subscriptions (1): keep it, or cancel \
             them first",
        ),
        (
            change("id: payg, apis: [address], every: minute", "id: payg, apis: [address]"),
            "billing_period_in_use: product \"payg\" has live subscriptions (1): `every` \
             cannot change under them",
        ),
        (
            change("calls: 100, period: 30d", "calls: 100, period: 7d"),
            "quota_period_in_use: the period of quota \"monthly\" of product \"quota\" cannot \
             change while 1 subscriptions are live: give the quota a new id",
        ),
        (
            change(
                "id: hourly, quota: { calls: 10, period: 1h }",
                "id: hourly, scope: gateway, rate: { calls: 10, period: 1h }",
            ),
            "limit_kind_in_use: limit \"hourly\" of product \"short\" cannot change between a \
             quota and a rate while 1 subscriptions are live: give it a new id",
        ),
        (
            change("calls: 100, period: 30d", "weight: 100, period: 30d"),
            "quota_meter_in_use: quota \"monthly\" of product \"quota\" cannot count something else \
             while 1 subscriptions are live: give it a new id",
        ),
        (
            change("currency: USD", "currency: EUR"),
            "currency_in_use: the catalog's currency cannot change from USD to EUR once there \
             are subscriptions",
        ),
    ] {
        let mut world = World::new();
        let payg = world.subscribe("payg");
        let quota = world.subscribe("quota");
        let short = world.subscribe("short");
        let before = world.dump(&["catalogs", "subscriptions", "periods"]);
        assert_eq!(world.refused(LoadCatalog { text: text.clone() }), refusal);
        assert_eq!(world.dump(&["catalogs", "subscriptions", "periods"]), before);
        // The refused text is not remembered as anything.
        assert_eq!(world.load(CATALOG).unwrap(), 1);
        world.ask(CancelSubscription(payg)).unwrap();
        world.ask(CancelSubscription(quota)).unwrap();
        world.ask(CancelSubscription(short)).unwrap();
        let refused = world.load(&text).is_err();
        assert_eq!(refused, refusal.starts_with("currency"), "{refusal}");
    }
}

#[test]
fn mistakes_are_refused_with_their_places() {
    let mut world = World::new();
    let refusal = world.ask(LoadCatalog { text: "currency: USD\napis: []\n".to_owned() });
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.reason(), "catalog_mistakes");
    assert!(refusal.to_string().contains("apis"), "{refusal}");
    let text = " ".repeat(MAX_TEXT_BYTES + 1);
    let refusal = world.ask(LoadCatalog { text }).unwrap_err();
    assert!(refusal.to_string().contains("bytes, found 4194305"), "{refusal}");
    assert_eq!(world.load(CATALOG).unwrap(), 1);
}

#[test]
fn a_price_changes_for_periods_that_have_not_begun() {
    let mut world = World::new();
    world.subscribe("payg");
    let dearer = CATALOG.replace("amount: 0.15", "amount: 0.30");
    assert_eq!(world.load(&dearer).unwrap(), 2);
    let bound: Vec<String> = world
        .dump(&["periods"])
        .lines()
        .map(|line| {
            let columns: Vec<&str> = line.split(' ').collect();
            format!("{}:{}", columns[2], columns[6])
        })
        .collect();
    assert!(bound.contains(&"1:1".to_owned()), "{bound:?}");
    assert!(bound.contains(&"2:2".to_owned()), "{bound:?}");
    assert_eq!(bound.iter().filter(|bound| bound.ends_with(":1")).count(), 1);
}

/// One thing of everything a gateway acts on.
const GATED: &str = "
currency: USD
key: { header: x-key, imported: true }
answers: { status: { quota_exceeded: 429 } }
max_stale: 10m
apis:
  - { id: a, path: /a, operations: [{ id: get, path: /x, method: GET, weight: 5 }] }
  - { id: b, path: /b }
products:
  - id: p
    apis: [a]
    price: free
    on_outage: allow
    limits:
      - { id: rate, rate: { calls: 9, period: 60s }, scope: gateway, api: a }
      - { id: units, quota: { weight: 90, period: 30d } }
";

/// What a catalog may change under a live subscription, and how gateways hear of it: in the next
/// answer in any case; with a change of the subscription where an old catalog would let through
/// what the new one does not.
#[test]
fn every_change_reaches_gateways_with_the_next_answer() {
    let check = |from: &str, to: &str, told: &[u32]| {
        assert!(GATED.contains(from), "{from}");
        let mut world = World::empty();
        world.load(GATED).unwrap();
        let gateway = world.gateway("edge");
        world.subscribe("p");
        let first = world.sync(gateway, nothing(boot(1)));
        let known = first.catalog.unwrap();
        assert_eq!(world.load(&GATED.replace(from, to)).unwrap(), 2, "{from}");
        let request = SyncRequest {
            since: Some(first.revision),
            catalog: Some(known.revision),
            ..nothing(boot(1))
        };
        let answer = world.sync(gateway, request);
        let catalog = answer.catalog.unwrap();
        assert_eq!(catalog.revision, 2);
        let news = GateCatalog { revision: known.revision, ..catalog };
        assert_ne!(news, known, "{from}");
        let states: Vec<u32> = answer.subscriptions.iter().map(|state| state.catalog).collect();
        assert_eq!(states, told, "{from}");
    };
    check("header: x-key", "header: x-other", &[]);
    check("header: x-key", "query: key", &[]);
    check("imported: true", "imported: false", &[]);
    check("quota_exceeded: 429", "quota_exceeded: 402", &[]);
    check("max_stale: 10m", "max_stale: 5m", &[]);
    check("on_outage: allow", "on_outage: deny", &[]);
    check("weight: 5", "weight: 6", &[]);
    check("apis: [a]", "apis: [a, b]", &[2]);
    check("calls: 9,", "calls: 8,", &[2]);
    check("scope: gateway, ", "scope: fleet, ", &[2]);
    check("calls: 9, period: 60s", "calls: 9, period: 30s", &[2]);
    check("calls: 9, period: 60s", "calls: 9, period: 60s, burst: 3", &[2]);
    check("scope: gateway, api: a", "scope: gateway", &[2]);
    check("scope: gateway, api: a", "scope: gateway, enforce: false", &[2]);
    check("period: 30d }", "period: 30d }, soft: true", &[2]);
    check("weight: 90", "weight: 80", &[2]);
    check("id: rate", "id: speed", &[2]);
}
