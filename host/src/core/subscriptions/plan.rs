//! Changing the product of a subscription.
//!
//! Gateways enforce the new one at once. The billing period that has begun is priced by the old
//! one to its end, those to come by the new one. Periods keep their numbers and bounds, and limits
//! of the same id keep what was used: so both products must count by the same periods.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::catalog::Product;
use tollgate_pricing::id::SubscriptionId;

use super::super::{Refusal, Request, catalog, lowered, periods};
use super::overrides::{check_all, recall_if_lowered, with};
use super::{Subscription, find_live};
use crate::store::{Ledger, OwnRow, SubscriptionRow};

/// Changes the product of a subscription -> [`PlanChanged`]. Twice is once.
#[derive(Debug)]
pub struct ChangePlan {
    /// Which.
    pub subscription: SubscriptionId,
    /// The new product's id in the catalog.
    pub product: String,
}

/// A subscription under its new product.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanChanged {
    /// The subscription.
    pub subscription: Subscription,
    /// When the first period begins that the new product prices; none if no period has begun, and
    /// it prices all.
    pub priced_from: Option<Timestamp>,
    /// Limits for which it had numbers of its own, and which the new product does not have: these
    /// numbers are dropped.
    pub dropped_overrides: Vec<String>,
}

impl Request for ChangePlan {
    type Answer = PlanChanged;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<PlanChanged, Refusal> {
        let mut row = find_live(ledger, self.subscription, now)?;
        let (revision, catalog) = catalog::in_force(ledger)?;
        let Some(new) = catalog.product(&self.product) else {
            return Err(Refusal::NoProduct(self.product));
        };
        let old = catalog.product(&row.public.product).ok_or_else(|| {
            Refusal::Damaged(format!("{} is live without a product", row.public.id))
        })?;
        let mut dropped_overrides = Vec::new();
        if old.id != new.id {
            check_plans(old, new)?;
            // What began before now begins under the old product.
            periods::cover_some(ledger, &mut row, now, u32::MAX)?;
            dropped_overrides = change_overrides(ledger, &row, old, new)?;
            row.public.product.clone_from(&new.id);
            row.catalog = revision;
            row.revision = ledger.next_revision()?;
            ledger.update_subscription(&row)?;
            ledger.change_coming_products(self.subscription, &new.id, now)?;
        }
        let current = ledger.begun_periods(Some(self.subscription), now, 1)?.pop();
        let priced_from =
            current.map(|period| if period.product == new.id { period.start } else { period.end });
        Ok(PlanChanged { subscription: row.public, priced_from, dropped_overrides })
    }
}

/// Numbers of periods mean the same for as long as anybody counts by them.
fn check_plans(old: &Product, new: &Product) -> Result<(), Refusal> {
    if old.every != new.every {
        return Err(Refusal::PlanPeriodDiffers {
            from: format!("{} is billed by the {}", old.id, old.every),
            to: format!("{} by the {}", new.id, new.every),
        });
    }
    for limit in &old.limits {
        let Some(next) = new.limits.iter().find(|next| next.id == limit.id) else {
            continue;
        };
        if let Some(difference) = catalog::difference(limit, next) {
            return Err(Refusal::PlanLimitDiffers {
                limit: limit.id.clone(),
                from: old.id.clone(),
                to: new.id.clone(),
                difference: difference.words(),
            });
        }
    }
    Ok(())
}

/// Drops the overrides of limits that the new product does not have, and calls back what is out of
/// limits that allow less now. The ids of those dropped.
fn change_overrides(
    ledger: &mut Ledger<'_>,
    row: &SubscriptionRow,
    old: &Product,
    new: &Product,
) -> Result<Vec<String>, Refusal> {
    let id = row.public.id;
    let own = ledger.own_numbers(id)?;
    let (kept, dropped): (Vec<&OwnRow>, Vec<&OwnRow>) =
        own.iter().partition(|own| new.limits.iter().any(|limit| limit.id == own.limit));
    for own in &dropped {
        ledger.remove_override(id, own.own.limit)?;
    }
    for own in &kept {
        check_all(&new.limits, id, own)?;
    }
    for limit in &old.limits {
        let own = own.iter().find(|own| own.limit == limit.id).map(|row| &row.own);
        let before = with(&limit.rule, own);
        match new.limits.iter().find(|next| next.id == limit.id) {
            Some(next) => {
                let after = with(&next.rule, own);
                recall_if_lowered(ledger, id, limit.tag(), (&before, &after))?;
            }
            None => lowered::recall(ledger, id, limit.tag())?,
        }
    }
    Ok(dropped.into_iter().map(|own| own.limit.clone()).collect())
}
