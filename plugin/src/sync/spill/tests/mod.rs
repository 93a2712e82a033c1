//! What is in the log when the host is away, and when VMs end.

mod last;

use std::collections::{BTreeMap, BTreeSet};

use tollgate_pricing::gate::OnOutage;
use tollgate_pricing::sync::{Rows, Slot};

use super::*;
use crate::testing::{MS, Process, SECOND, catalog, product, rate};

const FIND: &str = "/a/find";

fn process(vms: usize) -> (Process, String) {
    let mut product = product("basic", vec![rate(100_000)]);
    product.on_outage = OnOutage::Allow;
    let mut process = Process::new(vms, catalog(vec![product]));
    let (_, key) = process.subscribe();
    assert_eq!(process.call(0, FIND, &key), "forwarded");
    process.run(3 * SECOND);
    (process, key)
}

fn calls(process: &mut Process, vm: usize, key: &str, count: usize) {
    for _ in 0..count {
        assert_eq!(process.call(vm, FIND, key), "forwarded");
    }
}

/// What a ledger holds that heard all requests, and then reads the log: calls by subscription
/// (admitted and billable), and calls in rows.
fn ledger(process: &Process) -> (BTreeMap<SubscriptionId, [u64; 2]>, u64) {
    let spills = process.spills();
    let heard = process.heard.iter().flat_map(|request| &request.records);
    let mut slots: BTreeMap<(SubscriptionId, u32), [u64; 2]> = BTreeMap::new();
    for record in heard.chain(spills.iter().flat_map(|spill| &spill.records)) {
        for Slot { number, admitted, billable, .. } in &record.slots {
            let known = slots.entry((record.subscription, *number)).or_default();
            *known = [known[0].max(*admitted), known[1].max(*billable)];
        }
    }
    let mut calls: BTreeMap<SubscriptionId, [u64; 2]> = BTreeMap::new();
    for ((subscription, _), slot) in slots {
        let sum = calls.entry(subscription).or_default();
        *sum = [sum[0] + slot[0], sum[1] + slot[1]];
    }
    let heard = process.heard.iter().filter_map(|request| request.rows.as_ref());
    let mut batches = BTreeMap::new();
    for batch in heard.chain(spills.iter().filter_map(|spill| spill.rows.as_ref())) {
        let known = batches.insert((batch.incarnation, batch.sequence), batch.hash);
        assert!(known.is_none_or(|hash| hash == batch.hash), "one number, one content");
    }
    for (incarnation, sequence) in batches.keys() {
        assert!(*sequence == 1 || batches.contains_key(&(*incarnation, sequence - 1)), "a gap");
    }
    let mut seen = BTreeSet::new();
    let heard = process.heard.iter().filter_map(|request| request.rows.as_ref());
    let all = heard.chain(spills.iter().filter_map(|spill| spill.rows.as_ref()));
    let once = all.filter(|batch| seen.insert((batch.incarnation, batch.sequence)));
    let rows = once.flat_map(|it| serde_json::from_str::<Rows>(it.rows.get()).unwrap().calls);
    (calls, rows.map(|row| row.calls).sum())
}

fn billed(process: &Process, key: &str) -> [u64; 2] {
    let hash = process.catalog.secrets.lookup_hash(key.as_bytes());
    ledger(process).0[&process.owner(hash)]
}

#[test]
fn what_nobody_acknowledges_for_long_is_in_the_log_again_when_it_changed() {
    let (mut process, key) = process(2);
    let (_, other) = process.subscribe();
    calls(&mut process, 1, &other, 3);
    process.run(2 * SECOND);
    process.down = true;
    calls(&mut process, 0, &key, 5);
    process.run(29 * SECOND);
    assert_eq!(process.spills().len(), 0, "not yet");
    process.run(2 * SECOND);
    assert_eq!(process.spills().len(), 1, "by the VM that touched it, and nothing else");
    assert_eq!(billed(&process, &key), [6, 6]);
    process.run(100 * SECOND);
    assert_eq!(process.spills().len(), 1, "nothing changed");
    calls(&mut process, 1, &key, 2);
    process.run(121 * SECOND);
    assert_eq!(billed(&process, &key), [8, 8]);
    assert_eq!(billed(&process, &other), [3, 3], "as it was heard");
    assert_eq!(process.metric(Metric::Spilled), i64::try_from(process.spills().len()).unwrap());
    process.down = false;
    process.run(3 * SECOND);
    let before = process.spills().len();
    calls(&mut process, 0, &key, 1);
    process.run(60 * SECOND);
    assert_eq!(process.spills().len(), before, "what is acknowledged needs no log");
    assert!(process.spills().iter().all(|spill| !spill.last && spill.rows.is_none()));
    assert_eq!(process.metric(Metric::Undelivered), 0);
}

