//! A process whose VMs come, die and leave, and what its gauges say.

use proptest::prelude::*;
use tollgate_pricing::sync::{MAX_RECORDS, SyncRequest};

use super::*;
use crate::metrics::Metric;
use crate::testing::{MS, Process, SECOND, catalog, product, rate};

const FIND: &str = "/a/find";

fn process(vms: usize) -> (Process, String) {
    let mut process = Process::new(vms, catalog(vec![product("basic", vec![rate(100_000)])]));
    let (_, key) = process.subscribe();
    for vm in 0..vms {
        assert_eq!(process.call(vm, FIND, &key), "forwarded");
    }
    process.run(3 * SECOND);
    assert_eq!(process.metric(Metric::Undelivered), 0);
    (process, key)
}

fn vm() -> impl Strategy<Value = Vm> {
    let small = || any::<u32>().prop_map(u64::from);
    (any::<[u8; 16]>(), any::<u64>(), small(), small(), any::<u64>()).prop_map(
        |(incarnation, seen_ns, waiting, unsettled, undelivered)| Vm {
            incarnation: Hex128(incarnation),
            seen_ns,
            load: Load { waiting, unsettled, undelivered },
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        times in any::<[u64; 3]>(), vms in proptest::collection::vec(vm(), 0..MAX_VMS),
    ) {
        let [lost_ns, left_ns, full_ns] = times;
        let roster = Roster { lost_ns, left_ns, full_ns, vms };
        prop_assert_eq!(Roster::decode(&roster.encode()), roster);
    }

    #[test]
    fn bytes_of_nobody_are_an_empty_roster_or_a_bounded_one(bytes: Vec<u8>) {
        prop_assert!(Roster::decode(&bytes).vms.len() <= bytes.len() / VM_BYTES);
    }
}

#[test]
fn sums_are_exact_and_go_down_to_nothing() {
    let (mut process, key) = process(3);
    let check = |process: &mut Process, waiting, undelivered: std::ops::RangeInclusive<i64>| {
        process.run(250 * MS);
        assert_eq!(process.metric(Metric::Waiting), waiting);
        let found = process.metric(Metric::Undelivered);
        assert!(undelivered.contains(&found), "{found} in {undelivered:?}");
    };
    let streams: Vec<(usize, u32)> =
        [0, 0, 1, 2].into_iter().map(|vm| (vm, process.get(vm, FIND, &key))).collect();
    process.run(3 * SECOND);
    check(&mut process, 0, 4..=4);
    for (done, (vm, stream)) in streams.into_iter().enumerate() {
        process.end(vm, stream, 200);
        process.run(3 * SECOND);
        let left = 3 - i64::try_from(done).unwrap();
        check(&mut process, 0, left..=left);
    }
    let cold = process.catalog.secrets.write([200; 16]).reveal().to_owned();
    process.get(0, FIND, &cold);
    process.get(2, FIND, &cold);
    // Nobody answers what was asked.
    while process.next_posted().is_some() {}
    for gate in &mut process.gates {
        gate.on_tick(1);
    }
    assert_eq!(process.metric(Metric::Waiting), 2);
}

/// Law 3: what a VM did that died is delivered by another, within seconds, and until then the
/// process does not say that all is.
#[test]
fn a_vm_that_died_is_missed_until_its_records_were_swept() {
    let (mut process, key) = process(2);
    let (other, other_key) = process.subscribe();
    assert_eq!(process.call(0, FIND, &other_key), "forwarded");
    process.run(2 * SECOND);
    let stream = process.get(1, FIND, &other_key);
    process.get(1, FIND, &key);
    process.end(1, stream, 200);
    process.trap(1);
    let (before, died_ns) = (process.heard.len(), process.now_ns());
    process.run(SECOND);
    assert!(process.metric(Metric::Undelivered) > 0, "it may have done something");
    let swept = |process: &Process| {
        let told = process.heard[before..].iter().flat_map(|request| &request.records);
        told.filter(|it| it.subscription == other).any(|it| it.slots[0].billable == 2)
    };
    while process.metric(Metric::VmsLost) == 0 {
        process.run(50 * MS);
        assert!(process.metric(Metric::Undelivered) > 0);
    }
    assert!((3..=4).contains(&((process.now_ns() - died_ns) / SECOND)));
    // The host's word that a sweep is complete is not in yet.
    assert!(process.metric(Metric::Undelivered) > 0);
    while process.metric(Metric::Undelivered) > 0 {
        process.run(50 * MS);
        assert!(process.now_ns() - died_ns < 10 * SECOND);
    }
    assert!(swept(&process));
    assert_eq!(process.metric(Metric::VmsLost), 1);
    // Its call under way stays open, and is nobody's to deliver.
    process.run(5 * SECOND);
    assert_eq!(process.metric(Metric::Undelivered), 0);
}

#[test]
fn who_slept_with_the_process_is_not_dead_and_who_slept_alone_comes_back() {
    let (mut process, key) = process(3);
    process.outside.borrow_mut().now_ns += 60 * SECOND;
    process.run(5 * SECOND);
    assert_eq!(process.metric(Metric::VmsLost), 0, "none ticked meanwhile");
    let stream = process.get(1, FIND, &key);
    process.still.insert(1);
    process.run(60 * SECOND);
    assert_eq!(process.metric(Metric::VmsLost), 1);
    assert_eq!(process.metric(Metric::Undelivered), 0);
    process.still.remove(&1);
    process.run(SECOND);
    assert_eq!(process.metric(Metric::Undelivered), 1, "its call is under way");
    process.end(1, stream, 200);
    process.run(3 * SECOND);
    assert_eq!(process.metric(Metric::Undelivered), 0);
    assert_eq!(process.metric(Metric::VmsLost), 1);
}

#[test]
fn a_process_with_more_vms_than_the_roster_holds_never_says_that_all_is_delivered() {
    let (process, _) = process(1);
    let host = process.gates[0].host.clone();
    let mut vm =
        Vm { incarnation: Hex128([0; 16]), seen_ns: process.now_ns(), load: Load::default() };
    for number in 0..=MAX_VMS {
        vm.incarnation.0[..8].copy_from_slice(&number.to_le_bytes());
        note(&host, vm, false).unwrap();
    }
    let (roster, _) = note(&host, vm, false).unwrap();
    assert_eq!(roster.vms.len(), MAX_VMS);
    assert_eq!(roster.sums(&Head::default(), vm.seen_ns).undelivered, 1);
}

/// What the host keeps refusing takes its turn, and holds nothing else up.
#[test]
fn records_that_are_refused_do_not_starve_others() {
    let (mut process, _) = process(2);
    let keys: Vec<String> = (0..700_u16)
        .map(|number| {
            let mut bytes = [9; 16];
            bytes[..2].copy_from_slice(&number.to_le_bytes());
            let key = process.catalog.secrets.write(bytes).reveal().to_owned();
            let id = process.subscribe_with(&key);
            process.refused.insert(id);
            key
        })
        .collect();
    for key in &keys {
        assert_eq!(process.call(0, FIND, key), "forwarded");
    }
    process.run(5 * SECOND);
    let (late, late_key) = {
        let mut bytes = [9; 16];
        bytes[..2].copy_from_slice(&u16::MAX.to_le_bytes());
        let key = process.catalog.secrets.write(bytes).reveal().to_owned();
        (process.subscribe_with(&key), key)
    };
    let told = |process: &Process, from: usize| {
        let is_it =
            |request: &SyncRequest| request.records.iter().any(|it| it.subscription == late);
        process.heard[from..].iter().any(is_it)
    };
    let before = process.heard.len();
    assert_eq!(process.call(0, FIND, &late_key), "forwarded");
    process.run(3 * SECOND);
    assert!(told(&process, before), "by the VM that touched it");
    // And by the sweep, of one that died.
    let stream = process.get(1, FIND, &late_key);
    process.end(1, stream, 200);
    process.trap(1);
    let before = process.heard.len();
    process.run(8 * SECOND);
    assert!(told(&process, before), "by another");
    assert!(process.heard.iter().all(|request| request.records.len() <= MAX_RECORDS));
    assert!(process.metric(Metric::Undelivered) >= 700);
    process.refused.clear();
    process.run(10 * SECOND);
    assert_eq!(process.metric(Metric::Undelivered), 0);
}
