//! Gateways and their processes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Row};
use tollgate_pricing::id::{BootId, Hex128, SubscriptionId, Tag};

use super::error::is_duplicate;
use super::unaccounted::IS_ACCOUNTED;
use super::{LeaseOf, Ledger, StoreError, column};
use crate::core::gateways::{Boot, Gateway};
use crate::core::id::GatewayId;

/// A process that was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BootRow {
    pub(crate) gateway: GatewayId,
    /// Whether an operator declared it dead.
    pub(crate) forgotten: bool,
    /// Whether it ever synced, and is not known by what it wrote into its log alone.
    pub(crate) has_synced: bool,
}

/// A process counts as live for so long after its last sync.
pub(crate) const LIVE_SECONDS: i64 = 60;

/// By how much a gateway's clock may be ahead of the host's, at most: by the two seconds that it
/// waits for an answer, and some.
const CLOCKS_DIFFER_MS: i64 = 5_000;

/// The time since when a process that synced is live.
pub(crate) fn live_since(now: Timestamp) -> Timestamp {
    now.checked_sub(SignedDuration::from_secs(LIVE_SECONDS)).unwrap_or(Timestamp::MIN)
}

/// Quota units that a process holds unspent.
const HELD: &str =
    "SELECT subscription, tag, period, granted - returned - used + waived FROM leases
     WHERE boot = ?1 AND period > 0 AND granted - returned > used - waived
     ORDER BY subscription, tag, period LIMIT ?2";

fn boot(row: &Row<'_>) -> Result<Boot, rusqlite::Error> {
    Ok(Boot {
        id: Hex128(row.get(0)?),
        first_seen: column::optional_time(row, 1)?,
        last_seen: column::optional_time(row, 2)?,
        live: row.get(3)?,
        awaited: row.get(4)?,
        forgotten: row.get(5)?,
        holds: Vec::new(),
    })
}

