use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;
use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::{LeaseAsk, LeaseOutcome, LeaseReport, RecordReport, SyncRequest};

use super::super::gateways::{ListGateways, ReleaseGateways};
use super::super::health::ReadHealth;
use super::super::id::GatewayId;
use super::super::testing::{BIRTH, World, boot, nothing};
use super::*;
use crate::store::{SECRET_FILE, Store};

/// A copy of a world's ledger, put back in a directory of its own.
fn copy(world: &World, directory: &Path) {
    fs::write(
        directory.join(SECRET_FILE),
        format!("{}\n", blake3::Hash::from_bytes(BIRTH.secret).to_hex()),
    )
    .unwrap();
    world.store.backup(&directory.join("copy.db")).unwrap();
}

fn put_back(directory: &TempDir, now: Timestamp) -> (World, Restored) {
    let path = directory.path();
    let restored = Store::restore(&path.join("copy.db"), path, None, BIRTH, now).unwrap();
    let mut world = World::with(Store::open(path, BIRTH).unwrap());
    world.now = now;
    (world, restored)
}

/// One process's lease of the quota of a hundred.
#[derive(Clone, Debug)]
struct Process {
    number: u8,
    lease: LeaseReport,
    epoch: u32,
}

impl Process {
    fn new(number: u8) -> Self {
        let lease = LeaseReport { limit: Tag::of("monthly"), period: 1, ..LeaseReport::default() };
        Self { number, lease, epoch: 1 }
    }

    fn ask(&mut self, world: &mut World, gateway: GatewayId, want: u64) -> LeaseOutcome {
        let ask = LeaseAsk { subscription: SubscriptionId(1), lease: self.lease, want, need: 1 };
        let request =
            SyncRequest { leases: vec![ask], epoch: self.epoch, ..nothing(boot(self.number)) };
        let answer = world.sync(gateway, request);
        self.lease.granted = self.lease.granted.max(answer.leases[0].granted);
        answer.leases[0].outcome
    }

    /// Reports all it has, as a process does in a new epoch, or says that it has.
    fn sync(&mut self, world: &mut World, gateway: GatewayId, swept: bool) {
        let record = RecordReport {
            subscription: SubscriptionId(1),
            known_until_ms: u64::MAX,
            slots: Vec::new(),
            leases: vec![self.lease],
        };
        let now_ms = u64::try_from(world.now.as_millisecond()).unwrap();
        let request = SyncRequest {
            records: vec![record],
            epoch: self.epoch,
            swept_through_ms: swept.then_some(now_ms),
            ..nothing(boot(self.number))
        };
        self.epoch = world.sync(gateway, request).epoch;
    }
}

#[test]
fn a_restored_ledger_waits_for_those_it_knew_and_a_minute() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("quota");
    let (mut one, mut old) = (Process::new(1), Process::new(2));
    old.sync(&mut world, gateway, true);
    world.pass(16 * 60);
    one.ask(&mut world, gateway, 10);
    copy(&world, directory.path());
    let revision = world.ask(ReadHealth).unwrap().revision;
    one.ask(&mut world, gateway, 100);
    assert_eq!(one.lease.granted, 100);
    one.lease.used = 70;
    world.pass(3_600);

    let (mut world, restored) = put_back(&directory, world.now);
    assert!(restored.epoch > 1);
    assert_eq!(restored.awaited, vec![boot(1)]);
    assert!(world.ask(ReadHealth).unwrap().revision > revision + (1 << 32));
    // However late it is served: the wait begins when somebody is heard.
    world.pass(3_600);
    let mut new = Process::new(3);
    let held = LeaseOutcome::Exhausted { retry_ms: 1_000 };
    new.sync(&mut world, gateway, true);
    world.pass(61);
    assert_eq!(new.ask(&mut world, gateway, 10), held, "one is waited for");
    let gateways = world.ask(ListGateways).unwrap();
    let awaited: Vec<_> =
        gateways[0].boots.iter().filter(|it| it.awaited).map(|it| it.id).collect();
    assert_eq!(awaited, [boot(1)]);
    // What it says by what it knew before is no word of this epoch.
    one.sync(&mut world, gateway, true);
    assert_eq!(new.ask(&mut world, gateway, 10), held);
    one.sync(&mut world, gateway, true);
    // All it was granted by the lost ledger is known.
    assert_eq!(new.ask(&mut world, gateway, 10), LeaseOutcome::Wait { retry_ms: 250 });
    one.lease.returned = 30;
    one.sync(&mut world, gateway, true);
    assert_eq!(new.ask(&mut world, gateway, 100), LeaseOutcome::Granted);
    assert_eq!(world.dump(&["conflicts"]), "");
    // Everybody hears of everything anew, and no number is taken again.
    let request = SyncRequest { since: Some(revision), epoch: restored.epoch, ..nothing(boot(1)) };
    let answer = world.sync(gateway, request);
    assert_eq!((answer.subscriptions.len(), answer.keys.len()), (1, 1));
    assert!(answer.catalog.is_some_and(|catalog| catalog.revision > 1 << 16));
    assert!(world.subscribe("free").0 > id.0 + (1 << 20));
}

