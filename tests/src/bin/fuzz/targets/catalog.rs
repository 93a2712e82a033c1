//! A catalog as someone typed it.

use tollgate_plugin::route::Routes;
use tollgate_pricing::catalog::Catalog;
use tollgate_pricing::gate::{
    GateCatalog, MAX_ID_BYTES, MAX_LIMITS, MAX_RATE_CALLS, MAX_RATE_PERIOD_SECONDS, MAX_WEIGHT,
    Rule,
};
use tollgate_pricing::key::KeySecrets;
use tollgate_pricing::sync::{MAX_METERS, MAX_STALE_SECONDS};

use super::{Seen, Target, law};
use crate::chance::Chance;
use crate::mutate::mutate;

pub(crate) const TARGET: Target = Target {
    name: "catalog",
    law: "a text is a catalog within every bound that gateways rely on, or a list of mistakes",
    share: 2,
    run,
    make,
    seeds,
    tokens: &[
        b"- ",
        b"\n",
        b"\n  ",
        b": ",
        b"{ ",
        b" }",
        b"[",
        b"]",
        b", ",
        b"\"",
        b"'",
        b"&a",
        b"*a",
        b"!!str ",
        b"---\n",
        b"...\n",
        b"? ",
        b"|\n",
        b">-\n",
        b"#",
        b"null",
        b"~",
        b"true",
        b"-1",
        b"0",
        b"1",
        b"1e9",
        b"0x10",
        b"99999999999999999999",
        b"4294967296",
        b"1000000001",
        b"60s",
        b"25h",
        b"1 month",
        b"15m",
        b"16m",
        b"id: ",
        b"path: ",
        b"/a/{b}",
        b"/*",
        b"/a//b",
        b"/;",
        b"limits:",
        b"rate: ",
        b"quota: ",
        b"calls: ",
        b"period: ",
        b"burst: ",
        b"scope: fleet",
        b"scope: gateway",
        b"enforce: false",
        b"soft: true",
        b"weight: ",
        b"bytes: ",
        b"units: ",
        b"header: ",
        b"zone: Europe/Berlin",
        b"zone: Mars/Base",
        b"on_outage: allow",
        b"on_outage: { allow_up_to: 5 }",
        b"billable: { ",
        b"statuses: [2xx, 404, 410-418]",
        b"aborted: false",
        b"unforwarded: true",
        b"key: { query: k, imported: true }",
        b"answers: ",
        b"max_stale: 10s",
        b"rate_limit_headers: always",
        b"lifetime",
        b"billing",
        b"week",
        b"api: ",
        b"operation: ",
        b"open: true",
        b"method: GET",
        b"\t",
        b"\xef\xbb\xbf",
        b"\xc2\xa0",
    ],
    outcomes: &["a catalog", "one mistake", "more mistakes", "not UTF-8"],
};

const TEXTS: [&str; 2] = [
    include_str!("../../../../../catalogs/demo.yaml"),
    include_str!("../../../../../catalogs/reference.yaml"),
];
const SMALL: &str = "currency: EUR
apis: [{ id: a, path: /a, operations: [{ id: o, method: GET, path: '/{x}' }] }]
products:
  - id: p
    apis: [a]
    price: { every: month, per_call: 0.01 }
    limits: [{ id: l, rate: { calls: 5, period: 1s } }, { id: m, quota: { calls: 9, period: billing } }]
";

fn seeds() -> Vec<Vec<u8>> {
    TEXTS.iter().chain([&SMALL]).map(|text| text.as_bytes().to_vec()).collect()
}

fn run(input: &[u8], seen: &mut Seen) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else {
        seen.mark("not UTF-8");
        return Ok(());
    };
    match Catalog::parse(text) {
        Ok(catalog) => {
            seen.mark("a catalog");
            let gate = catalog.gate(1, KeySecrets::derive(&[1; 32]));
            within_bounds(&gate)?;
            let json = serde_json::to_vec(&gate).map_err(|error| error.to_string())?;
            let again = serde_json::from_slice::<GateCatalog>(&json);
            law(again.is_ok_and(|again| again == gate), || "it is another on the wire".to_owned())?;
            let _ = Routes::new(&gate);
        }
        Err(mistakes) => {
            let told = mistakes.to_string();
            law(!told.trim().is_empty(), || "refused without a word".to_owned())?;
            let lines = told.lines().count();
            seen.mark(if lines <= 1 { "one mistake" } else { "more mistakes" });
        }
    }
    Ok(())
}

fn within_bounds(gate: &GateCatalog) -> Result<(), String> {
    let stale = u64::from(gate.max_stale_seconds);
    law((1..=MAX_STALE_SECONDS).contains(&stale), || format!("max_stale of {stale} s"))?;
    for api in &gate.apis {
        law(api.id.len() <= MAX_ID_BYTES, || format!("a long id: {}", api.id))?;
        for operation in &api.operations {
            law(operation.weight <= MAX_WEIGHT, || format!("a weight of {}", operation.weight))?;
        }
    }
    for product in &gate.products {
        let count = product.limits.len();
        law(count <= MAX_LIMITS, || format!("{count} limits"))?;
        let meters = product.meters.len();
        law(meters <= MAX_METERS, || format!("{meters} meters"))?;
        let statuses = &product.billable.statuses;
        let is_sound = statuses.iter().all(|it| 100 <= it.first && it.first <= it.last)
            && statuses.is_sorted_by(|range, next| range.last + 1 < next.first)
            && statuses.last().is_some_and(|it| it.last < 600);
        law(is_sound, || format!("statuses {statuses:?}"))?;
        for opened in &product.apis {
            let is_there = gate.apis.iter().any(|api| api.id == *opened);
            law(is_there, || format!("no API {opened:?}"))?;
        }
        for (place, limit) in product.limits.iter().enumerate() {
            let same = product.limits[..place].iter().any(|other| other.tag() == limit.tag());
            law(!same, || format!("two limits of one tag: {:?}", limit.id))?;
            let (calls, seconds) = match &limit.rule {
                Rule::SlidingWindow { calls, period_seconds, .. } => (calls, period_seconds),
                Rule::TokenBucket { burst, period_seconds, .. } => (burst, period_seconds),
                Rule::Quota { .. } => continue,
            };
            law(calls.get() <= MAX_RATE_CALLS, || format!("{calls} calls in a window"))?;
            let is_short = seconds.get() <= MAX_RATE_PERIOD_SECONDS;
            law(is_short, || format!("a window of {seconds} s"))?;
        }
    }
    Ok(())
}

/// One of the examples with whole lines moved about, then changed as any input is.
fn make(chance: &mut Chance) -> Vec<u8> {
    let mut lines: Vec<&str> = chance.pick(&TEXTS).lines().collect();
    for _ in 0..chance.below(4) {
        let (from, to) = (chance.below(lines.len()), chance.below(lines.len()));
        match chance.below(3) {
            0 => lines.swap(from, to),
            1 => lines.insert(to, lines[from]),
            _ => drop(lines.remove(from)),
        }
    }
    let mut text = lines.join("\n").into_bytes();
    if chance.once_in(2) {
        mutate(&mut text, &seeds(), TARGET.tokens, chance);
    }
    text
}
