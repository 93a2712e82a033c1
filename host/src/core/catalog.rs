//! Loading a catalog: what may change under live subscriptions, and what may not.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::catalog::{Catalog, Product};
use tollgate_pricing::gate::{Limit, Rule};

use super::subscriptions::overrides::check_all;
use super::{Refusal, Request, lowered};
use crate::store::Ledger;

/// Makes this text the catalog from now on. The text of the current catalog changes nothing.
#[derive(Debug)]
pub struct LoadCatalog {
    /// YAML or JSON.
    pub text: String,
}

/// The catalog in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CatalogLoaded {
    /// Its revision; revisions only grow.
    pub revision: u32,
    /// Whether this load made it.
    pub changed: bool,
}

impl Request for LoadCatalog {
    type Answer = CatalogLoaded;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<CatalogLoaded, Refusal> {
        let old = ledger.catalog_revision()?;
        if let Some(revision) = old
            && ledger.catalog_text(revision)?.as_deref() == Some(&self.text)
        {
            return Ok(CatalogLoaded { revision, changed: false });
        }
        let new = Catalog::parse(&self.text).map_err(Refusal::Catalog)?;
        let revision =
            old.unwrap_or(0).checked_add(1).ok_or(Refusal::PastBounds("catalog revisions"))?;
        ledger.insert_catalog(revision, &self.text, now)?;
        if let Some(old) = old {
            let old = ledger.catalog(old)?;
            replace(ledger, &old, &new, revision, now)?;
        }
        Ok(CatalogLoaded { revision, changed: true })
    }
}

/// Refuses what live subscriptions do not allow, and moves them to the new catalog.
fn replace(
    ledger: &mut Ledger<'_>,
    old: &Catalog,
    new: &Catalog,
    revision: u32,
    now: Timestamp,
) -> Result<(), Refusal> {
    if old.currency != new.currency && ledger.has_subscriptions()? {
        return Err(Refusal::CurrencyInUse {
            from: old.currency.to_string(),
            to: new.currency.to_string(),
        });
    }
    for product in &old.products {
        let live = ledger.live_subscriptions(&product.id)?;
        if live == 0 {
            continue;
        }
        let Some(next) = new.product(&product.id) else {
            return Err(Refusal::ProductInUse { product: product.id.clone(), live });
        };
        check_limits(product, next, live)?;
        for (subscription, own) in ledger.own_numbers_under(&product.id)? {
            check_all(&next.limits, subscription, &own)?;
        }
        if product.limits != next.limits || product.apis != next.apis {
            ledger.move_subscriptions(&product.id, revision)?;
            lowered::recall_of_product(ledger, product, next)?;
        }
    }
    Ok(ledger.move_coming_periods(revision, now)?)
}

/// Periods are numbered, and numbers and units mean the same for as long as anybody counts by them.
///
/// What else a limit says may change at any time. Under another `scope` a rate begins to count
/// anew: in the window after it, calls that were admitted under the old scope do not count.
fn check_limits(old: &Product, new: &Product, live: u64) -> Result<(), Refusal> {
    if old.every != new.every {
        return Err(Refusal::BillingPeriodInUse { product: old.id.clone(), live });
    }
    for limit in &old.limits {
        let same = |candidate: &&Limit| candidate.id == limit.id;
        let Some(difference) =
            new.limits.iter().find(same).and_then(|next| difference(limit, next))
        else {
            continue;
        };
        let (product, limit) = (old.id.clone(), limit.id.clone());
        return Err(match difference {
            Difference::Kind => Refusal::LimitKindInUse { product, limit, live },
            Difference::Meter => Refusal::QuotaMeterInUse { product, limit, live },
            Difference::Period => Refusal::QuotaPeriodInUse { product, limit, live },
        });
    }
    Ok(())
}

/// In which way two limits of one id cannot share what they counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Difference {
    /// One is a quota, the other a rate.
    Kind,
    /// They count in other units.
    Meter,
    /// Their periods run otherwise.
    Period,
}

impl Difference {
    /// As in "limit A … than that of B".
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Kind => "is of another kind",
            Self::Meter => "counts in other units",
            Self::Period => "counts by other periods",
        }
    }
}

/// In which way two limits of one id cannot share what they counted; none if they can.
pub(super) fn difference(old: &Limit, new: &Limit) -> Option<Difference> {
    match (&old.rule, &new.rule) {
        (
            Rule::Quota { meter, period, .. },
            Rule::Quota { meter: new_meter, period: new_period, .. },
        ) => {
            if meter != new_meter {
                Some(Difference::Meter)
            } else if period != new_period {
                Some(Difference::Period)
            } else {
                None
            }
        }
        (Rule::Quota { .. }, _) | (_, Rule::Quota { .. }) => Some(Difference::Kind),
        _ => None,
    }
}

/// The catalog in force and its revision.
pub(super) fn in_force(ledger: &mut Ledger<'_>) -> Result<(u32, Arc<Catalog>), Refusal> {
    let revision = ledger.catalog_revision()?.ok_or(Refusal::NoCatalog)?;
    Ok((revision, ledger.catalog(revision)?))
}

#[cfg(test)]
mod tests;
