use jiff::SignedDuration;
use tollgate_pricing::sync::{Access, SubscriptionState, SyncRequest};

use super::super::close::{Close, Closed};
use super::super::gateways::{AddGateway, ListGateways};
use super::super::health::ReadHealth;
use super::super::id::GatewayId;
use super::super::invoice::ListInvoices;
use super::super::keys::{AddKey, ListKeys, RevokeKey};
use super::super::secret::{AsGateway, AsOperator, Clear, operator_token};
use super::super::testing::{BIRTH, CATALOG, World, boot, nothing};
use super::*;

mod lives;
mod own;
mod plan;

#[test]
fn states_change_as_they_may() {
    /// The last answer, and how many changes gateways are told of.
    fn check(submitted: bool, steps: &str, expected: &str) {
        let mut world = World::new();
        let id = if submitted { world.submit("free", None) } else { world.subscribe("free") };
        let revision = world.ask(ReadHealth).unwrap().revision;
        let mut last = String::new();
        for step in steps.split(' ') {
            let done = match step {
                "approve" => world.ask(ApproveSubscription(id)),
                "reject" => world.ask(RejectSubscription(id)),
                "suspend" => world.ask(SuspendSubscription(id)),
                "resume" => world.ask(ResumeSubscription(id)),
                "cancel" => world.ask(CancelSubscription(id)),
                _ => panic!("{step}"),
            };
            last = match done {
                Ok(subscription) => subscription.state.word().to_owned(),
                Err(refusal) => refusal.to_string(),
            };
        }
        let changes = world.ask(ReadHealth).unwrap().revision - revision;
        assert_eq!(format!("{last}, {changes}"), expected, "{steps}");
    }
    let active = |steps, expected| check(false, steps, expected);
    active("suspend", "suspended, 1");
    active("suspend suspend", "suspended, 1");
    active("suspend resume", "active, 2");
    active("resume", "active, 0");
    active("approve", "active, 0");
    active("cancel", "cancelled, 1");
    active("cancel cancel", "cancelled, 1");
    active("suspend cancel", "cancelled, 2");
    active("cancel resume", "sub_1 has ended, 1");
    active("cancel suspend", "sub_1 has ended, 1");
    active("cancel approve", "sub_1 has ended, 1");
    active("cancel reject", "sub_1 has ended, 1");
    active("reject", "sub_1 is active: it was approved: cancel it instead, 0");
    active("suspend approve", "sub_1 is suspended: it was approved before: resume it instead, 1");
    let submitted = |steps, expected| check(true, steps, expected);
    submitted("approve", "active, 1");
    submitted("approve approve", "active, 1");
    submitted("reject", "rejected, 1");
    submitted("reject reject", "rejected, 1");
    submitted("reject approve", "sub_1 has ended, 1");
    submitted("reject cancel", "sub_1 has ended, 1");
    submitted("cancel", "cancelled, 1");
    submitted("suspend", "sub_1 is submitted: approve or reject it first, 0");
    submitted("resume", "sub_1 is submitted: approve or reject it first, 0");
    submitted("approve suspend", "suspended, 2");
}

/// The one subscription that changed since a revision, as gateways are told of it.
fn told(world: &mut World, gateway: GatewayId, id: SubscriptionId) -> SubscriptionState {
    let answer = world.sync(gateway, SyncRequest { since: Some(0), ..nothing(boot(1)) });
    answer.subscriptions.into_iter().find(|state| state.id == id).unwrap()
}

