//! How calls end: which are billed, what is read for that, and what is told of them when.

use tollgate_pricing::gate::{Billable, GateProduct, Limit, Meter, Statuses};
use tollgate_pricing::sync::{Rows, Slot};

use super::*;
use crate::testing::{Process, SECOND, catalog, product, quota};

const FIND: &str = "/a/find";

fn process(product: GateProduct, settings: &str) -> (Process, String) {
    let mut process = Process::with_settings(1, catalog(vec![product]), settings);
    let (_, key) = process.subscribe();
    // It is known from here on.
    assert_eq!(process.call(0, "/a/open", ""), "forwarded");
    (process, key)
}

/// A call that goes on.
fn begin(process: &mut Process, headers: &[(&str, &str)], key: &str) -> u32 {
    let all = [&[(":method", "GET"), (":path", FIND), ("x-api-key", key)], headers].concat();
    let stream = process.open(0, &all);
    process.settle_messages();
    assert_eq!(process.fate(0, stream), "forwarded");
    stream
}

/// The proxy knows these numbers and texts of a stream when it ends.
fn end(process: &mut Process, stream: u32, numbers: &[(&str, u64)], texts: &[(&str, &str)]) {
    process.look(0, stream, |stream| {
        let numbers = numbers.iter().map(|(name, number)| (*name, number.to_le_bytes().to_vec()));
        let texts = texts.iter().map(|(name, text)| (*name, text.as_bytes().to_vec()));
        let known = numbers.chain(texts).map(|(name, value)| (name.to_owned(), value));
        stream.properties.extend(known);
        // It ends as it is: nothing is added.
        stream.forwarded = false;
    });
    process.end(0, stream, 0);
}

fn rows(process: &Process) -> Rows {
    let mut all = Rows::default();
    for batch in process.heard.iter().filter_map(|request| request.rows.as_ref()) {
        let rows: Rows = serde_json::from_str(batch.rows.get()).unwrap();
        all.calls.extend(rows.calls);
        all.places.extend(rows.places);
        all.latencies.extend(rows.latencies);
    }
    // What opens a test is no part of it.
    all.calls.retain(|row| row.operation.as_deref() != Some("open"));
    all.latencies.retain(|row| row.operation.as_deref() != Some("open"));
    all
}

fn last_slot(process: &Process) -> Slot {
    let slots = process.heard.iter().flat_map(|request| &request.records).flat_map(|it| &it.slots);
    slots.last().unwrap().clone()
}

#[test]
fn a_product_says_which_endings_are_billed() {
    const SENT: (&str, u64) = ("response.code", 200);
    const REACHED: (&str, &str) = ("upstream.local_address", "10.0.0.1:80");
    const LEFT: (&str, u64) = ("response.flags", 1 << 14);
    const RESET: (&str, u64) = ("response.flags", 1 << 28);
    let check = |rule: &Billable, numbers: &[(&str, u64)], reached: bool, expected: &str| {
        let billable = rule.clone();
        let product = GateProduct { billable, ..product("basic", Vec::new()) };
        let (mut process, key) = process(product, "{}");
        let stream = begin(&mut process, &[], &key);
        let texts: &[(&str, &str)] = if reached { &[REACHED] } else { &[] };
        end(&mut process, stream, numbers, texts);
        process.run(2 * SECOND);
        let row = rows(&process).calls.pop().unwrap();
        let slot = last_slot(&process);
        let found = match (slot.admitted, slot.billable, slot.waived) {
            (1, 1, 0) => Outcome::Billable,
            (1, 0, 1) => Outcome::Waived,
            _ => panic!("{slot:?}"),
        };
        assert_eq!((row.outcome, row.period), (found, slot.period));
        let found = format!("{found:?} {}", row.status);
        assert_eq!(found, expected, "{rule:?} {numbers:?} {reached}");
    };
    let usual = Billable::default();
    check(&usual, &[SENT], true, "Billable 200");
    check(&usual, &[("response.code", 499)], true, "Billable 499");
    check(&usual, &[("response.code", 500)], true, "Waived 500");
    check(&usual, &[SENT], false, "Waived 200");
    check(&usual, &[], true, "Billable 0");
    check(&usual, &[], false, "Waived 0");
    check(&usual, &[SENT, LEFT], true, "Billable 200");

    let all = vec![Statuses { first: 200, last: 299 }, Statuses { first: 404, last: 404 }];
    let strict = Billable { statuses: all.clone(), unforwarded: false, aborted: false };
    check(&strict, &[SENT], true, "Billable 200");
    check(&strict, &[("response.code", 404)], true, "Billable 404");
    check(&strict, &[("response.code", 403)], true, "Waived 403");
    check(&strict, &[SENT, LEFT], true, "Waived 200");
    check(&strict, &[SENT, RESET], true, "Waived 200");
    check(&strict, &[SENT, ("response.flags", !(LEFT.1 | RESET.1))], true, "Billable 200");
    check(&strict, &[LEFT], true, "Waived 0");

    let any = Billable { statuses: all, unforwarded: true, aborted: true };
    check(&any, &[SENT], false, "Billable 200");
    check(&any, &[LEFT], false, "Billable 0");
    check(&any, &[("response.code", 503)], false, "Waived 503");
}