#[test]
fn in_a_long_outage_the_log_is_written_rarely_and_a_little_at_a_time() {
    let mut spills = Spills::default();
    let due: Vec<u64> = (0..3_600).filter(|second| spills.is_due(second * SECOND)).collect();
    insta::assert_compact_debug_snapshot!(due, @"[30, 90, 210, 450, 930, 1530, 2130, 2730, 3330]");
    spills.outage.as_mut().unwrap().left = (0..1_200).map(SubscriptionId).collect();
    let steps: Vec<usize> = std::iter::repeat_with(|| spills.step().len()).take(4).collect();
    assert_eq!(steps, [STEP, STEP, 200, 0]);
    spills.acknowledged();
    assert!(!spills.is_due(3_600 * SECOND) && spills.is_due(3_630 * SECOND), "from the start");
}

/// Law 3, when Envoy ends without a drain: streams are logged, then roots are done, one worker
/// after another.
#[test]
fn at_the_end_of_a_process_the_log_has_what_the_host_has_not() {
    let (mut process, key) = process(3);
    process.down = true;
    calls(&mut process, 0, &key, 2);
    calls(&mut process, 1, &key, 3);
    let (first, second) = (process.get(2, FIND, &key), process.get(2, FIND, &key));
    process.end(2, first, 200);
    process.end(2, second, 503);
    let posted = process.outside.borrow().posted.len();
    for vm in 0..3 {
        assert!(process.spills().iter().all(|spill| !spill.last));
        process.end_vm(vm);
    }
    assert!(process.outside.borrow().posted.len() <= posted, "nothing is sent at the end");
    assert_eq!(ledger(&process), (BTreeMap::from([(SubscriptionId(1), [8, 7])]), 8));
    let spills = process.spills();
    let (last, before) = spills.split_last().unwrap();
    assert!(last.last && last.records.is_empty() && last.rows.is_none());
    assert!(before.iter().all(|spill| !spill.last));
    assert!(process.outside.borrow().log.iter().all(|line| !line.contains(&key)));
}

/// Law 8: a process that is stopped is not waited for long.
#[test]
fn many_records_are_written_with_few_reads() {
    const RECORDS: u64 = 1_000;
    let (mut process, _) = process(1);
    let keys: Vec<String> = (0..RECORDS)
        .map(|number| {
            let mut bytes = [9; 16];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            let key = process.catalog.secrets.write(bytes).reveal().to_owned();
            process.subscribe_with(&key);
            key
        })
        .collect();
    for key in &keys {
        calls(&mut process, 0, key, 1);
    }
    process.run(30 * SECOND);
    process.down = true;
    for key in &keys {
        calls(&mut process, 0, key, 1);
    }
    let reads = |process: &Process| {
        let outside = process.outside.borrow();
        (outside.reads, outside.catalog_reads)
    };
    let (before, of_catalog) = reads(&process);
    process.end_vm(0);
    let (after, of_catalog_after) = reads(&process);
    assert!(after - before < 3 * RECORDS && of_catalog_after == of_catalog);
    let records: usize = process.spills().iter().map(|spill| spill.records.len()).sum();
    assert_eq!(records as u64, RECORDS);
}

#[test]
fn a_canary_and_a_vm_that_has_nothing_to_say_leave_the_log_alone() {
    let (mut process, _) = process(2);
    process.load(2);
    process.end_vm(2);
    assert_eq!(process.spills().len(), 0);
    process.end_vm(0);
    assert_eq!(process.spills().len(), 0);
    process.end_vm(1);
    let spills = process.spills();
    assert!(spills.len() == 1 && spills[0].last, "that it was the last");
}

#[test]
fn the_last_vm_speaks_for_those_that_died() {
    let check = |sweeps: u64, expected: usize| {
        let (mut process, key) = process(2);
        let stream = process.get(1, FIND, &key);
        process.end(1, stream, 200);
        process.trap(1);
        process.down = sweeps == 0;
        process.run((4 + sweeps) * SECOND);
        assert_eq!(process.metric(Metric::VmsLost), 1);
        process.end_vm(0);
        let spills = process.spills();
        let records: usize = spills.iter().map(|spill| spill.records.len()).sum();
        assert_eq!(records, expected, "{sweeps}");
        assert!(spills.last().unwrap().last);
        assert_eq!(billed(&process, &key), [2, 2]);
    };
    check(0, 1);
    check(5, 0);
}

