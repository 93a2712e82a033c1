use proptest::prelude::*;
use tollgate_pricing::id::{Hex128, SubscriptionId, Tag};
use tollgate_pricing::sync::{LeaseReport, Outcome, RowBatch, Slot, SyncRequest};

use super::super::gateways::{EndBoot, ListGateways};
use super::super::restore::Restore;
use super::super::sync::Sync;
use super::super::testing::{World, ask, batch, boot, nothing, sealed};
use super::super::unaccounted::ReadUnaccounted;
use super::super::usage::ReadUsage;
use super::*;
use crate::core::id::GatewayId;

fn spill(number: u8) -> Spill {
    Spill {
        boot: boot(number),
        ledger: Some(Hex128([1; 16])),
        epoch: 1,
        at_ms: 0,
        rows: None,
        records: Vec::new(),
        last: false,
        seal: Hex128([0; 16]),
    }
}

fn record(id: SubscriptionId, slots: &[[u64; 3]], leases: &[LeaseReport]) -> RecordReport {
    let slot = |(number, [admitted, billable, waived]): (u32, &[u64; 3])| Slot {
        number,
        period: 1,
        admitted: *admitted,
        billable: *billable,
        waived: *waived,
        ..Slot::default()
    };
    RecordReport {
        subscription: id,
        known_until_ms: u64::MAX,
        slots: (1..).zip(slots).map(slot).collect(),
        leases: leases.to_vec(),
    }
}

fn ingest(spill: Spill) -> IngestSpill {
    IngestSpill { spill: sealed(spill), gateway: None }
}

fn rows(sequence: u64, calls: u64) -> RowBatch {
    let row = tollgate_pricing::sync::Row {
        subscription: None,
        period: 0,
        api: None,
        operation: None,
        status: 200,
        outcome: Outcome::Open,
        would_refuse: None,
        minute: 29_000_000,
        calls,
        latency_us: calls,
        bytes: 0,
        units: 0,
    };
    batch(7, sequence, &[row])
}

#[test]
fn what_is_new_is_counted_once() {
    let mut world = World::new();
    let edge = world.gateway("edge");
    let id = world.subscribe("quota");
    world.sync(edge, nothing(boot(1)));
    let of = |slots: &[[u64; 3]], batch| Spill {
        records: vec![record(id, slots, &[])],
        rows: batch,
        ..spill(1)
    };
    let mut check = |spill: Spill, [admitted, billable, waived, batches, kept_aside]: [u64; 5]| {
        let expected = Ingested { admitted, billable, waived, batches, kept_aside };
        assert_eq!(world.ask(ingest(spill)).unwrap(), expected);
    };
    let first = of(&[[5, 3, 1]], Some(rows(1, 9)));
    check(first.clone(), [5, 3, 1, 1, 0]);
    check(first.clone(), [0; 5]);
    check(of(&[[7, 3, 2], [1, 2, 0]], Some(rows(2, 1))), [3, 2, 1, 1, 0]);
    check(first, [0; 5]);
    // More settled than admitted: kept aside, and the rest goes on.
    check(of(&[[7, 99, 2], [2, 2, 0]], None), [1, 0, 0, 0, 1]);
    let used = world.ask(ReadUsage { subscription: Some(id) }).unwrap().periods.remove(0);
    assert_eq!((used.admitted, used.billable, used.waived), (9, 5, 2));
}

/// Logs that were rotated are read in the order of their names, which is not that of their lines.
#[test]
fn what_a_long_outage_left_may_be_read_backwards() {
    let mut world = World::new();
    let edge = world.gateway("edge");
    world.sync(edge, nothing(boot(1)));
    let sequences = (80..=120).chain(1..80);
    for sequence in sequences {
        let spill = Spill { rows: Some(rows(sequence, 1)), ..spill(1) };
        assert_eq!(world.ask(ingest(spill)).unwrap().batches, 1, "{sequence}");
    }
}

#[test]
fn usage_goes_to_the_ledger_and_the_gateway_it_belongs_to() {
    let mut world = World::new();
    let foreign = Spill { ledger: Some(Hex128([9; 16])), ..spill(1) };
    let said = "foreign_ledger: expected usage of ledger 01010101010101010101010101010101, found \
                usage of 09090909090909090909090909090909: it is billed there";
    assert_eq!(world.refused(ingest(foreign)), said);
    let nobody = "whose_boot: process 01010101010101010101010101010101 never synced here: name its \
                  gateway, of those there are ()";
    assert_eq!(world.refused(ingest(spill(1))), nobody);
    let edge = world.gateway("edge");
    let named = |name: &str, number| IngestSpill {
        gateway: Some(name.to_owned()),
        ..ingest(spill(number))
    };
    assert_eq!(world.refused(named("other", 1)), "no_gateway: no gateway is named \"other\"");
    // The only one there is; and a ledger it never heard of is this one.
    world.ask(ingest(Spill { ledger: None, ..spill(1) })).unwrap();
    let second = world.gateway("second");
    let which = "whose_boot: process 02020202020202020202020202020202 never synced here: name its \
                 gateway, of those there are (edge, second)";
    assert_eq!(world.refused(ingest(spill(2))), which);
    world.ask(named("second", 2)).unwrap();
    // The token tells whose it is, and not who reported its log.
    world.sync(edge, nothing(boot(2)));
    world.ask(named("second", 2)).unwrap();
    world.sync(edge, nothing(boot(2)));
    let request = nothing(boot(2));
    let foreign = world.refused(Sync { gateway: second, request });
    assert!(foreign.starts_with("foreign_boot"), "{foreign}");
}

