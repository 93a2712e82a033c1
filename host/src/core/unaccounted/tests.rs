//! A process, played call by call beside what this ledger hears of it: what is told is never less
//! than what is missing.

use proptest::prelude::*;
use tollgate_pricing::gate::{QuotaPeriod, Scope};
use tollgate_pricing::id::{Hex128, Tag};
use tollgate_pricing::sync::spill::Spill;
use tollgate_pricing::sync::{LeaseAsk, LeaseReport, RecordReport, Slot, SyncAnswer, SyncRequest};

use super::super::gateways::{EndBoot, ForgetBoots, ListGateways};
use super::super::id::GatewayId;
use super::super::restore::Restore;
use super::super::spill::IngestSpill;
use super::super::subscriptions::{ChangePlan, Own, SetOverride};
use super::super::testing::{World, boot, nothing, sealed};
use super::*;

const CATALOG: &str = "
currency: USD
apis: [{ id: address, operations: [{ id: get, method: GET, path: / }] }]
products:
  - id: none
    apis: [address]
    every: month
    price: free
  - id: hard
    apis: [address]
    every: month
    price: free
    limits: [{ id: q, quota: { calls: 100, period: 30d } }]
  - id: hourly
    apis: [address]
    every: month
    price: free
    limits: [{ id: q, quota: { calls: 100, period: 1h } }]
  - id: two
    apis: [address]
    every: month
    price: free
    limits:
      - { id: q, quota: { calls: 100, period: 30d } }
      - { id: r, quota: { calls: 20, period: 60d } }
  - id: part
    apis: [address]
    every: month
    price: free
    limits: [{ id: q, api: address, quota: { calls: 100, period: 30d } }]
  - id: soft
    apis: [address]
    every: month
    price: free
    limits: [{ id: q, quota: { calls: 100, period: 30d }, soft: true }]
  - id: observed
    apis: [address]
    every: month
    price: free
    limits: [{ id: q, quota: { calls: 100, period: 30d }, enforce: false }]
  - id: weighed
    apis: [address]
    every: month
    price: free
    limits: [{ id: q, quota: { weight: 100, period: 30d } }]
  - id: rate
    apis: [address]
    every: month
    price: free
    limits: [{ id: q, rate: { calls: 100, period: 60s } }]
";

/// The same, of which one product lets calls pass while the host is away.
fn allowing(product: &str) -> String {
    let of = format!("id: {product}\n    apis: [address]");
    assert!(CATALOG.contains(&of));
    CATALOG.replace(&of, &format!("id: {product}\n    on_outage: allow\n    apis: [address]"))
}

/// A process with one subscription.
struct Life {
    world: World,
    edge: GatewayId,
    id: SubscriptionId,
    boot: BootId,
    slot: Slot,
    leases: Vec<LeaseReport>,
    epoch: u32,
    /// Billable calls that a report had.
    told: u64,
    /// The revision that the last answer told.
    known: Option<u64>,
}

impl Life {
    /// A process that has heard of its subscription, and swept since.
    fn new(product: &str) -> Self {
        Self::with(CATALOG, product)
    }

    fn with(catalog: &str, product: &str) -> Self {
        let mut world = World::empty();
        world.load(catalog).unwrap();
        let edge = world.gateway("edge");
        let id = world.subscribe(product);
        let slot = Slot { number: 1, period: 1, ..Slot::default() };
        let (boot, leases) = (boot(1), Vec::new());
        let mut life = Self { world, edge, id, boot, slot, leases, epoch: 1, told: 0, known: None };
        life.hear();
        life
    }

    /// Syncs until it is known that it knows everything.
    fn hear(&mut self) {
        for _ in 0..20 {
            self.report();
            self.world.pass(1);
        }
    }