/// Law 3: a VM that trapped just before the process ends is not known to be dead yet.
#[test]
fn the_last_vm_that_is_seen_speaks_for_those_that_are_not() {
    let (mut process, key) = process(2);
    process.down = true;
    let stream = process.get(1, FIND, &key);
    process.end(1, stream, 200);
    process.trap(1);
    process.run(SECOND);
    process.end_vm(0);
    assert_eq!(billed(&process, &key), [2, 2]);
    assert!(process.spills().iter().all(|spill| !spill.last), "it may live");
}

/// Whatever the host's clock did: stepped back, it stands still here until it has caught up.
#[test]
fn the_last_vm_speaks_for_those_that_died_while_the_clock_stands_still() {
    let (mut process, key) = process(2);
    process.stepped_ms = 3_600_000;
    process.run(5 * SECOND);
    process.stepped_ms = 0;
    process.run(5 * SECOND);
    process.down = true;
    let stream = process.get(1, FIND, &key);
    process.end(1, stream, 200);
    process.trap(1);
    process.run(4 * SECOND);
    assert_eq!(process.metric(Metric::VmsLost), 1);
    assert!(process.metric(Metric::Undelivered) > 0);
    process.end_vm(0);
    assert!(process.spills().last().unwrap().last);
    assert_eq!(billed(&process, &key), [2, 2]);
}

/// Law 3: what a lost ledger had acknowledged, the restored one is told, or the log.
#[test]
fn after_a_restore_nothing_is_delivered_before_all_was_said_again() {
    let check = |goes_on_ns: u64, is_delivered: bool| {
        let (mut process, key) = process(2);
        calls(&mut process, 1, &key, 3);
        process.run(3 * SECOND);
        assert_eq!(process.metric(Metric::Undelivered), 0);
        (process.epoch, process.revision) = (2, 1 << 32);
        process.heard.clear();
        while process.gates.iter().any(|gate| gate.head.epoch < 2) {
            process.run(50 * MS);
        }
        process.run(goes_on_ns);
        assert_eq!(process.metric(Metric::Undelivered) == 0, is_delivered);
        for vm in 0..2 {
            process.end_vm(vm);
        }
        let spills = process.spills();
        assert_eq!(spills.len(), 1 + usize::from(!is_delivered));
        assert!(spills.last().unwrap().last);
        assert_eq!(billed(&process, &key), [4, 4], "of what came since the restore");
    };
    check(250 * MS, false);
    check(3 * SECOND, true);
}

#[test]
fn nobody_says_that_all_is_said_when_a_record_cannot_be_read() {
    let (mut process, key) = process(2);
    process.down = true;
    calls(&mut process, 0, &key, 1);
    process.damage_records(b"garbage");
    process.end_vm(0);
    // The other has done nothing, and meets what the first left.
    process.end_vm(1);
    assert!(process.spills().iter().all(|spill| !spill.last && spill.records.is_empty()));
}

/// A VM whose filter is removed and added, or whose code comes back, may go on.
#[test]
fn a_vm_goes_on_after_its_end_with_the_same_numbers_for_the_same_rows() {
    let (mut process, key) = process(2);
    process.down = true;
    calls(&mut process, 0, &key, 2);
    process.run(2 * SECOND);
    calls(&mut process, 0, &key, 1);
    let late = process.get(0, FIND, &key);
    process.end_vm(0);
    // Envoy logs before it is done; should it not, nothing is lost either.
    process.end(0, late, 200);
    assert_eq!(ledger(&process), (BTreeMap::from([(SubscriptionId(1), [5, 5])]), 5));
    assert!(process.metric(Metric::Undelivered) > 0);
    process.go_on(0);
    process.down = false;
    calls(&mut process, 0, &key, 4);
    process.run(10 * SECOND);
    assert_eq!(ledger(&process), (BTreeMap::from([(SubscriptionId(1), [9, 9])]), 9));
    assert_eq!(process.metric(Metric::Undelivered), 0);
    let numbers: Vec<u64> = process
        .heard
        .iter()
        .filter_map(|request| request.rows.as_ref())
        .map(|it| it.sequence)
        .collect();
    assert!(numbers.len() >= 4, "what was written is also delivered: {numbers:?}");
    // Two roots of one VM: it ends with the second.
    process.gates[0].on_configure(7);
    process.gates[0].on_done(1);
    calls(&mut process, 0, &key, 1);
    let before = process.spills().len();
    process.run(3 * SECOND);
    assert_eq!((process.spills().len(), process.metric(Metric::Undelivered)), (before, 0));
}
