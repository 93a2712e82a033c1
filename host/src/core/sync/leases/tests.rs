use std::num::NonZeroU64;

use proptest::prelude::*;
use tollgate_pricing::gate::{Limit, Meter, Override, QuotaPeriod};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::{Recall, SyncAnswer, SyncRequest};

use super::super::super::catalog::LoadCatalog;
use super::super::super::id::GatewayId;
use super::super::super::lowered;
use super::super::super::testing::{CATALOG, World, boot, nothing, record};
use super::*;

/// One process's lease of a quota, as its gate keeps it.
#[derive(Clone, Copy, Debug)]
struct Process {
    number: u8,
    lease: LeaseReport,
}

impl Process {
    fn new(number: u8, limit: &str) -> Self {
        let lease = LeaseReport { limit: Tag::of(limit), period: 1, ..LeaseReport::default() };
        Self { number, lease }
    }

    fn left(&self) -> u64 {
        self.lease.unspent()
    }

    /// Admits as many calls as it may.
    fn spend(&mut self, calls: u64) {
        self.lease.used += calls.min(self.left());
    }

    fn give_back(&mut self, units: u64) {
        self.lease.returned += units.min(self.left());
    }

    fn asking(&self, id: SubscriptionId, want: u64, need: u64) -> SyncRequest {
        let ask = LeaseAsk { subscription: id, lease: self.lease, want, need };
        SyncRequest { leases: vec![ask], ..nothing(boot(self.number)) }
    }

    fn reporting(&self, id: SubscriptionId) -> SyncRequest {
        record(boot(self.number), id, self.lease)
    }

    /// Takes an answer: grants by max, and what recalls ask of it.
    fn hear(&mut self, answer: &SyncAnswer) {
        let mine = |limit, period| limit == self.lease.limit && period == self.lease.period;
        for told in answer.leases.iter().filter(|told| mine(told.limit, told.period)) {
            self.lease.granted = self.lease.granted.max(told.granted);
        }
    }
}

struct Fleet {
    world: World,
    gateway: GatewayId,
    id: SubscriptionId,
}

impl Fleet {
    fn new() -> Self {
        let mut world = World::new();
        let gateway = world.gateway("edge");
        let id = world.subscribe("quota");
        Self { world, gateway, id }
    }

    fn sync(&mut self, request: SyncRequest) -> SyncAnswer {
        self.world.sync(self.gateway, request)
    }

    fn ask(&mut self, process: &mut Process, want: u64, need: u64) -> LeaseOutcome {
        let answer = self.sync(process.asking(self.id, want, need));
        process.hear(&answer);
        answer.leases.first().unwrap().outcome
    }

    fn report(&mut self, process: &mut Process) -> Vec<Recall> {
        let answer = self.sync(process.reporting(self.id));
        process.hear(&answer);
        answer.recalls
    }
}

const GRANTED: LeaseOutcome = LeaseOutcome::Granted;
const WAIT: LeaseOutcome = LeaseOutcome::Wait { retry_ms: 250 };

fn is_exhausted(outcome: LeaseOutcome) -> bool {
    matches!(outcome, LeaseOutcome::Exhausted { .. })
}

#[test]
fn one_process_gets_all_and_asking_twice_is_harmless() {
    let mut fleet = Fleet::new();
    let mut one = Process::new(1, "monthly");
    let twin = one;
    assert_eq!(fleet.ask(&mut one, 1_000, 1), GRANTED);
    assert_eq!(one.lease.granted, 10, "the first is small");
    let mut again = twin;
    assert_eq!(fleet.ask(&mut again, 1_000, 1), GRANTED);
    assert_eq!(again.lease.granted, 10, "the same answer to the same question");
    assert_eq!(fleet.ask(&mut one, 30, 0), GRANTED);
    assert_eq!(one.lease.granted, 30, "as much as it wants to hold");
    assert_eq!(fleet.ask(&mut one, 1_000, 1), GRANTED);
    assert_eq!(one.lease.granted, 100);
    one.spend(100);
    let outcome = fleet.ask(&mut one, 1_000, 1);
    let month_ms = 30 * 24 * 60 * 60 * 1_000 - 10_000;
    assert_eq!(outcome, LeaseOutcome::Exhausted { retry_ms: month_ms }, "the next period");
    // What a waived call gave back is spent by its own process, and what is returned by others.
    one.lease.waived = 5;
    one.give_back(5);
    let mut two = Process::new(2, "monthly");
    fleet.report(&mut one);
    assert_eq!(fleet.ask(&mut two, 9, 4), GRANTED);
    assert_eq!(two.lease.granted, 4);
}

