//! What a ledger knows of having been restored from a backup.

use jiff::Timestamp;
use rusqlite::OptionalExtension;
use tollgate_pricing::id::{BootId, Hex128, SubscriptionId};

use super::{Ledger, StoreError, column};
use crate::core::hold::Restored;

impl Ledger<'_> {
    /// The last restore; none if there never was one.
    pub(crate) fn restored(&self) -> Result<Option<Restored>, StoreError> {
        let mut statement = self.sql(
            "SELECT restored_ms, heard_ms, released_ms,
                 (SELECT count(*) FROM boots INDEXED BY boots_awaited WHERE awaited = 1)
             FROM ledger",
        )?;
        Ok(statement.query_row([], |row| {
            let Some(at) = column::optional_time(row, 0)? else {
                return Ok(None);
            };
            Ok(Some(Restored {
                at,
                heard: column::optional_time(row, 1)?,
                released: column::optional_time(row, 2)?,
                awaited: row.get(3)?,
            }))
        })?)
    }

    /// Whether what was counted in a period may be known to a ledger that is lost.
    pub(crate) fn began_before_restore(
        &self,
        subscription: SubscriptionId,
        period: u32,
    ) -> Result<bool, StoreError> {
        Ok(self
            .sql(
                "SELECT 1 FROM periods, ledger
                 WHERE subscription = ?1 AND number = ?2 AND start_ms < restored_ms",
            )?
            .exists((subscription.0, period))?)
    }

    /// Notes that a gateway was heard.
    pub(crate) fn hear(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.sql("UPDATE ledger SET heard_ms = ?1")?.execute([now.as_millisecond()])?;
        Ok(())
    }

    /// Notes that a process has reported everything.
    pub(crate) fn await_no_more(&mut self, boot: BootId) -> Result<(), StoreError> {
        self.sql("UPDATE boots SET awaited = 0 WHERE boot = ?1 AND awaited = 1")?
            .execute([boot.0])?;
        Ok(())
    }
}

/// A ledger that is put back.
impl Ledger<'_> {
    /// When a process was last heard.
    pub(crate) fn last_sight(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut statement = self.sql("SELECT max(last_seen_ms) FROM boots")?;
        Ok(statement.query_row([], |row| column::optional_time(row, 0))?)
    }

    /// Waits for the processes that were seen since: which these are.
    pub(crate) fn await_boots(&mut self, since: Timestamp) -> Result<Vec<BootId>, StoreError> {
        self.sql("UPDATE boots SET awaited = (last_seen_ms >= ?1 AND forgotten_ms IS NULL)")?
            .execute([since.as_millisecond()])?;
        let mut statement =
            self.sql("SELECT boot FROM boots INDEXED BY boots_awaited WHERE awaited = 1")?;
        let boots = statement.query_map([], |row| Ok(Hex128(row.get(0)?)))?;
        Ok(boots.collect::<Result<_, _>>()?)
    }

    /// A later epoch, this one at least, in which revisions follow this one.
    pub(crate) fn raise_epoch(
        &mut self,
        least: u32,
        revision: u64,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        let mut statement = self.sql(
            "UPDATE ledger SET epoch = max(epoch + 1, ?1), revision = ?2, restored_ms = ?3,
                 heard_ms = NULL, released_ms = NULL
             RETURNING epoch",
        )?;
        Ok(statement.query_row((least, revision, now.as_millisecond()), |row| row.get(0))?)
    }

    /// The newest subscription's id; 0 if there never was one.
    pub(crate) fn last_subscription(&self) -> Result<u64, StoreError> {
        let mut statement =
            self.sql("SELECT seq FROM sqlite_sequence WHERE name = 'subscriptions'")?;
        Ok(statement.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
    }

    /// Gives no subscription an id up to this one any more.
    pub(crate) fn skip_subscriptions(&mut self, last: u64) -> Result<(), StoreError> {
        self.sql("DELETE FROM sqlite_sequence WHERE name = 'subscriptions'")?.execute([])?;
        self.sql("INSERT INTO sqlite_sequence (name, seq) VALUES ('subscriptions', ?1)")?
            .execute([last])?;
        Ok(())
    }

    /// Makes every subscription and key a change, so that whatever gateways heard of them in a
    /// lost future is older.
    pub(crate) fn tell_all_anew(&mut self, catalog: u32) -> Result<(), StoreError> {
        for table in ["subscriptions", "keys"] {
            let changed = self
                .sql(&format!(
                    "UPDATE {table} SET revision = (SELECT revision FROM ledger) + moved.place
                     FROM (SELECT id, row_number() OVER (ORDER BY revision) AS place FROM {table})
                         AS moved
                     WHERE {table}.id = moved.id"
                ))?
                .execute([])?;
            let changed = u64::try_from(changed).unwrap_or(u64::MAX);
            self.sql("UPDATE ledger SET revision = revision + ?1")?.execute([changed])?;
        }
        self.sql("UPDATE subscriptions SET catalog = ?1 WHERE ended_ms IS NULL")?
            .execute([catalog])?;
        Ok(())
    }

    /// Ends the wait.
    pub(crate) fn release(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.sql("UPDATE ledger SET released_ms = ?1")?.execute([now.as_millisecond()])?;
        self.sql("UPDATE boots SET awaited = 0 WHERE awaited = 1")?.execute([])?;
        Ok(())
    }
}
