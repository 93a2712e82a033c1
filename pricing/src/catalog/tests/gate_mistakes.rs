//! Every mistake in what gateways enforce, and how it is told.

use super::gate::GATE;
use super::{change, mistakes};

/// What is told of the catalog with one thing changed.
fn check(from: &str, to: &str) -> String {
    let found = mistakes(&change(GATE, from, to)).replace('\n', "\n    ");
    format!("{}\n    {found}\n", to.trim().replace('\n', " "))
}

/// The same with another third limit.
fn limit(to: &str) -> String {
    let from = "id: load, quota: { weight: 100, period: billing }";
    let text = change(GATE, from, to).replace(", weight: 5", "");
    format!("{to}\n    {}\n", mistakes(&text).replace('\n', "\n    "))
}

#[test]
fn mistakes_in_keys_and_answers() {
    let shown = [
        check("X-Api-Key", "Cookie"),
        check("X-Api-Key", "X-Forwarded-For"),
        check("X-Api-Key", "Authorization"),
        check("X-Api-Key }", "X-Api-Key, imported: yes }"),
        check("{ status: { quota_exceeded: 429 } }", "429"),
        check("{ status: { quota_exceeded: 429 } }", "{ status: 429 }"),
        check("quota_exceeded: 429", "quota_exeeded: 429"),
        check("quota_exceeded: 429", "rate_limited: 200, not_found: 600, invalid_key: no"),
        check("quota_exceeded: 429", "rate_limited: 408, bad_request: 426"),
        check("quota_exceeded: 429", "busy: 429, host_unavailable: 500"),
        check("429 }", "429 }, rate_limit_headers: never"),
    ]
    .concat();
    insta::assert_snapshot!(shown, @r#"
    Cookie
        2:16 key.header: expected a header of its own, found `cookie`, which HTTP needs
    X-Forwarded-For
        2:16 key.header: expected a header of its own, found `x-forwarded-for`, which Envoy writes itself
    Authorization
        none
    X-Api-Key, imported: yes }
        2:37 key.imported: expected true or false, found "yes"
    429
        3:10 answers: expected a mapping such as `{ status: { quota_exceeded: 429 } }`, found 429
    { status: 429 }
        3:20 answers.status: expected a mapping of reasons and statuses such as `{ quota_exceeded: 429 }`, found 429
    quota_exeeded: 429
        3:22 answers.status.quota_exeeded: unknown field (did you mean `quota_exceeded`?): expected missing_key, invalid_key, subscription_inactive, api_not_in_product, not_found, bad_request, rate_limited, quota_exceeded, busy, host_unavailable
    rate_limited: 200, not_found: 600, invalid_key: no
        3:36 answers.status.rate_limited: expected a whole number from 400 to 599, found 200
        3:52 answers.status.not_found: expected a whole number from 400 to 599, found 600
        3:70 answers.status.invalid_key: expected a whole number from 400 to 599, found "no"
    rate_limited: 408, bad_request: 426
        3:36 answers.status.rate_limited: expected another status, found 408, which promises that the call may be sent again at once
        3:54 answers.status.bad_request: expected another status, found 426, which promises a protocol to upgrade to
    busy: 429, host_unavailable: 500
        3:28 answers.status.busy: expected a status from 500 to 599, found 429: `busy` is no fault of the caller
    429 }, rate_limit_headers: never
        3:65 answers.rate_limit_headers: expected `always` or `refusals`, found "never"
    "#);
}