#[test]
fn others_get_theirs_and_what_is_held_is_called_back() {
    let mut fleet = Fleet::new();
    let (mut one, mut two) = (Process::new(1, "monthly"), Process::new(2, "monthly"));
    for _ in 0..2 {
        fleet.ask(&mut one, 1_000, 1);
    }
    assert_eq!(one.lease.granted, 100);
    assert_eq!(fleet.ask(&mut two, 50, 0), WAIT, "others hold some");
    assert_eq!(fleet.report(&mut one), [], "nobody is called while no call waits");
    assert_eq!(fleet.ask(&mut two, 50, 1), WAIT);
    let recall =
        Recall { subscription: fleet.id, limit: Tag::of("monthly"), period: 1, all: false };
    for _ in 0..2 {
        assert_eq!(fleet.report(&mut one), [recall], "until it answers");
    }
    one.give_back(50);
    assert_eq!(fleet.report(&mut one), [], "something came back");
    assert_eq!(fleet.ask(&mut two, 50, 1), GRANTED);
    assert_eq!(two.lease.granted, 10);
    // Half of what is left, because the other wants some too.
    assert_eq!(fleet.ask(&mut two, 50, 1), GRANTED);
    assert_eq!(two.lease.granted, 30);
    // One that was not heard for five seconds returns nothing soon.
    two.spend(30);
    fleet.world.pass(6);
    one.spend(50);
    let out: Vec<LeaseOutcome> = (0..9).map(|_| fleet.ask(&mut two, 50, 1)).collect();
    assert!(is_exhausted(out[8]), "{out:?}");
    assert_eq!(two.lease.granted, 50);
    // When it comes back with nothing left, the mark goes.
    assert_eq!(fleet.report(&mut one), []);
}

#[test]
fn a_heavy_call_gets_its_units_or_calls_them_back() {
    let mut fleet = Fleet::new();
    let (mut one, mut two) = (Process::new(1, "monthly"), Process::new(2, "monthly"));
    assert_eq!(fleet.ask(&mut one, 10, 40), GRANTED);
    assert_eq!(one.lease.granted, 40);
    assert_eq!(fleet.ask(&mut two, 60, 60), GRANTED);
    assert_eq!(two.lease.granted, 60);
    one.spend(40);
    two.spend(30);
    two.give_back(10);
    fleet.report(&mut two);
    // 10 are left, two holds 20: nothing is given in parts while others may return the rest.
    assert_eq!(fleet.ask(&mut one, 10, 15), WAIT);
    two.give_back(10);
    fleet.report(&mut two);
    assert_eq!(fleet.ask(&mut one, 10, 15), GRANTED);
    assert_eq!(one.left(), 15);
    two.spend(10);
    fleet.report(&mut two);
    // Nobody else holds any: what is left helps lighter calls.
    assert_eq!(fleet.ask(&mut one, 10, 50), GRANTED);
    assert_eq!(one.left(), 20);
    assert!(is_exhausted(fleet.ask(&mut one, 10, 50)));
}

