//! Every mistake a catalog may make, and how it is told.

use super::{GOOD, mistakes, with};
use crate::catalog::MAX_TEXT_BYTES;
use crate::gate::MAX_LIMITS;
use crate::id::Tag;

#[test]
fn each_mistake_is_named_at_its_place() {
    fn check(from: &str, to: &str) -> String {
        let changed = to.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        format!("{changed}\n    {}\n", mistakes(&with(from, to)).replace('\n', "\n    "))
    }
    let shown = [
        check("USD", "usd"),
        check("USD", "XAU"),
        check("USD", "[USD]"),
        check("USD\n", "USD\nvat: 19\n"),
        check("X-Api-Key", "X Api Key"),
        check("X-Api-Key", "Host"),
        check("query: api-key", "query: 'api key'"),
        check("query: api-key", "querry: api-key"),
        check("id: address", "id: 'adress!'"),
        check("id: address", "id: -address"),
        check("api.example.com", "api.example.com:8080"),
        check("path: /address", "path: address"),
        check("path: /address", "path: /address/"),
        check("path: /address", "path: /a//b"),
        check("path: /address", "path: /a/../b"),
        check("path: /address", "path: /a%20b"),
        check("path: /address", "path: /a/{b}"),
        check("/validate", "/streets/*/x"),
        check("/validate", "'/{a}/{a}'"),
        check("/validate", "'/a{b}'"),
        check("method: POST, path: /validate", "path: '/streets/{other}/*'"),
        check("id: street", "id: validate"),
        check("method: POST", "method: 'P O'"),
        check("POST,", "POST, open: yes,"),
        check("[address]", "[adress, address, address]"),
        check("[address]", "[]"),
        check("name: Basic", "name: ''"),
        check("every: month", "every: fortnight"),
        check("every: month", "every: 90s"),
        check("every: month", "every: 400d"),
        check("every: month", "every:"),
        check("{ amount: 14.95, included: 50000 }", "14.95"),
        check("tier:", "teir:"),
        check("tier:", "volume:"),
        check("tier: { amount: 14.95, included: 50000 }", "freee"),
        check(
            "tier: { amount: 14.95, included: 50000 }",
            "unit: { amount: 5 }\n      metered: { amount: 5 }",
        ),
        check("14.95", "-14.95"),
        check("14.95", "14.9500000000000001"),
        check("14.95", "1495e-2"),
        check("14.95", "99999999999999999999999999999999999999999"),
        check("included: 50000 }", "included: 0 }"),
        check("included: 50000 }", "included: 1_000 }"),
        check("included: 50000 }", "include: 50000 }"),
        check("quota: { calls: 50000,", "quota: { calls: 0,"),
        check("quota: { calls: 50000,", "quota: { calls: '5',"),
        check("quota: { calls: 50000,", "quota: { calls: 9999999999999999999999,"),
        check("period: 30d", "period: fortnight"),
        check("period: 30d", "period: 45s"),
        check("period: 30d }", "period: 30d }\n        scope: fleet"),
        check("period: 1s", "period: 25h"),
        check("period: 1s", "period: 60"),
        check("calls: 10,", "calls: 1000000001,"),
        check("period: 1s, burst: 20", "period: 1h, burst: 1000000000"),
        check("scope: gateway", "scope: galaxy"),
        check("id: monthly", "id: bursts"),
        check("quota: { calls: 50000, period: 30d }", "limit: 5"),
        check("name: Basic", "name: Basic\n    id: second"),
        check("name: Basic", "name: &anchor Basic\n    description: *anchor"),
        check("name: Basic", "name: !secret Basic"),
        check("name: Basic", "name: \"Basic"),
        check("name: Basic", "? [a]\n    : b"),
    ]
    .concat();
    insta::assert_snapshot!(shown, @r#"
    usd
        1:11 currency: expected a currency of ISO 4217 such as USD, found "usd"
    XAU
        1:11 currency: expected a currency with minor units, found XAU, which has none to bill in
    [USD]
        1:11 currency: expected a currency of ISO 4217 such as USD, found a list
    USD vat: 19
        2:1 vat: unknown field: expected currency, key, answers, max_stale, apis, products
    X Api Key
        2:16 key.header: expected the name of a header, at most 64 bytes, found "X Api Key"
    Host
        2:16 key.header: expected a header of its own, found `host`, which HTTP needs
    query: 'api key'
        2:34 key.query: expected the name of a query parameter, at most 64 letters, digits and -._~, found "api key"
    querry: api-key
        2:27 key.querry: unknown field (did you mean `query`?): expected header, query, imported
    id: 'adress!'
        4:9 apis[0].id: expected an id of at most 64 letters, digits and -_. that begins with a letter or digit, found "adress!"
        13:12 products[0].apis[0]: no API has the id `address` (did you mean `adress!`?)
    id: -address
        4:9 apis[0].id: expected an id of at most 64 letters, digits and -_. that begins with a letter or digit, found "-address"
        13:12 products[0].apis[0]: no API has the id `address` (did you mean `-address`?)
    api.example.com:8080
        5:11 apis[0].host: expected the name of a host without port, such as api.example.com, found "api.example.com:8080"
    path: address
        6:11 apis[0].path: expected a path with a leading `/`, found "address"
    path: /address/
        6:11 apis[0].path: expected a path with no empty segment and no `/` at its end, found "/address/"
    path: /a//b
        6:11 apis[0].path: expected a path with no empty segment and no `/` at its end, found "/a//b"
    path: /a/../b
        6:11 apis[0].path: expected a path with no `.` or `..`, found "/a/../b"
    path: /a%20b
        6:11 apis[0].path: expected a path with only letters, digits and -._~!$&'()+,=:@ in its segments, found "/a%20b"
    path: /a/{b}
        6:11 apis[0].path: expected a path with no `*`, `{` or `}` (templates are for operations), found "/a/{b}"
    /streets/*/x
        8:45 apis[0].operations[0].path: expected a path with `{name}` or a final `*` as a whole segment, found "/streets/*/x"
    '/{a}/{a}'
        8:45 apis[0].operations[0].path: expected a path with each `{name}` once, found "/{a}/{a}"
    '/a{b}'
        8:45 apis[0].operations[0].path: expected a path with `{name}` or a final `*` as a whole segment, found "/a{b}"
    path: '/streets/{other}/*'
        9:9 apis[0].operations[1]: expected a method and path of its own, found those of the operation in line 8
    id: validate
        9:15 apis[0].operations[1].id: expected an id of its own, found that of the operation in line 8
    method: 'P O'
        8:33 apis[0].operations[0].method: expected an HTTP method such as GET, or none for any, found "P O"
    POST, open: yes,
        8:45 apis[0].operations[0].open: expected true or false, found "yes"
    [adress, address, address]
        13:12 products[0].apis[0]: no API has the id `adress` (did you mean `address`?)
        13:29 products[0].apis[2]: expected each API once, found `address` again
    []
        13:11 products[0].apis: expected APIs, found an empty list
    name: ''
        12:11 products[0].name: expected a name of 1 to 100 characters in one line, found ""
    every: fortnight
        14:12 products[0].every: expected `day`, `week`, `month`, `year`, or a duration in whole minutes up to `366d`, such as `5 minutes`, found "fortnight"
    every: 90s
        14:12 products[0].every: expected `day`, `week`, `month`, `year`, or a duration in whole minutes up to `366d`, such as `5 minutes`, found "90s"
    every: 400d
        14:12 products[0].every: expected `day`, `week`, `month`, `year`, or a duration in whole minutes up to `366d`, such as `5 minutes`, found "400d"
    every:
        14:10 products[0].every: expected `day`, `week`, `month`, `year`, or a duration in whole minutes up to `366d`, such as `5 minutes`, found nothing
    14.95
        16:13 products[0].price.tier: expected a mapping such as `{ amount: 14.95, included: 50000 }`, found 14.95
    teir:
        16:7 products[0].price.teir: unknown field (did you mean `tier`?): expected freemium, metered, tier, tier_with_overage, unit
    volume:
        16:7 products[0].price.volume: unknown field: expected freemium, metered, tier, tier_with_overage, unit
        16:7 products[0].price: expected one of the fields freemium, metered, tier, tier_with_overage, unit, found none
    freee
        16:7 products[0].price: expected `free` or one of freemium, metered, tier, tier_with_overage, unit (did you mean `free`?), found "freee"
    unit: { amount: 5 } metered: { amount: 5 }
        16:13 products[0].price.unit: expected either `metered` or `unit`, found both
    -14.95
        16:23 products[0].price.tier.amount: expected a price of zero or more, found -14.95
    14.9500000000000001
        16:23 products[0].price.tier.amount: expected at most 14 decimals for USD, found 16
    1495e-2
        16:23 products[0].price.tier.amount: expected a decimal number such as 14.95, found "1495e-2"
    99999999999999999999999999999999999999999
        16:23 products[0].price.tier.amount: expected a price of at most 1000000000 USD, found more
    included: 0 }
        16:40 products[0].price.tier.included: expected a whole number from 1 to 1000000000000000, found 0
    included: 1_000 }
        16:40 products[0].price.tier.included: expected a whole number from 1 to 1000000000000000, found "1_000"
    include: 50000 }
        16:30 products[0].price.tier.include: unknown field (did you mean `included`?): expected amount, included
    quota: { calls: 0,
        22:25 products[0].limits[1].quota.calls: expected a whole number from 1 to 1000000000000000, found 0
    quota: { calls: '5',
        22:25 products[0].limits[1].quota.calls: expected a whole number from 1 to 1000000000000000, found "5"
    quota: { calls: 9999999999999999999999,
        22:25 products[0].limits[1].quota.calls: expected a whole number from 1 to 1000000000000000, found 9999999999999999999999
    period: fortnight
        22:40 products[0].limits[1].quota.period: expected `billing`, `lifetime`, `hour`, `day`, `week`, `month` or `year` of a calendar, or a duration in whole minutes up to `366d`, such as `30d`, found "fortnight"
    period: 45s
        22:40 products[0].limits[1].quota.period: expected `billing`, `lifetime`, `hour`, `day`, `week`, `month` or `year` of a calendar, or a duration in whole minutes up to `366d`, such as `30d`, found "45s"
    period: 30d } scope: fleet
        23:16 products[0].limits[1].scope: a quota always counts over the whole fleet: leave `scope` out
    period: 25h
        19:36 products[0].limits[0].rate.period: expected a duration from `1s` to `24h`, such as `60s`, found "25h"
    period: 60
        19:36 products[0].limits[0].rate.period: expected a duration from `1s` to `24h`, such as `60s`, found 60
    calls: 1000000001,
        19:24 products[0].limits[0].rate.calls: expected a whole number from 1 to 1000000000, found 1000000001
    period: 1h, burst: 1000000000
        19:47 products[0].limits[0].rate.burst: expected a burst that 10 calls per 3600 s refill within 30 days, found 1000000000
    scope: galaxy
        20:16 products[0].limits[0].scope: expected `fleet` or `gateway`, found "galaxy"
    id: bursts
        21:13 products[0].limits[1].id: expected an id of its own, found that of the limit in line 18
    limit: 5
        21:9 products[0].limits[1]: expected one of the fields rate, quota, found none
        22:9 products[0].limits[1].limit: unknown field: expected id, rate, quota, scope, soft, enforce, operation, api
    name: Basic id: second
        13:5 products[0].id: expected once, found again after line 11
    name: &anchor Basic description: *anchor
        13:18 products[0].description: expected the value itself, found an alias, which catalogs do not have
    name: !secret Basic
        12:11 products[0].name: expected no tag, found "!secret"
    name: "Basic
        12:11 expected YAML or JSON: invalid indentation in quoted scalar
    ? [a] : b
        12:7 products[0]: expected the name of a field
    "#);
}

#[test]
fn a_text_that_is_no_catalog_is_named() {
    fn check(text: &str) -> String {
        format!(
            "{:?}\n    {}\n",
            text.get(..20).unwrap_or(text),
            mistakes(text).replace('\n', "\n    ")
        )
    }
    let shown = [
        check(""),
        check("# only a comment\n"),
        check("---\n"),
        check("5"),
        check("[]"),
        check("{}"),
        check("currency: USD\napis: []\nproducts: []\n"),
        check(&format!("{GOOD}---\n{GOOD}")),
        check(&"[".repeat(100)),
        check(&"- ".repeat(100)),
        check(&" ".repeat(MAX_TEXT_BYTES + 1)),
        check(&format!("\u{feff}{GOOD}").replace('\n', "\r\n")),
    ]
    .concat();
    insta::assert_snapshot!(shown, @r##"
    ""
        1:1 expected a catalog, found an empty text
    "# only a comment\n"
        1:1 expected a catalog, found an empty text
    "---\n"
        2:1 expected a catalog with `currency`, `apis` and `products`, found nothing
    "5"
        1:1 expected a catalog with `currency`, `apis` and `products`, found 5
    "[]"
        1:1 expected a catalog with `currency`, `apis` and `products`, found a list
    "{}"
        1:1 expected the field `currency`, found none
        1:1 expected the field `apis`, found none
        1:1 expected the field `products`, found none
    "currency: USD\napis: "
        2:7 apis: expected APIs, found an empty list
        3:11 products: expected products, found an empty list
    "currency: USD\nkey: {"
        23:1 expected one document, found a second
    "[[[[[[[[[[[[[[[[[[[["
        1:17 [0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: expected at most 16 levels of nesting, found more
    "- - - - - - - - - - "
        1:33 [0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: expected at most 16 levels of nesting, found more
    "                    "
        1:1 expected at most 4194304 bytes, found 4194305
    "\u{feff}currency: USD\r\nke"
        none
    "##);
}

#[test]
fn apis_and_products_are_there_once() {
    let (head, rest) = GOOD.split_once("apis:\n").unwrap();
    let (apis, products) = rest.split_once("products:\n").unwrap();
    let text = format!("{head}apis:\n{apis}{apis}products:\n{products}{products}");
    insta::assert_snapshot!(mistakes(&text), @r#"
    10:5 apis[1]: expected a host and path of its own, found those of the API in line 4
    10:9 apis[1].id: expected an id of its own, found that of the API in line 4
    29:9 products[1].id: expected an id of its own, found that of the product in line 17
    "#);
}

/// Records know products and limits by 32 bits of a hash; these ids were found by search.
#[test]
fn ids_with_one_tag_are_refused() {
    assert_eq!(Tag::of("plan-20951"), Tag::of("plan-63574"));
    let text = with("bursts", "plan-20951").replace("monthly", "plan-63574");
    insta::assert_snapshot!(mistakes(&text), @r#"
    21:13 products[0].limits[1].id: `plan-63574` and `plan-20951` have the same 32-bit tag, by which gateways know them: rename one
    "#);
}

#[test]
fn lists_have_their_limits() {
    let limit = |n| format!("      - {{ id: l{n}, quota: {{ calls: 50000, period: day }} }}\n");
    // Two are in the good catalog.
    let limits: String = (2..MAX_LIMITS).map(limit).collect();
    assert_eq!(mistakes(&format!("{GOOD}{limits}")), "none");
    let limits: String = (1..MAX_LIMITS).map(limit).collect();
    insta::assert_snapshot!(mistakes(&format!("{GOOD}{limits}")), @r#"
    18:7 products[0].limits: expected at most 16 limits, found 17
    "#);
}

#[test]
fn past_a_thousand_mistakes_only_their_number_is_told() {
    let field = |n: usize| format!("field{n}: 1\n");
    let unknown: String = (0..1_100).map(field).collect();
    let all = mistakes(&format!("{GOOD}{unknown}"));
    assert_eq!(all.lines().count(), 1_001);
    insta::assert_snapshot!(all.lines().last().unwrap(), @r#"
    1022:1 and 100 more mistakes
    "#);
}

/// Everything at once, in the order of the text.
#[test]
fn a_badly_broken_catalog_is_told_all_its_mistakes() {
    let text = r#"
currency: DOLLARS
keys: { header: X-Api-Key }
apis:
  - id: address
    path: address/
    operations:
      - { id: validate, method: POST, path: /validate/ }
      - { id: validate, path: "/streets/{a}" }
      - { id: cities, path: "/streets/{b}" }
  - id: address
    hots: api.example.com
products:
  - id: basic plan
    apis: [adress, weather]
    evry: month
    price:
      tier: { amount: -14.95, included: 50000, currency: USD }
    limits:
      - id: per-minute
        rate: { calls: 0, period: 60 }
      - id: monthly
        quota: { calls: 0, period: 30d, burst: 5 }
        scope: fleet
  - id: pro
    apis: []
    price: { metred: { per: 0, amount: ten } }
    limits: 5
  - id: pro
    name: "two
      lines\tof it"
    apis: [address]
    every: fortnight
    limits:
      - { id: fast, rate: { calls: 10, period: 1s }, scope: fleet }
      - { id: fast, quota: { calls: 10, period: 1s } }
    limits: []
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    2:11 currency: expected a currency of ISO 4217 such as USD, found "DOLLARS"
    3:1 keys: unknown field (did you mean `key`?): expected currency, key, answers, max_stale, apis, products
    6:11 apis[0].path: expected a path with a leading `/`, found "address/"
    8:45 apis[0].operations[0].path: expected a path with no empty segment and no `/` at its end, found "/validate/"
    9:15 apis[0].operations[1].id: expected an id of its own, found that of the operation in line 8
    10:9 apis[0].operations[2]: expected a method and path of its own, found those of the operation in line 9
    11:9 apis[1].id: expected an id of its own, found that of the API in line 5
    12:5 apis[1].hots: unknown field (did you mean `host`?): expected id, host, path, operations
    14:9 products[0].id: expected an id of at most 64 letters, digits and -_. that begins with a letter or digit, found "basic plan"
    15:12 products[0].apis[0]: no API has the id `adress` (did you mean `address`?)
    15:20 products[0].apis[1]: no API has the id `weather`
    16:5 products[0].evry: unknown field (did you mean `every`?): expected id, name, description, apis, every, price, limits, on_outage, billable
    18:23 products[0].price.tier.amount: expected a price of zero or more, found -14.95
    18:48 products[0].price.tier.currency: unknown field: expected amount, included
    21:24 products[0].limits[0].rate.calls: expected a whole number from 1 to 1000000000, found 0
    21:35 products[0].limits[0].rate.period: expected a duration from `1s` to `24h`, such as `60s`, found 60
    23:25 products[0].limits[1].quota.calls: expected a whole number from 1 to 1000000000000000, found 0
    23:41 products[0].limits[1].quota.burst: unknown field: expected calls, weight, bytes, units, header, period, zone
    24:16 products[0].limits[1].scope: a quota always counts over the whole fleet: leave `scope` out
    26:11 products[1].apis: expected APIs, found an empty list
    27:14 products[1].price.metred: unknown field (did you mean `metered`?): expected freemium, metered, tier, tier_with_overage, unit
    28:13 products[1].limits: expected a list of limits, found 5
    29:5 products[2]: expected the field `price`, found none
    29:9 products[2].id: expected an id of its own, found that of the product in line 25
    30:11 products[2].name: expected a name of 1 to 100 characters in one line, found "two lines\tof it"
    33:12 products[2].every: expected `day`, `week`, `month`, `year`, or a duration in whole minutes up to `366d`, such as `5 minutes`, found "fortnight"
    36:15 products[2].limits[1].id: expected an id of its own, found that of the limit in line 35
    36:49 products[2].limits[1].quota.period: expected `billing`, `lifetime`, `hour`, `day`, `week`, `month` or `year` of a calendar, or a duration in whole minutes up to `366d`, such as `30d`, found "1s"
    37:5 products[2].limits: expected once, found again after line 34
    "#);
}