    fn lease(&mut self, limit: &str, period: u32) -> &mut LeaseReport {
        let tag = Tag::of(limit);
        let is_it = |lease: &LeaseReport| (lease.limit, lease.period) == (tag, period);
        let place = self.leases.iter().position(is_it).unwrap_or_else(|| {
            self.leases.push(LeaseReport { limit: tag, period, ..LeaseReport::default() });
            self.leases.len() - 1
        });
        &mut self.leases[place]
    }

    /// Asks until it holds so many units; the last answer may be lost.
    fn ask(&mut self, limit: &str, period: u32, units: u64, last_is_lost: bool) {
        for _ in 0..20 {
            let (subscription, lease) = (self.id, *self.lease(limit, period));
            if lease.granted >= units {
                return;
            }
            let want = units - lease.spent() - lease.returned;
            let ask = LeaseAsk { subscription, lease, want, need: 1 };
            let (leases, epoch) = (vec![ask], self.epoch);
            let request = SyncRequest { leases, epoch, ..nothing(self.boot) };
            let answer = self.sync(request, false);
            if last_is_lost && answer.leases[0].granted >= units {
                return;
            }
            self.lease(limit, period).granted = answer.leases[0].granted;
        }
        panic!("{:?}", self.leases);
    }

    /// Lets calls through under these limits: (billable, waived, left open).
    fn call(&mut self, limits: &[(&str, u32)], [billable, waived, open]: [u64; 3]) {
        let calls = billable + waived + open;
        self.slot.admitted += calls;
        self.slot.billable += billable;
        self.slot.waived += waived;
        for (limit, period) in limits {
            let lease = self.lease(limit, *period);
            lease.used += calls;
            lease.waived += waived;
            assert!(lease.spent() + lease.returned <= lease.granted, "{lease:?}");
        }
    }

    /// Open calls end as billable.
    fn settle(&mut self, calls: u64) {
        self.slot.billable += calls;
        assert!(self.slot.billable + self.slot.waived <= self.slot.admitted);
    }

    /// Asks the host, and hears its answer unless that is lost.
    fn sync(&mut self, request: SyncRequest, is_lost: bool) -> SyncAnswer {
        let answer = self.world.sync(self.edge, SyncRequest { since: self.known, ..request });
        if !is_lost {
            self.known = Some(answer.revision);
        }
        answer
    }

    fn record(&self) -> RecordReport {
        RecordReport {
            subscription: self.id,
            known_until_ms: u64::MAX,
            slots: vec![self.slot.clone()],
            leases: self.leases.clone(),
        }
    }

    /// Reports everything, as a sweep does.
    fn report(&mut self) {
        let swept = u64::try_from(self.world.now.as_millisecond()).unwrap();
        let request = SyncRequest {
            records: vec![self.record()],
            swept_through_ms: Some(swept),
            epoch: self.epoch,
            ..nothing(self.boot)
        };
        self.sync(request, false);
        self.told = self.slot.billable;
    }

    fn spill(&mut self, last: bool) {
        let spill = Spill {
            boot: self.boot,
            ledger: None,
            epoch: 1,
            at_ms: u64::try_from(self.world.now.as_millisecond()).unwrap(),
            rows: None,
            records: vec![self.record()],
            last,
            seal: Hex128([0; 16]),
        };
        self.world.ask(IngestSpill { spill: sealed(spill), gateway: None }).unwrap();
        self.told = self.slot.billable;
    }

    fn unaccounted(&mut self) -> Unaccounted {
        self.world.pass(61);
        self.world.ask(ReadUnaccounted).unwrap()
    }

    /// It dies: what is told of its subscription, which is not less than what is missing.
    fn die(&mut self) -> Option<u64> {
        let report = self.unaccounted();
        let calls = report.boots[0].subscriptions.iter().find(|it| it.subscription == self.id);
        let at_most = calls.and_then(|it| it.at_most);
        let missing = self.slot.billable - self.told;
        assert!(at_most.is_none_or(|told| told >= missing), "{at_most:?} of {missing}");
        at_most
    }
}