#[test]
fn an_overdraft_counts_for_everybody() {
    let mut fleet = Fleet::new();
    let (mut one, mut two) = (Process::new(1, "monthly"), Process::new(2, "monthly"));
    fleet.ask(&mut one, 10, 1);
    one.lease.used = 70;
    fleet.report(&mut one);
    fleet.ask(&mut two, 1_000, 1);
    let out: Vec<LeaseOutcome> = (0..9).map(|_| fleet.ask(&mut two, 1_000, 1)).collect();
    assert_eq!(two.lease.granted, 30, "{out:?}");
    two.spend(20);
    two.give_back(10);
    fleet.report(&mut two);
    // What it gets next can be spent, beside what was overdrawn.
    fleet.world.pass(120);
    assert_eq!(fleet.ask(&mut one, 4, 1), GRANTED);
    assert_eq!((one.lease.granted, one.left()), (74, 4));
    assert_eq!(fleet.world.dump(&["conflicts"]), "");
}

#[test]
fn units_of_a_lost_grant_come_back() {
    let mut fleet = Fleet::new();
    let (mut one, mut two) = (Process::new(1, "monthly"), Process::new(2, "monthly"));
    let first = one.asking(fleet.id, 1_000, 1);
    fleet.sync(first);
    fleet.ask(&mut two, 1_000, 1);
    for _ in 0..20 {
        two.spend(100);
        fleet.ask(&mut two, 1_000, 1);
    }
    assert_eq!(two.lease.used, 90);
    // It does not know that it holds units: the recall tells it.
    assert_eq!(one.lease.granted, 0);
    let recalls = fleet.report(&mut one);
    assert_eq!((recalls.len(), one.lease.granted), (1, 10));
    one.give_back(10);
    assert_eq!(fleet.report(&mut one), []);
    assert_eq!(fleet.ask(&mut two, 1_000, 10), GRANTED);
    assert_eq!(two.lease.granted, 100);
}

#[test]
fn a_lowered_limit_calls_everything_back() {
    let mut fleet = Fleet::new();
    let mut one = Process::new(1, "monthly");
    for _ in 0..2 {
        fleet.ask(&mut one, 1_000, 1);
    }
    one.spend(20);
    fleet.report(&mut one);
    let text = CATALOG.replace("calls: 100, period: 30d", "calls: 50, period: 30d");
    fleet.world.ask(LoadCatalog { text }).unwrap();
    let recalls = fleet.report(&mut one);
    assert!(recalls.iter().all(|recall| recall.all) && recalls.len() == 1, "{recalls:?}");
    one.give_back(30);
    assert_eq!(fleet.report(&mut one).len(), 1, "all is all");
    one.give_back(50);
    assert_eq!(fleet.report(&mut one), []);
    assert_eq!(fleet.ask(&mut one, 1_000, 1), GRANTED);
    assert_eq!(one.left(), 30);
    // A raised one calls nothing.
    fleet.world.ask(LoadCatalog { text: CATALOG.to_owned() }).unwrap();
    assert_eq!(fleet.report(&mut one), []);
}

/// The gate keeps no lease of a period long over, so that it can return nothing of it.
#[test]
fn units_of_a_period_that_is_over_are_not_called_back_for_ever() {
    let mut fleet = Fleet::new();
    fleet.id = fleet.world.subscribe("short");
    let mut one = Process::new(1, "hourly");
    assert_eq!(fleet.ask(&mut one, 4, 1), GRANTED);
    let lower = |fleet: &mut Fleet| {
        fleet
            .world
            .with_ledger(|ledger| lowered::recall(ledger, SubscriptionId(2), Tag::of("hourly")));
    };
    lower(&mut fleet);
    assert_eq!(fleet.sync(nothing(boot(1))).recalls.len(), 1);
    // By a gate's clock the hour may not be over yet.
    fleet.world.pass(60 * 60);
    assert_eq!(fleet.sync(nothing(boot(1))).recalls.len(), 1);
    fleet.world.pass(16 * 60);
    assert_eq!(fleet.sync(nothing(boot(1))).recalls, []);
    // Nor if it was away meanwhile, and all that it held is called back.
    lower(&mut fleet);
    assert_eq!(fleet.sync(nothing(boot(1))).recalls, []);
}

