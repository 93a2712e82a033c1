use std::cell::RefCell;

use tempfile::TempDir;
use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::{
    LeaseAnswer, LeaseReport, Outcome, RecordReport, Row, RowsAck, Slot, SlotAck, SyncRequest,
};

use super::*;
use crate::core::gateways::{AddGateway, ListGateways};
use crate::core::id::GatewayId;
use crate::core::sync::Sync;
use crate::core::testing::{BIRTH, CATALOG, World, batch, boot, nothing, question};
use crate::store::Store;

fn add(name: &str, random: u8) -> AddGateway {
    AddGateway { name: name.to_owned(), random: [random; 16] }
}

fn names(world: &mut World) -> Vec<String> {
    let gateways = world.ask(ListGateways).unwrap();
    gateways.into_iter().map(|gateway| gateway.name).collect()
}

#[test]
fn answers_come_after_the_commit_and_refusals_undo_one_request() {
    let mut world = World::empty();
    let answers = RefCell::new(Vec::new());
    let now = world.now;
    world.store.commit(|batch| {
        assert!(batch.is_empty());
        for (name, random) in [("a", 1), ("a", 2), ("b", 1), ("c", 3)] {
            batch.apply(now, add(name, random), |answer| {
                let answer = answer.map(|added| added.gateway.name);
                answers.borrow_mut().push(answer.map_err(|refusal| refusal.reason()));
            });
        }
        assert_eq!(batch.len(), 4);
        assert_eq!(*answers.borrow(), []);
    });
    let expected =
        [Ok("a".to_owned()), Err("gateway_exists"), Err("chance_spent"), Ok("c".to_owned())];
    assert_eq!(answers.into_inner(), expected);
    assert_eq!(names(&mut world), ["a", "c"]);
}

/// Leaves a reference to nothing behind, which only the commit finds.
struct BreakCommit;

impl Request for BreakCommit {
    type Answer = ();

    fn apply(self, ledger: &mut Ledger<'_>, _: Timestamp) -> Result<(), Refusal> {
        ledger.run("PRAGMA defer_foreign_keys = ON")?;
        ledger.run(
            "INSERT INTO keys (subscription, hash, imported, created_ms, revision)
             VALUES (99, zeroblob(16), 0, 0, 0)",
        )?;
        Ok(())
    }
}

/// Loses the whole transaction, as a full disk does.
struct LoseTransaction;

impl Request for LoseTransaction {
    type Answer = ();

    fn apply(self, ledger: &mut Ledger<'_>, _: Timestamp) -> Result<(), Refusal> {
        ledger.run("ROLLBACK")?;
        Err(Refusal::Unavailable("the disk is full".to_owned()))
    }
}

fn a_failed_batch<R: Request>(breaking: R) {
    let mut world = World::empty();
    let answers = RefCell::new(Vec::new());
    let now = world.now;
    let note = |ok: Result<(), Refusal>| answers.borrow_mut().push(ok.map_err(|r| r.reason()));
    let committed = world.store.commit(|batch| {
        batch.apply(now, add("a", 1), |answer| note(answer.map(drop)));
        batch.apply(now, breaking, |answer| note(answer.map(drop)));
        batch.apply(now, add("b", 2), |answer| note(answer.map(drop)));
    });
    assert!(matches!(committed, Committed::Failed(_)));
    let expected = [Err("unavailable"), Err("unavailable"), Err("unavailable")];
    assert_eq!(answers.into_inner(), expected);
    // The next batch works, and finds nothing of the one that failed.
    assert_eq!(names(&mut world), [""; 0]);
    world.ask(add("a", 1)).unwrap();
    assert_eq!(names(&mut world), ["a"]);
}

#[test]
fn a_commit_that_fails_answers_nobody_with_success() {
    a_failed_batch(BreakCommit);
}

#[test]
fn a_transaction_that_is_lost_answers_nobody_with_success() {
    a_failed_batch(LoseTransaction);
}

/// A ledger on a disk, with a gateway and a subscription with a quota.
fn on_disk() -> (TempDir, World, GatewayId) {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::with(Store::open(directory.path(), BIRTH).unwrap());
    world.load(CATALOG).unwrap();
    let gateway = world.gateway("edge");
    world.subscribe("quota");
    (directory, world, gateway)
}