/// A process that holds 50 units of a limit, reported 30 calls under it, and made some more.
fn partly(product: &str) -> Life {
    let mut life = Life::new(product);
    life.ask("q", 1, 50, false);
    life.call(&[("q", 1)], [30, 0, 0]);
    life.report();
    life.call(&[("q", 1)], [7, 0, 0]);
    life
}

#[test]
fn a_lease_bounds_what_is_missing() {
    assert_eq!(partly("hard").die(), Some(20));
    // All of it spent and told.
    let mut life = Life::new("hard");
    life.ask("q", 1, 10, false);
    life.call(&[("q", 1)], [10, 0, 0]);
    life.report();
    assert_eq!(life.die(), Some(0));
    // Some came back.
    let mut life = partly("hard");
    life.lease("q", 1).returned = 13;
    life.report();
    assert_eq!(life.die(), Some(0));
}

#[test]
fn only_what_counts_and_refuses_every_call_bounds_them() {
    for (product, expected) in
        [("hard", Some(20)), ("part", None), ("soft", None), ("observed", None), ("weighed", None)]
    {
        assert_eq!(partly(product).die(), expected, "{product}");
    }
    for product in ["none", "rate"] {
        let mut life = Life::new(product);
        life.call(&[], [30, 0, 0]);
        life.report();
        life.call(&[], [7, 0, 0]);
        assert_eq!(life.die(), None, "{product}");
    }
}

#[test]
fn of_two_quotas_the_smaller_bounds_them() {
    let mut life = Life::new("two");
    life.ask("q", 1, 50, false);
    life.ask("r", 1, 10, false);
    life.call(&[("q", 1), ("r", 1)], [4, 0, 0]);
    life.report();
    life.call(&[("q", 1), ("r", 1)], [6, 0, 0]);
    assert_eq!(life.die(), Some(6));
}

/// The host granted it, and cannot know that nobody heard.
#[test]
fn a_lease_whose_answer_was_lost_counts() {
    let mut life = Life::new("hard");
    life.ask("q", 1, 10, true);
    assert_eq!(life.die(), Some(10));
}

/// An ask tells how many units were used, but not what became of the calls.
#[test]
fn what_only_an_ask_told_is_missing() {
    let mut life = Life::new("hard");
    life.ask("q", 1, 10, false);
    life.call(&[("q", 1)], [10, 0, 0]);
    life.ask("q", 1, 20, false);
    assert_eq!(life.die(), Some(20));
    let mut life = Life::new("hard");
    life.ask("q", 1, 10, false);
    life.call(&[("q", 1)], [4, 6, 0]);
    life.ask("q", 1, 20, false);
    life.call(&[("q", 1)], [16, 0, 0]);
    assert_eq!(life.die(), Some(20));
}

/// Open calls are in the ledger as open, and may have become billable; or waived, and others came
/// in their place.
#[test]
fn what_was_open_may_have_become_billable() {
    let mut life = Life::new("hard");
    life.ask("q", 1, 10, false);
    life.call(&[("q", 1)], [3, 0, 7]);
    life.report();
    life.settle(7);
    assert_eq!(life.die(), Some(7));
    let mut life = Life::new("hard");
    life.ask("q", 1, 10, false);
    life.call(&[("q", 1)], [3, 0, 7]);
    life.report();
    life.slot.waived += 7;
    life.lease("q", 1).waived += 7;
    life.call(&[("q", 1)], [7, 0, 0]);
    assert_eq!(life.die(), Some(7));
    // Waived ones gave back what they took before that was told.
    let mut life = Life::new("hard");
    life.ask("q", 1, 10, false);
    life.call(&[("q", 1)], [3, 4, 0]);
    life.report();
    life.call(&[("q", 1)], [7, 0, 0]);
    assert_eq!(life.die(), Some(7));
}