#[test]
fn an_override_stands_for_the_limits_own_numbers() {
    let mut fleet = Fleet::new();
    let (id, tag) = (fleet.id, Tag::of("monthly"));
    let own = |units| Override { limit: tag, units: NonZeroU64::new(units).unwrap(), burst: None };
    let set = |fleet: &mut Fleet, units: u64| {
        fleet.world.with_ledger(|ledger| {
            ledger.set_override(id, "monthly", &own(units))?;
            lowered::recall(ledger, id, tag)
        });
    };
    set(&mut fleet, 300);
    let mut one = Process::new(1, "monthly");
    for _ in 0..2 {
        fleet.ask(&mut one, 1_000, 1);
    }
    assert_eq!(one.lease.granted, 300);
    set(&mut fleet, 7);
    let recalls = fleet.report(&mut one);
    assert!(recalls.iter().all(|recall| recall.all) && recalls.len() == 1, "{recalls:?}");
    one.give_back(300);
    fleet.report(&mut one);
    fleet.ask(&mut one, 1_000, 1);
    assert_eq!(one.left(), 7);
    let request = SyncRequest { since: Some(0), ..nothing(boot(1)) };
    let state = fleet.sync(request).subscriptions.remove(0);
    assert_eq!(state.overrides, [own(7)]);
}

#[test]
fn soft_quotas_and_late_meters_are_leased_like_others() {
    let mut fleet = Fleet::new();
    let quota = |id: &str, meter, hard, enforce| Limit {
        id: id.to_owned(),
        on: None,
        rule: Rule::Quota {
            units: NonZeroU64::new(100).unwrap(),
            meter,
            period: QuotaPeriod::Lifetime,
            hard,
        },
        enforce,
    };
    let limits = vec![
        quota("soft", Meter::Calls, false, true),
        quota("seen", Meter::Weight, true, false),
        quota("bytes", Meter::Bytes, true, true),
    ];
    fleet.world.limit("quota", limits);
    for limit in ["soft", "seen", "bytes"] {
        let mut one = Process::new(1, limit);
        assert_eq!(fleet.ask(&mut one, 100, 0), GRANTED, "{limit}");
        one.lease.used = 250;
        let outcome = fleet.ask(&mut one, 100, 0);
        assert!(is_exhausted(outcome), "{limit}: the host's word that it is spent");
        assert_eq!(fleet.world.dump(&["conflicts"]), "", "{limit}");
    }
}

#[test]
fn only_impossible_reports_are_kept_aside() {
    let mut fleet = Fleet::new();
    let mut check = |(granted, used, waived, returned), problem: &str| {
        let mut process = Process::new(1, "monthly");
        process.lease = LeaseReport { granted, used, waived, returned, ..process.lease };
        let before = fleet.world.dump(&["leases"]);
        for _ in 0..2 {
            fleet.report(&mut process.clone());
            let answer = fleet.sync(process.asking(fleet.id, 5, 1));
            assert_eq!(answer.leases[0].outcome, LeaseOutcome::Outdated);
        }
        let kept = fleet.world.dump(&["conflicts"]);
        assert_eq!(kept.matches(problem).count(), 1, "{problem} in {kept}");
        assert_eq!(fleet.world.dump(&["leases"]), before);
    };
    check((10, 0, 0, 11), "at most 10 returned, found 11");
    check((10, 5, 6, 0), "at most 5 waived, found 6");
    check((u64::MAX, 0, 0, 0), "granted 18446744073709551615 is past");
    check((10, u64::MAX, 0, 0), "used 18446744073709551615 is past");
}

