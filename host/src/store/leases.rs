//! Leases: units of a quota's period held by processes.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use tollgate_pricing::id::{BootId, Hex128, SubscriptionId, Tag};

use super::{Ledger, StoreError, column};

/// Which quota's which period of which subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LeaseOf {
    pub(crate) subscription: SubscriptionId,
    pub(crate) quota: Tag,
    pub(crate) period: u32,
}

/// One process's lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LeaseRow {
    pub(crate) boot: BootId,
    pub(crate) granted: u64,
    pub(crate) used: u64,
    pub(crate) waived: u64,
    pub(crate) returned: u64,
    /// When the process last synced.
    pub(crate) last_seen: Timestamp,
}

impl LeaseRow {
    /// Units out of the quota.
    pub(crate) fn held(&self) -> u64 {
        self.granted.saturating_sub(self.returned)
    }
}

const LEASES: &str = "SELECT boot, granted, used, waived, returned, last_seen_ms
    FROM leases JOIN boots USING (boot)
    WHERE subscription = ?1 AND quota = ?2 AND period = ?3";

fn lease(row: &Row<'_>) -> Result<LeaseRow, rusqlite::Error> {
    Ok(LeaseRow {
        boot: Hex128(row.get(0)?),
        granted: row.get(1)?,
        used: row.get(2)?,
        waived: row.get(3)?,
        returned: row.get(4)?,
        last_seen: column::time(row, 5)?,
    })
}

impl Ledger<'_> {
    /// The lease of one process.
    pub(crate) fn lease(&self, of: LeaseOf, boot: BootId) -> Result<Option<LeaseRow>, StoreError> {
        let mut statement = self.sql(&format!("{LEASES} AND boot = ?4"))?;
        let key = (of.subscription.0, of.quota.0, of.period, boot.0);
        Ok(statement.query_row(key, lease).optional()?)
    }

    /// The leases of all processes.
    pub(crate) fn leases(&self, of: LeaseOf) -> Result<Vec<LeaseRow>, StoreError> {
        let mut statement = self.sql(LEASES)?;
        let rows = statement.query_map((of.subscription.0, of.quota.0, of.period), lease)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Sets what was ever granted to a process.
    pub(crate) fn grant(
        &mut self,
        of: LeaseOf,
        boot: BootId,
        granted: u64,
    ) -> Result<(), StoreError> {
        self.sql(
            "INSERT INTO leases (subscription, quota, period, boot, granted, used, waived, returned)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0)
             ON CONFLICT (subscription, quota, period, boot)
             DO UPDATE SET granted = excluded.granted",
        )?
        .execute((of.subscription.0, of.quota.0, of.period, boot.0, granted))?;
        Ok(())
    }

    /// Writes what a process said of its lease.
    pub(crate) fn store_lease(&mut self, of: LeaseOf, row: &LeaseRow) -> Result<(), StoreError> {
        self.sql(
            "UPDATE leases SET used = ?5, waived = ?6, returned = ?7
             WHERE subscription = ?1 AND quota = ?2 AND period = ?3 AND boot = ?4",
        )?
        .execute((
            of.subscription.0,
            of.quota.0,
            of.period,
            row.boot.0,
            row.used,
            row.waived,
            row.returned,
        ))?;
        Ok(())
    }
}
