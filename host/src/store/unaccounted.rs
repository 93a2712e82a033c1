//! Processes that are gone, and what may be missing of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Row;
use tollgate_pricing::id::{BootId, Hex128, SubscriptionId, Tag};

use super::gateways::live_since;
use super::{Counters, Ledger, StoreError, column};

/// The life of a process that is silent, as far as this ledger knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BootLife {
    pub(crate) boot: BootId,
    /// Its gateway's name.
    pub(crate) gateway: String,
    /// Its first and last sync; none if it is only known by what it wrote into its log.
    pub(crate) first_seen: Option<Timestamp>,
    pub(crate) last_seen: Option<Timestamp>,
    /// What it admitted before is in the ledger.
    pub(crate) swept_through: Option<Timestamp>,
    /// It knew all changes up to this one then; 0 if that is not known.
    pub(crate) swept_revision: u64,
    /// When it wrote the newest line of its log that was read.
    pub(crate) spilled: Option<Timestamp>,
    pub(crate) forgotten: bool,
    /// When it was seen to have ended.
    pub(crate) ended: Option<Timestamp>,
}

/// Whether all is here that a process counted: it neither synced nor wrote its log after its end.
/// As clocks differ, a sync half a second after the end is one from before it. A VM that begins
/// later writes nothing for half a minute, so what is written within 20 s is by one that ended.
pub(super) const IS_ACCOUNTED: &str =
    "(accounted_ms IS NOT NULL AND accounted_ms + 500 >= last_seen_ms
    AND accounted_ms + 20000 >= spilled_ms)";

fn life(row: &Row<'_>) -> Result<BootLife, rusqlite::Error> {
    Ok(BootLife {
        boot: Hex128(row.get(0)?),
        gateway: row.get(1)?,
        first_seen: column::optional_time(row, 2)?,
        last_seen: column::optional_time(row, 3)?,
        swept_through: column::optional_time(row, 4)?,
        swept_revision: row.get(5)?,
        spilled: column::optional_time(row, 6)?,
        forgotten: row.get(7)?,
        ended: column::optional_time(row, 8)?,
    })
}

impl Ledger<'_> {
    /// Processes that are silent, or were declared dead, and are not accounted for; newest sight
    /// first.
    pub(crate) fn unaccounted_boots(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<BootLife>, StoreError> {
        let mut statement = self.sql(&format!(
            "SELECT boot, name, nullif(first_seen_ms, 0), nullif(last_seen_ms, 0),
                 nullif(swept_through_ms, 0), swept_revision, nullif(spilled_ms, 0),
                 forgotten_ms IS NOT NULL, iif(ended_ms >= last_seen_ms, ended_ms, NULL)
             FROM boots JOIN gateways ON gateways.id = gateway
             WHERE (last_seen_ms < ?1 OR forgotten_ms IS NOT NULL OR ended_ms >= last_seen_ms)
               AND NOT {IS_ACCOUNTED}
             ORDER BY last_seen_ms DESC, boot LIMIT ?2"
        ))?;
        let since = live_since(now).as_millisecond();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((since, limit), life)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether what a process takes for delivered is in this ledger, and not in one that was lost:
    /// since a restore it has reported everything again.
    pub(crate) fn has_told_all(&self, boot: BootId) -> Result<bool, StoreError> {
        let mut statement = self.sql(
            "SELECT 1 FROM boots WHERE boot = ?1 AND awaited = 0
               AND swept_through_ms >= (SELECT coalesce(restored_ms, 0) FROM ledger)",
        )?;
        Ok(statement.exists([boot.0])?)
    }

    /// Whether a process was seen to have ended, and all is here that it counted.
    pub(crate) fn has_ended_accounted(&self, boot: BootId) -> Result<bool, StoreError> {
        let mut statement = self.sql(&format!(
            "SELECT 1 FROM boots WHERE boot = ?1 AND ended_ms >= last_seen_ms AND {IS_ACCOUNTED}"
        ))?;
        Ok(statement.exists([boot.0])?)
    }

    /// Subscriptions of which a process reported calls or holds units.
    pub(crate) fn subscriptions_of_boot(
        &self,
        boot: BootId,
        limit: usize,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        let mut statement = self.sql(
            "SELECT subscription FROM slots WHERE boot = ?1
             UNION
             SELECT subscription FROM leases
             WHERE boot = ?1 AND granted - returned > used - waived
             ORDER BY 1 LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((boot.0, limit), |row| row.get(0).map(SubscriptionId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Calls of a subscription that a process reported as let through and not as settled.
    pub(crate) fn open_calls_of_boot(
        &self,
        boot: BootId,
        subscription: SubscriptionId,
    ) -> Result<u64, StoreError> {
        let mut statement = self.sql(
            "SELECT period, admitted, billable, waived FROM slots
             WHERE boot = ?1 AND subscription = ?2",
        )?;
        let mut rows = statement.query((boot.0, subscription.0))?;
        // By period: where a restored ledger has lost what was admitted, more is settled than that,
        // and it was not the calls of another period that did.
        let mut periods: BTreeMap<u32, Counters> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let slot =
                Counters { admitted: row.get(1)?, billable: row.get(2)?, waived: row.get(3)? };
            let sum = periods.entry(row.get(0)?).or_default();
            *sum = sum.plus(slot);
        }
        Ok(periods.values().map(|sum| sum.open()).fold(0, u64::saturating_add))
    }

    /// What a process may have spent of a quota, in its periods from this one on, without the
    /// counters of the calls having come here.
    pub(crate) fn uncounted_units(
        &self,
        boot: BootId,
        (subscription, limit): (SubscriptionId, Tag),
        from: u32,
    ) -> Result<u64, StoreError> {
        let mut statement = self.sql(
            "SELECT granted - returned, counted, waived FROM leases
             WHERE subscription = ?1 AND tag = ?2 AND period >= ?3 AND boot = ?4",
        )?;
        let mut rows = statement.query((subscription.0, limit.0, from, boot.0))?;
        let mut sum: u64 = 0;
        while let Some(row) = rows.next()? {
            let (held, counted, waived): (u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            sum = sum.saturating_add(held.saturating_sub(counted.saturating_sub(waived)));
        }
        Ok(sum)
    }

    /// Whether a process's reports contradict this ledger somewhere, as far as that is kept.
    pub(crate) fn contradicts(&self, boot: BootId) -> Result<bool, StoreError> {
        let mut statement = self.sql(
            "SELECT unkept_conflicts > 0 OR EXISTS (SELECT 1 FROM conflicts WHERE boot = ?1)
                 OR EXISTS (SELECT 1 FROM unattributed WHERE boot = ?1)
             FROM ledger",
        )?;
        Ok(statement.query_row([boot.0], |row| row.get(0))?)
    }

    /// Catalogs from the one that was in force at a time on; none if they are more than one looks
    /// at.
    pub(crate) fn catalogs_since(
        &self,
        time: Timestamp,
        limit: usize,
    ) -> Result<Option<Vec<u32>>, StoreError> {
        let first = self.catalog_at(time)?.unwrap_or(0);
        let mut statement = self
            .sql("SELECT revision FROM catalogs WHERE revision >= ?1 ORDER BY revision LIMIT ?2")?;
        let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let rows = statement.query_map((first, most), |row| row.get(0))?;
        let revisions: Vec<u32> = rows.collect::<Result<_, _>>()?;
        Ok((revisions.len() <= limit).then_some(revisions))
    }
}
