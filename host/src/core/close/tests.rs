use jiff::Timestamp;
use proptest::prelude::*;
use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::SyncRequest;

use super::super::charges::{ChargeState, ClaimCharges, Outcome, SettleCharge};
use super::super::id::GatewayId;
use super::super::invoice::{Invoice, InvoiceLine, ListInvoices, PreviewInvoice, ReadInvoice};
use super::super::subscriptions::CancelSubscription;
use super::super::testing::{BIRTH, CATALOG, World, boot, nothing, slot};
use super::super::usage::ReadUsage;
use super::*;
use crate::provider::Sandbox;
use crate::store::Store;

const BOOKS: &[&str] = &["periods", "invoices", "invoice_lines", "charges"];

const AT_ONCE: Close = Close { grace: SignedDuration::ZERO, serving_since: Timestamp::MIN };

/// A gateway's process says that it has swept everything through now.
fn sweep(world: &mut World, gateway: GatewayId, boot_number: u8) {
    let swept = SyncRequest {
        swept_through_ms: Some(u64::try_from(world.now.as_millisecond()).unwrap()),
        ..nothing(boot(boot_number))
    };
    world.sync(gateway, swept);
}

/// `closed 1 2026-000001, waits 2 unswept 1`, for one subscription.
fn told(closed: &Closed) -> String {
    let mut words = Vec::new();
    for period in &closed.closed {
        let invoice = period.invoice.map(|number| format!(" {number}"));
        words.push(format!("closed {}{}", period.period, invoice.unwrap_or_default()));
    }
    for period in &closed.waiting {
        let reason = match &period.reason {
            Waiting::Unswept { boots, .. } => format!("unswept {boots}"),
            Waiting::OpenCalls { calls, .. } => format!("open {calls}"),
            Waiting::Unpriced { message } => message.clone(),
        };
        words.push(format!("waits {} {reason}", period.period));
    }
    words.extend(closed.corrections.iter().map(|number| format!("corrects {number}")));
    words.join(", ")
}

/// One line an invoice line, then the total.
fn shown(invoice: &Invoice) -> String {
    let mut lines: Vec<String> = Vec::new();
    for InvoiceLine { adjusts, line } in &invoice.lines {
        let adjusts = adjusts.map(|period| format!(" (adjusts {period})"));
        lines.push(format!(
            "{}: {} calls, {} x {} = {}{}",
            line.description,
            line.calls,
            line.quantity,
            line.unit_price,
            line.amount,
            adjusts.unwrap_or_default(),
        ));
    }
    lines.push(format!("{} calls, {}", invoice.calls, invoice.total));
    lines.join("\n")
}

#[test]
fn a_period_is_closed_when_everything_is_known_or_patience_ends() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("payg");
    world.sync(gateway, slot(boot(1), id, (1, 1, 25, 24, 0)));
    assert_eq!(told(&world.close()), "");
    world.pass(60);
    assert_eq!(told(&world.close()), "waits 1 unswept 1");
    sweep(&mut world, gateway, 1);
    assert_eq!(told(&world.close()), "waits 1 open 1");
    world.sync(gateway, slot(boot(1), id, (1, 1, 25, 24, 1)));
    assert_eq!(told(&world.close()), "closed 1 2026-000001");
    let books = world.dump(BOOKS);
    assert_eq!(told(&world.close()), "");
    assert_eq!(world.dump(BOOKS), books, "again changes nothing");

    // Nothing was used: nothing is owed, and no number is taken. A process that was seen in the
    // period is waited for, but not longer than the grace.
    world.pass(30);
    sweep(&mut world, gateway, 1);
    world.pass(20);
    assert_eq!(told(&world.close()), "waits 2 unswept 1");
    world.pass(60 * 60 - 1);
    assert_eq!(told(&world.close()), "waits 2 unswept 1");
    world.pass(1);
    assert!(told(&world.close()).starts_with("closed 2"));
    assert_eq!(world.ask(ListInvoices).unwrap().len(), 1);

    let invoice = &world.ask(ListInvoices).unwrap()[0];
    assert_eq!(
        shown(invoice),
        "payg, calls: 24 calls, 2 x 0.15 USD per 10 calls = 0.30 USD\n24 calls, 0.30 USD"
    );
    let number = invoice.number.unwrap();
    assert_eq!(&world.ask(ReadInvoice(number)).unwrap(), invoice);
}