impl Ledger<'_> {
    /// Whose token has this hash.
    pub(crate) fn gateway_by_token(&self, hash: Hex128) -> Result<Option<GatewayId>, StoreError> {
        let mut statement = self.sql("SELECT id FROM gateways WHERE token_hash = ?1")?;
        Ok(statement.query_row([hash.0], |row| row.get(0).map(GatewayId)).optional()?)
    }

    /// Adds a gateway; none if the token is there already.
    pub(crate) fn insert_gateway(
        &mut self,
        name: &str,
        token: Hex128,
        now: Timestamp,
    ) -> Result<Option<GatewayId>, StoreError> {
        let added = self
            .sql("INSERT INTO gateways (name, token_hash, created_ms) VALUES (?1, ?2, ?3)")?
            .execute((name, token.0, now.as_millisecond()));
        match added {
            Ok(_) => Ok(Some(GatewayId(self.inserted_id()?))),
            Err(error) if is_duplicate(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All gateways, in the order they were made, without their processes.
    pub(crate) fn gateways(&self, now: Timestamp) -> Result<Vec<Gateway>, StoreError> {
        let mut statement = self.sql(
            "SELECT id, name, created_ms,
                 (SELECT nullif(max(last_seen_ms), 0) FROM boots WHERE gateway = gateways.id),
                 (SELECT count(*) FROM boots
                  WHERE gateway = gateways.id AND last_seen_ms >= ?1)
             FROM gateways ORDER BY id",
        )?;
        let rows = statement.query_map([live_since(now).as_millisecond()], |row| {
            Ok(Gateway {
                id: GatewayId(row.get(0)?),
                name: row.get(1)?,
                created: column::time(row, 2)?,
                last_seen: column::optional_time(row, 3)?,
                live_boots: row.get(4)?,
                stranded: 0,
                boots: Vec::new(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Processes of a gateway that live, are waited for, or hold units of quotas and were not
    /// forgotten; newest sight first.
    pub(crate) fn boots_of(
        &self,
        gateway: GatewayId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Boot>, StoreError> {
        let mut statement = self.sql(
            "SELECT boot, nullif(first_seen_ms, 0), nullif(last_seen_ms, 0), last_seen_ms >= ?2,
                 awaited, forgotten_ms IS NOT NULL
             FROM boots
             WHERE gateway = ?1 AND (last_seen_ms >= ?2 OR awaited = 1
                 OR (forgotten_ms IS NULL AND EXISTS (SELECT 1 FROM leases
                     WHERE leases.boot = boots.boot AND period > 0
                       AND granted - returned > used - waived)))
             ORDER BY last_seen_ms DESC, boot LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows =
            statement.query_map((gateway.0, live_since(now).as_millisecond(), limit), boot)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The silent processes of a gateway that were not forgotten.
    pub(crate) fn silent_boots(
        &self,
        gateway: GatewayId,
        now: Timestamp,
    ) -> Result<Vec<Boot>, StoreError> {
        let mut statement = self.sql(
            "SELECT boot, nullif(first_seen_ms, 0), nullif(last_seen_ms, 0), 0, awaited, 0
             FROM boots WHERE gateway = ?1 AND last_seen_ms < ?2 AND forgotten_ms IS NULL
             ORDER BY last_seen_ms DESC, boot",
        )?;
        let rows = statement.query_map((gateway.0, live_since(now).as_millisecond()), boot)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Quota units that a process holds unspent: whose, which limit's tag and period, how many.
    pub(crate) fn held_units(
        &self,
        boot: BootId,
        limit: usize,
    ) -> Result<Vec<(LeaseOf, u64)>, StoreError> {
        let mut statement = self.sql(HELD)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((boot.0, limit), |row| {
            let of = LeaseOf {
                subscription: SubscriptionId(row.get(0)?),
                limit: Tag(row.get(1)?),
                period: row.get(2)?,
            };
            Ok((of, row.get(3)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Declares a process dead.
    pub(crate) fn forget_boot(&mut self, boot: BootId, now: Timestamp) -> Result<(), StoreError> {
        self.sql("UPDATE boots SET forgotten_ms = ?2, awaited = 0 WHERE boot = ?1")?
            .execute((boot.0, now.as_millisecond()))?;
        self.sql("UPDATE leases SET recall = 0 WHERE boot = ?1 AND recall > 0")?
            .execute([boot.0])?;
        Ok(())
    }

    /// The gateway of this name.
    pub(crate) fn gateway_named(&self, name: &str) -> Result<Option<GatewayId>, StoreError> {
        let mut statement = self.sql("SELECT id FROM gateways WHERE name = ?1")?;
        Ok(statement.query_row([name], |row| row.get(0).map(GatewayId)).optional()?)
    }

    /// A process that was seen before.
    pub(crate) fn boot(&self, boot: BootId) -> Result<Option<BootRow>, StoreError> {
        let mut statement = self.sql(
            "SELECT gateway, forgotten_ms IS NOT NULL, first_seen_ms > 0 FROM boots
             WHERE boot = ?1",
        )?;
        Ok(statement
            .query_row([boot.0], |row| {
                Ok(BootRow {
                    gateway: GatewayId(row.get(0)?),
                    forgotten: row.get(1)?,
                    has_synced: row.get(2)?,
                })
            })
            .optional()?)
    }

    /// Notes that a process of this gateway synced, how far it has swept, and what it knew.
    pub(crate) fn see_boot(
        &mut self,
        boot: BootId,
        gateway: GatewayId,
        now: Timestamp,
        (swept_through, knows): (Option<Timestamp>, Option<u64>),
    ) -> Result<(), StoreError> {
        // What it said it knew, it knew throughout a sweep that it began later. Until there is one,
        // what it says next does not count, or there never would be.
        const IS_TOLD: &str = "told_revision = 0 OR excluded.swept_through_ms >= told_ms + ?6";
        self.sql(&format!(
            "INSERT INTO boots (boot, gateway, first_seen_ms, last_seen_ms, swept_through_ms,
                 told_revision, told_ms)
             VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?3)
             ON CONFLICT (boot) DO UPDATE SET
                 gateway = excluded.gateway,
                 first_seen_ms = iif(first_seen_ms = 0, excluded.first_seen_ms, first_seen_ms),
                 last_seen_ms = max(last_seen_ms, excluded.last_seen_ms),
                 swept_through_ms = max(swept_through_ms, excluded.swept_through_ms),
                 swept_revision = iif(excluded.swept_through_ms >= told_ms + ?6,
                     told_revision, swept_revision),
                 told_revision = iif({IS_TOLD}, excluded.told_revision, told_revision),
                 told_ms = iif({IS_TOLD}, excluded.told_ms, told_ms),
                 forgotten_ms = NULL"
        ))?
        .execute((
            boot.0,
            gateway.0,
            now.as_millisecond(),
            swept_through.map_or(0, Timestamp::as_millisecond),
            knows.unwrap_or(0),
            CLOCKS_DIFFER_MS,
        ))?;
        Ok(())
    }

    /// Notes a process of this gateway that never synced.
    pub(crate) fn hear_of_boot(
        &mut self,
        boot: BootId,
        gateway: GatewayId,
    ) -> Result<(), StoreError> {
        self.sql(
            "INSERT INTO boots (boot, gateway, first_seen_ms, last_seen_ms, swept_through_ms)
             VALUES (?1, ?2, 0, 0, 0)",
        )?
        .execute((boot.0, gateway.0))?;
        Ok(())
    }

    /// Notes that a process was seen to have ended.
    pub(crate) fn end_boot(&mut self, boot: BootId, now: Timestamp) -> Result<(), StoreError> {
        self.sql("UPDATE boots SET ended_ms = ?2 WHERE boot = ?1")?
            .execute((boot.0, now.as_millisecond()))?;
        Ok(())
    }

    /// Notes that a process ended then, and that this ledger has all of its usage.
    pub(crate) fn account_for_boot(
        &mut self,
        boot: BootId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql(
            "UPDATE boots SET accounted_ms = max(coalesce(accounted_ms, 0), ?2) WHERE boot = ?1",
        )?
        .execute((boot.0, at.as_millisecond()))?;
        Ok(())
    }

    /// Notes that a process lived then, by a line of its log.
    pub(crate) fn read_of_boot(&mut self, boot: BootId, at: Timestamp) -> Result<(), StoreError> {
        self.sql("UPDATE boots SET spilled_ms = max(spilled_ms, ?2) WHERE boot = ?1")?
            .execute((boot.0, at.as_millisecond()))?;
        Ok(())
    }

    /// The processes whose ids are in these bounds, two at most: their gateway's name, and when
    /// they were last seen.
    pub(crate) fn boots_like(
        &self,
        first: BootId,
        last: BootId,
    ) -> Result<Vec<(BootId, String, Timestamp)>, StoreError> {
        let mut statement = self.sql(
            "SELECT boot, name, last_seen_ms FROM boots JOIN gateways ON gateways.id = gateway
             WHERE boot BETWEEN ?1 AND ?2 LIMIT 2",
        )?;
        let rows = statement.query_map((first.0, last.0), |row| {
            Ok((Hex128(row.get(0)?), row.get(1)?, column::time(row, 2)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The names of all gateways, in the order they were made, as many as one reads.
    pub(crate) fn gateway_names(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let mut statement = self.sql("SELECT name FROM gateways ORDER BY id LIMIT ?1")?;
        let rows = statement.query_map([limit], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Processes seen since `start` that have not swept through `end`, were not forgotten and are
    /// not accounted for: how many of which gateway.
    pub(crate) fn unswept_boots(
        &self,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut statement = self.sql(&format!(
            "SELECT name, count(*) FROM boots JOIN gateways ON gateways.id = gateway
             WHERE last_seen_ms >= ?1 AND swept_through_ms < ?2 AND forgotten_ms IS NULL
               AND NOT {IS_ACCOUNTED}
             GROUP BY gateway"
        ))?;
        let rows = statement.query_map((start.as_millisecond(), end.as_millisecond()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::World;

    /// However many leases of old periods a process leaves behind.
    #[test]
    fn what_is_held_is_found_among_what_is_held() {
        let world = World::empty();
        let mut plan =
            world.store.connection.prepare(&format!("EXPLAIN QUERY PLAN {HELD}")).unwrap();
        let step: String = plan.query_row((0, 0), |row| row.get(3)).unwrap();
        assert_eq!(step, "SEARCH leases USING INDEX leases_held (boot=?)");
    }
}