#[test]
fn a_submitted_one_begins_when_it_is_approved() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.submit("over", None);
    let rejected = world.submit("over", None);
    world.pass(10 * 60);
    world.ask(RejectSubscription(rejected)).unwrap();
    let before = told(&mut world, gateway, id);
    assert_eq!((before.access, before.periods.iter().count()), (Access::Suspended, 0));
    assert_eq!(told(&mut world, gateway, rejected).access, Access::Ended);
    assert_eq!(world.close(), Closed::default());
    // Dearer meanwhile: what it begins under counts, not what it was submitted under.
    world.load(&CATALOG.replace("amount: 5,", "amount: 6,")).unwrap();
    let approved = world.ask(ApproveSubscription(id)).unwrap();
    assert_eq!(approved.anchor.to_string(), "2026-11-22T15:10:00Z");
    let after = told(&mut world, gateway, id);
    assert_eq!((after.access, after.periods.first), (Access::Active, 1));
    assert!(after.revision > before.revision);
    world.pass(60);
    world.ask(CancelSubscription(id)).unwrap();
    world.pass(2 * 60 * 60);
    world.close();
    let invoices = world.ask(ListInvoices).unwrap();
    let billed: Vec<String> =
        invoices.iter().map(|i| format!("{} {} {}", i.period, i.start, i.total)).collect();
    assert_eq!(billed, ["2 2026-11-22T15:11:00Z 6.00 USD", "1 2026-11-22T15:10:00Z 6.00 USD"]);
}