#[test]
fn a_process_that_came_later_is_not_waited_for() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("payg");
    world.sync(gateway, slot(boot(1), id, (1, 1, 1, 1, 0)));
    world.pass(60);
    sweep(&mut world, gateway, 1);
    world.sync(gateway, nothing(boot(2)));
    // The later one may hold nothing of the period, but that is not known: it is asked too.
    assert_eq!(told(&world.close()), "waits 1 unswept 1");
    sweep(&mut world, gateway, 2);
    assert_eq!(told(&world.close()), "closed 1 2026-000001");
}

#[test]
fn fixed_prices_are_owed_unused_and_free_ones_are_not_billed() {
    let mut world = World::new();
    world.subscribe("tier");
    let free = world.subscribe("quota");
    let preview = world.ask(PreviewInvoice(free)).unwrap();
    assert_eq!((preview.number, preview.lines.len(), preview.total.minor()), (None, 1, 0));
    world.now = "2026-12-22T14:59:59Z".parse().unwrap();
    world.close();
    assert_eq!(world.ask(ListInvoices).unwrap().len(), 0);
    world.now = "2026-12-22T16:00:00Z".parse().unwrap();
    world.close();
    let invoices = world.ask(ListInvoices).unwrap();
    assert_eq!(invoices.len(), 1);
    assert_eq!(
        shown(&invoices[0]),
        "tier, 100 calls included: 0 calls, 1 x 14.95 USD per month = 14.95 USD\n\
         0 calls, 14.95 USD"
    );
    assert_eq!(invoices[0].charge, Some(ChargeState::Pending));
    assert_eq!(invoices[0].end, "2026-12-22T15:00:00Z".parse::<Timestamp>().unwrap());
    assert!(told(&world.close()).is_empty());
}

#[test]
fn an_invoice_is_what_its_preview_was() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("over");
    world.sync(gateway, slot(boot(1), id, (1, 1, 30, 25, 5)));
    world.pass(60);
    sweep(&mut world, gateway, 1);
    let preview = world.ask(PreviewInvoice(id)).unwrap();
    world.close();
    let invoice = world.ask(ListInvoices).unwrap().remove(0);
    assert_eq!(
        shown(&invoice),
        "over, 10 calls included: 10 calls, 1 x 5.00 USD per minute = 5.00 USD\n\
         over, calls beyond 10: 15 calls, 15 x 0.50 USD per call = 7.50 USD\n\
         25 calls, 12.50 USD"
    );
    let issued = Invoice { number: invoice.number, charge: invoice.charge.clone(), ..preview };
    assert_eq!(invoice, issued);
}

#[test]
fn late_usage_is_a_line_of_the_next_invoice() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("over");
    world.sync(gateway, slot(boot(1), id, (1, 1, 10, 8, 0)));
    world.pass(60);
    sweep(&mut world, gateway, 1);
    // One process lost sight of the host; its two calls are given up on after the grace.
    assert_eq!(told(&world.close()), "waits 1 open 2");
    world.pass(60 * 60);
    assert!(told(&world.close()).starts_with("closed 1 2026-000001"));
    let first = world.ask(ListInvoices).unwrap().pop().unwrap();
    assert_eq!((first.calls, first.total.minor()), (8, 500));

    // Late: the two calls settle, and five more come to light.
    world.sync(gateway, slot(boot(1), id, (1, 1, 15, 14, 1)));
    sweep(&mut world, gateway, 1);
    world.close();
    let of = |world: &mut World, period| {
        let mut invoices = world.ask(ListInvoices).unwrap().into_iter();
        invoices.find(|invoice| invoice.period == period).unwrap()
    };
    let next = of(&mut world, 2);
    assert_eq!(
        shown(&next),
        "over, 10 calls included: 0 calls, 1 x 5.00 USD per minute = 5.00 USD\n\
         over, calls beyond 10: 0 calls, 0 x 0.50 USD per call = 0.00 USD\n\
         over, 10 calls included, late for period 1: 2 calls, 0 x 5.00 USD per minute = 0.00 USD (adjusts 1)\n\
         over, calls beyond 10, late for period 1: 4 calls, 4 x 0.50 USD per call = 2.00 USD (adjusts 1)\n\
         6 calls, 7.00 USD"
    );
    // The closed one is as it was, and nothing is adjusted twice.
    assert_eq!(world.ask(ReadInvoice(first.number.unwrap())).unwrap(), first);
    world.sync(gateway, slot(boot(1), id, (1, 1, 15, 14, 1)));
    world.pass(60);
    sweep(&mut world, gateway, 1);
    world.close();
    for period in 3..=62 {
        let after = of(&mut world, period);
        assert_eq!((after.calls, after.total.minor()), (0, 500));
    }
}