/// Whatever is let pass beyond a lease, at any time since, is not bounded by it.
#[test]
fn an_outage_that_is_allowed_bounds_nothing() {
    let span = |life: &mut Life| {
        assert_eq!(life.die(), None);
        let report = life.world.ask(ReadUnaccounted).unwrap();
        report.boots[0].until
    };
    let mut life = Life::with(&allowing("hard"), "hard");
    life.ask("q", 1, 10, false);
    life.report();
    assert_eq!(span(&mut life), None);
    // The host forbade it when nobody heard.
    let mut life = Life::with(&allowing("hard"), "hard");
    life.ask("q", 1, 10, false);
    life.report();
    life.world.pass(30);
    life.world.load(CATALOG).unwrap();
    assert_eq!(span(&mut life), None);
    // It forbade it long ago; another product's leave lengthens only the span.
    let mut life = Life::with(&allowing("hard"), "hard");
    life.world.load(CATALOG).unwrap();
    life.world.pass(120);
    life.hear();
    life.ask("q", 1, 10, false);
    assert_eq!(life.die(), Some(10));
    let mut life = Life::with(&allowing("none"), "hard");
    life.ask("q", 1, 10, false);
    assert_eq!(life.die(), Some(10));
    assert_eq!(life.unaccounted().boots[0].until, None);
}

/// A process that is away goes on as it knew things.
#[test]
fn a_change_that_it_may_not_have_heard_of_bounds_nothing() {
    let change = |life: &mut Life, product: &str| {
        let product = product.to_owned();
        life.world.ask(ChangePlan { subscription: life.id, product }).unwrap();
    };
    // From no limit to one: its calls since were under none.
    let mut life = Life::new("none");
    change(&mut life, "hard");
    life.call(&[], [500, 0, 0]);
    assert_eq!(life.die(), None);
    // It knows, and has not told what it let through before: its sweep began earlier.
    let mut life = Life::new("none");
    let begun = u64::try_from(life.world.now.as_millisecond()).unwrap();
    life.call(&[], [500, 0, 0]);
    change(&mut life, "hard");
    for _ in 0..20 {
        life.world.pass(1);
        let swept = SyncRequest { swept_through_ms: Some(begun), ..nothing(life.boot) };
        life.sync(swept, false);
    }
    life.ask("q", 1, 10, false);
    assert_eq!(life.die(), None);
    // There and back, with a lease of the first time.
    let mut life = partly("hard");
    change(&mut life, "none");
    life.hear();
    life.call(&[], [500, 0, 0]);
    change(&mut life, "hard");
    assert_eq!(life.die(), None);
    // Once it is known to know, and has told of all before, the lease bounds the rest.
    let mut life = partly("hard");
    change(&mut life, "none");
    life.call(&[], [500, 0, 0]);
    change(&mut life, "hard");
    life.hear();
    life.call(&[("q", 1)], [3, 0, 0]);
    assert_eq!(life.die(), Some(13));
    // Other numbers do not matter to a lease; but something changed: in doubt, the span.
    let mut life = partly("hard");
    let own = std::num::NonZeroU64::new(1_000).map(|units| Own { units, burst: None });
    let limit = "q".to_owned();
    life.world.ask(SetOverride { subscription: life.id, limit, own }).unwrap();
    assert_eq!(life.die(), None);
}

#[test]
fn a_quotas_limit_that_came_by_a_catalog_bounds_nothing_before_it() {
    let free = CATALOG.replace("[{ id: q, quota: { calls: 100, period: 30d } }]", "[]");
    let mut life = Life::with(&free, "hard");
    life.call(&[], [5, 0, 0]);
    life.world.load(CATALOG).unwrap();
    life.call(&[], [500, 0, 0]);
    assert_eq!(life.die(), None);
}

