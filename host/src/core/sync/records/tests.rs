use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::{Meters, RecordReport, Slot, SyncRequest};

use super::super::super::health::ReadHealth;
use super::super::super::id::GatewayId;
use super::super::super::restore::Restore;
use super::super::super::testing::{CATALOG, World, boot, nothing, slot};
use super::super::super::usage::{ReadUsage, UsageReport};

/// A product that meters all that can be.
const METERED: &str = "
  - id: units
    apis: [address]
    every: month
    price: free
    limits:
      - { id: w, quota: { weight: 1000, period: billing } }
      - { id: b, quota: { bytes: 1000000, period: billing } }
      - { id: t, quota: { units: 1000, header: x-tokens, period: billing } }
";

/// A sync of one record with this slot.
fn with_slot(boot_number: u8, subscription: SubscriptionId, slot: Slot) -> SyncRequest {
    let (known_until_ms, leases) = (u64::MAX, Vec::new());
    let record = RecordReport { subscription, known_until_ms, slots: vec![slot], leases };
    SyncRequest { records: vec![record], ..nothing(boot(boot_number)) }
}

/// A slot of the first period whose calls took so much of these meters.
fn metered(number: u32, billable: u64, meters: &[(Tag, u64)]) -> Slot {
    let meters = Meters::new(meters.to_vec()).unwrap();
    Slot { number, period: 1, admitted: billable, billable, waived: 0, meters }
}

fn usage(world: &mut World) -> UsageReport {
    world.ask(ReadUsage { subscription: None }).unwrap()
}

fn world() -> (World, GatewayId) {
    let mut world = World::empty();
    world.load(&format!("{CATALOG}{METERED}")).unwrap();
    let gateway = world.gateway("edge");
    (world, gateway)
}

#[test]
fn meters_merge_by_max_and_add_up_by_name() {
    let (mut world, gateway) = world();
    let id = world.subscribe("units");
    let [weight, bytes, tokens] = ["weight", "bytes", "header x-tokens"].map(Tag::of);
    let mut check = |boot_number, sent: Slot, stored: Slot| {
        let answer = world.sync(gateway, with_slot(boot_number, id, sent));
        assert_eq!(answer.slots.iter().map(|ack| &ack.slot).collect::<Vec<_>>(), [&stored]);
    };
    let mut tags = [(weight, 7), (bytes, 4_096), (tokens, 3)];
    tags.sort();
    let first = metered(1, 2, &tags);
    check(1, first.clone(), first.clone());
    // Overtaken: an older state of the same slot, and the acknowledgement is of the newer.
    check(1, metered(1, 1, &[(bytes, 5)]), first.clone());
    let more = metered(1, 3, &[(bytes, 5_000)]);
    let mut meters = first.meters.clone();
    assert!(meters.merge(&more.meters));
    check(1, more, Slot { meters, ..metered(1, 3, &[]) });
    let second = metered(2, 1, &[(bytes, 1_000), (Tag(u32::MAX), 9)]);
    check(1, second.clone(), second.clone());
    check(2, second.clone(), second);
    let report = usage(&mut world);
    let found = format!("{:?}", report.periods[0].meters);
    let expected = r#"{"4294967295": 18, "bytes": 7000, "header x-tokens": 3, "weight": 7}"#;
    assert_eq!(found, expected);
}

#[test]
fn meters_that_cannot_be_are_a_conflict() {
    let (mut world, gateway) = world();
    let id = world.subscribe("units");
    let nine: Vec<(Tag, u64)> = (0..9).map(|tag| (Tag(tag), 1)).collect();
    let read = |meters: &[(Tag, u64)]| {
        let text = serde_json::to_string(meters).unwrap();
        Slot { meters: serde_json::from_str(&text).unwrap(), ..metered(2, 1, &[]) }
    };
    world.sync(gateway, with_slot(1, id, metered(1, 1, &nine[..8])));
    for (slot, problem) in [
        (read(&nine), "expected at most 8 meters, each once"),
        (read(&[(Tag(2), 1), (Tag(1), 1)]), "expected at most 8 meters, each once"),
        (read(&[(Tag(1), 1), (Tag(1), 1)]), "expected at most 8 meters, each once"),
        (read(&[(Tag(1), u64::MAX)]), "meter 18446744073709551615 is past"),
        (metered(1, 1, &nine[8..]), "expected at most 8 meters with those before"),
    ] {
        assert_eq!(world.sync(gateway, with_slot(1, id, slot)).slots, [], "{problem}");
        let kept = world.dump(&["conflicts"]);
        assert!(kept.contains(problem), "{problem} in {kept}");
    }
    assert_eq!(world.dump(&["slots"]).lines().count(), 1);
}