/// Meters describe what billable calls took: those that come late for a closed period change the
/// invoice only as much as their calls do.
#[test]
fn meters_come_late_without_a_price() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("payg");
    let sent = |billable, bytes| {
        let mut request = slot(boot(1), id, (1, 1, billable, billable, 0));
        assert!(request.records[0].slots[0].meters.add(Tag::of("bytes"), bytes));
        request
    };
    world.sync(gateway, sent(10, 1_000));
    world.pass(60);
    sweep(&mut world, gateway, 1);
    assert_eq!(told(&world.close()), "closed 1 2026-000001");
    let books = world.dump(BOOKS);
    assert_eq!(world.sync(gateway, sent(10, 2_000)).slots.len(), 1);
    assert_eq!(world.dump(BOOKS), books, "no call came late");
    assert_eq!(world.sync(gateway, sent(20, 3_000)).slots.len(), 1);
    world.pass(60);
    sweep(&mut world, gateway, 1);
    assert_eq!(told(&world.close()), "closed 2 2026-000002");
    assert_eq!(
        shown(&world.ask(ListInvoices).unwrap()[0]),
        "payg, calls: 0 calls, 0 x 0.15 USD per 10 calls = 0.00 USD\n\
         payg, calls, late for period 1: 10 calls, 1 x 0.15 USD per 10 calls = 0.15 USD (adjusts 1)\n\
         10 calls, 0.15 USD"
    );
    let usage = world.ask(ReadUsage { subscription: Some(id) }).unwrap();
    assert_eq!(usage.periods[0].meters["bytes"], 3_000);
}

/// What a process counted in a period that its ledger, put back from a backup, comes to have only
/// later: billed to nobody first, and late once it is told again.
#[test]
fn what_belonged_to_nobody_is_late_where_its_period_is_closed() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("payg");
    let ahead = slot(boot(1), id, (1, 20, 10, 10, 0));
    assert_eq!(world.sync(gateway, ahead.clone()).slots.len(), 1);
    world.pass(20 * 60);
    sweep(&mut world, gateway, 1);
    assert_eq!(told(&world.close()).split(", ").last(), Some("closed 20"));
    assert_eq!(world.ask(ListInvoices).unwrap().len(), 0);
    world.sync(gateway, ahead);
    world.pass(60);
    sweep(&mut world, gateway, 1);
    assert_eq!(told(&world.close()), "closed 21 2026-000001");
    assert_eq!(
        shown(&world.ask(ListInvoices).unwrap()[0]),
        "payg, calls: 0 calls, 0 x 0.15 USD per 10 calls = 0.00 USD\n\
         payg, calls, late for period 20: 10 calls, 1 x 0.15 USD per 10 calls = 0.15 USD (adjusts 20)\n\
         10 calls, 0.15 USD"
    );
    assert_eq!(world.dump(&["unattributed"]), "");
}