/// Periods: units granted ahead, a period that ended before the death, and one whose calls nobody
/// heard of.
#[test]
fn every_period_counts_that_calls_may_be_missing_of() {
    let hour = 3_600;
    // Ended before its death, and told; what was left of it came back.
    let mut life = Life::new("hourly");
    life.ask("q", 1, 50, false);
    life.call(&[("q", 1)], [30, 0, 0]);
    life.world.pass(hour);
    life.lease("q", 1).returned = 20;
    life.report();
    assert_eq!(life.die(), Some(0));
    // Units of the next one were granted ahead.
    let mut life = Life::new("hourly");
    life.ask("q", 1, 50, false);
    life.world.pass(hour - 60);
    life.report();
    life.ask("q", 2, 10, false);
    life.call(&[("q", 1)], [50, 0, 0]);
    life.call(&[("q", 2)], [10, 0, 0]);
    assert_eq!(life.die(), Some(60));
    // It was away for three periods, came back, and died before it had told of them.
    let mut life = Life::new("hourly");
    life.ask("q", 1, 50, false);
    life.call(&[("q", 1)], [50, 0, 0]);
    life.world.pass(3 * hour);
    life.sync(nothing(life.boot), false);
    assert_eq!(life.die(), Some(50));
    // Those of long ago are in the ledger, whatever was left of them.
    let mut life = Life::new("hourly");
    life.ask("q", 1, 50, false);
    life.world.pass(5 * hour);
    life.hear();
    life.ask("q", 6, 10, false);
    assert_eq!(life.die(), Some(10));
}

/// How long a process goes on that hears nothing: 15 minutes, if it stops then.
#[test]
fn the_span_is_from_what_is_told_to_when_it_stops() {
    let mut life = partly("hard");
    let (told, limit) = (life.world.now - SignedDuration::from_secs(1), 15 * 60 + 5);
    life.sync(nothing(life.boot), false);
    let seen = life.world.now;
    life.die();
    let boot = life.world.ask(ReadUnaccounted).unwrap().boots.remove(0);
    assert!(boot.since.unwrap() >= told && boot.since.unwrap() <= seen);
    assert_eq!(boot.last_seen, Some(seen));
    assert_eq!(boot.until, Some(seen + SignedDuration::from_secs(limit)));
    // It wrote its log long after: its clock stood still, or it was frozen.
    life.world.pass(3_600);
    life.spill(false);
    let boot = life.world.ask(ReadUnaccounted).unwrap().boots.remove(0);
    assert_eq!(boot.until, Some(life.world.now));
}

#[test]
fn an_end_that_is_accounted_for_is_not_shown() {
    let prefix = || boot(1).to_string()[..13].parse().unwrap();
    let end = |delivered| EndBoot { boot: prefix(), delivered };
    // By a drain.
    let mut life = partly("hard");
    life.report();
    assert!(life.world.refused(end(true)).starts_with("boot_heard: process 0101"));
    life.world.pass(3);
    let ended = life.world.ask(end(true)).unwrap();
    assert_eq!((ended.units, ended.delivered, ended.gateway.as_str()), (13, true, "edge"));
    assert_eq!(life.world.ask(end(true)).unwrap().boot, boot(1), "once is enough");
    assert_eq!(life.unaccounted().boots, []);
    // It lives after all, and dies later.
    life.report();
    assert_eq!(life.world.ask(ReadUnaccounted).unwrap().boots, []);
    assert_eq!(life.die(), Some(13));
    // By a drain that cannot say that nobody called at the last moment: a short span.
    let mut life = partly("hard");
    life.world.pass(3);
    life.world.ask(end(false)).unwrap();
    let ended = life.world.now;
    let told = life.world.ask(ReadUnaccounted).unwrap().boots.remove(0);
    assert_eq!((told.until, told.forgotten), (Some(ended), false));
    assert_eq!(life.die(), Some(20));
    // What it held goes to others when its log has told what it spent.
    let held = |life: &mut Life| life.world.ask(ListGateways).unwrap().remove(0).stranded;
    assert_eq!(held(&mut life), 20);
    life.spill(false);
    assert_eq!(held(&mut life), 13);
    life.spill(true);
    assert_eq!(held(&mut life), 0);
    assert_eq!(life.unaccounted().boots, []);
    // By its last words, and by them alone it may still live.
    let mut life = partly("hard");
    life.world.pass(1);
    life.spill(true);
    assert_eq!(life.unaccounted().boots, []);
    assert_eq!(held(&mut life), 13);
    assert!(life.world.ask(end(false)).unwrap().delivered, "its log said so before");
    assert_eq!(held(&mut life), 0);
}