/// One thing that happens between processes and the host.
#[derive(Clone, Debug)]
enum Step {
    /// Asks; the answer may be lost.
    Ask {
        boot: u8,
        want: u64,
        need: u64,
        lost: bool,
    },
    /// Something asked or reported before arrives once more.
    Repeat {
        place: prop::sample::Index,
    },
    /// Admits so many calls if its lease has them.
    Use {
        boot: u8,
        calls: u64,
    },
    Waive {
        boot: u8,
        calls: u64,
    },
    Return {
        boot: u8,
        units: u64,
    },
    /// Reports its lease, and returns what it is called to.
    Report {
        boot: u8,
        lost: bool,
    },
    /// Time passes, so that silent processes are not live any more.
    Pass {
        seconds: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let boot = 1_u8..5;
    let few = 0_u64..40;
    prop_oneof![
        5 => (boot.clone(), few.clone(), 0_u64..4, any::<bool>())
            .prop_map(|(boot, want, need, lost)| Step::Ask { boot, want, need, lost }),
        1 => any::<prop::sample::Index>().prop_map(|place| Step::Repeat { place }),
        3 => (boot.clone(), few.clone()).prop_map(|(boot, calls)| Step::Use { boot, calls }),
        1 => (boot.clone(), few.clone()).prop_map(|(boot, calls)| Step::Waive { boot, calls }),
        1 => (boot.clone(), few).prop_map(|(boot, units)| Step::Return { boot, units }),
        3 => (boot, any::<bool>()).prop_map(|(boot, lost)| Step::Report { boot, lost }),
        1 => (1_i64..100).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn never_more_out_or_used_than_the_quota(steps in proptest::collection::vec(step(), 1..80)) {
        let mut fleet = Fleet::new();
        let mut processes = [0, 1, 2, 3, 4].map(|number| Process::new(number, "monthly"));
        let mut sent: Vec<SyncRequest> = Vec::new();
        for step in steps {
            match step {
                Step::Ask { boot, want, need, lost } => {
                    let process = &mut processes[usize::from(boot)];
                    let request = process.asking(fleet.id, want, need);
                    sent.push(request.clone());
                    let answer = fleet.sync(request);
                    if !lost {
                        process.hear(&answer);
                        if answer.leases[0].outcome == GRANTED {
                            prop_assert!(process.left() > 0, "nothing was granted");
                        }
                    }
                }
                Step::Repeat { place } => {
                    if !sent.is_empty() {
                        fleet.sync(place.get(&sent).clone());
                    }
                }
                Step::Use { boot, calls } => processes[usize::from(boot)].spend(calls),
                Step::Waive { boot, calls } => {
                    let lease = &mut processes[usize::from(boot)].lease;
                    lease.waived += calls.min(lease.used - lease.waived);
                }
                Step::Return { boot, units } => processes[usize::from(boot)].give_back(units),
                Step::Report { boot, lost } => {
                    let process = &mut processes[usize::from(boot)];
                    let request = process.reporting(fleet.id);
                    sent.push(request.clone());
                    let answer = fleet.sync(request);
                    if !lost {
                        process.hear(&answer);
                        for recall in answer.recalls {
                            let left = process.left();
                            process.give_back(if recall.all { left } else { left.div_ceil(2) });
                        }
                    }
                }
                Step::Pass { seconds } => fleet.world.pass(seconds),
            }
            let held: u64 = processes.iter().map(|it| it.lease.spent() + it.left()).sum();
            prop_assert!(held <= 100, "{} of 100 are out", held);
            // Nothing an honest process says is ever a contradiction.
            prop_assert_eq!(fleet.world.dump(&["conflicts"]), "");
        }
        // However it went: who lives and needs units gets them while others hold some.
        let mut wants = processes[1];
        let others: u64 = processes[2..].iter().map(|it| it.lease.spent()).sum();
        for _ in 0..60 {
            fleet.ask(&mut wants, 40, 1);
            wants.spend(100);
            for process in &mut processes[2..] {
                // Idle, as they are, they return all.
                if !fleet.report(process).is_empty() {
                    process.give_back(u64::MAX);
                    fleet.report(process);
                }
            }
        }
        prop_assert_eq!(wants.lease.spent(), 100 - others, "{:?}", processes);
    }
}

#[test]
fn numbers_come_to_an_end() {
    let mut fleet = Fleet::new();
    let mut one = Process::new(1, "monthly");
    let most = i64::MAX.unsigned_abs();
    one.lease = LeaseReport { granted: most, returned: most, ..one.lease };
    assert!(is_exhausted(fleet.ask(&mut one, 10, 1)));
}