#[test]
fn what_is_unattributed_is_new_once() {
    let mut world = World::new();
    world.gateway("edge");
    for (slot, expected) in [([5, 3, 1], 3), ([5, 3, 1], 0), ([6, 4, 1], 1)] {
        let records = vec![record(SubscriptionId(77), &[slot], &[])];
        let new = world.ask(ingest(Spill { records, ..spill(1) })).unwrap();
        assert_eq!(new.billable, expected);
    }
}

/// What was counted before a restore was counted; and a process is not alive because its log is
/// read.
#[test]
fn a_log_is_old_and_its_usage_counts() {
    let mut world = World::new();
    let edge = world.gateway("edge");
    let id = world.subscribe("quota");
    let old = Spill { epoch: 0, records: vec![record(id, &[[2, 2, 0]], &[])], ..spill(3) };
    assert_eq!(world.ask(ingest(old)).unwrap().billable, 2);
    let gateway = world.ask(ListGateways).unwrap().remove(0);
    assert_eq!((gateway.last_seen, gateway.live_boots), (None, 0));
    world.sync(edge, nothing(boot(1)));
    let seen = world.now;
    world.pass(120);
    world.ask(ingest(spill(1))).unwrap();
    let gateway = world.ask(ListGateways).unwrap().remove(0);
    assert_eq!((gateway.last_seen, gateway.live_boots), (Some(seen), 0));
}

/// A lease is merged like a report's: what came back is granted again.
#[test]
fn returned_units_go_to_others() {
    let mut world = World::new();
    let edge = world.gateway("edge");
    let id = world.subscribe("quota");
    world.sync(edge, ask(boot(1), id, "monthly", 0, 100));
    world.sync(edge, ask(boot(1), id, "monthly", 10, 100));
    let left = |world: &mut World| {
        let granted = world.sync(edge, ask(boot(2), id, "monthly", 0, 1_000)).leases[0].granted;
        world.sync(edge, ask(boot(2), id, "monthly", granted, 1_000)).leases[0].granted
    };
    assert_eq!(left(&mut world), 0);
    world.pass(61);
    let limit = Tag::of("monthly");
    let lease = LeaseReport { limit, period: 1, granted: 100, used: 30, waived: 0, returned: 70 };
    let spilled = Spill { records: vec![record(id, &[[30, 30, 0]], &[lease])], ..spill(1) };
    world.ask(ingest(spilled)).unwrap();
    assert_eq!(left(&mut world), 70);
}

#[test]
fn one_that_is_wrong_does_not_hold_back_the_others() {
    let mut world = World::new();
    world.gateway("edge");
    let id = world.subscribe("quota");
    let good = Spill { records: vec![record(id, &[[2, 2, 0]], &[])], ..spill(1) };
    let foreign = Spill { ledger: Some(Hex128([9; 16])), ..good.clone() };
    let many = Spill { records: vec![record(id, &[[1, 1, 0]; 33], &[])], ..good.clone() };
    let forged = Spill { last: true, ..sealed(good.clone()) };
    let spills = vec![foreign, many, forged, good.clone(), good];
    let forge = |spill: Spill| if spill.last { spill } else { sealed(spill) };
    let spills = spills.into_iter().map(forge).collect();
    let answers = world.ask(IngestSpills { spills, gateway: None }).unwrap();
    let answers = answers.into_iter().map(|it| it.map(|new| new.billable).map_err(|e| e.reason()));
    let expected = [Err("foreign_ledger"), Err("invalid"), Err("forged_spill"), Ok(2), Ok(0)];
    assert_eq!(answers.collect::<Vec<_>>(), expected);
}