#[test]
fn mistakes_in_outages_and_weights() {
    let shown = [
        check("max_stale: 10m", "max_stale: 9s"),
        check("max_stale: 10m", "max_stale: 16m"),
        check("max_stale: 10m", "max_stale: 600"),
        check("on_outage: deny", "on_outage: open"),
        check("on_outage: deny", "on_outage: [deny]"),
        check("on_outage: deny", "on_outage: { allow_up_to: 0 }"),
        check("on_outage: deny", "on_outage: { allow: 5 }"),
        check("    on_outage: deny\n    limits:", "    on_outage: { allow_up_to: 1 }\n    limis:"),
        check("weight: 5", "weight: 1000001"),
        check("weight: 5", "weight: -1"),
        check("open: true }\n", "open: true, weight: 5 }\n"),
        check("weight: 5", "weight: 101"),
        check("weight: 100, period: billing", "calls: 100, period: billing"),
        check("billing }", "billing }, api: address, operation: find"),
        check("weight: 5 }\n", "weight: 0 }\n").replace("weight: 0", "weight: 0 is good"),
    ]
    .concat();
    insta::assert_snapshot!(shown, @r#"
    max_stale: 9s
        4:12 max_stale: expected a duration from `10s` to `15m`, found "9s"
    max_stale: 16m
        4:12 max_stale: expected a duration from `10s` to `15m`, found "16m"
    max_stale: 600
        4:12 max_stale: expected a duration from `10s` to `15m`, found 600
    on_outage: open
        18:16 products[0].on_outage: expected `deny`, `allow` or `{ allow_up_to: 1000 }`, found "open"
    on_outage: [deny]
        18:16 products[0].on_outage: expected `deny`, `allow` or `{ allow_up_to: 1000 }`, found a list
    on_outage: { allow_up_to: 0 }
        18:31 products[0].on_outage.allow_up_to: expected a whole number from 1 to 1000000000000000, found 0
    on_outage: { allow: 5 }
        18:16 products[0].on_outage: expected the field `allow_up_to`, found none
        18:18 products[0].on_outage.allow: unknown field: expected allow_up_to
    on_outage: { allow_up_to: 1 }     limis:
        9:50 apis[0].operations[0].weight: no quota counts this weight: write `quota: { weight: … }` in a product that opens the API, or leave it out
        18:16 products[0].on_outage: expected a limit that `allow_up_to` can go past, a hard quota or a rate over the fleet, found none: write `allow`, as nothing would stop these calls
        19:5 products[0].limis: unknown field (did you mean `limits`?): expected id, name, description, apis, every, price, limits, on_outage, billable
    weight: 1000001
        9:50 apis[0].operations[0].weight: expected a whole number from 0 to 1000000, found 1000001
    weight: -1
        9:50 apis[0].operations[0].weight: expected a whole number from 0 to 1000000, found -1
    open: true, weight: 5 }
        11:58 apis[0].operations[2].weight: an open operation is not counted, and so has no weight
    weight: 101
        22:9 products[0].limits[2]: expected a weight of at least 101, which each call of operation `validate` has, found 100: it would refuse them all
    calls: 100, period: billing
        9:50 apis[0].operations[0].weight: no quota counts this weight: write `quota: { weight: … }` in a product that opens the API, or leave it out
    billing }, api: address, operation: find
        9:50 apis[0].operations[0].weight: no quota counts this weight: write `quota: { weight: … }` in a product that opens the API, or leave it out
    weight: 0 is good }
        none
    "#);
}

