//! Own numbers for limits.

use std::num::{NonZeroU32, NonZeroU64};

use super::super::super::testing::{World, ask, boot, nothing};
use super::super::*;

const CATALOG: &str = "
currency: USD
apis: [{ id: address }]
products:
  - id: shop
    apis: [address]
    every: month
    price: free
    limits:
      - { id: monthly, quota: { calls: 100, period: 30d } }
      - { id: window, rate: { calls: 10, period: 60s } }
      - { id: bucket, rate: { calls: 60, period: 60s, burst: 10 } }
      - { id: near, rate: { calls: 600, period: 60s, burst: 20 }, scope: gateway }
";

#[expect(clippy::unnecessary_wraps, reason = "beside `None`, which takes them away")]
fn own(units: u64, burst: u32) -> Option<Own> {
    Some(Own { units: NonZeroU64::new(units).unwrap(), burst: NonZeroU32::new(burst) })
}

fn set(subscription: SubscriptionId, limit: &str, own: Option<Own>) -> SetOverride {
    SetOverride { subscription, limit: limit.to_owned(), own }
}

/// `monthly=500`, for each limit that has own numbers.
fn shown(world: &mut World, id: SubscriptionId) -> String {
    let details = world.ask(ReadSubscription(id)).unwrap();
    let own = details.limits.iter().filter_map(|limit| {
        let own = limit.own?;
        let burst = own.burst.map_or_else(String::new, |burst| format!("/{burst}"));
        Some(format!("{}={}{burst}", limit.limit.id, own.units))
    });
    own.collect::<Vec<_>>().join(" ")
}

#[test]
fn own_numbers_are_bounded_as_the_catalogs() {
    let mut world = World::empty();
    world.load(CATALOG).unwrap();
    let id = world.subscribe("shop");
    let revision = |world: &mut World| world.ask(super::ReadHealth).unwrap().revision;
    for (limit, numbers, expected) in [
        ("monthly", own(500, 0), "monthly=500"),
        ("monthly", own(500, 0), "monthly=500"),
        ("monthly", own(5, 0), "monthly=5"),
        ("window", own(1_000_000_000, 0), "monthly=5 window=1000000000"),
        ("monthly", None, "window=1000000000"),
        ("monthly", None, "window=1000000000"),
        ("window", None, ""),
        ("bucket", own(60, 2), "bucket=60/2"),
        // Its own calls under the product's burst.
        ("bucket", own(540, 0), "bucket=540"),
        ("bucket", None, ""),
        ("near", own(600, 1), "near=600/1"),
        ("near", None, ""),
    ] {
        let (before, old) = (revision(&mut world), shown(&mut world, id));
        world.ask(set(id, limit, numbers)).unwrap();
        assert_eq!(shown(&mut world, id), expected);
        let bumped = revision(&mut world) - before;
        assert_eq!(bumped, u64::from(old != expected), "{limit} {numbers:?}");
    }
    let fleet = "one more than a second's gain, which is held back while gateways spend what they \
                 were granted";
    for (limit, numbers, refusal) in [
        ("daily", own(1, 0), "no_limit: product \"shop\" has no limit \"daily\""),
        ("daily", None, "no_limit: product \"shop\" has no limit \"daily\""),
        (
            "monthly",
            own(1_000_000_000_000_001, 0),
            "invalid: units: expected at most 1000000000000000, found 1000000000000001",
        ),
        (
            "window",
            own(1_000_000_001, 0),
            "invalid: units: expected at most 1000000000, found 1000000001",
        ),
        (
            "window",
            own(1, 1),
            "invalid: burst: expected none, as this limit is no token bucket, found 1",
        ),
        (
            "monthly",
            own(1, 1),
            "invalid: burst: expected none, as this limit is no token bucket, found 1",
        ),
        (
            "near",
            own(1, 1_000_000_001),
            "invalid: burst: expected at most 1000000000, found 1000000001",
        ),
        (
            "near",
            own(1, 1_000_000),
            "bad_rule: expected a burst that 1 calls per 60 s refill within 30 days, found 1000000",
        ),
        ("bucket", own(600, 0), fleet),
        ("bucket", own(60, 1), fleet),
    ] {
        let before = world.dump(&["subscriptions", "overrides"]);
        let found = world.refused(set(id, limit, numbers));
        assert!(found.contains(refusal), "{limit} {numbers:?}: {found}");
        assert_eq!(world.dump(&["subscriptions", "overrides"]), before);
    }
    world.ask(CancelSubscription(id)).unwrap();
    let ended = world.refused(set(id, "monthly", own(1, 0)));
    assert_eq!(ended, "subscription_ended: sub_1 has ended");
}