#[test]
fn a_last_word_accounts_for_a_process_unless_it_lived_on() {
    let check = |last_at: Option<i64>, other_at: Option<i64>, synced_after: i64, expected| {
        let mut world = World::new();
        let edge = world.gateway("edge");
        world.sync(edge, nothing(boot(1)));
        let start = world.now;
        world.pass(synced_after);
        world.sync(edge, nothing(boot(1)));
        world.pass(1_000);
        let at_ms = |seconds: i64| {
            let at = start.as_millisecond() + seconds * 1_000;
            u64::try_from(at).unwrap_or(0)
        };
        let spills = [(last_at, true), (other_at, false)];
        let spills = spills.iter().filter_map(|(at, last)| at.map(|at| (at, *last)));
        let mut spills: Vec<Spill> =
            spills.map(|(at, last)| Spill { at_ms: at_ms(at), last, ..spill(1) }).collect();
        for _ in 0..2 {
            for spill in &spills {
                world.ask(ingest(spill.clone())).unwrap();
            }
            let is_accounted = world.ask(ReadUnaccounted).unwrap().boots.is_empty();
            assert_eq!(is_accounted, expected, "{last_at:?} {other_at:?} {synced_after}");
            // The other way round, once more.
            spills.reverse();
        }
    };
    check(Some(10), None, 5, true);
    check(Some(10), Some(10), 5, true);
    check(None, Some(10), 5, false);
    check(None, None, 5, false);
    // Its filter was taken out and put in again: it synced, or wrote, after its last word.
    check(Some(10), None, 60, false);
    check(Some(10), Some(50), 5, false);
    // VMs' clocks differ a little.
    check(Some(10), Some(11), 5, true);
    // It never heard of the host's time.
    check(Some(-i64::from(i32::MAX)), None, 5, false);
    // A log from the future: its clock does not tell when this was.
    check(Some(1_000_000), None, 5, false);
    check(Some(10), Some(1_000_000), 5, false);
}

/// What a restored ledger has lost, nobody says again who ends: neither its log nor its drain.
#[test]
fn an_end_after_a_restore_accounts_only_for_who_has_told_all_again() {
    for told_again in [false, true] {
        let mut world = World::new();
        let edge = world.gateway("edge");
        let swept = |world: &World| {
            let at = u64::try_from(world.now.as_millisecond()).unwrap();
            SyncRequest { swept_through_ms: Some(at), ..nothing(boot(1)) }
        };
        world.sync(edge, swept(&world));
        world.pass(10);
        world.ask(Restore).unwrap();
        world.pass(10);
        if told_again {
            world.sync(edge, nothing(boot(1)));
            world.pass(1);
            world.sync(edge, swept(&world));
        }
        world.pass(5);
        let at_ms = u64::try_from(world.now.as_millisecond()).unwrap();
        let last = Spill { last: true, at_ms, ..spill(1) };
        let by_drain = EndBoot { boot: boot(1).to_string().parse().unwrap(), delivered: true };
        world.pass(100);
        world.ask(ingest(last)).unwrap();
        assert_eq!(world.ask(ReadUnaccounted).unwrap().boots.is_empty(), told_again);
        assert_eq!(world.ask(by_drain).unwrap().delivered, told_again);
    }
}

#[test]
fn periods_wait_no_more_for_who_is_accounted_for() {
    let mut world = World::new();
    let edge = world.gateway("edge");
    world.subscribe("payg");
    world.sync(edge, nothing(boot(1)));
    world.pass(5);
    let at_ms = u64::try_from(world.now.as_millisecond()).unwrap();
    world.pass(121);
    world.ask(ingest(Spill { at_ms, ..spill(1) })).unwrap();
    assert!(world.close().closed.is_empty());
    world.ask(ingest(Spill { last: true, at_ms, ..spill(1) })).unwrap();
    assert!(!world.close().closed.is_empty());
}

/// One thing a process said of itself at a time, by a sync or in its log.
#[derive(Clone, Debug)]
struct Said {
    by_log: bool,
    step: usize,
}

/// A process's life: after each step, what its record holds, and the batches it has sealed.
fn say(world: &mut World, edge: GatewayId, id: SubscriptionId, said: &Said) {
    let step = u64::try_from(said.step).unwrap();
    let limit = Tag::of("monthly");
    let lease = LeaseReport {
        limit,
        period: 1,
        granted: 40,
        used: 3 * step,
        waived: step,
        returned: 40 - 4 * (8 - step).min(10),
    };
    let slots = [[3 * step, step, step / 2], [step, step, 0]];
    let records = vec![record(id, &slots, &[lease])];
    let rows = (step > 0).then(|| rows(step, step));
    if said.by_log {
        world.ask(ingest(Spill { records, rows, at_ms: step, ..spill(1) })).unwrap();
    } else {
        let request = SyncRequest { records, rows, ..nothing(boot(1)) };
        world.sync(edge, request);
    }
}

const TABLES: [&str; 5] = ["slots", "leases", "calls", "batches", "conflicts"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a process said, by whichever way, in any order and any number of times: the ledger
    /// has what it has when all was said once.
    #[test]
    fn logs_and_syncs_together_give_one_ledger(
        order in proptest::collection::vec((any::<bool>(), 0_usize..8), 0..40),
    ) {
        let world = || {
            let mut world = World::new();
            let edge = world.gateway("edge");
            let id = world.subscribe("quota");
            world.sync(edge, nothing(boot(1)));
            (world, edge, id)
        };
        let mut said: Vec<usize> = order.iter().map(|(_, step)| *step).collect();
        said.sort_unstable();
        said.dedup();
        let (mut once, edge, id) = world();
        for step in said {
            say(&mut once, edge, id, &Said { by_log: false, step });
        }
        let (mut often, edge, id) = world();
        for (by_log, step) in order {
            say(&mut often, edge, id, &Said { by_log, step });
        }
        prop_assert_eq!(often.dump(&TABLES), once.dump(&TABLES));
    }
}
