//! Processes whose VMs trap, end and start at any time, with the host there or away.

use proptest::prelude::*;
use tollgate_pricing::id::SubscriptionId;

use super::{FIND, calls, ledger, process};
use crate::metrics::Metric;
use crate::testing::{Process, SECOND};

/// What befalls a process, most of it at one of its VMs.
#[derive(Clone, Copy, Debug)]
enum Event {
    Calls(usize, usize),
    Begins(usize),
    Passes(u64),
    HostIsAway(bool),
    Traps(usize),
    Ends(usize),
    Starts(usize),
}

const VMS: usize = 3;

fn event() -> impl Strategy<Value = Event> {
    use Event::{Begins, Calls, Ends, HostIsAway, Passes, Starts, Traps};
    prop_oneof![
        4 => (0..VMS, 1_usize..4).prop_map(|(vm, calls)| Calls(vm, calls)),
        2 => (0..VMS).prop_map(Begins),
        4 => (50_u64..6_000).prop_map(Passes),
        2 => any::<bool>().prop_map(HostIsAway),
        1 => (0..VMS).prop_map(Traps),
        1 => (0..VMS).prop_map(Ends),
        2 => (0..VMS).prop_map(Starts),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Law 3: whatever happened to its VMs, when the last one says that it was the last, host and
    /// log together have every call.
    #[test]
    fn who_says_to_be_the_last_has_said_all(events in proptest::collection::vec(event(), 1..40)) {
        let (mut process, key) = process(VMS);
        let mut is_there = [true; VMS];
        let mut open: Vec<(usize, u32)> = Vec::new();
        let mut ended = 1;
        for event in events {
            match event {
                Event::Calls(vm, count) if is_there[vm] => {
                    calls(&mut process, vm, &key, count);
                    ended += count as u64;
                }
                Event::Begins(vm) if is_there[vm] => {
                    open.push((vm, process.get(vm, FIND, &key)));
                }
                Event::Passes(ms) => process.run(ms * SECOND / 1_000),
                Event::HostIsAway(away) => process.down = away,
                Event::Traps(vm) if is_there[vm] => {
                    process.trap(vm);
                    open.retain(|(of, _)| *of != vm);
                    is_there[vm] = false;
                }
                Event::Ends(vm) if is_there[vm] => {
                    ended += end_streams(&mut process, &mut open, vm);
                    process.end_vm(vm);
                    is_there[vm] = false;
                }
                Event::Starts(vm) if !is_there[vm] => {
                    process.load(vm);
                    is_there[vm] = true;
                }
                _ => {}
            }
        }
        let before = process.spills().len();
        for vm in (0..VMS).filter(|vm| is_there[*vm]) {
            ended += end_streams(&mut process, &mut open, vm);
            process.end_vm(vm);
        }
        let (told, rows) = ledger(&process);
        let [admitted, billed] = told[&SubscriptionId(1)];
        let all = u64::try_from(process.metric(Metric::Admitted)).unwrap();
        prop_assert!(admitted <= all && billed <= ended && rows <= ended);
        // Said before, it was true then; VMs that came later may have died since.
        if process.spills()[before..].last().is_some_and(|spill| spill.last) {
            prop_assert_eq!((admitted, billed), (all, ended));
        }
    }
}

/// Calls under way at a VM end; how many.
fn end_streams(process: &mut Process, open: &mut Vec<(usize, u32)>, vm: usize) -> u64 {
    let before = open.len();
    for (_, stream) in open.extract_if(.., |(of, _)| *of == vm) {
        process.end(vm, stream, 200);
    }
    (before - open.len()) as u64
}