/// A copy may be put back again: to processes that know what came after the first time, all must
/// be new once more.
#[test]
fn a_copy_put_back_twice_takes_no_number_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let gateway = world.gateway("edge");
    world.subscribe("quota");
    Process::new(1).ask(&mut world, gateway, 10);
    copy(&world, directory.path());
    let numbers = |world: &mut World| {
        let epoch = world.ask(ReadHealth).unwrap().epoch;
        let changed = world.subscribe("free");
        let request = SyncRequest { since: Some(0), epoch, ..nothing(boot(1)) };
        let answer = world.sync(gateway, request);
        let told = answer.subscriptions.iter().map(|state| state.revision).min().unwrap();
        let catalog = answer.catalog.unwrap().revision;
        ((epoch, told, catalog, changed.0), answer.revision)
    };
    let (mut once, _) = put_back(&directory, world.now);
    let (first, reached) = numbers(&mut once);
    let now = once.now + SignedDuration::from_secs(60);
    drop(once);
    fs::remove_file(directory.path().join(crate::store::DATABASE_FILE)).unwrap();
    let (mut again, _) = put_back(&directory, now);
    let (second, _) = numbers(&mut again);
    assert!(second.0 > first.0, "epoch: {first:?} {second:?}");
    assert!(second.1 > reached, "revision: {reached} {second:?}");
    assert!(second.2 > first.2, "catalog: {first:?} {second:?}");
    assert!(second.3 > first.3, "subscription: {first:?} {second:?}");
}

#[test]
fn an_operator_ends_the_wait() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let gateway = world.gateway("edge");
    world.subscribe("quota");
    Process::new(1).ask(&mut world, gateway, 10);
    assert_eq!(
        world.refused(ReleaseGateways),
        "nothing_held: nothing is held back: no restored ledger waits for gateways"
    );
    copy(&world, directory.path());
    let (mut world, _) = put_back(&directory, world.now);
    let mut two = Process::new(2);
    assert!(matches!(two.ask(&mut world, gateway, 10), LeaseOutcome::Exhausted { .. }));
    assert_eq!(world.ask(ReleaseGateways).unwrap().awaited, 1);
    assert_eq!(two.ask(&mut world, gateway, 10), LeaseOutcome::Granted);
    assert_eq!(world.refused(ReleaseGateways).split(':').next(), Some("nothing_held"));
}

#[test]
fn a_ledger_copied_by_hand_takes_over_what_is_held() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let gateway = world.gateway("edge");
    world.subscribe("quota");
    copy(&world, directory.path());
    let mut one = Process::new(1);
    for _ in 0..2 {
        one.ask(&mut world, gateway, 80);
    }
    let path = directory.path();
    fs::copy(path.join("copy.db"), path.join(crate::store::DATABASE_FILE)).unwrap();
    let mut world = World::with(Store::open(path, BIRTH).unwrap());
    one.sync(&mut world, gateway, true);
    let mut two = Process::new(2);
    for _ in 0..20 {
        two.ask(&mut world, gateway, 100);
    }
    assert_eq!((one.lease.granted, two.lease.granted), (80, 20));
    assert_eq!(world.dump(&["conflicts"]), "");
}

