//! Whatever happens to calls, their VM and its messages: counters settle each once, and rows tell
//! no more than counters do.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tollgate_pricing::gate::Meter;
use tollgate_pricing::sync::{Outcome, Rows, Slot};

use crate::testing::{MS, Process, SECOND, catalog, product};

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin {
        vm: usize,
    },
    End {
        which: usize,
        status: u64,
    },
    /// Other VMs get ahead of every write, or no longer.
    Contend {
        on: bool,
    },
    /// A VM is gone, with its streams, its rows and what it kept.
    Trap {
        vm: usize,
    },
    Down {
        on: bool,
    },
    /// The host stores what it hears, and its answer is lost.
    LoseAnswer,
    Wait {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..2_usize).prop_map(|vm| Step::Begin { vm }),
        12 => (any::<usize>(), prop_oneof![Just(200), Just(503)])
            .prop_map(|(which, status)| Step::End { which, status }),
        2 => any::<bool>().prop_map(|on| Step::Contend { on }),
        1 => (0..2_usize).prop_map(|vm| Step::Trap { vm }),
        2 => any::<bool>().prop_map(|on| Step::Down { on }),
        3 => Just(Step::LoseAnswer),
        6 => (50..1_500_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

struct World {
    process: Process,
    key: String,
    open: Vec<(usize, u32)>,
    /// Calls that ended so, by their status.
    ended: BTreeMap<u64, u64>,
    begun: u64,
    trapped: bool,
}

impl World {
    fn new() -> Self {
        let mut product = product("basic", Vec::new());
        product.meters = vec![Meter::Weight];
        let mut process = Process::new(2, catalog(vec![product]));
        let (_, key) = process.subscribe();
        let mut world = Self {
            process,
            key,
            open: Vec::new(),
            ended: BTreeMap::new(),
            begun: 0,
            trapped: false,
        };
        // Both VMs know the key from here on.
        for vm in [0, 1] {
            world.begin(vm);
        }
        world
    }

    fn begin(&mut self, vm: usize) {
        let stream = self.process.get(vm, "/a/find", &self.key);
        if self.begun < 2 {
            self.process.settle_messages();
        }
        match self.process.fate(vm, stream).as_str() {
            "forwarded" => {
                self.begun += 1;
                self.open.push((vm, stream));
            }
            // No write goes through.
            "busy" => self.process.end(vm, stream, 503),
            other => panic!("{other}"),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Begin { vm } => self.begin(vm),
            Step::End { which, status } if !self.open.is_empty() => {
                let (vm, stream) = self.open.swap_remove(which % self.open.len());
                self.process.end(vm, stream, status);
                *self.ended.entry(status).or_default() += 1;
            }
            Step::End { .. } => {}
            Step::Contend { on } => self.process.outside.borrow_mut().contended = on,
            Step::Trap { vm } => {
                self.process.load(vm);
                self.open.retain(|(of, _)| *of != vm);
                self.trapped = true;
            }
            Step::Down { on } => self.process.down = on,
            Step::LoseAnswer => {
                self.process.outside.borrow_mut().now_ns += 250 * MS;
                for gate in &mut self.process.gates {
                    gate.on_tick(1);
                }
                if let Some(posted) = self.process.next_posted() {
                    self.process.heard.push(posted.request.clone());
                    self.process.answer_with(&posted, (504, Vec::new()));
                }
            }
            Step::Wait { ms } => self.process.run(ms * MS),
        }
    }

    /// What the host would have stored of the rows: each batch once.
    fn told(&self) -> BTreeMap<Outcome, (u64, u64)> {
        let mut seen = BTreeSet::new();
        let mut told: BTreeMap<Outcome, (u64, u64)> = BTreeMap::new();
        for batch in self.process.heard.iter().filter_map(|request| request.rows.as_ref()) {
            if !seen.insert((batch.incarnation, batch.sequence)) {
                continue;
            }
            let rows: Rows = serde_json::from_str(batch.rows.get()).unwrap();
            for row in rows.calls {
                let sum = told.entry(row.outcome).or_default();
                *sum = (sum.0 + row.calls, sum.1 + row.units);
            }
        }
        told
    }

    fn counted(&self) -> Slot {
        let mut slots: BTreeMap<u32, Slot> = BTreeMap::new();
        for slot in self.process.heard.iter().flat_map(|it| &it.records).flat_map(|it| &it.slots) {
            let known = slots.entry(slot.number).or_default();
            known.admitted = known.admitted.max(slot.admitted);
            known.billable = known.billable.max(slot.billable);
            known.waived = known.waived.max(slot.waived);
            assert!(known.meters.merge(&slot.meters));
        }
        assert!(slots.len() <= 1, "one period");
        slots.into_values().next().unwrap_or_default()
    }

    fn finish(mut self) {
        self.process.outside.borrow_mut().contended = false;
        self.process.down = false;
        self.process.run(8 * SECOND);
        let (slot, told) = (self.counted(), self.told());
        let told = |outcome| told.get(&outcome).copied().unwrap_or_default();
        let ended = |status| self.ended.get(&status).copied().unwrap_or_default();
        assert_eq!(slot.admitted, self.begun);
        let weight = slot.meters.get(Meter::Weight.tag());
        assert_eq!(weight, slot.billable, "each call of it weighs one");
        let rows = [told(Outcome::Billable), told(Outcome::Waived)];
        if self.trapped {
            assert!(slot.billable <= ended(200) && slot.waived <= ended(503));
            assert!(rows[0].0 <= slot.billable && rows[1].0 <= slot.waived, "{rows:?} {slot:?}");
            assert!(rows[0].1 <= weight);
        } else {
            assert_eq!((slot.billable, slot.waived), (ended(200), ended(503)));
            assert_eq!(rows, [(slot.billable, weight), (slot.waived, 0)]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn rows_tell_what_counters_count(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}
