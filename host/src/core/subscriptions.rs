//! Subscriptions: a consumer's use of a product, and the states it goes through.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::Access;

use super::id::KeyId;
use super::secret::Clear;
use super::text::check_name;
use super::{Refusal, Request, catalog, keys, periods};
use crate::store::{Ledger, SubscriptionRow};

/// Subscribes a consumer to a product, active at once, with a first key.
#[derive(Debug)]
pub struct AddSubscription {
    /// The product's id in the catalog.
    pub product: String,
    /// Who pays.
    pub consumer: String,
    /// For people.
    pub name: Option<String>,
    /// What its key is made of.
    pub random: [u8; 16],
}

/// A new subscription, and the only sight of its key.
#[derive(Debug, Serialize, Deserialize)]
pub struct SubscriptionAdded {
    /// The subscription.
    pub subscription: Subscription,
    /// The number its key goes by.
    pub key_id: KeyId,
    /// The key; only a hash of it is kept.
    pub key: Clear,
}

/// A subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subscription {
    /// Which.
    #[serde(with = "super::id::subscription_text")]
    pub id: SubscriptionId,
    /// For people.
    pub name: Option<String>,
    /// The product's id.
    pub product: String,
    /// Who pays.
    pub consumer: String,
    /// Where it is in its life.
    pub state: State,
    /// When it was made.
    pub created: Timestamp,
    /// When its first period began: its making, on a whole minute (UTC).
    pub anchor: Timestamp,
    /// When it was cancelled.
    pub ended: Option<Timestamp>,
}

/// Where a subscription is in its life: `submitted → active → suspended | cancelled | expired`,
/// `submitted → rejected`, `suspended → active`. Nothing leads to `submitted`, `expired` or
/// `rejected` yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Somebody has to approve it.
    Submitted,
    /// It may call.
    Active,
    /// It may not now.
    Suspended,
    /// It was ended.
    Cancelled,
    /// Its time has run out.
    Expired,
    /// It was not approved.
    Rejected,
}

impl State {
    /// All, in the order of a life.
    pub(crate) const ALL: [Self; 6] = [
        Self::Submitted,
        Self::Active,
        Self::Suspended,
        Self::Cancelled,
        Self::Expired,
        Self::Rejected,
    ];

    /// The word for it, the same everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
        }
    }

    /// What gateways are told of it.
    pub(super) fn access(self) -> Access {
        match self {
            Self::Active => Access::Active,
            Self::Submitted | Self::Suspended => Access::Suspended,
            Self::Cancelled | Self::Expired | Self::Rejected => Access::Ended,
        }
    }
}

/// All subscriptions -> `Vec<Subscription>`, in the order they were made.
#[derive(Debug)]
pub struct ListSubscriptions;

/// No calls until it is resumed -> [`Subscription`]. Periods go on. Twice is once.
#[derive(Debug)]
pub struct SuspendSubscription(pub SubscriptionId);

/// Calls again -> [`Subscription`]. Twice is once.
#[derive(Debug)]
pub struct ResumeSubscription(pub SubscriptionId);

/// Ends it for good -> [`Subscription`]. What was used is billed at its period's end. Twice is once.
#[derive(Debug)]
pub struct CancelSubscription(pub SubscriptionId);

impl Request for AddSubscription {
    type Answer = SubscriptionAdded;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<SubscriptionAdded, Refusal> {
        check_name("a consumer", &self.consumer)?;
        if let Some(name) = &self.name {
            check_name("a subscription's name", name)?;
        }
        let (revision, catalog) = catalog::in_force(ledger)?;
        if catalog.product(&self.product).is_none() {
            return Err(Refusal::NoProduct(self.product));
        }
        let anchor = periods::anchor(now);
        let mut row = SubscriptionRow {
            public: Subscription {
                id: SubscriptionId(0),
                name: self.name,
                product: self.product,
                consumer: self.consumer,
                state: State::Active,
                created: now,
                anchor,
                ended: None,
            },
            catalog: revision,
            revision: ledger.next_revision()?,
            last_period: 0,
            covered: anchor,
        };
        row.public.id = ledger.insert_subscription(&row)?;
        periods::cover(ledger, &mut row, now)?;
        let added = keys::add(ledger, row.public.id, self.random, now)?;
        Ok(SubscriptionAdded { subscription: row.public, key_id: added.id, key: added.key })
    }
}

