use std::num::NonZeroU32;

use proptest::prelude::*;
use tollgate_pricing::gate::{Limit, Scope};
use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::{
    LeaseAnswer, LeaseAsk, LeaseReport, RATE_PERIOD, SyncAnswer, SyncRequest,
};

use super::super::super::id::GatewayId;
use super::super::super::testing::{BIRTH, CATALOG, World, boot, nothing, record};
use super::super::FollowClock;
use super::*;
use crate::store::Store;

const RATE: &str = "rate";

fn rate(rule: Rule) -> Limit {
    Limit { id: RATE.to_owned(), on: None, rule, enforce: true }
}

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn window(calls: u32, seconds: u32) -> Rule {
    let (calls, period_seconds) = (count(calls), count(seconds));
    Rule::SlidingWindow { calls, period_seconds, scope: Scope::Fleet }
}

fn bucket(calls: u32, seconds: u32, burst: u32) -> Rule {
    let (calls, period_seconds) = (count(calls), count(seconds));
    Rule::TokenBucket { calls, period_seconds, burst: count(burst), scope: Scope::Fleet }
}

/// One process's lease, as its gate keeps it.
#[derive(Clone, Copy, Debug)]
struct Process {
    number: u8,
    lease: LeaseReport,
    /// Until when it may spend, by its own clock, which is the host's here.
    until_ms: i64,
    /// It spends what it holds in the last millisecond that it may.
    waits: bool,
}

impl Process {
    fn new(number: u8) -> Self {
        let lease =
            LeaseReport { limit: Tag::of(RATE), period: RATE_PERIOD, ..LeaseReport::default() };
        Self { number, lease, until_ms: 0, waits: false }
    }

    fn left(&self, now_ms: i64) -> u64 {
        if now_ms < self.until_ms { self.lease.unspent() } else { 0 }
    }

    fn asking(&self, id: SubscriptionId, want: u64, need: u64) -> SyncRequest {
        let ask = LeaseAsk { subscription: id, lease: self.lease, want, need };
        SyncRequest { leases: vec![ask], ..nothing(boot(self.number)) }
    }

    fn hear(&mut self, sent_ms: i64, answer: &SyncAnswer) {
        for told in &answer.leases {
            self.lease.granted = self.lease.granted.max(told.granted);
            if let Some(lasts_ms) = told.lasts_ms {
                let until_ms = sent_ms + i64::try_from(lasts_ms).unwrap();
                self.until_ms = self.until_ms.max(until_ms);
            }
        }
    }

    /// What its sweep does: units past use go back.
    fn sweep(&mut self, now_ms: i64) {
        if now_ms >= self.until_ms {
            self.lease.returned += self.lease.unspent();
        }
    }
}

struct Fleet {
    world: World,
    gateway: GatewayId,
    id: SubscriptionId,
    /// When calls were admitted, unix milliseconds.
    admitted: Vec<i64>,
}

impl Fleet {
    fn new(rule: Rule) -> Self {
        let mut world = World::new();
        world.limit("free", vec![rate(rule)]);
        let gateway = world.gateway("edge");
        let id = world.subscribe("free");
        Self { world, gateway, id, admitted: Vec::new() }
    }

    fn now_ms(&self) -> i64 {
        self.world.now.as_millisecond()
    }

    fn ask(&mut self, process: &mut Process, want: u64, need: u64) -> LeaseAnswer {
        let sent_ms = self.now_ms();
        let answer = self.world.sync(self.gateway, process.asking(self.id, want, need));
        process.hear(sent_ms, &answer);
        answer.leases[0]
    }

    fn report(&mut self, process: &Process) -> SyncAnswer {
        let request = record(boot(process.number), self.id, process.lease);
        self.world.sync(self.gateway, request)
    }

    /// Admits as many of these calls as the lease has.
    fn spend(&mut self, process: &mut Process, calls: u64) -> u64 {
        let now_ms = self.now_ms();
        let calls = calls.min(process.left(now_ms));
        process.lease.used += calls;
        self.admitted.extend((0..calls).map(|_| now_ms));
        calls
    }