#[test]
fn a_process_that_is_forgotten_stays_unaccounted() {
    let mut life = partly("hard");
    assert_eq!(life.die(), Some(20));
    let forget = ForgetBoots { gateway: "edge".to_owned(), boot: None, dry_run: false };
    assert_eq!(life.world.ask(forget).unwrap().units, 20);
    assert_eq!(life.die(), Some(20));
    // It comes back, and tells what it did.
    life.call(&[("q", 1)], [13, 0, 0]);
    life.report();
    assert_eq!(life.world.ask(ReadUnaccounted).unwrap().boots, [], "it lives");
    assert_eq!(life.die(), Some(0));
}

#[test]
fn what_contradicts_the_ledger_bounds_nothing() {
    let mut life = partly("hard");
    let slot = Slot { billable: 1_000, ..life.slot.clone() };
    let records = vec![RecordReport { slots: vec![slot], ..life.record() }];
    life.world.sync(life.edge, SyncRequest { records, ..nothing(life.boot) });
    assert_eq!(life.die(), None);
}

/// What a process did that a lost ledger was told of, this one does not know: neither units that
/// were granted then, nor how long it lived.
#[test]
fn a_process_that_has_not_told_all_since_a_restore_is_bounded_by_nothing() {
    let mut life = partly("hard");
    life.report();
    // What follows, a ledger heard that is lost.
    life.lease("q", 1).granted = 100;
    life.call(&[("q", 1)], [60, 0, 0]);
    life.world.pass(3_600);
    life.world.ask(Restore).unwrap();
    assert_eq!(life.die(), None);
    let boot = life.world.ask(ReadUnaccounted).unwrap().boots.remove(0);
    assert_eq!(boot.until, None, "it lived then");
    // It is heard, and has not told.
    life.epoch = life.world.with_ledger(|ledger| Ok(ledger.identity.epoch));
    let request = SyncRequest { epoch: life.epoch, ..nothing(life.boot) };
    life.sync(request, false);
    assert_eq!(life.die(), None);
    assert!(life.world.ask(ReadUnaccounted).unwrap().boots.remove(0).until.is_some());
    // It has.
    life.hear();
    life.call(&[("q", 1)], [3, 0, 0]);
    assert_eq!(life.die(), Some(3));
}

/// Calls that settled in a period of which a restored ledger has lost what was admitted are not
/// taken for others that settled.
#[test]
fn what_is_open_in_one_period_is_not_offset_by_another() {
    let mut life = Life::new("hard");
    life.ask("q", 1, 20, false);
    life.call(&[("q", 1)], [5, 0, 0]);
    life.report();
    // Slot 1 came to ten calls, of which the lost ledger acknowledged all, two of them open.
    life.call(&[("q", 1)], [3, 0, 2]);
    life.world.pass(32 * 24 * 3_600);
    life.world.ask(Restore).unwrap();
    life.epoch = life.world.with_ledger(|ledger| Ok(ledger.identity.epoch));
    life.slot = Slot { number: 2, period: 1, billable: 2, ..Slot::default() };
    life.hear();
    life.slot = Slot { number: 3, period: 2, ..Slot::default() };
    life.lease("q", 1).returned = 10;
    life.lease("q", 2).granted = 10;
    life.call(&[("q", 2)], [3, 0, 7]);
    life.hear();
    life.settle(7);
    assert_eq!(life.die(), Some(7));
}

