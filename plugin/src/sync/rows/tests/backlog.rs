//! What an outage left is sent in a moment, once the host is back.

use super::*;
use crate::testing::{MS, Process, SECOND, catalog, product};

#[test]
fn a_backlog_goes_batch_by_batch_as_each_is_stored() {
    let mut process = Process::new(1, catalog(vec![product("basic", Vec::new())]));
    process.down = true;
    process.run(3 * SECOND);
    for number in 0..20_000 {
        process.gates[0].sync.rows.add(call(number, 28_000_000));
    }
    process.run(3 * SECOND);
    let pending = process.gates[0].sync.rows.pending();
    assert!(pending >= 40_000, "{pending}");
    process.down = false;
    let before = process.heard.len();
    let mut passed_ms = 0;
    while process.gates[0].sync.rows.pending() > 0 {
        process.run(50 * MS);
        passed_ms += 50;
        assert!(passed_ms <= 4_000, "{} rows are left", process.gates[0].sync.rows.pending());
    }
    let batches = process.heard[before..].iter().filter_map(|request| request.rows.as_ref());
    let mut told: Vec<u64> = batches.clone().map(|batch| batch.sequence).collect();
    told.dedup();
    assert!(told.len() >= 20 && told.is_sorted(), "{told:?}");
    assert_eq!(batches.map(calls).sum::<u64>(), 20_000);
}

/// An answer that stores nothing is not a reason to ask again at once.
#[test]
fn a_host_that_stores_no_rows_is_not_pressed() {
    let mut process = Process::new(1, catalog(vec![product("basic", Vec::new())]));
    process.outside.borrow_mut().posted.clear();
    for number in 0..20_000 {
        process.gates[0].sync.rows.add(call(number, 28_000_000));
    }
    process.keeps_rows = false;
    let before = process.heard.len();
    process.run(5 * SECOND);
    let asked = process.heard.len() - before;
    assert!((4..=6).contains(&asked), "{asked} in 5 s");
}
