//! Changes of plan.

use std::num::NonZeroU64;

use super::super::super::invoice::{ListInvoices, PreviewInvoice};
use super::super::super::testing::{World, boot, slot};
use super::super::super::usage::ReadUsage;
use super::super::*;

pub(super) const CATALOG: &str = "
currency: USD
key: { imported: true }
apis: [{ id: address }]
products:
  - id: small
    apis: [address]
    every: minute
    price: { metered: { per: 1, amount: 1 } }
    limits:
      - { id: most, quota: { calls: 100, period: 30d } }
      - { id: rate, rate: { calls: 10, period: 60s }, scope: gateway }
      - { id: only, quota: { calls: 100, period: billing } }
  - id: large
    apis: [address]
    every: minute
    price: { metered: { per: 1, amount: 3 } }
    limits:
      - { id: most, quota: { calls: 1000, period: 30d }, soft: true }
      - { id: rate, rate: { calls: 10, period: 60s, burst: 20 } }
  - { id: hourly, apis: [address], every: 1h, price: free }
  - id: weekly
    apis: [address]
    every: minute
    price: free
    limits: [{ id: most, quota: { calls: 100, period: 7d } }]
  - id: bytes
    apis: [address]
    every: minute
    price: free
    limits: [{ id: most, quota: { bytes: 100, period: 30d } }]
  - id: rated
    apis: [address]
    every: minute
    price: free
    limits: [{ id: most, rate: { calls: 100, period: 60s } }]
";

fn change(subscription: SubscriptionId, product: &str) -> ChangePlan {
    ChangePlan { subscription, product: product.to_owned() }
}

#[test]
fn a_period_that_has_begun_keeps_its_price() {
    let mut world = World::empty();
    world.load(CATALOG).unwrap();
    let gateway = world.gateway("edge");
    let id = world.subscribe("small");
    world.pass(60);
    let changed = world.ask(change(id, "large")).unwrap();
    assert_eq!(changed.priced_from.unwrap().to_string(), "2026-11-22T15:02:00Z");
    // Twice is once.
    let before = world.dump(&["subscriptions", "periods"]);
    assert_eq!(world.ask(change(id, "large")).unwrap(), changed);
    assert_eq!(world.dump(&["subscriptions", "periods"]), before);
    for number in 1..=3 {
        world.sync(gateway, slot(boot(1), id, (number, number, 1, 1, 0)));
    }
    let product = |world: &mut World| world.ask(PreviewInvoice(id)).unwrap().product;
    assert_eq!(product(&mut world), "small");
    let details = world.ask(ReadSubscription(id)).unwrap();
    assert_eq!(details.subscription.product, "large");
    assert_eq!(details.period.unwrap().product, "small");
    world.pass(60);
    // The old product is held by nobody any more, but by what it prices.
    let without: String = CATALOG
        .split_inclusive("products:\n")
        .map(|part| match part.split_once("  - id: large") {
            Some((_, rest)) => format!("  - id: large{rest}"),
            None => part.to_owned(),
        })
        .collect();
    assert!(!without.contains("small"));
    world.load(&without).unwrap();
    world.pass(3 * 60 * 60);
    world.close();
    let invoices = world.ask(ListInvoices).unwrap();
    let mut billed: Vec<String> = invoices
        .iter()
        .map(|invoice| format!("{} {} {}", invoice.period, invoice.product, invoice.total))
        .collect();
    billed.sort();
    assert_eq!(billed, ["1 small 1.00 USD", "2 small 1.00 USD", "3 large 3.00 USD"]);
    // What comes late is priced by its period's product, on an invoice of another's.
    world.sync(gateway, slot(boot(1), id, (1, 1, 2, 2, 0)));
    world.pass(2 * 60 * 60);
    world.close();
    let late = world.ask(ListInvoices).unwrap().remove(0);
    assert_eq!((late.product.as_str(), late.total.minor()), ("large", 100));
    let usage = world.ask(ReadUsage { subscription: Some(id) }).unwrap();
    let products: Vec<&str> = usage.periods.iter().map(|p| p.product.as_str()).collect();
    assert_eq!(products[..3], ["small", "small", "large"]);
}

