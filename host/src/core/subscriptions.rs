//! Subscriptions: a consumer's use of a product.
//!
//! Here: what one is, making and listing them. What changes one is in the files below: its
//! [`states`], its own numbers of limits ([`overrides`]), its product ([`plan`]).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::SubscriptionId;

use super::id::KeyId;
use super::secret::Clear;
use super::text::check_name;
use super::{Refusal, Request, catalog, keys, periods};
use crate::store::{Ledger, SubscriptionRow};

pub(super) mod overrides;
mod plan;
mod show;
mod states;

pub use overrides::{Overridden, Own, SetOverride};
pub use plan::{ChangePlan, PlanChanged};
pub use show::{CurrentPeriod, OwnLimit, ReadSubscription, SubscriptionDetails};
pub(super) use states::run_out;
pub use states::{
    ApproveSubscription, CancelSubscription, ExpireSubscription, RejectSubscription,
    ResumeSubscription, State, SuspendSubscription,
};

/// Subscribes a consumer to a product, with a first key.
#[derive(Debug)]
pub struct AddSubscription {
    /// The product's id in the catalog.
    pub product: String,
    /// Who pays.
    pub consumer: String,
    /// For people.
    pub name: Option<String>,
    /// Whether somebody has to approve it; else it is active at once. Its key is made in any case,
    /// and passes once it is approved.
    pub submitted: bool,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
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
    /// When its first period began: its making, or its approval if it was submitted first, on a
    /// whole minute (UTC). Nothing is owed for the time before. While it is submitted there are no
    /// periods, and this is its making.
    pub anchor: Timestamp,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
    /// When it ended: was cancelled or rejected, or expired.
    pub ended: Option<Timestamp>,
}

impl Subscription {
    /// Whether billing periods follow each other: not before it is approved, nor after its end.
    pub(super) fn has_periods_to_come(&self) -> bool {
        self.ended.is_none() && self.state != State::Submitted
    }
}

/// All subscriptions -> `Vec<Subscription>`, in the order they were made.
#[derive(Debug)]
pub struct ListSubscriptions;

impl Request for AddSubscription {
    type Answer = SubscriptionAdded;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<SubscriptionAdded, Refusal> {
        check_name("a consumer", &self.consumer)?;
        if let Some(name) = &self.name {
            check_name("a subscription's name", name)?;
        }
        states::check_expiry(self.expires, now)?;
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
                state: if self.submitted { State::Submitted } else { State::Active },
                created: now,
                anchor,
                expires: self.expires,
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

/// The subscription, or that there is none.
pub(super) fn find(ledger: &Ledger<'_>, id: SubscriptionId) -> Result<SubscriptionRow, Refusal> {
    ledger.subscription(id)?.ok_or(Refusal::NoSubscription(id))
}

/// The subscription, to be changed: one that has ended is not. That its time ran out counts from
/// that moment on, whether or not the ledger says so yet.
pub(super) fn find_live(
    ledger: &Ledger<'_>,
    id: SubscriptionId,
    now: Timestamp,
) -> Result<SubscriptionRow, Refusal> {
    let row = find(ledger, id)?;
    let has_run_out = row.public.expires.is_some_and(|expires| expires <= now);
    if row.public.ended.is_some() || has_run_out {
        return Err(Refusal::SubscriptionEnded(id));
    }
    Ok(row)
}

#[cfg(test)]
mod tests;
