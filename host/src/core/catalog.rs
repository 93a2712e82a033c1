//! Loading a catalog: what may change under live subscriptions, and what may not.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::catalog::{Catalog, Product};
use tollgate_pricing::gate::{Limit, QuotaPeriod, Rule};

use super::{Refusal, Request};
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
        check_periods(product, next, live)?;
        if product.limits != next.limits || product.apis != next.apis {
            ledger.move_subscriptions(&product.id, revision)?;
        }
    }
    Ok(ledger.move_coming_periods(revision, now)?)
}

/// Periods are numbered, and numbers mean the same for as long as anybody counts by them.
fn check_periods(old: &Product, new: &Product, live: u64) -> Result<(), Refusal> {
    if old.every != new.every {
        return Err(Refusal::BillingPeriodInUse { product: old.id.clone(), live });
    }
    for limit in &old.limits {
        let same = |candidate: &&Limit| candidate.id == limit.id;
        let Some(next) = new.limits.iter().find(same) else {
            continue;
        };
        let (product, id) = (old.id.clone(), limit.id.clone());
        match (quota_period(limit), quota_period(next)) {
            (old_period, new_period) if old_period == new_period => {}
            (Some(_), Some(_)) => {
                return Err(Refusal::QuotaPeriodInUse { product, limit: id, live });
            }
            _ => return Err(Refusal::LimitKindInUse { product, limit: id, live }),
        }
    }
    Ok(())
}

fn quota_period(limit: &Limit) -> Option<QuotaPeriod> {
    match &limit.rule {
        Rule::Quota { period, .. } => Some(period.clone()),
        Rule::SlidingWindow { .. } | Rule::TokenBucket { .. } => None,
    }
}

/// The catalog in force and its revision.
pub(super) fn in_force(ledger: &mut Ledger<'_>) -> Result<(u32, Arc<Catalog>), Refusal> {
    let revision = ledger.catalog_revision()?.ok_or(Refusal::NoCatalog)?;
    Ok((revision, ledger.catalog(revision)?))
}

#[cfg(test)]
mod tests {
    use tollgate_pricing::catalog::MAX_TEXT_BYTES;

    use super::super::subscriptions::CancelSubscription;
    use super::super::testing::{CATALOG, World};
    use super::LoadCatalog;

    #[test]
    fn the_same_text_is_the_same_revision() {
        let mut world = World::empty();
        assert_eq!(world.load(CATALOG).unwrap(), 1);
        assert_eq!(world.load(CATALOG).unwrap(), 1);
        let other = format!("{CATALOG}# later\n");
        assert_eq!(world.load(&other).unwrap(), 2);
        // Going back is a change too.
        assert_eq!(world.load(CATALOG).unwrap(), 3);
    }

    #[test]
    fn live_subscriptions_hold_their_product() {
        let change = |from: &str, to: &str| {
            assert!(CATALOG.contains(from), "{from}");
            CATALOG.replace(from, to)
        };
        let payg = "  - { id: payg, apis: [address], every: minute, price: \
                    { metered: { per: 10, amount: 0.15 } } }\n";
        for (text, refusal) in [
            (
                change(payg, ""),
                "product_in_use: product \"payg\" has live subscriptions (1): keep it, or cancel \
                 them first",
            ),
            (
                change("id: payg, apis: [address], every: minute", "id: payg, apis: [address]"),
                "billing_period_in_use: product \"payg\" has live subscriptions (1): `every` \
                 cannot change under them",
            ),
            (
                change("calls: 100, period: 30d", "calls: 100, period: 7d"),
                "quota_period_in_use: the period of quota \"monthly\" of product \"quota\" cannot \
                 change while 1 subscriptions are live: give the quota a new id",
            ),
            (
                change(
                    "id: hourly, quota: { calls: 10, period: 1h }",
                    "id: hourly, scope: gateway, rate: { calls: 10, period: 1h }",
                ),
                "limit_kind_in_use: limit \"hourly\" of product \"short\" cannot change between a \
                 quota and a rate while 1 subscriptions are live: give it a new id",
            ),
            (
                change("currency: USD", "currency: EUR"),
                "currency_in_use: the catalog's currency cannot change from USD to EUR once there \
                 are subscriptions",
            ),
        ] {
            let mut world = World::new();
            let payg = world.subscribe("payg");
            let quota = world.subscribe("quota");
            let short = world.subscribe("short");
            let before = world.dump(&["catalogs", "subscriptions", "periods"]);
            assert_eq!(world.refused(LoadCatalog { text: text.clone() }), refusal);
            assert_eq!(world.dump(&["catalogs", "subscriptions", "periods"]), before);
            // The refused text is not remembered as anything.
            assert_eq!(world.load(CATALOG).unwrap(), 1);
            world.ask(CancelSubscription(payg)).unwrap();
            world.ask(CancelSubscription(quota)).unwrap();
            world.ask(CancelSubscription(short)).unwrap();
            let refused = world.load(&text).is_err();
            assert_eq!(refused, refusal.starts_with("currency"), "{refusal}");
        }
    }

    #[test]
    fn mistakes_are_refused_with_their_places() {
        let mut world = World::new();
        let refusal = world.ask(LoadCatalog { text: "currency: USD\napis: []\n".to_owned() });
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.reason(), "catalog_mistakes");
        assert!(refusal.to_string().contains("apis"), "{refusal}");
        let text = " ".repeat(MAX_TEXT_BYTES + 1);
        let refusal = world.ask(LoadCatalog { text }).unwrap_err();
        assert!(refusal.to_string().contains("bytes, found 4194305"), "{refusal}");
        assert_eq!(world.load(CATALOG).unwrap(), 1);
    }

    #[test]
    fn a_price_changes_for_periods_that_have_not_begun() {
        let mut world = World::new();
        world.subscribe("payg");
        let dearer = CATALOG.replace("amount: 0.15", "amount: 0.30");
        assert_eq!(world.load(&dearer).unwrap(), 2);
        let bound: Vec<String> = world
            .dump(&["periods"])
            .lines()
            .map(|line| {
                let columns: Vec<&str> = line.split(' ').collect();
                format!("{}:{}", columns[2], columns[5])
            })
            .collect();
        assert!(bound.contains(&"1:1".to_owned()), "{bound:?}");
        assert!(bound.contains(&"2:2".to_owned()), "{bound:?}");
        assert_eq!(bound.iter().filter(|bound| bound.ends_with(":1")).count(), 1);
    }
}