    /// Sets the host's clock forward. Whatever else is told by that clock goes along, as it would
    /// stay by any other.
    fn jump(&mut self, ms: i64, processes: &mut [Process], late: &mut [(u8, i64, SyncAnswer)]) {
        self.world.pass_ms(ms);
        self.world.ask(FollowClock { by: SignedDuration::from_millis(ms) }).unwrap();
        for at in &mut self.admitted {
            *at += ms;
        }
        for process in processes {
            process.until_ms += ms;
        }
        for (_, sent_ms, _) in late {
            *sent_ms += ms;
        }
    }

    /// Asks until the host has no more, spending all at once.
    fn drain(&mut self, process: &mut Process) -> LeaseOutcome {
        for _ in 0..100 {
            let told = self.ask(process, 1_000_000, 1);
            self.spend(process, u64::MAX);
            if told.outcome != LeaseOutcome::Granted {
                return told.outcome;
            }
        }
        panic!("no end of it")
    }
}

/// The most calls that were admitted in any window of this length.
fn fullest(admitted: &[i64], length_ms: i64) -> usize {
    let mut sorted = admitted.to_vec();
    sorted.sort_unstable();
    let mut first = 0;
    let mut most = 0;
    for (place, time) in sorted.iter().enumerate() {
        while sorted[first] <= time - length_ms {
            first += 1;
        }
        most = most.max(place + 1 - first);
    }
    most
}

/// Where more calls were admitted from one to another than the burst and what is gained between.
fn overflow(admitted: &[i64], (calls, seconds, burst): (i64, i64, i64)) -> Option<(i64, i64)> {
    let mut sorted = admitted.to_vec();
    sorted.sort_unstable();
    // In parts of a call: after each call, all that came since some call may not pass the burst
    // and the gain. The worst start is kept as the greatest of (calls before it - gain before it).
    let parts = seconds * 1_000;
    let mut worst = i64::MIN;
    let mut worst_at = 0;
    for (place, time) in sorted.iter().enumerate() {
        let before = i64::try_from(place).unwrap() * parts - calls * time;
        if -before > worst {
            worst = -before;
            worst_at = *time;
        }
        let since = before + parts + worst;
        if since > burst * parts {
            return Some((worst_at, *time));
        }
    }
    None
}

#[test]
fn the_judges_judge() {
    assert_eq!(fullest(&[0, 500, 999, 1_000], 1_000), 3);
    assert_eq!(fullest(&[0, 1_000, 1_999], 1_000), 2);
    // One call a second, two at once.
    assert_eq!(overflow(&[0, 0, 1_000, 2_000], (1, 1, 2)), None);
    assert_eq!(overflow(&[0, 0, 999], (1, 1, 2)), Some((0, 999)));
    assert_eq!(overflow(&[0, 0, 5_000, 5_000, 5_999], (1, 1, 2)), Some((5_000, 5_999)));
}

#[test]
fn a_window_frees_what_was_spent_when_it_may_be_spent_again() {
    let mut fleet = Fleet::new(window(100, 10));
    let mut one = Process::new(1);
    let told = fleet.ask(&mut one, 100, 1);
    assert_eq!((told.granted, told.lasts_ms), (10, Some(1_000)), "the first is small");
    let LeaseOutcome::Exhausted { retry_ms } = fleet.drain(&mut one) else { panic!() };
    assert_eq!(fleet.admitted.len(), 100);
    // A window's length, what clocks may be off, and at most a step of the window.
    assert!((10_000..10_200).contains(&retry_ms), "{retry_ms}");
    // Not a millisecond earlier.
    fleet.world.pass_ms(i64::try_from(retry_ms).unwrap() - 1);
    let told = fleet.ask(&mut one, 100, 1);
    assert_eq!(told.outcome, LeaseOutcome::Exhausted { retry_ms: 1 });
    fleet.world.pass_ms(1);
    assert_eq!(fleet.ask(&mut one, 100, 1).outcome, LeaseOutcome::Granted);
}

#[test]
fn what_is_returned_is_free_at_once() {
    let mut fleet = Fleet::new(window(100, 10));
    let (mut one, mut two) = (Process::new(1), Process::new(2));
    fleet.ask(&mut one, 100, 1);
    fleet.ask(&mut one, 100, 100);
    fleet.spend(&mut one, 30);
    fleet.world.pass_ms(600);
    // It holds 70 that it has not asked for lately: it is called.
    let told = fleet.ask(&mut two, 100, 1);
    assert_eq!(told.outcome, LeaseOutcome::Wait { retry_ms: 250 });
    assert_eq!(fleet.report(&one).recalls.len(), 1);
    one.lease.returned += 70;
    assert_eq!(fleet.report(&one).recalls, []);
    assert_eq!(fleet.ask(&mut two, 100, 70).granted, 70);
}

