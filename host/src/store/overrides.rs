//! What subscriptions have instead of their products' own numbers.

use std::num::{NonZeroU32, NonZeroU64};

use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row};
use tollgate_pricing::gate::Override;
use tollgate_pricing::id::{SubscriptionId, Tag};

use super::{Ledger, StoreError};

/// What a subscription has instead of a limit's own numbers, with the limit's id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OwnRow {
    pub(crate) limit: String,
    pub(crate) own: Override,
}

/// Limit, tag, units and burst, from this column on.
const COLUMNS: &str = "limit_id, tag, units, burst";

fn own_row(row: &Row<'_>, first: usize) -> Result<OwnRow, rusqlite::Error> {
    let [limit, tag, units, burst] = [0, 1, 2, 3].map(|column| first.saturating_add(column));
    let zero = |column| {
        let error = "an override cannot be 0".into();
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, error)
    };
    let size: Option<u32> = row.get(burst)?;
    Ok(OwnRow {
        limit: row.get(limit)?,
        own: Override {
            limit: Tag(row.get(tag)?),
            units: NonZeroU64::new(row.get(units)?).ok_or_else(|| zero(units))?,
            burst: size.map(|size| NonZeroU32::new(size).ok_or_else(|| zero(burst))).transpose()?,
        },
    })
}

impl Ledger<'_> {
    /// What a subscription has instead of a limit's own numbers.
    pub(crate) fn override_of(
        &self,
        subscription: SubscriptionId,
        limit: Tag,
    ) -> Result<Option<Override>, StoreError> {
        let mut statement = self.sql(&format!(
            "SELECT {COLUMNS} FROM overrides WHERE subscription = ?1 AND tag = ?2"
        ))?;
        let row = statement.query_row((subscription.0, limit.0), |row| own_row(row, 0));
        Ok(row.optional()?.map(|row| row.own))
    }

    /// All that a subscription has instead of its limits' own numbers.
    pub(crate) fn overrides_of(
        &self,
        subscription: SubscriptionId,
    ) -> Result<Vec<Override>, StoreError> {
        Ok(self.own_numbers(subscription)?.into_iter().map(|row| row.own).collect())
    }

    /// The same with the limits' ids, in their order.
    pub(crate) fn own_numbers(
        &self,
        subscription: SubscriptionId,
    ) -> Result<Vec<OwnRow>, StoreError> {
        let mut statement = self.sql(&format!(
            "SELECT {COLUMNS} FROM overrides WHERE subscription = ?1 ORDER BY limit_id"
        ))?;
        let rows = statement.query_map([subscription.0], |row| own_row(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Those of all live subscriptions of a product.
    pub(crate) fn own_numbers_under(
        &self,
        product: &str,
    ) -> Result<Vec<(SubscriptionId, OwnRow)>, StoreError> {
        let mut statement = self.sql(&format!(
            "SELECT subscription, {COLUMNS}
             FROM subscriptions JOIN overrides ON subscription = id
             WHERE product = ?1 AND ended_ms IS NULL ORDER BY subscription, limit_id"
        ))?;
        let rows = statement
            .query_map([product], |row| Ok((SubscriptionId(row.get(0)?), own_row(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes an override, in the place of what was there.
    pub(crate) fn set_override(
        &mut self,
        subscription: SubscriptionId,
        limit: &str,
        own: &Override,
    ) -> Result<(), StoreError> {
        self.sql(
            "INSERT INTO overrides (subscription, limit_id, tag, units, burst)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (subscription, tag) DO UPDATE SET
                 limit_id = excluded.limit_id, units = excluded.units, burst = excluded.burst",
        )?
        .execute((
            subscription.0,
            limit,
            own.limit.0,
            own.units.get(),
            own.burst.map(NonZeroU32::get),
        ))?;
        Ok(())
    }

    /// Removes one.
    pub(crate) fn remove_override(
        &mut self,
        subscription: SubscriptionId,
        limit: Tag,
    ) -> Result<(), StoreError> {
        self.sql("DELETE FROM overrides WHERE subscription = ?1 AND tag = ?2")?
            .execute((subscription.0, limit.0))?;
        Ok(())
    }
}