#[test]
fn one_expires_at_its_time_however_late_that_is_seen() {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("over");
    let submitted = world.submit("over", Some(60));
    let at: Timestamp = "2026-11-22T15:02:40Z".parse().unwrap();
    let expire = |at: &str| ExpireSubscription { subscription: id, at: Some(at.parse().unwrap()) };
    assert_eq!(
        world.refused(expire("2026-11-22T15:00:10Z")),
        "invalid: the time it expires: expected one after now, 2026-11-22T15:00:10Z, found \
         2026-11-22T15:00:10Z"
    );
    world.ask(expire("2026-11-22T15:01:00Z")).unwrap();
    world.ask(ExpireSubscription { subscription: id, at: None }).unwrap();
    assert_eq!(told(&mut world, gateway, id).expires_ms, None);
    world.ask(expire("2026-11-22T15:02:40Z")).unwrap();
    let before = told(&mut world, gateway, id);
    assert_eq!(before.expires_ms, Some(at.as_millisecond().unsigned_abs()));
    // Over is over, before the ledger says so.
    world.pass(150);
    for (refused, why) in [
        (world.refused(ResumeSubscription(id)), "subscription_ended: sub_1 has ended"),
        (world.refused(expire("2027-01-01T00:00:00Z")), "subscription_ended: sub_1 has ended"),
    ] {
        assert_eq!(refused, why);
    }
    world.pass(3 * 60 * 60);
    let closed = world.close();
    assert_eq!(closed.expired, [submitted, id]);
    assert_eq!(closed.closed.iter().map(|period| period.period).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(world.close().expired.is_empty());
    let all = world.ask(ListSubscriptions).unwrap();
    let ends: Vec<_> = all.iter().map(|one| (one.state, one.ended == one.expires)).collect();
    assert_eq!(ends, [(State::Expired, true), (State::Expired, true)]);
    assert_eq!(all[0].ended, Some(at));
    let after = told(&mut world, gateway, id);
    assert_eq!(after.access, Access::Ended);
    assert!(after.revision > before.revision);
    assert_eq!(world.ask(ListInvoices).unwrap().len(), 3, "nothing after its end");
}

#[test]
fn a_host_that_was_away_for_long_ends_one_in_parts() {
    let mut world = World::new();
    let id = world.subscribe("free");
    let day = 24 * 60 * 60;
    let at = world.now + SignedDuration::from_secs(10 * day);
    world.ask(ExpireSubscription { subscription: id, at: Some(at) }).unwrap();
    world.pass(20 * day);
    let (mut closed, mut ended) = (0, Vec::new());
    loop {
        let answer = world.close();
        closed += answer.closed.len();
        ended.extend(answer.expired);
        if !answer.more {
            break;
        }
    }
    assert_eq!((closed, ended), (10 * 24 * 60 + 1, vec![id]));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut world = World::new();
    let add = |product: &str, consumer: &str, name: Option<&str>| AddSubscription {
        product: product.to_owned(),
        consumer: consumer.to_owned(),
        name: name.map(str::to_owned),
        submitted: false,
        expires: None,
        random: [9; 16],
    };
    let long = "a".repeat(129);
    for (request, refusal) in [
        (add("gold", "acme", None), "no_product: the catalog has no product \"gold\""),
        (
            add("free", " ", None),
            "invalid: a consumer: expected 1 to 128 bytes without control characters, \
             found nothing",
        ),
        (
            add("free", "acme", Some("a\nb")),
            "invalid: a subscription's name: expected 1 to 128 bytes without control \
             characters, found \"a\\nb\"",
        ),
        (
            add("free", &long, None),
            "invalid: a consumer: expected 1 to 128 bytes without control characters, \
             found 129 bytes",
        ),
    ] {
        assert_eq!(world.refused(request), refusal);
    }
    world.ask(add("free", "acme", None)).unwrap();
    let twice = world.refused(add("free", "acme", None));
    assert_eq!(twice, "chance_spent: the random bytes given have been used before");
    let nobody = SubscriptionId(u64::MAX);
    assert_eq!(
        world.refused(CancelSubscription(nobody)),
        "no_subscription: no subscription is sub_18446744073709551615"
    );
    assert_eq!(world.ask(ListSubscriptions).unwrap().len(), 1);
    let mut empty = World::empty();
    let refusal = empty.refused(add("free", "acme", None));
    assert_eq!(refusal, "no_catalog: no catalog is loaded");
}

#[test]
fn two_keys_at_a_time() {
    let mut world = World::new();
    let id = world.subscribe("free");
    let add = |world: &mut World| {
        let random = world.chance();
        world.ask(AddKey { subscription: id, random })
    };
    let second = add(&mut world).unwrap();
    assert_eq!(add(&mut world).unwrap_err().reason(), "too_many_keys");
    let revoked = world.ask(RevokeKey(second.id)).unwrap();
    assert_eq!(world.ask(RevokeKey(second.id)).unwrap(), revoked);
    let third = add(&mut world).unwrap();
    assert!(third.key.reveal().starts_with("tg_"));
    let keys = world.ask(ListKeys(id)).unwrap();
    let live: Vec<bool> = keys.iter().map(|key| key.revoked.is_none()).collect();
    assert_eq!(live, [true, false, true]);
    // Nothing that was shown once is stored.
    let stored = world.dump(&["keys", "subscriptions", "gateways"]);
    assert!(!stored.contains("tg_"), "{stored}");
    world.ask(CancelSubscription(id)).unwrap();
    assert_eq!(add(&mut world).unwrap_err().reason(), "subscription_ended");
}

#[test]
fn tokens_tell_who_asks() {
    let mut world = World::new();
    let random = world.chance();
    let name = "edge".to_owned();
    let added = world.ask(AddGateway { name, random }).unwrap();
    assert_eq!(format!("{:?}", added.token), "Clear(..)");
    let random = world.chance();
    let name = "edge".to_owned();
    let again = world.refused(AddGateway { name, random });
    assert_eq!(again, "gateway_exists: a gateway named \"edge\" exists");

    let operator = operator_token(BIRTH.operator);
    let mut who = |token: &Clear| {
        let operator = AsOperator { token: token.clone(), request: () };
        let gateway = AsGateway { token: token.clone(), request: nothing(boot(1)) };
        let said = |refusal: Refusal| refusal.reason();
        (world.ask(operator).map_err(said), world.ask(gateway).map(drop).map_err(said))
    };
    assert_eq!(who(&operator), (Ok(()), Err("wrong_role")));
    assert_eq!(who(&added.token), (Err("wrong_role"), Ok(())));
    let invented = Clear::new("tgg_0".to_owned());
    assert_eq!(who(&invented), (Err("unknown_token"), Err("unknown_token")));

    let list = |token: &Clear| AsOperator { token: token.clone(), request: ListGateways };
    world.sync(added.gateway.id, nothing(boot(1)));
    let gateways = world.ask(list(&operator)).unwrap();
    assert_eq!((gateways[0].live_boots, gateways[0].last_seen), (1, Some(world.now)));
    let refusal = world.refused(list(&added.token));
    assert_eq!(refusal, "wrong_role: this token is not an operator's");
}
