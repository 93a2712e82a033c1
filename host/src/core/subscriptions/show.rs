//! Everything about one subscription.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::gate::{Limit, Rule};
use tollgate_pricing::id::SubscriptionId;

use super::super::keys::Key;
use super::super::{Refusal, Request, catalog};
use super::overrides::with;
use super::{Own, Subscription, find};
use crate::store::Ledger;

/// Everything about one subscription -> [`SubscriptionDetails`].
#[derive(Debug)]
pub struct ReadSubscription(pub SubscriptionId);

/// Everything about one subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubscriptionDetails {
    /// What it is.
    #[serde(flatten)]
    pub subscription: Subscription,
    /// How long its billing periods are, like `month`; none if its product is not in the catalog
    /// any more.
    pub every: Option<String>,
    /// The newest of its periods that has begun; none before its approval.
    pub period: Option<CurrentPeriod>,
    /// Its keys, revoked ones too, in the order they were made.
    pub keys: Vec<Key>,
    /// Its product's limits, with its own numbers.
    pub limits: Vec<OwnLimit>,
}

/// A billing period.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CurrentPeriod {
    /// Counts from 1.
    pub number: u32,
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
    /// The product that prices it: not the subscription's if that changed after it began.
    pub product: String,
}

/// A limit, and what it allows this subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OwnLimit {
    /// As the product has it.
    #[serde(flatten)]
    pub limit: Limit,
    /// The subscription's own numbers.
    pub own: Option<Own>,
    /// What holds: the rule with these numbers.
    pub in_force: Rule,
}

impl Request for ReadSubscription {
    type Answer = SubscriptionDetails;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Self::Answer, Refusal> {
        let subscription = find(ledger, self.0)?.public;
        let (_, catalog) = catalog::in_force(ledger)?;
        let product = catalog.product(&subscription.product);
        let overrides = ledger.overrides_of(self.0)?;
        let limits = product.map_or(&[][..], |product| &product.limits).iter().map(|limit| {
            let own = overrides.iter().find(|own| own.limit == limit.tag());
            OwnLimit {
                limit: limit.clone(),
                own: own.map(|own| Own { units: own.units, burst: own.burst }),
                in_force: with(&limit.rule, own),
            }
        });
        let period = ledger.begun_periods(Some(self.0), now, 1)?.pop();
        Ok(SubscriptionDetails {
            every: product.map(|product| product.every.to_string()),
            period: period.map(|period| CurrentPeriod {
                number: period.number,
                start: period.start,
                end: period.end,
                product: period.product,
            }),
            keys: ledger.keys(self.0)?,
            limits: limits.collect(),
            subscription,
        })
    }
}