#[test]
fn silent_units_count_until_a_window_after_they_are_past_use() {
    let mut fleet = Fleet::new(window(100, 10));
    let (mut one, mut two) = (Process::new(1), Process::new(2));
    fleet.ask(&mut one, 10, 1);
    let told = fleet.ask(&mut one, 100, 100);
    assert_eq!((told.granted, told.lasts_ms), (100, Some(1_000)));
    fleet.world.pass(8);
    let LeaseOutcome::Exhausted { retry_ms } = fleet.ask(&mut two, 100, 1).outcome else {
        panic!()
    };
    assert!((3_000..3_100).contains(&retry_ms), "{retry_ms}");
    fleet.world.pass_ms(i64::try_from(retry_ms).unwrap());
    fleet.drain(&mut two);
    assert_eq!(fleet.admitted.len(), 100);
    // The first comes back: what it never used must find room again, and does not.
    assert!(matches!(fleet.ask(&mut one, 10, 1).outcome, LeaseOutcome::Exhausted { .. }));
    assert_eq!(fleet.spend(&mut one, 100), 0);
    one.sweep(fleet.now_ms());
    fleet.report(&one);
    fleet.world.pass(11);
    assert_eq!(fleet.drain(&mut one), fleet.ask(&mut one, 1, 1).outcome);
    assert_eq!(fleet.admitted.len(), 200);
}

#[test]
fn what_was_granted_and_spent_outlives_the_hosts_process() {
    for rule in [window(100, 10), bucket(1, 10, 100)] {
        let directory = tempfile::tempdir().unwrap();
        let open = || World::with(Store::open(directory.path(), BIRTH).unwrap());
        let mut world = open();
        world.load(CATALOG).unwrap();
        world.limit("free", vec![rate(rule.clone())]);
        let gateway = world.gateway("edge");
        let id = world.subscribe("free");
        let mut fleet = Fleet { world, gateway, id, admitted: Vec::new() };
        let (mut one, mut two) = (Process::new(1), Process::new(2));
        fleet.ask(&mut one, 100, 90);
        fleet.drain(&mut one);
        let now = fleet.now_ms();
        fleet.world = World::empty();
        fleet.world = open();
        fleet.world.now = Timestamp::from_millisecond(now).unwrap();
        fleet.world.limit("free", vec![rate(rule.clone())]);
        fleet.world.pass(5);
        let told = fleet.ask(&mut two, 100, 1).outcome;
        assert!(matches!(told, LeaseOutcome::Exhausted { .. }), "{told:?} of {rule:?}");
        assert_eq!(fleet.admitted.len(), 100);
    }
}

/// Every restart of a gateway is another process.
#[test]
fn processes_that_are_gone_leave_no_leases_of_rates_behind() {
    for rule in [window(10, 60), bucket(10, 60, 10)] {
        let mut fleet = Fleet::new(rule);
        for number in 1..=3 {
            fleet.ask(&mut Process::new(number), 1, 1);
            fleet.world.pass(25 * 60 * 60);
        }
        fleet.ask(&mut Process::new(4), 1, 1);
        assert_eq!(fleet.world.dump(&["leases"]).lines().count(), 1);
    }
}

#[test]
fn a_bucket_is_its_burst_and_its_gain() {
    let mut fleet = Fleet::new(bucket(10, 1, 50));
    let mut one = Process::new(1);
    let told = fleet.drain(&mut one);
    assert_eq!(fleet.admitted.len(), 50);
    assert_eq!(told, LeaseOutcome::Exhausted { retry_ms: 100 });
    fleet.world.pass_ms(99);
    let told = fleet.ask(&mut one, 10, 1);
    assert_eq!(told.outcome, LeaseOutcome::Exhausted { retry_ms: 20 });
    fleet.world.pass_ms(1);
    fleet.drain(&mut one);
    assert_eq!(fleet.admitted.len(), 51);
    // Held tokens leave no room; past use they do.
    fleet.world.pass(100);
    let mut two = Process::new(2);
    fleet.ask(&mut two, 5, 5);
    fleet.world.pass_ms(500);
    fleet.drain(&mut one);
    assert_eq!(fleet.admitted.len(), 51 + 45);
    two.sweep(fleet.now_ms() + 600);
    fleet.world.pass_ms(600);
    fleet.drain(&mut one);
    assert_eq!(fleet.admitted.len(), 51 + 45 + 6);
    // What is past use goes back into it.
    fleet.report(&two);
    fleet.drain(&mut one);
    assert_eq!(fleet.admitted.len(), 51 + 45 + 6 + 5);
}