/// A process that outlives its ledger reports what only the lost one knew: it can drop it, and
/// somebody is told.
#[test]
fn what_a_lost_ledger_knew_is_acknowledged_and_shown() {
    let (mut world, gateway) = world();
    let id = world.subscribe("units");
    world.ask(Restore).unwrap();
    let lost = SubscriptionId(77);
    let bytes = Tag::of("bytes");
    let mut check = |sent: SyncRequest, acked: Option<(u64, u64)>| {
        let answer = world.sync(gateway, sent);
        let found: Vec<_> =
            answer.slots.iter().map(|ack| (ack.slot.admitted, ack.slot.billable)).collect();
        assert_eq!(found, Vec::from_iter(acked));
    };
    check(with_slot(1, lost, metered(1, 5, &[(bytes, 50)])), Some((5, 5)));
    check(with_slot(1, lost, metered(1, 7, &[(bytes, 70)])), Some((7, 7)));
    // Overtaken, and of another process.
    check(slot(boot(1), lost, (1, 1, 6, 1, 0)), Some((7, 7)));
    check(slot(boot(2), lost, (1, 1, 3, 2, 1)), Some((3, 2)));
    // Its first slot was acknowledged by the lost ledger: nothing says that this cannot be.
    check(slot(boot(2), lost, (2, 2, 0, 1, 0)), Some((0, 1)));
    // A period this ledger never had.
    check(slot(boot(1), id, (1, 9, 4, 4, 0)), Some((4, 4)));
    // Contradictions are what they are.
    check(slot(boot(1), lost, (1, 2, 8, 8, 0)), None);
    check(slot(boot(1), lost, (0, 1, 1, 1, 0)), None);

    let report = usage(&mut world);
    let shown: Vec<String> = report
        .unattributed
        .iter()
        .map(|one| {
            let calls = (one.admitted, one.billable, one.waived);
            format!("{} {} {calls:?} {:?}", one.subscription, one.period, one.meters)
        })
        .collect();
    let expected =
        [r"sub_1 9 (4, 4, 0) {}", r#"sub_77 1 (10, 9, 1) {"bytes": 70}"#, r"sub_77 2 (1, 1, 0) {}"];
    assert_eq!(shown, expected);
    assert_eq!(world.dump(&["slots"]), "");
    let only = world.ask(ReadUsage { subscription: Some(lost) }).unwrap();
    assert_eq!((only.periods.len(), only.unattributed.len()), (0, 2));
    let health = world.ask(ReadHealth).unwrap();
    assert_eq!((health.unattributed, health.conflicts), (4, 2));
}

#[test]
fn a_slot_that_finds_its_period_is_billed_after_all() {
    let (mut world, gateway) = world();
    let id = world.subscribe("over");
    let far = slot(boot(1), id, (1, 30, 5, 5, 0));
    assert_eq!(world.sync(gateway, far.clone()).slots.len(), 1);
    assert_eq!(world.ask(ReadHealth).unwrap().unattributed, 1);
    world.pass(20 * 60);
    // Overtaken: what was acknowledged is kept.
    let old = slot(boot(1), id, (1, 30, 3, 3, 0));
    assert_eq!(world.sync(gateway, old).slots[0].slot.billable, 5);
    assert_eq!(world.ask(ReadHealth).unwrap().unattributed, 0);
    assert_eq!(world.dump(&["slots"]), "slots: x01 1 1 30 5 5 0 []\n");
    world.sync(gateway, far);
    assert_eq!(world.dump(&["slots", "unattributed"]), "slots: x01 1 1 30 5 5 0 []\n");
}

/// A call that was admitted in a slot which the lost ledger acknowledged settles in a later one.
#[test]
fn after_a_restore_a_call_may_settle_that_nobody_here_admitted() {
    let (mut world, gateway) = world();
    let id = world.subscribe("over");
    let late = slot(boot(1), id, (2, 1, 0, 1, 0));
    assert_eq!(world.sync(gateway, late.clone()).slots, []);
    world.pass(60);
    world.ask(Restore).unwrap();
    assert_eq!(world.sync(gateway, late).slots.len(), 1);
    let report = usage(&mut world);
    let first = &report.periods[0];
    assert_eq!((first.admitted, first.billable, first.open), (1, 1, 0));
    // A period that only this ledger can have is held to what it admitted.
    let contradiction = slot(boot(1), id, (3, 17, 0, 1, 0));
    assert_eq!(world.sync(gateway, contradiction).slots, []);
}
