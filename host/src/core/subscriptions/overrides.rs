//! A subscription's own numbers, instead of those of its product's limits.

use std::num::{NonZeroU32, NonZeroU64};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::catalog::MAX_CALLS;
use tollgate_pricing::gate::{Limit, MAX_RATE_CALLS, Override, Rule};
use tollgate_pricing::id::{SubscriptionId, Tag};

use super::super::{Refusal, Request, catalog, lowered};
use super::find_live;
use crate::store::{Ledger, OwnRow};

/// Gives a subscription numbers of its own for one limit, or takes them away -> [`Overridden`].
/// They hold at gateways at once, and stay when the catalog changes. Twice is once.
#[derive(Debug)]
pub struct SetOverride {
    /// Whose.
    pub subscription: SubscriptionId,
    /// The limit's id in its product.
    pub limit: String,
    /// Its own numbers; the product's if none.
    pub own: Option<Own>,
}

/// A subscription's own numbers for a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// Calls of a rate, units of a quota.
    pub units: NonZeroU64,
    /// The size of a token bucket; the product's if none.
    #[serde(default)]
    pub burst: Option<NonZeroU32>,
}

/// What a limit allows a subscription now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Overridden {
    /// Whose.
    #[serde(with = "crate::core::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// The limit's id.
    pub limit: String,
    /// Its own numbers.
    pub own: Option<Own>,
    /// What holds: the rule with these numbers.
    pub in_force: Rule,
}

impl Request for SetOverride {
    type Answer = Overridden;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Overridden, Refusal> {
        let mut row = find_live(ledger, self.subscription, now)?;
        let (_, catalog) = catalog::in_force(ledger)?;
        let limit = catalog
            .product(&row.public.product)
            .and_then(|product| product.limits.iter().find(|limit| limit.id == self.limit));
        let Some(limit) = limit else {
            return Err(Refusal::NoLimit { product: row.public.product, limit: self.limit });
        };
        let tag = limit.tag();
        let before = ledger.override_of(self.subscription, tag)?;
        let after = self.own.map(|Own { units, burst }| Override { limit: tag, units, burst });
        let (old, new) = (with(&limit.rule, before.as_ref()), with(&limit.rule, after.as_ref()));
        if before != after {
            match &after {
                Some(after) => {
                    check(&limit.rule, after)?;
                    ledger.set_override(self.subscription, &self.limit, after)?;
                }
                None => ledger.remove_override(self.subscription, tag)?,
            }
            row.revision = ledger.next_revision()?;
            ledger.update_subscription(&row)?;
            recall_if_lowered(ledger, self.subscription, tag, (&old, &new))?;
        }
        Ok(Overridden {
            subscription: self.subscription,
            limit: self.limit,
            own: self.own,
            in_force: new,
        })
    }
}

/// What a rule is with a subscription's own numbers, if it has some.
pub(super) fn with(rule: &Rule, own: Option<&Override>) -> Rule {
    match own {
        Some(own) => rule.clone().with(own),
        None => rule.clone(),
    }
}

/// Whether a rule with these numbers could stand in a catalog.
fn check(rule: &Rule, own: &Override) -> Result<(), Refusal> {
    let most = match rule {
        Rule::Quota { .. } => MAX_CALLS,
        Rule::SlidingWindow { .. } | Rule::TokenBucket { .. } => u64::from(MAX_RATE_CALLS),
    };
    at_most("units", own.units.get(), most)?;
    if let Some(burst) = own.burst {
        if !matches!(rule, Rule::TokenBucket { .. }) {
            return Err(Refusal::Invalid {
                what: "burst",
                expected: "none, as this limit is no token bucket".to_owned(),
                found: burst.to_string(),
            });
        }
        at_most("burst", u64::from(burst.get()), u64::from(MAX_RATE_CALLS))?;
    }
    Ok(rule.clone().with(own).check()?)
}

fn at_most(what: &'static str, found: u64, most: u64) -> Result<(), Refusal> {
    if found <= most {
        return Ok(());
    }
    Err(Refusal::Invalid { what, expected: format!("at most {most}"), found: found.to_string() })
}

/// Whether a subscription's own numbers fit a product's limits: each has its limit, of a rule that
/// could stand in a catalog with them.
pub(in crate::core) fn check_all(
    limits: &[Limit],
    subscription: SubscriptionId,
    own: &OwnRow,
) -> Result<(), Refusal> {
    let unfit = |why: String| {
        let limit = own.limit.clone();
        Refusal::OverrideUnfit { subscription, limit, why }
    };
    match limits.iter().find(|limit| limit.id == own.limit) {
        Some(limit) => check(&limit.rule, &own.own).map_err(|error| unfit(error.to_string())),
        None => Err(unfit("the limit is gone".to_owned())),
    }
}

/// Calls back what a subscription's processes hold of a limit that allows less than before.
pub(super) fn recall_if_lowered(
    ledger: &mut Ledger<'_>,
    subscription: SubscriptionId,
    limit: Tag,
    (old, new): (&Rule, &Rule),
) -> Result<(), Refusal> {
    if lowered::is_lower(old, new) {
        lowered::recall(ledger, subscription, limit)?;
    }
    Ok(())
}