#[test]
fn an_ended_subscription_is_billed_for_what_it_used() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("over");
    world.sync(gateway, slot(boot(1), id, (1, 1, 10, 10, 0)));
    world.ask(CancelSubscription(id)).unwrap();
    world.pass(20 * 60);
    sweep(&mut world, gateway, 1);
    let closed = world.close();
    let invoices = world.ask(ListInvoices).unwrap();
    assert_eq!(invoices.len(), 1, "only the period it was live in: {closed:?}");
    assert_eq!(told(&closed), "closed 1 2026-000001");
    assert_eq!(told(&world.close()), "");

    // What comes late has no next invoice to go on.
    world.sync(gateway, slot(boot(1), id, (1, 1, 13, 13, 0)));
    assert_eq!(told(&world.close()), "corrects 2026-000002");
    assert_eq!(told(&world.close()), "");
    assert_eq!(
        shown(&world.ask(ListInvoices).unwrap()[0]),
        "over, calls beyond 10, late for period 1: 3 calls, 3 x 0.50 USD per call = 1.50 USD (adjusts 1)\n\
         3 calls, 1.50 USD"
    );
    // Calls that are not billed correct nothing.
    world.sync(gateway, slot(boot(1), id, (1, 1, 20, 13, 2)));
    assert_eq!(told(&world.close()), "");
    world.sync(gateway, slot(boot(1), id, (1, 1, 20, 14, 2)));
    assert_eq!(told(&world.close()), "corrects 2026-000003");
    let keys: Vec<String> = world
        .ask(ClaimCharges { limit: 10 })
        .unwrap()
        .into_iter()
        .map(|charge| charge.idempotency_key.rsplit_once("sub_").unwrap().1.to_owned())
        .collect();
    assert_eq!(keys, ["1:p1:r1", "1:p1:late13:r1", "1:p1:late14:r1"]);
}

#[test]
fn every_correction_has_a_key_of_its_own() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("over");
    world.pass(60);
    world.ask(CancelSubscription(id)).unwrap();
    world.pass(60 * 70);
    let report =
        |number, admitted, billable| slot(boot(1), id, (number, number, admitted, billable, 0));
    let both = |first: SyncRequest, second: SyncRequest| SyncRequest {
        records: [first.records, second.records].concat(),
        ..nothing(boot(1))
    };
    // The same number of calls in each period, and a period that only admits more.
    for (request, expected) in [
        (report(1, 50, 50), "closed 1 2026-000001, closed 2 2026-000002"),
        (report(2, 50, 50), "corrects 2026-000003"),
        (report(1, 60, 50), ""),
        (report(2, 51, 51), "corrects 2026-000004"),
        (both(report(1, 60, 60), report(2, 70, 51)), "corrects 2026-000005"),
        (report(2, 70, 60), "corrects 2026-000006"),
    ] {
        world.sync(gateway, request);
        assert_eq!(told(&world.close()), expected);
    }
    assert_eq!(world.ask(ClaimCharges { limit: 10 }).unwrap().len(), 6);
}

#[test]
fn a_correction_that_cannot_be_made_is_seen() {
    let mut world = World::empty();
    let dear = CATALOG
        .replace("metered: { per: 10, amount: 0.15 }", "metered: { per: 1, amount: 1000000 }");
    world.load(&dear).unwrap();
    let gateway = world.gateway("edge");
    let id = world.subscribe("payg");
    world.ask(CancelSubscription(id)).unwrap();
    world.pass(60 * 70);
    assert_eq!(told(&world.close()), "closed 1");
    let most = i64::MAX.unsigned_abs() - 1;
    world.sync(gateway, slot(boot(1), id, (1, 1, most, most, 0)));
    let waiting = world.close().waiting;
    assert_eq!((waiting.len(), waiting[0].subscription, waiting[0].period), (1, id, 1));
    assert!(matches!(waiting[0].reason, Waiting::Unpriced { .. }), "{waiting:?}");
}