#[test]
fn only_what_is_wanted_is_read() {
    let check = |product: GateProduct, settings: &str, expected: &str| {
        let (mut process, key) = process(product, settings);
        let stream = begin(&mut process, &[], &key);
        let seen = [("response.code", 200), ("response.flags", 0)];
        process.look(0, stream, |stream| {
            for (name, number) in seen {
                stream.properties.insert(name.to_owned(), u64::to_le_bytes(number).to_vec());
            }
            stream.properties.insert("upstream.local_address".to_owned(), b"api".to_vec());
        });
        process.log(0, stream);
        let read = process.look(0, stream, |stream| stream.read.join(" "));
        assert_eq!(read, expected);
    };
    let plain = || product("basic", Vec::new());
    let with = |billable| GateProduct { billable, ..plain() };
    check(plain(), "{}", "response.code upstream.local_address");
    let any = Billable { unforwarded: true, ..Billable::default() };
    check(with(any), "{}", "response.code");
    let strict = Billable { aborted: false, ..Billable::default() };
    check(with(strict), "{}", "response.code upstream.local_address response.flags");
    let sizes = "request.total_size response.total_size";
    let bytes = product("basic", vec![quota(1_000, Meter::Bytes)]);
    check(bytes, "{}", &format!("response.code {sizes} upstream.local_address"));
    check(plain(), r#"{"bytes":true}"#, &format!("response.code {sizes} upstream.local_address"));
    let header = product("basic", vec![quota(1_000, Meter::Header("x-units".to_owned()))]);
    let others = Limit { id: "other".to_owned(), ..header.limits[0].clone() };
    let twice = GateProduct { limits: vec![header.limits[0].clone(), others], ..header };
    check(twice, "{}", "response.code upstream.local_address response.headers.x-units");
}

#[test]
fn a_row_says_what_its_slot_counts() {
    let mut product = product("basic", Vec::new());
    product.meters = vec![Meter::Weight, Meter::Bytes, Meter::Header("x-units".to_owned())];
    let (mut process, key) = process(product, r#"{"country_header":"x-geo-country"}"#);
    let sizes = [("request.total_size", 100), ("response.total_size", 23)];
    let texts = [("upstream.local_address", "api"), ("response.headers.x-units", "7")];
    for (status, country) in [(200, "de"), (503, "DE"), (201, "unknown")] {
        let stream = begin(&mut process, &[("x-geo-country", country)], &key);
        let numbers = [&sizes[..], &[("response.code", status)]].concat();
        end(&mut process, stream, &numbers, &texts);
    }
    process.run(2 * SECOND);
    let rows = rows(&process);
    let mut calls: Vec<String> = rows
        .calls
        .iter()
        .map(|row| {
            let (outcome, bytes, units) = (row.outcome, row.bytes, row.units);
            format!("{} {outcome:?} in {}: {bytes} bytes, {units} units", row.status, row.period)
        })
        .collect();
    calls.sort();
    insta::assert_snapshot!(calls.join("\n"), @r"
    200 Billable in 1: 123 bytes, 8 units
    201 Billable in 1: 123 bytes, 8 units
    503 Waived in 1: 123 bytes, 0 units
    ");
    let mut places: Vec<String> = rows
        .places
        .iter()
        .map(|row| {
            format!("{:?} {} {:?}: {} bytes", row.country, row.status, row.outcome, row.bytes)
        })
        .collect();
    places.sort();
    insta::assert_snapshot!(places.join("\n"), @r"
    DE 200 Billable: 123 bytes
    DE 503 Waived: 123 bytes
    ");
    let timed: u64 = rows.latencies.iter().map(|row| row.histogram.total()).sum();
    assert_eq!(timed, 3);
    let meters = last_slot(&process).meters;
    let of = |meter: Meter| meters.get(meter.tag());
    let counted = [of(Meter::Weight), of(Meter::Bytes), of(Meter::Header("x-units".to_owned()))];
    assert_eq!(counted, [2, 246, 14], "of the two that are billed");
}

/// A price never changes under a call.
#[test]
fn a_call_is_settled_by_the_rule_under_which_it_was_admitted() {
    let (mut process, key) = process(product("basic", Vec::new()), "{}");
    let stream = begin(&mut process, &[], &key);
    process.catalog.revision = 2;
    process.revision = 2;
    process.catalog.products[0].billable.statuses = vec![Statuses { first: 404, last: 404 }];
    process.run(3 * SECOND);
    let later = begin(&mut process, &[], &key);
    process.end(0, stream, 200);
    process.end(0, later, 200);
    process.run(2 * SECOND);
    let slot = last_slot(&process);
    assert_eq!((slot.admitted, slot.billable, slot.waived), (2, 1, 1));
}

/// Rows never say more than counters do.
#[test]
fn a_call_is_told_once_it_is_settled() {
    let (mut process, key) = process(product("basic", Vec::new()), "{}");
    let stream = begin(&mut process, &[], &key);
    process.outside.borrow_mut().contended = true;
    process.end(0, stream, 200);
    process.run(3 * SECOND);
    assert_eq!(process.metric(Metric::Unsettled), 1);
    assert!(rows(&process).calls.is_empty());
    process.outside.borrow_mut().contended = false;
    process.run(3 * SECOND);
    assert_eq!(process.metric(Metric::Unsettled), 0);
    let told = rows(&process).calls;
    assert_eq!((told.len(), told[0].calls, told[0].outcome), (1, 1, Outcome::Billable));
    assert_eq!(last_slot(&process).billable, 1);
}

#[test]
fn a_call_whose_record_is_gone_is_told_as_it_ended() {
    let (mut process, key) = process(product("basic", Vec::new()), "{}");
    let stream = begin(&mut process, &[], &key);
    process.damage_records(b"garbage");
    process.end(0, stream, 200);
    process.run(3 * SECOND);
    assert_eq!(process.metric(Metric::Lost), 1);
    let told = rows(&process).calls;
    assert_eq!((told.len(), told[0].calls, told[0].outcome), (1, 1, Outcome::Billable));
}

#[test]
fn units_are_whole_numbers() {
    let check = |text: &[u8], number| assert_eq!(whole_number(text), number, "{text:?}");
    check(b"0", Some(0));
    check(b" 17\t", Some(17));
    check(b"007", Some(7));
    check(b"18446744073709551615", Some(u64::MAX));
    for bad in [&b""[..], b" ", b"+1", b"-1", b"1.5", b"1e3", b"1,2", b"0x1", b"\xff"] {
        check(bad, None);
    }
    check(b"18446744073709551616", None);
}