#[test]
fn a_process_known_only_by_its_log_has_no_span() {
    let mut life = partly("hard");
    life.boot = boot(2);
    life.spill(false);
    let boots = life.unaccounted().boots;
    let of = |number| boots.iter().find(|it| it.boot == boot(number)).unwrap();
    let logged = of(2);
    assert_eq!((logged.since, logged.last_seen, logged.until), (None, None, None));
    assert_eq!(logged.subscriptions[0].at_most, None);
    assert_eq!(of(1).subscriptions[0].at_most, Some(20));
}

/// What bounds calls, limit by limit.
#[test]
fn a_rate_or_another_meter_bounds_no_calls() {
    use std::num::{NonZeroU32, NonZeroU64};
    let quota = |meter, hard| Rule::Quota {
        units: NonZeroU64::MIN,
        meter,
        period: QuotaPeriod::Billing,
        hard,
    };
    let limit = |rule| Limit { id: "q".to_owned(), on: None, rule, enforce: true };
    let window = Rule::SlidingWindow {
        calls: NonZeroU32::MIN,
        period_seconds: NonZeroU32::MIN,
        scope: Scope::Fleet,
    };
    for (rule, expected) in [
        (quota(Meter::Calls, true), true),
        (quota(Meter::Calls, false), false),
        (quota(Meter::Weight, true), false),
        (quota(Meter::Bytes, true), false),
        (quota(Meter::Header("x".to_owned()), true), false),
        (window, false),
    ] {
        assert_eq!(bounds_calls(&limit(rule.clone())), expected, "{rule:?}");
    }
}

/// What befalls a process that is played by chance.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Calls come: billable, waived, left open; as many as it may let through.
    Call([u64; 3]),
    /// Open calls end: so many as billable, so many as waived.
    End(u64, u64),
    /// It asks for units of its nth limit, and the answer may be lost.
    Ask {
        limit: usize,
        want: u64,
        is_lost: bool,
    },
    /// It hands back so many of its nth limit.
    Return(usize, u64),
    /// It reports its record; a sweep of all, or only that; and the answer may be lost.
    Report {
        swept: bool,
        is_lost: bool,
    },
    /// It syncs, and has nothing to say.
    Hear,
    /// It writes its record into its log, which is read.
    Spill,
    /// Its subscription gets another plan.
    Plan(usize),
    Pass(i64),
}

const PLANS: [&str; 4] = ["hard", "two", "none", "soft"];

fn step() -> impl Strategy<Value = Step> {
    let few = 0_u64..8;
    let lost = || any::<bool>();
    prop_oneof![
        24 => [few.clone(), few.clone(), few.clone()].prop_map(Step::Call),
        12 => (few.clone(), few.clone()).prop_map(|(billable, waived)| Step::End(billable, waived)),
        16 => (0_usize..2, 1_u64..40, lost())
            .prop_map(|(limit, want, is_lost)| Step::Ask { limit, want, is_lost }),
        6 => (0_usize..2, few).prop_map(|(limit, units)| Step::Return(limit, units)),
        12 => (lost(), lost()).prop_map(|(swept, is_lost)| Step::Report { swept, is_lost }),
        6 => Just(Step::Hear),
        3 => Just(Step::Spill),
        1 => (0_usize..4).prop_map(Step::Plan),
        6 => (1_i64..20).prop_map(Step::Pass),
    ]
}

/// A process and the plan that it goes by.
struct Chance {
    life: Life,
    /// The plan the host has, and the one the process knows.
    plan: &'static str,
    known: &'static str,
}

