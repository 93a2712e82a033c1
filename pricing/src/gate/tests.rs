//! What a limit counts, whether it refuses, and what a subscription's own numbers make of it.

use super::*;

fn n32(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn n64(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap()
}

fn window(calls: u32, scope: Scope) -> Rule {
    Rule::SlidingWindow { calls: n32(calls), period_seconds: n32(60), scope }
}

fn bucket(calls: u32, period_seconds: u32, burst: u32, scope: Scope) -> Rule {
    let (calls, period_seconds, burst) = (n32(calls), n32(period_seconds), n32(burst));
    Rule::TokenBucket { calls, period_seconds, burst, scope }
}

fn quota(units: u64, hard: bool) -> Rule {
    Rule::Quota { units: n64(units), meter: Meter::Calls, period: QuotaPeriod::Billing, hard }
}

#[test]
fn a_limit_counts_its_product_an_api_or_an_operation() {
    let check = |on: Option<(&str, Option<&str>)>, counted: &str| {
        let on = on.map(|(api, operation)| Target {
            api: api.to_owned(),
            operation: operation.map(str::to_owned),
        });
        let limit = Limit { id: "l".to_owned(), on, rule: quota(1, true), enforce: true };
        let calls = [("a", "find"), ("a", "*"), ("b", "find"), ("b", "*")];
        let found: Vec<String> = calls
            .iter()
            .filter(|(api, operation)| limit.counts(api, operation))
            .map(|(api, operation)| format!("{api}.{operation}"))
            .collect();
        assert_eq!(found.join(" "), counted, "{:?}", limit.on);
    };
    check(None, "a.find a.* b.find b.*");
    check(Some(("a", None)), "a.find a.*");
    check(Some(("a", Some("find"))), "a.find");
    check(Some(("a", Some("fin"))), "");
    check(Some(("c", None)), "");
}

#[test]
fn calls_are_billed_by_how_they_ended() {
    // How a call ended: `f` it was forwarded, `a` its caller left; and its status.
    let check = |rule: &Billable, billed: &str, waived: &str| {
        for (calls, bills) in [(billed, true), (waived, false)] {
            for call in calls.split_whitespace() {
                let (how, status) = call.split_at(call.find(char::is_numeric).unwrap());
                let ended = Ended {
                    forwarded: how.contains('f'),
                    status: status.parse().unwrap(),
                    aborted: how.contains('a'),
                };
                assert_eq!(rule.bills(ended), bills, "{call} by {rule:?}");
            }
        }
    };
    let statuses = |ranges: &[(u16, u16)]| {
        ranges.iter().map(|(first, last)| Statuses { first: *first, last: *last }).collect()
    };
    let plain = Billable::default();
    check(&plain, "f100 f200 f404 f499 f0 fa0 fa200", "f500 f599 fa500 200 503 0 a0");
    let complete = Billable { aborted: false, ..Billable::default() };
    check(&complete, "f200 f404 f0", "fa0 fa200 f500 fa500 200 a0");
    let found = Billable { statuses: statuses(&[(200, 299), (410, 418)]), ..Billable::default() };
    check(&found, "f200 f299 f410 f418 fa200 fa0", "f199 f300 f404 f409 f419 f500 200");
    let tried = Billable { unforwarded: true, ..found.clone() };
    check(&tried, "f200 200 418 0 a0 a200", "f404 404 f503 503 f65535");
    let all = Billable { statuses: statuses(&[(100, 599)]), unforwarded: true, aborted: true };
    check(&all, "f200 f599 503 0 fa0", "f99 f600");
}

#[test]
fn each_meter_has_a_tag_of_its_own() {
    let header = |name: &str| Meter::Header(name.to_owned());
    let meters = [
        Meter::Calls,
        Meter::Weight,
        Meter::Bytes,
        header("calls"),
        header("weight"),
        header("bytes"),
        header("x-units"),
    ];
    let tags: std::collections::BTreeSet<Tag> = meters.iter().map(Meter::tag).collect();
    assert_eq!(tags.len(), meters.len());
    // Records and ledgers know meters by it: it never changes.
    assert_eq!(Meter::Bytes.tag(), Tag(4_054_915_551));
}

#[test]
fn soft_and_observing_limits_refuse_none() {
    let check = |rule: Rule, enforce: bool, blocks: bool| {
        let limit = Limit { id: "l".to_owned(), on: None, rule, enforce };
        assert_eq!(limit.blocks(), blocks, "{limit:?}");
    };
    check(quota(1, true), true, true);
    check(quota(1, true), false, false);
    check(quota(1, false), true, false);
    check(quota(1, false), false, false);
    check(window(1, Scope::Fleet), true, true);
    check(window(1, Scope::Fleet), false, false);
    check(bucket(1, 1, 1, Scope::Gateway), true, true);
    check(bucket(1, 1, 1, Scope::Gateway), false, false);
}

#[test]
fn the_host_leases_quotas_and_rates_over_the_fleet() {
    let check = |rule: Rule, leased: bool| assert_eq!(rule.is_leased(), leased, "{rule:?}");
    check(quota(1, true), true);
    check(quota(1, false), true);
    check(window(1, Scope::Fleet), true);
    check(window(1, Scope::Gateway), false);
    check(bucket(1, 1, 3, Scope::Fleet), true);
    check(bucket(1, 1, 3, Scope::Gateway), false);
}

#[test]
fn own_numbers_replace_a_rules_and_nothing_else() {
    let check = |rule: Rule, units: u64, burst: Option<u32>, own: Rule| {
        let limit = Tag::of("l");
        let over = Override { limit, units: n64(units), burst: burst.map(n32) };
        assert_eq!(rule.clone().with(&over), own, "{rule:?} {over:?}");
    };
    let most = MAX_RATE_CALLS;
    for scope in [Scope::Fleet, Scope::Gateway] {
        check(window(10, scope), 20, None, window(20, scope));
        // A window has no burst.
        check(window(10, scope), 20, Some(5), window(20, scope));
        check(window(10, scope), u64::from(most) + 1, None, window(most, scope));
        check(window(10, scope), u64::MAX, None, window(most, scope));
        check(bucket(10, 5, 7, scope), 20, None, bucket(20, 5, 7, scope));
        check(bucket(10, 5, 7, scope), 20, Some(9), bucket(20, 5, 9, scope));
    }
    check(quota(10, true), 20, None, quota(20, true));
    check(quota(10, false), u64::MAX, Some(5), quota(u64::MAX, false));
}

#[test]
fn a_bucket_fills_in_time_and_keeps_a_call_over_the_fleet() {
    let check = |rule: Rule, found: &str| {
        let told = rule.check().map_or_else(|bad| bad.to_string(), |()| "good".to_owned());
        assert!(told.starts_with(found), "{rule:?}: {told}");
    };
    check(window(MAX_RATE_CALLS, Scope::Fleet), "good");
    check(quota(u64::MAX, true), "good");
    check(bucket(1, 3_600, 720, Scope::Gateway), "good");
    check(
        bucket(1, 3_600, 721, Scope::Gateway),
        "expected a burst that 1 calls per 3600 s refill within 30 days, found 721",
    );
    check(bucket(10, 1, 11, Scope::Fleet), "good");
    check(bucket(10, 1, 10, Scope::Fleet), "expected a burst of at least 11, ");
    check(bucket(10, 1, 1, Scope::Gateway), "good");
    // Half a call a second: one of two tokens can be held back, the only one cannot.
    check(bucket(1, 2, 2, Scope::Fleet), "good");
    check(bucket(1, 2, 1, Scope::Fleet), "expected a burst of at least 2, ");
    // One and a half: what is left of two would be half a call.
    check(bucket(3, 2, 3, Scope::Fleet), "good");
    check(bucket(3, 2, 2, Scope::Fleet), "expected a burst of at least 3, ");
    check(bucket(MAX_RATE_CALLS, 1, u32::MAX, Scope::Fleet), "good");
}