#[test]
fn a_period_that_began_after_the_end_is_nobodys() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let yearly = CATALOG.replace("every: month", "every: year");
    world.load(&yearly).unwrap();
    let (year, minute) = (world.subscribe("tier"), world.subscribe("over"));
    world.ask(CancelSubscription(minute)).unwrap();
    // A gateway that did not know lets a call through in the minute after the end.
    world.sync(gateway, slot(boot(1), minute, (1, 2, 1, 1, 0)));
    world.pass(60 * 70);
    sweep(&mut world, gateway, 1);
    assert_eq!(told(&world.close()), "closed 1 2026-000001");
    let invoices = world.ask(ListInvoices).unwrap();
    assert_eq!((invoices[0].calls, invoices[0].total.minor()), (0, 500), "the minute it was live");
    world.sync(gateway, slot(boot(1), minute, (1, 2, 2, 2, 0)));
    assert_eq!(told(&world.close()), "");
    let usage = world.ask(ReadUsage { subscription: Some(minute) }).unwrap();
    let counted: Vec<(u32, u64)> =
        usage.periods.iter().map(|period| (period.period, period.billable)).collect();
    assert_eq!(counted, [(2, 2)], "shown");

    // The year after the last does not hold back what comes late for it.
    world.now = "2027-11-22T14:59:00Z".parse().unwrap();
    world.ask(CancelSubscription(year)).unwrap();
    assert_eq!(world.ask(PreviewInvoice(year)).unwrap().period, 1);
    world.now = "2027-11-22T17:00:00Z".parse().unwrap();
    assert_eq!(told(&world.close()), "closed 1 2027-000001");
    let preview = world.refused(PreviewInvoice(year));
    assert_eq!(preview, "no_open_period: sub_1 has no open period to preview");
    world.sync(gateway, slot(boot(1), year, (1, 1, 7, 7, 0)));
    assert_eq!(told(&world.close()), "corrects 2027-000002");
}

#[test]
fn what_cannot_be_priced_holds_back_nobody_else() {
    let mut world = World::empty();
    let dear = CATALOG
        .replace("metered: { per: 10, amount: 0.15 }", "metered: { per: 1, amount: 1000000 }");
    world.load(&dear).unwrap();
    let gateway = world.gateway("edge");
    let payg = world.subscribe("payg");
    let over = world.subscribe("over");
    let most = i64::MAX.unsigned_abs();
    world.sync(gateway, slot(boot(1), payg, (1, 1, most, most, 0)));
    world.sync(gateway, slot(boot(1), over, (1, 1, 1, 1, 0)));
    world.pass(60);
    sweep(&mut world, gateway, 1);
    let closed = world.close();
    assert_eq!((closed.closed.len(), closed.waiting.len()), (1, 1));
    assert!(matches!(closed.waiting[0].reason, Waiting::Unpriced { .. }));
    // Sums past every bound are shown as that bound, and are not billed.
    world.sync(gateway, slot(boot(2), payg, (1, 1, most, most, 0)));
    let usage = world.ask(ReadUsage { subscription: Some(payg) }).unwrap();
    assert_eq!(usage.periods[0].admitted, most);
    let refusal = world.refused(PreviewInvoice(payg));
    assert_eq!(refusal, "past_bounds: a period's calls: past every bound");
}

#[test]
fn a_host_that_was_away_catches_up_under_the_prices_of_then() {
    let mut world = World::new();
    let id = world.subscribe("over");
    world.now = "2026-11-23T15:00:00Z".parse().unwrap();
    world.load(&CATALOG.replace("amount: 5,", "amount: 6,")).unwrap();
    world.pass(60 * 60 * 2);
    let mut closed = 0;
    loop {
        let answer = world.close();
        closed += answer.closed.len();
        if !answer.more {
            break;
        }
    }
    // A day and an hour: one more hour is still waiting to be given up on, but nobody is waited
    // for here.
    assert_eq!(closed, 26 * 60);
    let invoices = world.ask(ListInvoices).unwrap();
    let at = |minor: i64| invoices.iter().filter(|i| i.total.minor() == minor).count();
    assert_eq!((at(500), at(600)), (24 * 60, 2 * 60));
    let mut places: Vec<u32> = invoices.iter().map(|i| i.number.unwrap().place).collect();
    places.reverse();
    assert_eq!(places, (1..=26 * 60).collect::<Vec<_>>());
    assert_eq!(invoices[0].subscription, id);
}

