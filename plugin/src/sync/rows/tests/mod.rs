//! What a VM's rows say, and in which batches.

mod backlog;
mod laws;
mod less;
mod outage;

use tollgate_pricing::sync::Rows as Wire;

use super::*;

const VM: Hex128 = Hex128([7; 16]);

fn route(operation: &str) -> Rc<RouteName> {
    Rc::new(RouteName { api: "a".to_owned(), operation: operation.to_owned() })
}

fn call(subscription: u64, minute: u32) -> Described {
    Described {
        subscription: Some(SubscriptionId(subscription)),
        period: 1,
        route: Some(route("o")),
        status: 200,
        outcome: Outcome::Billable,
        would_refuse: None,
        minute,
        country: None,
        latency_us: 1_000,
        bytes: 10,
        units: 2,
    }
}

fn read(batch: &RowBatch) -> Wire {
    assert_eq!(batch.hash, RowBatch::hash_of(batch.rows.get()));
    serde_json::from_str(batch.rows.get()).unwrap()
}

fn calls(batch: &RowBatch) -> u64 {
    read(batch).calls.iter().map(|row| row.calls).sum()
}

/// Sends all that is left, and acknowledges it.
fn drain(rows: &mut Rows) -> Vec<RowBatch> {
    let mut batches = Vec::new();
    while let Some(batch) = rows.batch(VM) {
        rows.acknowledge(RowsAck { incarnation: VM, sequence: batch.sequence });
        batches.push(batch);
    }
    batches
}

#[test]
fn a_batch_is_the_same_until_it_is_acknowledged() {
    let mut rows = Rows::default();
    assert!(rows.batch(VM).is_none());
    rows.add(call(1, 5));
    rows.add(call(1, 5));
    let first = rows.batch(VM).unwrap();
    assert_eq!((first.sequence, calls(&first)), (1, 2));
    rows.add(call(1, 5));
    let again = rows.batch(VM).unwrap();
    assert_eq!((again.rows.get(), again.hash), (first.rows.get(), first.hash));
    rows.acknowledge(RowsAck { incarnation: VM, sequence: 2 });
    assert_eq!(rows.batch(VM).unwrap().sequence, 1, "another batch's acknowledgement");
    rows.acknowledge(RowsAck { incarnation: Hex128([8; 16]), sequence: 1 });
    assert_eq!(rows.batch(VM).unwrap().sequence, 1, "another VM's");
    rows.acknowledge(RowsAck { incarnation: VM, sequence: 1 });
    let second = rows.batch(VM).unwrap();
    assert_eq!((second.sequence, calls(&second)), (2, 1));
}

#[test]
fn a_batch_says_this() {
    let mut rows = Rows::default();
    let country = Country::read(b"DE");
    rows.add(Described { country, ..call(7, 28_000_005) });
    rows.add(Described { country, latency_us: 3_000, ..call(7, 28_000_005) });
    let outcome = Outcome::Refused(Reason::InvalidKey);
    rows.add(Described {
        subscription: None,
        period: 0,
        route: None,
        status: 401,
        outcome,
        latency_us: 50,
        bytes: 0,
        units: 0,
        ..call(0, 28_000_006)
    });
    let batch = rows.batch(VM).unwrap();
    let mut read = read(&batch);
    read.calls.sort_by_key(|row| row.minute);
    let text = serde_json::to_string(&read).unwrap();
    let breaks = ["{\"subscription", "\"status", "\"calls\":2", "\"calls\":1", "\"min_us"];
    let text = breaks.iter().fold(text, |text, at| text.replace(at, &format!("\n{at}")));
    insta::assert_snapshot!(text, @r#"
    {"calls":[
    {"subscription":7,"period":1,"api":"a","operation":"o",
    "status":200,"outcome":"billable","minute":28000005,
    "calls":2,"latency_us":4000,"bytes":20,"units":4},
    {"subscription":null,"period":0,"api":null,"operation":null,
    "status":401,"outcome":{"refused":"invalid_key"},"minute":28000006,
    "calls":1,"latency_us":50,"bytes":0,"units":0}],"places":[
    {"subscription":7,"country":"DE",
    "status":200,"outcome":"billable","hour":466666,
    "calls":2,"latency_us":4000,"bytes":20}],"latencies":[
    {"subscription":7,"api":"a","operation":"o","hour":466666,
    "min_us":1000,"max_us":3000,"histogram":[[63,1],[75,1]]}]}
    "#);
    let count = usize::try_from(rows.pending()).unwrap();
    assert_eq!(count, read.count());
}

#[test]
fn a_batch_leaves_room_for_what_goes_with_it() {
    let mut rows = Rows::default();
    let name = |id: &str| RouteName { api: "a".repeat(64), operation: id.repeat(64) };
    let routes: Vec<Rc<RouteName>> = ["o", "p"].map(|id| Rc::new(name(id))).to_vec();
    for number in 0..u64::try_from(MAX_ROWS).unwrap() {
        let longest = Described {
            period: u32::MAX,
            route: Some(routes[(number % 2) as usize].clone()),
            status: u16::MAX,
            would_refuse: Some(Reason::SubscriptionInactive),
            country: Country::read(b"DE"),
            latency_us: u64::MAX - number,
            bytes: u64::MAX,
            units: u64::MAX,
            ..call(u64::MAX - number, u32::MAX)
        };
        rows.add(longest);
    }
    let batches = drain(&mut rows);
    let mut bytes = batches.iter().map(|batch| batch.rows.get().len());
    assert!(bytes.all(|bytes| bytes <= MAX_BATCH_BYTES));
    // All but the last are as full as they get.
    let full = &batches[..batches.len() - 1];
    let has_most = |batch: &RowBatch| {
        batch.rows.get().len() > MAX_BATCH_BYTES - 1_024 || read(batch).count() == MAX_ROWS
    };
    assert!(full.len() > 2 && full.iter().all(has_most));
    assert_eq!(batches.iter().map(|batch| read(batch).count()).sum::<usize>(), 3 * MAX_ROWS);
}

#[test]
fn all_of_it_can_be_sealed_and_is_still_sent_in_order() {
    let mut rows = Rows::default();
    rows.add(call(1, 5));
    let first = rows.batch(VM).unwrap();
    let more = u64::try_from(MAX_ROWS).unwrap() * 2;
    for number in 0..more {
        assert_eq!(rows.add(call(number, 6)), Fit::Whole);
    }
    let pending = rows.pending();
    assert_eq!(pending, 2 + 2 * more, "each has a latency too");
    let all = rows.seal_all(VM);
    assert_eq!(rows.pending(), pending);
    assert_eq!(all[0].rows.get(), first.rows.get());
    let sequences: Vec<u64> = all.iter().map(|batch| batch.sequence).collect();
    assert_eq!(sequences, (1..=all.len() as u64).collect::<Vec<u64>>());
    assert_eq!(all.iter().map(calls).sum::<u64>(), 1 + more);
    let texts = |batches: &[RowBatch]| -> Vec<String> {
        batches.iter().map(|batch| batch.rows.get().to_owned()).collect()
    };
    assert_eq!(texts(&rows.seal_all(VM)), texts(&all), "once is enough");
    assert_eq!(texts(&drain(&mut rows)), texts(&all));
    assert_eq!(rows.pending(), 0);
    assert!(rows.seal_all(VM).is_empty());
}
