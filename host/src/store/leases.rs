//! Leases: units of a limit held by processes.

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row};
use tollgate_pricing::id::{BootId, Hex128, SubscriptionId, Tag};

use super::{Ledger, StoreError, column};

/// Which limit's which period of which subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LeaseOf {
    pub(crate) subscription: SubscriptionId,
    pub(crate) limit: Tag,
    pub(crate) period: u32,
}

/// What a process is called to return.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Recalled {
    /// Nothing.
    #[default]
    No,
    /// What it can spare.
    Some,
    /// Everything.
    All,
}

/// One process's lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LeaseRow {
    pub(crate) boot: BootId,
    pub(crate) granted: u64,
    pub(crate) used: u64,
    pub(crate) waived: u64,
    pub(crate) returned: u64,
    /// What was used when counters were reported beside it.
    pub(crate) counted: u64,
    pub(crate) recall: Recalled,
    /// When the process last asked for units.
    pub(crate) asked: Timestamp,
    /// Of a rate: when its units can be spent no more.
    pub(crate) expires: Timestamp,
    /// When the process last synced.
    pub(crate) last_seen: Timestamp,
    /// Whether an operator declared the process dead.
    pub(crate) forgotten: bool,
}

impl LeaseRow {
    /// A lease of which nothing is known yet.
    pub(crate) fn new(boot: BootId, last_seen: Timestamp) -> Self {
        Self {
            boot,
            granted: 0,
            used: 0,
            waived: 0,
            returned: 0,
            counted: 0,
            recall: Recalled::No,
            asked: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH,
            last_seen,
            forgotten: false,
        }
    }

    /// Units spent and not given back.
    pub(crate) fn spent(&self) -> u64 {
        self.used.saturating_sub(self.waived)
    }

    /// Units that the process may spend. What a forgotten one held is given to others.
    pub(crate) fn unspent(&self) -> u64 {
        if self.forgotten {
            return 0;
        }
        self.granted.saturating_sub(self.returned).saturating_sub(self.spent())
    }

    /// Units spent beyond what is held.
    pub(crate) fn overdrawn(&self) -> u64 {
        self.spent().saturating_sub(self.granted.saturating_sub(self.returned))
    }

    /// Units out of the limit: what is held, or what was spent if that is more.
    pub(crate) fn out(&self) -> u64 {
        self.spent().saturating_add(self.unspent())
    }
}

const LEASES: &str = "SELECT boot, granted, used, waived, returned, counted, recall, asked_ms,
        expires_ms, last_seen_ms, forgotten_ms IS NOT NULL
    FROM leases JOIN boots USING (boot)
    WHERE subscription = ?1 AND tag = ?2 AND period = ?3";

fn lease(row: &Row<'_>) -> Result<LeaseRow, rusqlite::Error> {
    Ok(LeaseRow {
        boot: Hex128(row.get(0)?),
        granted: row.get(1)?,
        used: row.get(2)?,
        waived: row.get(3)?,
        returned: row.get(4)?,
        counted: row.get(5)?,
        recall: recalled(row, 6)?,
        asked: column::time(row, 7)?,
        expires: column::time(row, 8)?,
        last_seen: column::time(row, 9)?,
        forgotten: row.get(10)?,
    })
}

fn recalled(row: &Row<'_>, column: usize) -> Result<Recalled, rusqlite::Error> {
    match row.get::<_, u8>(column)? {
        0 => Ok(Recalled::No),
        1 => Ok(Recalled::Some),
        2 => Ok(Recalled::All),
        other => {
            let error = format!("a recall cannot be {other}").into();
            Err(rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, error))
        }
    }
}

fn recall_number(recall: Recalled) -> u8 {
    match recall {
        Recalled::No => 0,
        Recalled::Some => 1,
        Recalled::All => 2,
    }
}

