//! Rates over the fleet: what was spent in a window, what is in a bucket.

use jiff::{SignedDuration, Timestamp};
use rusqlite::OptionalExtension;
use tollgate_pricing::id::{SubscriptionId, Tag};

use super::{Ledger, StoreError, column};

/// Units of a window that were spent not later than a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spent {
    pub(crate) at: Timestamp,
    pub(crate) units: u64,
}

/// A token bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BucketRow {
    /// In parts of a token: one is as many as the period of the gain has milliseconds.
    pub(crate) level: u64,
    pub(crate) period_ms: u64,
    /// Up to when it was filled.
    pub(crate) filled: Timestamp,
}

impl Ledger<'_> {
    /// What was spent of a window, oldest first.
    pub(crate) fn spent(
        &self,
        subscription: SubscriptionId,
        limit: Tag,
    ) -> Result<Vec<Spent>, StoreError> {
        let mut statement = self.sql(
            "SELECT at_ms, units FROM spent WHERE subscription = ?1 AND tag = ?2 ORDER BY at_ms",
        )?;
        let rows = statement.query_map((subscription.0, limit.0), |row| {
            Ok(Spent { at: column::time(row, 0)?, units: row.get(1)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds what was spent of a window.
    pub(crate) fn add_spent(
        &mut self,
        subscription: SubscriptionId,
        limit: Tag,
        spent: Spent,
    ) -> Result<(), StoreError> {
        // Both are below 2^63, and no sum of a window is near it.
        self.sql(
            "INSERT INTO spent (subscription, tag, at_ms, units) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (subscription, tag, at_ms) DO UPDATE SET
                 units = min(units, 4611686018427387903) + min(excluded.units, 4611686018427387903)",
        )?
        .execute((subscription.0, limit.0, spent.at.as_millisecond(), spent.units))?;
        Ok(())
    }

    /// Drops what has left a window.
    pub(crate) fn drop_spent(
        &mut self,
        subscription: SubscriptionId,
        limit: Tag,
        through: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql("DELETE FROM spent WHERE subscription = ?1 AND tag = ?2 AND at_ms <= ?3")?
            .execute((subscription.0, limit.0, through.as_millisecond()))?;
        Ok(())
    }

    /// A bucket, if it was used before.
    pub(crate) fn bucket(
        &self,
        subscription: SubscriptionId,
        limit: Tag,
    ) -> Result<Option<BucketRow>, StoreError> {
        let mut statement = self.sql(
            "SELECT level, period_ms, filled_ms FROM buckets WHERE subscription = ?1 AND tag = ?2",
        )?;
        Ok(statement
            .query_row((subscription.0, limit.0), |row| {
                Ok(BucketRow {
                    level: row.get(0)?,
                    period_ms: row.get(1)?,
                    filled: column::time(row, 2)?,
                })
            })
            .optional()?)
    }

    /// Writes a bucket.
    pub(crate) fn store_bucket(
        &mut self,
        subscription: SubscriptionId,
        limit: Tag,
        row: &BucketRow,
    ) -> Result<(), StoreError> {
        self.sql(
            "INSERT INTO buckets (subscription, tag, level, period_ms, filled_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (subscription, tag) DO UPDATE SET level = excluded.level,
                 period_ms = excluded.period_ms, filled_ms = excluded.filled_ms",
        )?
        .execute((
            subscription.0,
            limit.0,
            row.level,
            row.period_ms,
            row.filled.as_millisecond(),
        ))?;
        Ok(())
    }

    /// Drops the leases of a rate that processes left behind: nothing in them counts any more.
    pub(crate) fn drop_rate_leases(
        &mut self,
        subscription: SubscriptionId,
        limit: Tag,
        before: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql(
            "DELETE FROM leases
             WHERE subscription = ?1 AND tag = ?2 AND period = 0 AND expires_ms < ?3
               AND (SELECT last_seen_ms FROM boots WHERE boot = leases.boot) < ?3",
        )?
        .execute((subscription.0, limit.0, before.as_millisecond()))?;
        Ok(())
    }

    /// Moves everything that a rate remembers along with a clock that was stepped forward, so that
    /// nothing leaves its window early.
    pub(crate) fn shift_rates(&mut self, by: SignedDuration) -> Result<(), StoreError> {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        // Ordered updates of a primary key could meet a key not moved yet: to the negative side
        // and back.
        self.sql("UPDATE spent SET at_ms = -(at_ms + ?1)")?.execute([by])?;
        self.sql("UPDATE spent SET at_ms = -at_ms")?.execute([])?;
        self.sql("UPDATE leases SET expires_ms = expires_ms + ?1 WHERE period = 0")?
            .execute([by])?;
        self.sql("UPDATE buckets SET filled_ms = filled_ms + ?1")?.execute([by])?;
        Ok(())
    }
}