impl Request for ListSubscriptions {
    type Answer = Vec<Subscription>;

    fn apply(self, ledger: &mut Ledger<'_>, _now: Timestamp) -> Result<Self::Answer, Refusal> {
        let rows = ledger.subscriptions()?;
        Ok(rows.into_iter().map(|row| row.public).collect())
    }
}

impl Request for SuspendSubscription {
    type Answer = Subscription;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Subscription, Refusal> {
        change(ledger, self.0, State::Suspended, now)
    }
}

impl Request for ResumeSubscription {
    type Answer = Subscription;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Subscription, Refusal> {
        change(ledger, self.0, State::Active, now)
    }
}

impl Request for CancelSubscription {
    type Answer = Subscription;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Subscription, Refusal> {
        change(ledger, self.0, State::Cancelled, now)
    }
}

fn change(
    ledger: &mut Ledger<'_>,
    id: SubscriptionId,
    state: State,
    now: Timestamp,
) -> Result<Subscription, Refusal> {
    let mut row = find(ledger, id)?;
    if row.public.state == state {
        return Ok(row.public);
    }
    if row.public.ended.is_some() {
        return Err(Refusal::SubscriptionEnded(id));
    }
    if state.access() == Access::Ended {
        // Every period that began before the end gets its row while the product is sure to be in
        // the catalog: an ended subscription holds no product back.
        periods::cover_some(ledger, &mut row, now, u32::MAX)?;
        ledger.close_coming_periods(id, now)?;
        row.public.ended = Some(now);
    }
    row.public.state = state;
    row.revision = ledger.next_revision()?;
    ledger.update_state(&row)?;
    Ok(row.public)
}

/// The subscription, or that there is none.
pub(super) fn find(ledger: &Ledger<'_>, id: SubscriptionId) -> Result<SubscriptionRow, Refusal> {
    ledger.subscription(id)?.ok_or(Refusal::NoSubscription(id))
}

#[cfg(test)]
mod tests {
    use super::super::gateways::{AddGateway, ListGateways};
    use super::super::health::ReadHealth;
    use super::super::keys::{AddKey, ListKeys, RevokeKey};
    use super::super::secret::{AsGateway, AsOperator, Clear, operator_token};
    use super::super::testing::{BIRTH, World, boot, nothing};
    use super::*;

    #[test]
    fn states_change_as_they_may() {
        #[derive(Clone, Copy, Debug)]
        enum Do {
            Suspend,
            Resume,
            Cancel,
        }
        let check = |steps: &[Do], expected: &str| {
            let mut world = World::new();
            let id = world.subscribe("free");
            let revision = world.ask(ReadHealth).unwrap().revision;
            let mut last = String::new();
            for step in steps {
                let done = match step {
                    Do::Suspend => world.ask(SuspendSubscription(id)),
                    Do::Resume => world.ask(ResumeSubscription(id)),
                    Do::Cancel => world.ask(CancelSubscription(id)),
                };
                last = match done {
                    Ok(subscription) => subscription.state.word().to_owned(),
                    Err(refusal) => refusal.reason().to_owned(),
                };
            }
            let changes = world.ask(ReadHealth).unwrap().revision - revision;
            assert_eq!(format!("{last} after {changes}"), expected, "{steps:?}");
        };
        check(&[Do::Suspend], "suspended after 1");
        check(&[Do::Suspend, Do::Suspend], "suspended after 1");
        check(&[Do::Suspend, Do::Resume], "active after 2");
        check(&[Do::Resume], "active after 0");
        check(&[Do::Cancel], "cancelled after 1");
        check(&[Do::Cancel, Do::Cancel], "cancelled after 1");
        check(&[Do::Suspend, Do::Cancel], "cancelled after 2");
        check(&[Do::Cancel, Do::Resume], "subscription_ended after 1");
        check(&[Do::Cancel, Do::Suspend], "subscription_ended after 1");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut world = World::new();
        let add = |product: &str, consumer: &str, name: Option<&str>| AddSubscription {
            product: product.to_owned(),
            consumer: consumer.to_owned(),
            name: name.map(str::to_owned),
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
}