/// Does a request and then loses it, as a crash before the commit does.
struct Crash<R>(R);

impl<R: Request> Request for Crash<R> {
    type Answer = R::Answer;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<R::Answer, Refusal> {
        self.0.apply(ledger, now)?;
        Err(Refusal::Unavailable("crashed".to_owned()))
    }
}

/// Where a host dies on its way from counters to a settled charge.
#[derive(Clone, Copy, Debug)]
enum Death {
    InClose,
    AfterClose,
    InClaim,
    AfterClaim,
    AfterSending,
    InSettle,
    AfterSettle,
}

/// One life of a host: closes, claims, sends, settles, and dies where it is told.
fn live(world: &mut World, sandbox: &mut Sandbox, death: Option<Death>) {
    let dies = |here: Death| matches!(death, Some(death) if death as u8 == here as u8);
    if dies(Death::InClose) {
        let _ = world.ask(Crash(AT_ONCE));
        return;
    }
    world.ask(AT_ONCE).unwrap();
    if dies(Death::AfterClose) {
        return;
    }
    if dies(Death::InClaim) {
        let _ = world.ask(Crash(ClaimCharges { limit: 10 }));
        return;
    }
    let claimed = world.ask(ClaimCharges { limit: 10 }).unwrap();
    if dies(Death::AfterClaim) {
        return;
    }
    for charge in claimed {
        let Outcome::Accepted { reference } = sandbox.charge(world.now, &charge).unwrap() else {
            panic!("the sandbox accepts everything");
        };
        if dies(Death::AfterSending) {
            return;
        }
        let outcome = Outcome::Accepted { reference };
        let settle = SettleCharge { id: charge.id, outcome };
        if dies(Death::InSettle) {
            let _ = world.ask(Crash(settle));
            return;
        }
        world.ask(settle).unwrap();
    }
    let _ = Death::AfterSettle;
}

#[test]
fn a_charge_is_made_once_wherever_the_host_dies() {
    for death in [
        Death::InClose,
        Death::AfterClose,
        Death::InClaim,
        Death::AfterClaim,
        Death::AfterSending,
        Death::InSettle,
        Death::AfterSettle,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let open = || Store::open(directory.path(), BIRTH).unwrap();
        let mut world = World::with(open());
        let mut sandbox = Sandbox::open(directory.path()).unwrap();
        world.load(CATALOG).unwrap();
        let gateway = world.gateway("edge");
        let id = world.subscribe("over");
        world.sync(gateway, slot(boot(1), id, (1, 1, 12, 12, 0)));
        world.pass(50);

        live(&mut world, &mut sandbox, Some(death));
        for _ in 0..3 {
            let now = world.now;
            drop((world, sandbox));
            world = World::with(open());
            world.now = now;
            sandbox = Sandbox::open(directory.path()).unwrap();
            // What was claimed is due again after a while.
            live(&mut world, &mut sandbox, None);
            world.now += SignedDuration::from_secs(3);
        }
        let charges = sandbox.charges().unwrap();
        let amounts: Vec<i64> = charges.iter().map(|charge| charge.amount.minor()).collect();
        assert_eq!(amounts, [600], "{death:?}");
        let invoices = world.ask(ListInvoices).unwrap();
        assert_eq!(invoices.len(), 1, "{death:?}");
        let accepted = Some(ChargeState::Accepted { reference: "sandbox_000001".to_owned() });
        assert_eq!(invoices[0].charge, accepted, "{death:?}");
    }
}