/// One thing that happens between processes and the host.
#[derive(Clone, Debug)]
enum Step {
    Ask { boot: u8, want: u64 },
    Use { boot: u8, calls: u64 },
    Waive { boot: u8, calls: u64 },
    Return { boot: u8, units: u64 },
    Report { boot: u8 },
    Pass { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let boot = 0_u8..4;
    let few = 0_u64..40;
    prop_oneof![
        4 => (boot.clone(), few.clone()).prop_map(|(boot, want)| Step::Ask { boot, want }),
        4 => (boot.clone(), few.clone()).prop_map(|(boot, calls)| Step::Use { boot, calls }),
        1 => (boot.clone(), few.clone()).prop_map(|(boot, calls)| Step::Waive { boot, calls }),
        1 => (boot.clone(), few).prop_map(|(boot, units)| Step::Return { boot, units }),
        2 => boot.prop_map(|boot| Step::Report { boot }),
        1 => (1_i64..10).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

fn play(world: &mut World, gateway: GatewayId, processes: &mut [Process], step: &Step) {
    match *step {
        Step::Ask { boot, want } => {
            processes[usize::from(boot)].ask(world, gateway, want);
        }
        Step::Use { boot, calls } => {
            let lease = &mut processes[usize::from(boot)].lease;
            lease.used += calls.min(lease.unspent());
        }
        Step::Waive { boot, calls } => {
            let lease = &mut processes[usize::from(boot)].lease;
            lease.waived += calls.min(lease.spent());
        }
        Step::Return { boot, units } => {
            let lease = &mut processes[usize::from(boot)].lease;
            lease.returned += units.min(lease.unspent());
        }
        Step::Report { boot } => {
            let process = &mut processes[usize::from(boot)];
            let known = process.epoch;
            process.sync(world, gateway, false);
            // Its next sweep is by the epoch it knows now.
            if known == process.epoch {
                process.sync(world, gateway, true);
            }
        }
        Step::Pass { seconds } => world.pass(seconds),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whenever the copy was made, whatever was granted and used after it, and in whatever order
    /// the processes come back within a minute: never more than the quota.
    #[test]
    fn a_restored_ledger_never_oversells(
        before in proptest::collection::vec(step(), 0..20),
        after in proptest::collection::vec(step(), 0..30),
        later in proptest::collection::vec(step(), 0..20),
        order in Just([0_usize, 1, 2, 3]).prop_shuffle(),
        waits in proptest::collection::vec(0_i64..15, 4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut world = World::new();
        let gateway = world.gateway("edge");
        world.subscribe("quota");
        let mut processes: Vec<Process> = (0..4).map(Process::new).collect();
        for step in &before {
            play(&mut world, gateway, &mut processes, step);
        }
        copy(&world, directory.path());
        for step in &after {
            play(&mut world, gateway, &mut processes, step);
        }
        let (mut world, _) = put_back(&directory, world.now);
        for (process, wait) in order.iter().zip(&waits) {
            let process = &mut processes[*process];
            // First it asks, as any does that has nothing left.
            process.ask(&mut world, gateway, 100);
            process.lease.used += process.lease.unspent();
            process.sync(&mut world, gateway, false);
            process.sync(&mut world, gateway, true);
            world.pass(*wait);
        }
        for step in &later {
            play(&mut world, gateway, &mut processes, step);
        }
        world.pass(61);
        for process in &mut processes {
            for _ in 0..10 {
                process.ask(&mut world, gateway, 100);
            }
        }
        let out: u64 = processes.iter().map(|it| it.lease.spent() + it.lease.unspent()).sum();
        prop_assert!(out <= 100, "{} of 100 are out: {:?}", out, processes);
        prop_assert_eq!(world.dump(&["conflicts"]), "");
    }
}