impl Ledger<'_> {
    /// The lease of one process.
    pub(crate) fn lease(&self, of: LeaseOf, boot: BootId) -> Result<Option<LeaseRow>, StoreError> {
        let mut statement = self.sql(&format!("{LEASES} AND boot = ?4"))?;
        let key = (of.subscription.0, of.limit.0, of.period, boot.0);
        Ok(statement.query_row(key, lease).optional()?)
    }

    /// The leases of all processes.
    pub(crate) fn leases(&self, of: LeaseOf) -> Result<Vec<LeaseRow>, StoreError> {
        let mut statement = self.sql(LEASES)?;
        let rows = statement.query_map((of.subscription.0, of.limit.0, of.period), lease)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes a lease; what is known of its process is not its to write.
    pub(crate) fn store_lease(&mut self, of: LeaseOf, row: &LeaseRow) -> Result<(), StoreError> {
        self.sql(
            "INSERT INTO leases (subscription, tag, period, boot, granted, used, waived, returned,
                 counted, recall, asked_ms, expires_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (subscription, tag, period, boot) DO UPDATE SET
                 granted = excluded.granted, used = excluded.used, waived = excluded.waived,
                 returned = excluded.returned,
                 counted = excluded.counted, recall = excluded.recall,
                 asked_ms = excluded.asked_ms, expires_ms = excluded.expires_ms",
        )?
        .execute((
            of.subscription.0,
            of.limit.0,
            of.period,
            row.boot.0,
            row.granted,
            row.used,
            row.waived,
            row.returned,
            row.counted,
            recall_number(row.recall),
            row.asked.as_millisecond(),
            row.expires.as_millisecond(),
        ))?;
        Ok(())
    }

    /// Leases that a process is called to return, with what it was ever granted, and whether all.
    pub(crate) fn recalled_leases(
        &self,
        boot: BootId,
        limit: usize,
    ) -> Result<Vec<(LeaseOf, u64, bool)>, StoreError> {
        let mut statement = self.sql(
            "SELECT subscription, tag, period, granted, recall = 2 FROM leases
                 INDEXED BY leases_recalled
             WHERE boot = ?1 AND recall > 0 LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((boot.0, limit), |row| {
            let of = LeaseOf {
                subscription: SubscriptionId(row.get(0)?),
                limit: Tag(row.get(1)?),
                period: row.get(2)?,
            };
            Ok((of, row.get(3)?, row.get(4)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Calls a process to return nothing of a lease any more.
    pub(crate) fn recall_no_more(&mut self, of: LeaseOf, boot: BootId) -> Result<(), StoreError> {
        self.sql(
            "UPDATE leases SET recall = 0
             WHERE subscription = ?1 AND tag = ?2 AND period = ?3 AND boot = ?4",
        )?
        .execute((of.subscription.0, of.limit.0, of.period, boot.0))?;
        Ok(())
    }

    /// Calls back everything that processes hold of one subscription's limit.
    pub(crate) fn recall_all(
        &mut self,
        subscription: SubscriptionId,
        limit: Tag,
    ) -> Result<(), StoreError> {
        self.sql(
            "UPDATE leases SET recall = 2
             WHERE subscription = ?1 AND tag = ?2 AND granted - returned > used - waived",
        )?
        .execute((subscription.0, limit.0))?;
        Ok(())
    }

    /// Calls back everything that processes hold of a product's limit.
    pub(crate) fn recall_all_of_product(
        &mut self,
        product: &str,
        limit: Tag,
    ) -> Result<(), StoreError> {
        self.sql(
            "UPDATE leases SET recall = 2
             WHERE subscription IN (
                     SELECT id FROM subscriptions WHERE product = ?1 AND ended_ms IS NULL)
               AND tag = ?2 AND granted - returned > used - waived",
        )?
        .execute((product, limit.0))?;
        Ok(())
    }

    /// Calls back everything that one process holds.
    pub(crate) fn recall_all_of_boot(&mut self, boot: BootId) -> Result<(), StoreError> {
        self.sql(
            "UPDATE leases SET recall = 2
             WHERE boot = ?1 AND granted - returned > used - waived",
        )?
        .execute([boot.0])?;
        Ok(())
    }
}