#[test]
fn settling_is_once() {
    let mut world = World::new();
    world.subscribe("over");
    world.pass(50);
    world.ask(AT_ONCE).unwrap();
    let claim = |world: &mut World| world.ask(ClaimCharges { limit: 10 }).unwrap().len();
    assert_eq!(claim(&mut world), 1);
    for (seconds, due) in [(4, 0), (1, 1), (9, 0), (1, 1), (19, 0), (1, 1)] {
        world.pass(seconds);
        assert_eq!(claim(&mut world), due, "after {seconds} more seconds");
    }
    let settle =
        |world: &mut World, id, outcome: Outcome| world.refused(SettleCharge { id, outcome });
    let accepted = |reference: &str| Outcome::Accepted { reference: reference.to_owned() };
    let done = "nothing refused";
    assert_eq!(settle(&mut world, 1, accepted("a")), done);
    assert_eq!(settle(&mut world, 1, accepted("a")), done);
    let otherwise = "charge_settled: charge 1 is settled otherwise";
    assert_eq!(settle(&mut world, 1, accepted("b")), otherwise);
    let rejected = Outcome::Rejected { message: "no".to_owned() };
    assert_eq!(settle(&mut world, 1, rejected), otherwise);
    assert_eq!(settle(&mut world, 2, accepted("a")), "no_charge: no charge is 2");
    assert_eq!(
        settle(&mut world, u64::MAX, accepted("a")),
        "no_charge: no charge is 18446744073709551615"
    );
    world.pass(100_000);
    assert_eq!(claim(&mut world), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However usage trickles in, before closes or after them: every billable call is on one
    /// invoice line, and the money is what the totals cost.
    #[test]
    fn every_billable_call_is_invoiced_once(
        steps in proptest::collection::vec((0_u64..30, 0_u64..30, 1_u32..4, 0_i64..90), 1..25),
    ) {
        let mut world = World::new();
        let gateway = world.gateway("edge");
        let id = world.subscribe("payg");
        let mut counters = [(0_u64, 0_u64); 4];
        for (admit, bill, period, seconds) in steps {
            let (admitted, billable) = &mut counters[usize::try_from(period).unwrap()];
            *admitted += admit;
            *billable += bill.min(*admitted - *billable);
            let request = slot(boot(1), id, (period, period, *admitted, *billable, 0));
            world.sync(gateway, request);
            world.pass(seconds);
            world.ask(AT_ONCE).unwrap();
        }
        world.pass(60 * 10);
        world.ask(AT_ONCE).unwrap();
        world.ask(CancelSubscription(id)).unwrap();
        world.pass(60 * 60);
        world.ask(AT_ONCE).unwrap();

        let invoices = world.ask(ListInvoices).unwrap();
        let calls: u64 = invoices.iter().map(|invoice| invoice.calls).sum();
        let money: i64 = invoices.iter().map(|invoice| invoice.total.minor()).sum();
        let billable: u64 = counters.iter().map(|(_, billable)| billable).sum();
        let price: u64 = counters.iter().map(|(_, billable)| billable / 10 * 15).sum();
        prop_assert_eq!(calls, billable);
        prop_assert_eq!(money, i64::try_from(price).unwrap());
        let usage = world.ask(ReadUsage { subscription: Some(id) }).unwrap();
        let reported: u64 = usage.periods.iter().map(|period| period.billable).sum();
        prop_assert_eq!(reported, billable);
    }
}

#[test]
fn numbers_begin_anew_each_year() {
    let mut world = World::new();
    world.now = "2026-12-31T23:57:30Z".parse().unwrap();
    let id = world.subscribe("over");
    for _ in 0..4 {
        world.pass(60);
        world.ask(AT_ONCE).unwrap();
    }
    let numbers: Vec<String> = world
        .ask(ListInvoices)
        .unwrap()
        .iter()
        .map(|invoice| invoice.number.unwrap().to_string())
        .collect();
    assert_eq!(numbers, ["2027-000002", "2027-000001", "2026-000002", "2026-000001"]);
    assert_eq!(id, SubscriptionId(1));
}

#[test]
fn a_grace_does_not_run_out_while_nobody_was_heard() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("payg");
    world.sync(gateway, slot(boot(1), id, (1, 1, 25, 24, 0)));
    // The host is away over the period's end, and for longer than the grace.
    world.pass(2 * 60 * 60);
    let serving_since = world.now;
    let grace = SignedDuration::from_hours(1);
    let close = |world: &mut World| {
        let closed = world.ask(Close { grace, serving_since }).unwrap();
        (closed.closed.len(), told(&Closed { closed: Vec::new(), ..closed }))
    };
    assert_eq!(close(&mut world), (0, "waits 1 unswept 1".to_owned()));
    world.pass(60 * 60 - 1);
    assert_eq!(close(&mut world), (0, "waits 1 unswept 1".to_owned()));
    world.pass(1);
    assert_eq!(close(&mut world).0, 3 * 60);
    assert_eq!(world.ask(ListInvoices).unwrap().len(), 1);
}