#[test]
fn a_catalog_must_fit_own_numbers() {
    let mut world = World::empty();
    world.load(CATALOG).unwrap();
    let id = world.subscribe("shop");
    world.ask(set(id, "bucket", own(60, 2))).unwrap();
    let check = |world: &mut World, from: &str, to: &str| {
        assert!(CATALOG.contains(from));
        match world.load(&CATALOG.replace(from, to)) {
            Ok(_) => "taken".to_owned(),
            Err(refusal) => format!("{}: {refusal}", refusal.reason()),
        }
    };
    assert_eq!(check(&mut world, "burst: 10", "burst: 30"), "taken");
    assert_eq!(check(&mut world, "period: 60s, burst: 10", "period: 90s, burst: 10"), "taken");
    let gone = "      - { id: bucket, rate: { calls: 60, period: 60s, burst: 10 } }\n";
    assert_eq!(
        check(&mut world, gone, ""),
        "override_unfit: the own numbers of sub_1 for limit \"bucket\" do not fit (the limit is \
         gone): clear them"
    );
    let slower = check(&mut world, "period: 60s, burst: 10", "period: 10s, burst: 30");
    assert!(slower.starts_with("override_unfit: the own numbers of sub_1 for"), "{slower}");
    world.ask(set(id, "bucket", None)).unwrap();
    assert_eq!(check(&mut world, gone, ""), "taken");
}

/// Two products with a quota of one id, and one without.
fn plans(units: u64) -> String {
    format!(
        "
currency: USD
apis: [{{ id: a }}]
products:
  - id: few
    apis: [a]
    price: free
    limits: [{{ id: all, quota: {{ calls: 50, period: 30d }} }}]
  - id: some
    apis: [a]
    price: free
    limits: [{{ id: all, quota: {{ calls: {units}, period: 30d }} }}]
  - {{ id: none, apis: [a], price: free }}
"
    )
}

/// What processes hold of a limit is called back when it allows less: by own numbers, their end, a
/// plan, a catalog.
#[test]
fn what_is_lowered_is_called_back() {
    fn check(what: &str, change: impl FnOnce(&mut World, SubscriptionId), recalled: bool) {
        let mut world = World::empty();
        world.load(&plans(100)).unwrap();
        let gateway = world.gateway("edge");
        let id = world.subscribe("some");
        world.sync(gateway, ask(boot(1), id, "all", 0, 10));
        change(&mut world, id);
        let recalls = world.sync(gateway, nothing(boot(1))).recalls;
        let all: Vec<bool> = recalls.iter().map(|recall| recall.all).collect();
        assert_eq!(all, [true][..usize::from(recalled)], "{what}");
    }
    let give = |numbers: Option<Own>| {
        move |world: &mut World, id| drop(world.ask(set(id, "all", numbers)).unwrap())
    };
    check("fewer of its own", give(own(99, 0)), true);
    check("more of its own", give(own(101, 0)), false);
    check("none of its own", give(None), false);
    let more_then_none = |world: &mut World, id| {
        world.ask(set(id, "all", own(101, 0))).unwrap();
        world.ask(set(id, "all", None)).unwrap();
    };
    check("no more of its own", more_then_none, true);
    let plan = |product: &'static str| {
        move |world: &mut World, subscription| {
            let product = product.to_owned();
            world.ask(ChangePlan { subscription, product }).unwrap();
        }
    };
    check("a plan with fewer", plan("few"), true);
    check("a plan without", plan("none"), true);
    check("the same plan", plan("some"), false);
    let load = |units| move |world: &mut World, _| assert!(world.load(&plans(units)).is_ok());
    check("a catalog with fewer", load(99), true);
    check("a catalog with more", load(101), false);
}