/// One thing that happens between processes and the host.
#[derive(Clone, Debug)]
enum Step {
    /// Asks; the answer comes, comes late, or is lost.
    Ask {
        boot: u8,
        want: u64,
        need: u64,
        answer: Delivery,
    },
    /// An answer that is late comes.
    Deliver {
        place: prop::sample::Index,
    },
    /// Something asked or reported before arrives once more.
    Repeat {
        place: prop::sample::Index,
    },
    /// Spends all it may, now.
    Spend {
        boot: u8,
        calls: u64,
    },
    /// Will spend all it may, in the last millisecond that it may.
    SpendLast {
        boot: u8,
    },
    Return {
        boot: u8,
        units: u64,
    },
    Sweep {
        boot: u8,
    },
    Report {
        boot: u8,
    },
    /// The process starts anew, and is another one from now on.
    Restart {
        boot: u8,
    },
    Pass {
        ms: i64,
    },
    /// The host's clock is set forward, but no time passes.
    Jump {
        ms: i64,
    },
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Delivery {
    Now,
    Late,
    Never,
}

fn step() -> impl Strategy<Value = Step> {
    let boot = 0_u8..3;
    let any = any::<prop::sample::Index>;
    let delivery = prop_oneof![
        4 => Just(Delivery::Now),
        1 => Just(Delivery::Late),
        1 => Just(Delivery::Never),
    ];
    prop_oneof![
        8 => (boot.clone(), 0_u64..60, 0_u64..4, delivery)
            .prop_map(|(boot, want, need, answer)| Step::Ask { boot, want, need, answer }),
        1 => any().prop_map(|place| Step::Deliver { place }),
        1 => any().prop_map(|place| Step::Repeat { place }),
        4 => (boot.clone(), 1_u64..60).prop_map(|(boot, calls)| Step::Spend { boot, calls }),
        3 => boot.clone().prop_map(|boot| Step::SpendLast { boot }),
        1 => (boot.clone(), 1_u64..60).prop_map(|(boot, units)| Step::Return { boot, units }),
        1 => boot.clone().prop_map(|boot| Step::Sweep { boot }),
        3 => boot.clone().prop_map(|boot| Step::Report { boot }),
        1 => boot.prop_map(|boot| Step::Restart { boot }),
        1 => (1_i64..100_000).prop_map(|ms| Step::Jump { ms }),
        4 => prop_oneof![1_i64..50, 50_i64..1_000, 1_000_i64..12_000].prop_map(|ms| Step::Pass { ms }),
    ]
}

/// Plays these steps; when calls were admitted.
fn play(rule: &Rule, steps: &[Step]) -> Vec<i64> {
    let mut fleet = Fleet::new(rule.clone());
    let mut processes: Vec<Process> = (0..3).map(Process::new).collect();
    let mut fresh = 3;
    let mut sent: Vec<SyncRequest> = Vec::new();
    let mut late: Vec<(u8, i64, SyncAnswer)> = Vec::new();
    for step in steps {
        let now_ms = fleet.now_ms();
        match step.clone() {
            Step::Ask { boot, want, need, answer } => {
                let process = &mut processes[usize::from(boot)];
                let request = process.asking(fleet.id, want, need);
                sent.push(request.clone());
                let told = fleet.world.sync(fleet.gateway, request);
                match answer {
                    Delivery::Now => process.hear(now_ms, &told),
                    Delivery::Late => late.push((process.number, now_ms, told)),
                    Delivery::Never => {}
                }
            }
            Step::Deliver { place } => {
                if !late.is_empty() {
                    let (number, sent_ms, told) = late.swap_remove(place.index(late.len()));
                    let mut all = processes.iter_mut();
                    if let Some(process) = all.find(|process| process.number == number) {
                        process.hear(sent_ms, &told);
                    }
                }
            }
            Step::Repeat { place } => {
                if !sent.is_empty() {
                    fleet.world.sync(fleet.gateway, place.get(&sent).clone());
                }
            }
            Step::Spend { boot, calls } => {
                fleet.spend(&mut processes[usize::from(boot)], calls);
            }
            Step::SpendLast { boot } => processes[usize::from(boot)].waits = true,
            Step::Return { boot, units } => {
                let lease = &mut processes[usize::from(boot)].lease;
                lease.returned += units.min(lease.unspent());
            }
            Step::Sweep { boot } => processes[usize::from(boot)].sweep(now_ms),
            Step::Report { boot } => {
                let process = processes[usize::from(boot)];
                sent.push(record(
                    super::super::super::testing::boot(process.number),
                    fleet.id,
                    process.lease,
                ));
                let answer = fleet.report(&process);
                processes[usize::from(boot)].hear(now_ms, &answer);
            }
            Step::Restart { boot } => {
                processes[usize::from(boot)] = Process::new(fresh);
                fresh += 1;
            }
            Step::Pass { ms } => {
                for process in processes.iter_mut().filter(|process| process.waits) {
                    let last_ms = process.until_ms - 1;
                    if (now_ms..=now_ms + ms).contains(&last_ms) {
                        let calls = process.lease.unspent();
                        process.lease.used += calls;
                        fleet.admitted.extend((0..calls).map(|_| last_ms));
                    }
                    process.waits &= last_ms > now_ms + ms;
                }
                fleet.world.pass_ms(ms);
            }
            Step::Jump { ms } => fleet.jump(ms, &mut processes, &mut late),
        }
    }
    assert_eq!(fleet.world.dump(&["conflicts"]), "");
    fleet.admitted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_window_holds_more_than_its_calls(
        calls in 1_u32..80,
        seconds in 1_u32..12,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let admitted = play(&window(calls, seconds), &steps);
        let fullest = fullest(&admitted, i64::from(seconds) * 1_000);
        prop_assert!(fullest <= usize::try_from(calls).unwrap(), "{} of {}", fullest, calls);
    }

    #[test]
    fn no_bucket_gives_more_than_its_burst_and_its_gain(
        calls in 1_u32..80,
        seconds in 1_u32..12,
        burst in 1_u32..120,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let admitted = play(&bucket(calls, seconds, burst), &steps);
        let rate = (i64::from(calls), i64::from(seconds), i64::from(burst));
        prop_assert_eq!(overflow(&admitted, rate), None);
    }
}

/// Two processes with more demand than there is, as gates behave: each asks when it has nothing,
/// and again when it is told to. Calls per second that were admitted.
fn saturated(rule: Rule, seconds: i64) -> (Vec<i64>, [u64; 2]) {
    let mut fleet = Fleet::new(rule);
    let mut processes = [Process::new(1), Process::new(2)];
    let mut ask_at_ms = [fleet.now_ms(); 2];
    let mut spent = [0; 2];
    let end_ms = fleet.now_ms() + seconds * 1_000;
    while fleet.now_ms() < end_ms {
        for (place, process) in processes.iter_mut().enumerate() {
            // A call a millisecond.
            spent[place] += fleet.spend(process, 1);
            let now_ms = fleet.now_ms();
            if process.left(now_ms) == 0 && now_ms >= ask_at_ms[place] {
                process.sweep(now_ms);
                let told = fleet.ask(process, 1_000, 1);
                // Two milliseconds to the host and back.
                ask_at_ms[place] = now_ms
                    + match told.outcome {
                        LeaseOutcome::Granted | LeaseOutcome::Outdated => 2,
                        LeaseOutcome::Wait { retry_ms } | LeaseOutcome::Exhausted { retry_ms } => {
                            i64::try_from(retry_ms.min(1_000)).unwrap() + 2
                        }
                    };
            }
        }
        fleet.world.pass_ms(1);
    }
    (fleet.admitted, spent)
}

#[test]
fn saturated_rates_are_used_to_nine_tenths() {
    for (rule, per_second) in
        [(window(1_000, 10), 100), (window(100, 1), 100), (bucket(100, 1, 200), 100)]
    {
        let (admitted, spent) = saturated(rule.clone(), 60);
        let found = admitted.len();
        assert!(found >= 60 * per_second * 9 / 10, "{found} of {rule:?}");
        let least = spent.iter().min().unwrap();
        assert!(*least >= u64::try_from(found).unwrap() / 4, "{spent:?} of {rule:?}");
    }
}