#[test]
fn a_close_writes_so_many_periods_over_all_subscriptions() {
    let mut world = World::new();
    for _ in 0..3 {
        world.subscribe("free");
    }
    let periods = |world: &mut World| world.dump(&["periods"]).lines().count();
    let before = periods(&mut world);
    world.now = "2026-11-27T15:00:10Z".parse().unwrap();
    let most = usize::try_from(MAX_NEW_PERIODS).unwrap();
    let answer = world.ask(AT_ONCE).unwrap();
    assert!(answer.more);
    assert_eq!(periods(&mut world), before + most);
    let mut closed = answer.closed.len();
    loop {
        let answer = world.ask(AT_ONCE).unwrap();
        closed += answer.closed.len();
        if !answer.more {
            break;
        }
    }
    assert_eq!(closed, 3 * 5 * 24 * 60);
}

#[test]
fn a_subscription_without_a_next_period_holds_back_nobody_else() {
    struct Damage(SubscriptionId);
    impl Request for Damage {
        type Answer = ();

        fn apply(self, ledger: &mut Ledger<'_>, _: Timestamp) -> Result<(), Refusal> {
            let mut row = find(ledger, self.0)?;
            row.last_period = u32::MAX;
            Ok(ledger.update_cover(&row)?)
        }
    }
    let mut world = World::new();
    let (damaged, sound) = (world.subscribe("over"), world.subscribe("over"));
    world.ask(Damage(damaged)).unwrap();
    world.pass(20 * 60);
    let answer = world.ask(AT_ONCE).unwrap();
    let of_sound = answer.closed.iter().filter(|period| period.subscription == sound);
    assert_eq!(of_sound.count(), 20);
    assert_eq!((answer.waiting.len(), answer.waiting[0].subscription), (1, damaged));
    assert!(matches!(answer.waiting[0].reason, Waiting::Unpriced { .. }));
}

#[test]
fn an_invoice_has_one_charge_that_is_not_rejected() {
    /// Puts another charge for the first invoice into the outbox.
    struct Again(u32);
    impl Request for Again {
        type Answer = ();

        fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<(), Refusal> {
            let invoice = InvoiceNumber { year: 2026, place: 1 };
            let key = format!("r{}", self.0);
            let charge = NewCharge { invoice, revision: self.0, idempotency_key: &key };
            Ok(ledger.insert_charge(&charge, now)?)
        }
    }
    let mut world = World::new();
    world.subscribe("over");
    world.pass(50);
    world.ask(AT_ONCE).unwrap();
    let first_attempt = |world: &mut World| {
        let charges = world.dump(&["charges"]);
        let line = charges.lines().next().unwrap();
        line.split(' ').rev().nth(1).unwrap().to_owned()
    };
    assert_eq!(first_attempt(&mut world), "-");
    world.ask(ClaimCharges { limit: 1 }).unwrap();
    let claimed = world.now.as_millisecond().to_string();
    world.pass(60);
    world.ask(ClaimCharges { limit: 1 }).unwrap();
    assert_eq!(first_attempt(&mut world), claimed);
    assert!(world.refused(Again(2)).contains("UNIQUE"));
    let message = "no".to_owned();
    world.ask(SettleCharge { id: 1, outcome: Outcome::Rejected { message } }).unwrap();
    world.ask(Again(2)).unwrap();
    assert!(world.refused(Again(3)).contains("UNIQUE"));
    let invoices = world.ask(ListInvoices).unwrap();
    let states: Vec<_> = invoices.into_iter().map(|invoice| invoice.charge).collect();
    assert_eq!(states, [Some(ChargeState::Pending)]);
}