impl Chance {
    /// The limits of the plan that it goes by, and whether they block.
    fn limits(&self) -> (&'static [&'static str], bool) {
        match self.known {
            "two" => (&["q", "r"], true),
            "hard" => (&["q"], true),
            "soft" => (&["q"], false),
            _ => (&[], true),
        }
    }

    fn hear(&mut self, request: SyncRequest, is_lost: bool) -> SyncAnswer {
        let answer = self.life.sync(request, is_lost);
        if !is_lost {
            self.known = self.plan;
        }
        answer
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Call(calls) => self.call(calls),
            Step::End(billable, waived) => self.end(billable, waived),
            Step::Ask { limit, want, is_lost } => self.ask(limit, want, is_lost),
            Step::Return(limit, units) => {
                if let Some(limit) = self.limits().0.get(limit) {
                    let lease = self.life.lease(limit, 1);
                    lease.returned += units.min(lease.unspent());
                }
            }
            Step::Report { swept, is_lost } => {
                let now = u64::try_from(self.life.world.now.as_millisecond()).unwrap();
                let request = SyncRequest {
                    records: vec![self.life.record()],
                    swept_through_ms: swept.then_some(now),
                    ..nothing(self.life.boot)
                };
                self.hear(request, is_lost);
                self.life.told = self.life.slot.billable;
            }
            Step::Hear => {
                self.hear(nothing(self.life.boot), false);
            }
            Step::Spill => self.life.spill(false),
            Step::Plan(plan) => {
                self.plan = PLANS[plan];
                let (subscription, product) = (self.life.id, self.plan.to_owned());
                self.life.world.ask(ChangePlan { subscription, product }).unwrap();
            }
            Step::Pass(seconds) => self.life.world.pass(seconds),
        }
    }

    /// One by one, as long as there is room.
    fn call(&mut self, [billable, waived, open]: [u64; 3]) {
        let (limits, blocks) = self.limits();
        let kinds = [([1, 0, 0], billable), ([0, 1, 0], waived), ([0, 0, 1], open)];
        for (kind, calls) in kinds {
            for _ in 0..calls {
                let has_room = limits.iter().all(|limit| self.life.lease(limit, 1).unspent() > 0);
                if blocks && !has_room {
                    return;
                }
                for limit in limits {
                    let lease = self.life.lease(limit, 1);
                    lease.used += 1;
                    lease.waived += kind[1];
                }
                self.life.call(&[], kind);
            }
        }
    }

    /// A call that ends gives back where it took: its permit tells where. Here it is of the limits
    /// now, if they have so many open.
    fn end(&mut self, billable: u64, waived: u64) {
        let open = |slot: &Slot| slot.admitted - slot.billable - slot.waived;
        self.life.slot.billable += billable.min(open(&self.life.slot));
        if self.known == self.plan {
            let (limits, _) = self.limits();
            let waived = waived.min(open(&self.life.slot));
            self.life.slot.waived += waived;
            for limit in limits {
                let lease = self.life.lease(limit, 1);
                lease.waived += waived.min(lease.spent());
            }
        }
    }

    fn ask(&mut self, limit: usize, want: u64, is_lost: bool) {
        let Some(limit) = self.limits().0.get(limit) else { return };
        let (subscription, lease) = (self.life.id, *self.life.lease(limit, 1));
        let ask = LeaseAsk { subscription, lease, want, need: 1 };
        let request = SyncRequest { leases: vec![ask], ..nothing(self.life.boot) };
        let answer = self.hear(request, is_lost);
        if !is_lost {
            let lease = self.life.lease(limit, 1);
            lease.granted = lease.granted.max(answer.leases[0].granted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever befell a process, and whatever of it was heard: what is told of it is never less
    /// than what is missing.
    #[test]
    fn what_is_told_is_never_less_than_what_is_missing(
        plan in 0_usize..4, steps in proptest::collection::vec(step(), 0..40),
    ) {
        let plan = PLANS[plan];
        let mut chance = Chance { life: Life::new(plan), plan, known: plan };
        for step in steps {
            chance.play(step);
        }
        chance.life.die();
    }
}