#[test]
fn plans_that_count_otherwise_are_refused() {
    let mut world = World::empty();
    world.load(CATALOG).unwrap();
    let id = world.subscribe("small");
    let ended = world.subscribe("small");
    world.ask(CancelSubscription(ended)).unwrap();
    let before = world.dump(&["subscriptions", "periods", "overrides"]);
    for (whose, product, refusal) in [
        (id, "huge", "no_product: the catalog has no product \"huge\""),
        (ended, "large", "subscription_ended: sub_2 has ended"),
        (
            id,
            "hourly",
            "plan_period_differs: product small is billed by the minute, hourly by the hour: a \
             plan changes between products of the same billing period; make a new subscription \
             instead",
        ),
        (
            id,
            "weekly",
            "plan_limit_differs: limit \"most\" of product \"small\" counts by other periods than \
             that of \"weekly\": rename one",
        ),
        (
            id,
            "bytes",
            "plan_limit_differs: limit \"most\" of product \"small\" counts in other units than \
             that of \"bytes\": rename one",
        ),
        (
            id,
            "rated",
            "plan_limit_differs: limit \"most\" of product \"small\" is of another kind than that \
             of \"rated\": rename one",
        ),
    ] {
        assert_eq!(world.refused(change(whose, product)), refusal);
        assert_eq!(world.dump(&["subscriptions", "periods", "overrides"]), before);
    }
}

#[test]
fn own_numbers_go_where_their_limits_go() {
    let mut world = World::empty();
    world.load(CATALOG).unwrap();
    let id = world.subscribe("small");
    let set = |world: &mut World, limit: &str, units| {
        let own = NonZeroU64::new(units).map(|units| Own { units, burst: None });
        let limit = limit.to_owned();
        world.ask(SetOverride { subscription: id, limit, own }).unwrap();
    };
    for limit in ["most", "only"] {
        set(&mut world, limit, 7);
    }
    // Twenty at once are less than two seconds of this.
    set(&mut world, "rate", 1_200);
    let unfit = world.refused(change(id, "large"));
    assert!(
        unfit.starts_with("override_unfit: the own numbers of sub_1 for limit \"rate\""),
        "{unfit}"
    );
    set(&mut world, "rate", 0);
    let changed = world.ask(change(id, "large")).unwrap();
    assert_eq!(changed.dropped_overrides, ["only"]);
    let details = world.ask(ReadSubscription(id)).unwrap();
    let own: Vec<_> =
        details.limits.iter().map(|limit| limit.own.map(|own| own.units.get())).collect();
    assert_eq!(own, [Some(7), None]);
    // A way back does not bring them back.
    assert_eq!(world.ask(change(id, "small")).unwrap().dropped_overrides, Vec::<String>::new());
    assert_eq!(world.dump(&["overrides"]).lines().count(), 1);
}

#[test]
fn a_plan_changes_before_it_is_approved() {
    let mut world = World::empty();
    world.load(CATALOG).unwrap();
    let id = world.submit("small", None);
    assert_eq!(world.ask(change(id, "large")).unwrap().priced_from, None);
    world.ask(ApproveSubscription(id)).unwrap();
    let details = world.ask(ReadSubscription(id)).unwrap();
    assert_eq!(details.period.unwrap().product, "large");
}

#[test]
fn what_began_while_nobody_looked_has_the_old_price() {
    let mut world = World::empty();
    world.load(CATALOG).unwrap();
    let id = world.subscribe("small");
    world.pass(60 * 60);
    let changed = world.ask(change(id, "large")).unwrap();
    assert_eq!(changed.priced_from.unwrap().to_string(), "2026-11-22T16:01:00Z");
    let small = world.dump(&["periods"]).lines().filter(|line| line.contains("small")).count();
    assert_eq!(small, 61);
}
