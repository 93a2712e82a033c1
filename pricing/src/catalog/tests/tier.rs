//! Which quotas keep a tier.

use super::{change, mistakes};

const TIER: &str = "
currency: USD
apis:
  - id: address
    path: /address
    operations:
      - { id: validate, method: POST, path: /validate }
      - { id: find, path: '/find/{id}' }
      - { id: health, path: /health, open: true }
  - { id: weather, path: /weather }
products:
  - id: basic
    apis: [address, weather]
    every: month
    price: { tier: { amount: 14.95, included: 100 } }
    limits: LIMITS
";

const UNKEPT: &str = "expected a hard quota of `calls` with periods no longer than the billing \
                      period, found none: a `tier` is a fixed price for the calls it includes, and \
                      nothing else stops more of them";

#[test]
fn a_tier_needs_a_quota_that_keeps_each_call() {
    fn check(limits: &[&str], found: &str) {
        let limits: Vec<_> =
            (0..).zip(limits).map(|(n, limit)| format!("{{ id: l{n}, {limit} }}")).collect();
        let text = change(TIER, "LIMITS", &format!("[{}]", limits.join(", ")));
        let told = mistakes(&text);
        let told = told.strip_prefix("16:13 products[0].limits: ").unwrap_or(&told);
        assert_eq!(told.replace(UNKEPT, "unkept"), found, "{text}");
    }
    let billing = "quota: { calls: 100, period: billing }";
    check(&[billing], "none");
    check(&["quota: { calls: 100, period: 30d }"], "none");
    check(&["quota: { calls: 100, period: 31d }"], "none");
    check(&["quota: { calls: 100, period: month, zone: Asia/Tokyo }"], "none");
    check(&["quota: { calls: 100, period: week }"], "none");
    check(&["quota: { calls: 10, period: 1 day }"], "none");
    // More than is included is a gift.
    check(&["quota: { calls: 500, period: billing }"], "none");
    // Others beside it may be of any kind.
    check(&[billing, "quota: { calls: 1, period: hour }, soft: true"], "none");
    check(&[billing, "quota: { bytes: 1, period: lifetime }"], "none");

    check(&[], "unkept");
    check(&["rate: { calls: 1, period: 24h }"], "unkept");
    check(&["quota: { calls: 100, period: billing }, soft: true"], "unkept");
    check(&["quota: { calls: 100, period: billing }, enforce: false"], "unkept");
    check(&["quota: { weight: 100, period: billing }"], "unkept");
    check(&["quota: { bytes: 100, period: billing }"], "unkept");
    check(&["quota: { units: 100, header: x-units, period: billing }"], "unkept");
    check(&["quota: { calls: 100, period: 32d }"], "unkept");
    check(&["quota: { calls: 100, period: year }"], "unkept");
    check(&["quota: { calls: 100, period: lifetime }"], "unkept");

    let address = "quota: { calls: 60, period: billing }, api: address";
    let weather = "quota: { calls: 40, period: billing }, api: weather";
    let find = "quota: { calls: 40, period: billing }, api: address, operation: find";
    let validate = "quota: { calls: 40, period: billing }, api: address, operation: validate";
    check(&[address, weather], "none");
    check(&[find, validate, weather], "none");
    let without = |of: &str| UNKEPT.replace("none:", &format!("none for operation {of}:"));
    check(&[address], &without("`*` of API `weather`"));
    check(&[weather], &without("`validate` of API `address`"));
    check(&[weather, validate], &without("`find` of API `address`"));
    check(
        &[weather, validate, &format!("{find}, soft: true")],
        &without("`find` of API `address`"),
    );
}

#[test]
fn a_tier_can_use_what_it_includes() {
    fn check(period: &str, calls: u64, most: Option<u64>) {
        let limits = format!("[{{ id: l, quota: {{ calls: {calls}, period: {period} }} }}]");
        let found = mistakes(&change(TIER, "LIMITS", &limits));
        let told = most.map_or_else(
            || "none".to_owned(),
            |most| {
                format!(
                    "16:14 products[0].limits[0]: expected at least the 100 calls of a billing \
                     period that the price includes, found that it lets {most} pass: raise it, or \
                     lower `included`"
                )
            },
        );
        assert_eq!(found, told, "{calls} in {period}");
    }
    check("billing", 100, None);
    check("billing", 99, Some(99));
    // 31 days may lie in 33 days of a calendar, and in three spans of 30 days.
    check("day", 4, None);
    check("day", 3, Some(99));
    check("30d", 34, None);
    check("30d", 33, Some(99));
}

/// In the place where limits would be.
#[test]
fn a_tier_without_limits_is_refused() {
    let found = mistakes(&change(TIER, "    limits: LIMITS\n", ""));
    assert_eq!(found, format!("12:5 products[0]: {UNKEPT}"));
    let free = change(TIER, "{ tier: { amount: 14.95, included: 100 } }", "free");
    assert_eq!(mistakes(&change(&free, "    limits: LIMITS\n", "")), "none");
}

/// Calendar and fixed lengths of a billing period.
#[test]
fn a_quota_is_as_long_as_the_billing_period_at_most() {
    fn check(every: &str, period: &str, is_kept: bool) {
        let text = change(TIER, "every: month", &format!("every: {every}"));
        let limits = format!("[{{ id: l, quota: {{ calls: 100, period: {period} }} }}]");
        let told = mistakes(&change(&text, "LIMITS", &limits));
        assert_eq!(told == "none", is_kept, "{every}, {period}: {told}");
    }
    check("minute", "minute", true);
    check("minute", "2 minutes", false);
    check("minute", "hour", false);
    check("hour", "hour", true);
    check("day", "24h", true);
    check("day", "day", true);
    check("day", "25h", false);
    check("day", "week", false);
    check("week", "7d", true);
    check("week", "8d", false);
    check("30d", "month", true);
    check("27d", "month", false);
    check("month", "31d", true);
    check("month", "year", false);
    check("year", "366d", true);
    check("year", "year", true);
    check("365d", "year", true);
    check("364d", "year", false);
    check("year", "lifetime", false);
}
