use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::{LeaseAsk, LeaseOutcome, LeaseReport, SyncAnswer, SyncRequest};

use super::super::close::Waiting;
use super::super::testing::{World, boot, nothing, record};
use super::*;

fn asking(number: u8, id: SubscriptionId, lease: LeaseReport) -> SyncRequest {
    let ask = LeaseAsk { subscription: id, lease, want: 1_000, need: 1 };
    SyncRequest { leases: vec![ask], ..nothing(boot(number)) }
}

fn of(granted: u64, used: u64, returned: u64) -> LeaseReport {
    LeaseReport { limit: Tag::of("monthly"), period: 1, granted, used, waived: 0, returned }
}

fn forget(boot: Option<BootId>, dry_run: bool) -> ForgetBoots {
    ForgetBoots { gateway: "edge".to_owned(), boot, dry_run }
}

fn outcome(answer: &SyncAnswer) -> (u64, LeaseOutcome) {
    (answer.leases[0].granted, answer.leases[0].outcome)
}

#[test]
fn what_silent_processes_hold_is_shown_and_given_to_others_when_they_are_forgotten() {
    let mut world = World::new();
    let edge = world.gateway("edge");
    let id = world.subscribe("quota");
    world.sync(edge, asking(1, id, of(0, 0, 0)));
    world.sync(edge, asking(1, id, of(10, 0, 0)));
    world.sync(edge, record(boot(1), id, of(100, 30, 0)));
    let stranded = |world: &mut World| world.ask(ListGateways).unwrap().remove(0).stranded;
    assert_eq!(stranded(&mut world), 0, "it lives");
    let lives = "boot_lives: process 01010101010101010101010101010101 synced in the last minute: \
                 it is alive, and returns what it holds by itself";
    assert_eq!(world.refused(forget(Some(boot(1)), false)), lives);
    assert_eq!(world.ask(forget(None, false)).unwrap().boots, []);

    world.pass(61);
    let edge_now = world.ask(ListGateways).unwrap().remove(0);
    assert_eq!((edge_now.stranded, edge_now.live_boots), (70, 0));
    let held = Held { subscription: id, limit: "monthly".to_owned(), period: 1, units: 70 };
    assert_eq!(edge_now.boots[0].holds, [held]);
    let answer = world.sync(edge, asking(2, id, of(0, 0, 0)));
    assert!(matches!(outcome(&answer), (0, LeaseOutcome::Exhausted { .. })));

    let told = world.ask(forget(None, true)).unwrap();
    assert_eq!((told.units, told.boots.len()), (70, 1));
    assert_eq!(stranded(&mut world), 70, "that was only told");
    assert_eq!(world.ask(forget(Some(boot(1)), false)).unwrap().units, 70);
    assert_eq!(stranded(&mut world), 0);
    assert_eq!(world.ask(forget(None, false)).unwrap().boots, [], "once is enough");
    world.sync(edge, asking(2, id, of(0, 0, 0)));
    let answer = world.sync(edge, asking(2, id, of(10, 0, 0)));
    assert_eq!(outcome(&answer), (70, LeaseOutcome::Granted));

    // It comes back, having used 20 more: it is called to return all, and gets no more.
    let answer = world.sync(edge, record(boot(1), id, of(100, 50, 0)));
    assert_eq!(answer.recalls.iter().filter(|recall| recall.all).count(), 1);
    let answer = world.sync(edge, record(boot(1), id, of(100, 50, 50)));
    assert_eq!(answer.recalls, []);
    let answer = world.sync(edge, asking(1, id, of(100, 50, 50)));
    assert_eq!(outcome(&answer), (100, LeaseOutcome::Wait { retry_ms: 250 }));
    world.sync(edge, record(boot(2), id, of(70, 0, 70)));
    // 50 are used, the other returned all.
    let answer = world.sync(edge, asking(1, id, of(100, 50, 50)));
    assert_eq!(outcome(&answer).1, LeaseOutcome::Granted);
    let mut out = outcome(&answer).0;
    for _ in 0..20 {
        out = outcome(&world.sync(edge, asking(1, id, of(out, 50, 50)))).0;
    }
    assert_eq!(out, 150, "a hundred in all");
    assert_eq!(world.dump(&["conflicts"]), "");
}

#[test]
fn periods_wait_for_forgotten_processes_no_more() {
    let mut world = World::new();
    let edge = world.gateway("edge");
    world.subscribe("payg");
    world.sync(edge, nothing(boot(1)));
    world.pass(121);
    let waiting = world.close().waiting.remove(0).reason;
    let until = "2026-11-22T16:01:00Z".parse().unwrap();
    assert_eq!(waiting, Waiting::Unswept { boots: 1, gateways: vec!["edge".to_owned()], until });
    assert_eq!(world.ask(forget(None, false)).unwrap().units, 0);
    assert!(!world.close().closed.is_empty());
}

#[test]
fn only_known_processes_are_forgotten() {
    let mut world = World::new();
    let edge = world.gateway("edge");
    let other = world.gateway("other");
    world.sync(edge, nothing(boot(1)));
    world.sync(other, nothing(boot(2)));
    let nobody = ForgetBoots { gateway: "nobody".to_owned(), boot: None, dry_run: false };
    assert_eq!(world.refused(nobody), "no_gateway: no gateway is named \"nobody\"");
    world.pass(61);
    for number in [2, 3] {
        let refused = world.refused(forget(Some(boot(number)), false));
        assert!(refused.starts_with("no_boot: no process 0"), "{refused}");
    }
}