#[test]
fn mistakes_in_limits() {
    let shown = [
        limit("id: l, rate: { calls: 10, period: 1s, burst: 10 }"),
        limit("id: l, rate: { calls: 1, period: 1h, burst: 9999 }"),
        limit("id: l, rate: { calls: 10, period: 1s }, soft: true"),
        limit("id: l, rate: { calls: 0, period: 1s }, scope: world"),
        limit("id: l, quota: { calls: 1, period: day }, soft: 1"),
        limit("id: l, quota: { calls: 1, period: day }, soft: true, enforce: false"),
        limit("id: l, quota: { calls: 1, period: day }, enforce: maybe"),
        limit("id: l, quota: { calls: 1, bytes: 1, period: day }"),
        limit("id: l, quota: { period: day }"),
        limit("id: l, quota: { units: 1, period: day }"),
        limit("id: l, quota: { units: 1, header: 'a b', period: day }"),
        limit("id: l, quota: { units: 1, header: Content-Length, period: day }"),
        limit("id: l, quota: { bytes: 1, header: x-bytes, period: day }"),
        limit("id: l, quota: { header: x-units, period: day }"),
        limit("id: l, quota: { calls: 1, period: days }"),
        limit("id: l, quota: { calls: 1, period: 1 month }"),
        limit("id: l, quota: { calls: 1, period: 1 day, zone: UTC }"),
        limit("id: l, quota: { calls: 1, period: billing, zone: UTC }"),
        limit("id: l, quota: { calls: 1, period: day, zone: Berlin }"),
        limit("id: l, quota: { calls: 1, period: day, zone: europe/berlin }"),
        limit("id: l, quota: { calls: 1, period: day, zone: Mars/Olympus }"),
        limit("id: l, quota: { calls: 1, period: day, zone: [UTC] }"),
    ]
    .concat();
    insta::assert_snapshot!(shown, @r#"
    id: l, rate: { calls: 10, period: 1s, burst: 10 }
        22:56 products[0].limits[2].rate.burst: expected a burst of at least 11, one more than a second's gain, which is held back while gateways spend what they were granted, found 10: write more, or `scope: gateway` to count in each Envoy process
    id: l, rate: { calls: 1, period: 1h, burst: 9999 }
        22:55 products[0].limits[2].rate.burst: expected a burst that 1 calls per 3600 s refill within 30 days, found 9999
    id: l, rate: { calls: 10, period: 1s }, soft: true
        22:57 products[0].limits[2].soft: only a quota can be soft: write `enforce: false` for a rate that refuses nothing
    id: l, rate: { calls: 0, period: 1s }, scope: world
        22:33 products[0].limits[2].rate.calls: expected a whole number from 1 to 1000000000, found 0
        22:57 products[0].limits[2].scope: expected `fleet` or `gateway`, found "world"
    id: l, quota: { calls: 1, period: day }, soft: 1
        22:58 products[0].limits[2].soft: expected true or false, found 1
    id: l, quota: { calls: 1, period: day }, soft: true, enforce: false
        22:73 products[0].limits[2].enforce: a soft quota counts and never refuses: leave `enforce` out, or leave `soft` out for a quota that also tells what it would have refused
    id: l, quota: { calls: 1, period: day }, enforce: maybe
        22:61 products[0].limits[2].enforce: expected true or false, found "maybe"
    id: l, quota: { calls: 1, bytes: 1, period: day }
        22:44 products[0].limits[2].quota.bytes: expected either `calls` or `bytes`, found both
    id: l, quota: { period: day }
        22:25 products[0].limits[2].quota: expected one of the fields calls, weight, bytes, units, found none
    id: l, quota: { units: 1, period: day }
        22:25 products[0].limits[2].quota: expected the field `header`, found none
    id: l, quota: { units: 1, header: 'a b', period: day }
        22:45 products[0].limits[2].quota.header: expected the name of a header, at most 64 bytes, found "a b"
    id: l, quota: { units: 1, header: Content-Length, period: day }
        22:45 products[0].limits[2].quota.header: expected a header that each response has, found `content-length`, which a streamed one has not: write `bytes` instead of `units`
    id: l, quota: { bytes: 1, header: x-bytes, period: day }
        22:45 products[0].limits[2].quota.header: only `units` are counted by a header: write `units`, or leave it out
    id: l, quota: { header: x-units, period: day }
        22:25 products[0].limits[2].quota: expected one of the fields calls, weight, bytes, units, found none
    id: l, quota: { calls: 1, period: days }
        22:45 products[0].limits[2].quota.period: expected `billing`, `lifetime`, `hour`, `day`, `week`, `month` or `year` of a calendar, or a duration in whole minutes up to `366d`, such as `30d`, found "days"
    id: l, quota: { calls: 1, period: 1 month }
        22:45 products[0].limits[2].quota.period: expected `billing`, `lifetime`, `hour`, `day`, `week`, `month` or `year` of a calendar, or a duration in whole minutes up to `366d`, such as `30d`, found "1 month"
    id: l, quota: { calls: 1, period: 1 day, zone: UTC }
        22:58 products[0].limits[2].quota.zone: only a calendar's `hour`, `day`, `week`, `month` or `year` has a zone: periods of another kind are counted from the subscription's start
    id: l, quota: { calls: 1, period: billing, zone: UTC }
        22:60 products[0].limits[2].quota.zone: only a calendar's `hour`, `day`, `week`, `month` or `year` has a zone: periods of another kind are counted from the subscription's start
    id: l, quota: { calls: 1, period: day, zone: Berlin }
        22:56 products[0].limits[2].quota.zone: expected the name of a time zone such as Europe/Berlin (did you mean `Europe/Berlin`?), found "Berlin"
    id: l, quota: { calls: 1, period: day, zone: europe/berlin }
        22:56 products[0].limits[2].quota.zone: expected the name of a time zone such as Europe/Berlin (did you mean `Europe/Berlin`?), found "europe/berlin"
    id: l, quota: { calls: 1, period: day, zone: Mars/Olympus }
        22:56 products[0].limits[2].quota.zone: expected the name of a time zone such as Europe/Berlin, found "Mars/Olympus"
    id: l, quota: { calls: 1, period: day, zone: [UTC] }
        22:56 products[0].limits[2].quota.zone: expected the name of a time zone such as Europe/Berlin, found a list
    "#);
}

#[test]
fn mistakes_in_targets() {
    let shown = [
        limit("id: l, rate: { calls: 1, period: 1s }, api: adress"),
        limit("id: l, rate: { calls: 1, period: 1s }, api: weather"),
        limit("id: l, rate: { calls: 1, period: 1s }, api: status"),
        limit("id: l, rate: { calls: 1, period: 1s }, operation: find"),
        limit("id: l, rate: { calls: 1, period: 1s }, api: address, operation: fnd"),
        limit("id: l, rate: { calls: 1, period: 1s }, api: address, operation: health"),
        limit("id: l, rate: { calls: 1, period: 1s }, api: weather, operation: '*'"),
        check("[address, status]", "[weather]"),
        check("[address, status]", "[weather, address]")
            .replace("[weather, address]", "[weather, address] is good"),
    ]
    .concat();
    insta::assert_snapshot!(shown, @r#"
    id: l, rate: { calls: 1, period: 1s }, api: adress
        22:55 products[0].limits[2].api: no API has the id `adress` (did you mean `address`?)
    id: l, rate: { calls: 1, period: 1s }, api: weather
        22:55 products[0].limits[2].api: the product does not open API `weather`: add it to its `apis`
    id: l, rate: { calls: 1, period: 1s }, api: status
        22:55 products[0].limits[2].api: every operation of API `status` is open: none is counted
    id: l, rate: { calls: 1, period: 1s }, operation: find
        22:9 products[0].limits[2]: expected the field `api`, found none
    id: l, rate: { calls: 1, period: 1s }, api: address, operation: fnd
        22:75 products[0].limits[2].operation: no operation of API `address` has the id `fnd` (did you mean `find`?)
    id: l, rate: { calls: 1, period: 1s }, api: address, operation: health
        22:75 products[0].limits[2].operation: operation `health` is open: its calls have no key and no limit
    id: l, rate: { calls: 1, period: 1s }, api: weather, operation: '*'
        22:55 products[0].limits[2].api: the product does not open API `weather`: add it to its `apis`
    [weather]
        20:70 products[0].limits[0].api: the product does not open API `address`: add it to its `apis`
        21:84 products[0].limits[1].api: the product does not open API `address`: add it to its `apis`
    [weather, address] is good
        none
    "#);
}

/// An API without operations has one, which is not named.
#[test]
fn an_api_without_operations_has_no_operation_to_name() {
    let text = change(GATE, "[address, status]", "[address, status, weather]");
    let limit = "load, quota: { weight: 100, period: billing }";
    let text = change(&text, limit, &format!("{limit}, api: weather, operation: any"));
    let text = text.replace(", weight: 5", "");
    assert_eq!(
        mistakes(&text),
        "22:87 products[0].limits[2].operation: API `weather` has no operations: leave `operation` \
         out"
    );
}

#[test]
fn a_quota_of_what_weighs_nothing_is_refused() {
    let text = change(GATE, "weight: 5", "weight: 0");
    assert_eq!(mistakes(&text), "none");
    let text = change(&text, "billing } }", "billing }, api: address, operation: validate }");
    assert_eq!(
        mistakes(&text),
        "22:9 products[0].limits[2]: expected an operation that weighs something, found that all \
         it counts weigh 0: this quota would never count a call"
    );
}