/// What a process says in a turn: rows that take room, its counters, units it returns and asks for.
fn says(number: u8, turn: u64) -> SyncRequest {
    let id = SubscriptionId(1);
    let row = |minute| Row {
        subscription: Some(id),
        period: 1,
        api: Some("address".to_owned()),
        operation: Some(format!("{number:064}")),
        status: 200,
        outcome: Outcome::Billable,
        would_refuse: None,
        minute,
        calls: 1,
        latency_us: 1,
        bytes: 0,
        units: 0,
    };
    let rows: Vec<Row> = (0..100).map(|n| row(u32::try_from(turn).unwrap() * 100 + n)).collect();
    let limit = Tag::of("monthly");
    let lease =
        LeaseReport { limit, period: 1, granted: turn, returned: turn, ..Default::default() };
    let slot = Slot { number: 1, period: 1, admitted: turn * 2, billable: turn, ..Slot::default() };
    let record = RecordReport {
        subscription: id,
        known_until_ms: u64::MAX,
        slots: vec![slot],
        leases: vec![lease],
    };
    SyncRequest {
        rows: Some(batch(number, turn, &rows)),
        records: vec![record],
        leases: vec![question(id, limit, 1, turn, 3)],
        ..nothing(boot(number))
    }
}

/// What is acknowledged and granted, or why nothing is.
type Told = Result<(Option<RowsAck>, Vec<SlotAck>, Vec<LeaseAnswer>), &'static str>;

/// Three processes in one transaction: their answers, and what became of it.
fn turn(
    world: &mut World,
    gateway: GatewayId,
    turn: u64,
    fault: Option<Fault>,
) -> (Vec<Told>, Committed) {
    let answers = RefCell::new(Vec::new());
    let now = world.now;
    let committed = world.store.commit(|batch| {
        for number in 1..=3 {
            let request = Sync { gateway, request: says(number, turn) };
            batch.apply(now, request, |answer| {
                let told = answer.map(|answer| (answer.rows, answer.slots, answer.leases));
                answers.borrow_mut().push(told.map_err(|refusal| refusal.reason()));
            });
        }
        if matches!(fault, Some(Fault::Commit)) {
            batch.apply(now, BreakCommit, drop);
        }
    });
    (answers.into_inner(), committed)
}

const TABLES: &[&str] =
    &["boots", "slots", "leases", "calls", "incarnations", "batches", "conflicts", "unattributed"];

/// What keeps a database from being written, and what lets it again.
#[derive(Clone, Copy, Debug)]
enum Fault {
    DiskFull,
    ReadOnly,
    /// Found by the commit alone.
    Commit,
}

impl Fault {
    fn set(self, world: &mut World, on: bool) {
        match self {
            // A few pages are left: some of a transaction finds room.
            Self::DiskFull => world.with_ledger(|ledger| {
                ledger.leave_room(on.then_some(2));
                Ok(())
            }),
            Self::ReadOnly => {
                world.store.connection.pragma_update(None, "query_only", on).unwrap();
            }
            Self::Commit => {}
        }
    }
}

/// Law 3: nothing is acknowledged that is not stored, and once there is room everything comes again
/// and is counted once.
#[test]
fn what_cannot_be_written_is_not_acknowledged_and_comes_again() {
    let tables = |world: &mut World| world.dump(TABLES);
    for (fault, why) in [
        (Fault::DiskFull, "database or disk is full; make room on the disk"),
        (Fault::ReadOnly, "attempt to write a readonly database; make it and its directory"),
        (Fault::Commit, "FOREIGN KEY constraint failed"),
    ] {
        let (_kept, mut undisturbed, gateway) = on_disk();
        let (_kept_too, mut world, _) = on_disk();
        turn(&mut undisturbed, gateway, 1, None);
        assert_eq!(turn(&mut world, gateway, 1, None).1, Committed::Changes);
        let before = tables(&mut world);

        fault.set(&mut world, true);
        for attempt in 0..3 {
            let (answers, committed) = turn(&mut world, gateway, 2, Some(fault));
            assert_eq!(answers, [const { Err("unavailable") }; 3], "{fault:?} {attempt}");
            let Committed::Failed(reason) = committed else { panic!("{committed:?}") };
            assert!(reason.contains(why), "{reason}");
        }
        fault.set(&mut world, false);
        assert_eq!(tables(&mut world), before, "{fault:?}");
        let (expected, _) = turn(&mut undisturbed, gateway, 2, None);
        let (answers, committed) = turn(&mut world, gateway, 2, None);
        assert_eq!((answers, committed), (expected, Committed::Changes), "{fault:?}");
        assert_eq!(tables(&mut world), tables(&mut undisturbed), "{fault:?}");
    }
}
