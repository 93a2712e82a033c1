//! Gateways and their processes.

use jiff::{SignedDuration, Timestamp};
use rusqlite::OptionalExtension;
use tollgate_pricing::id::{BootId, Hex128};

use super::error::is_duplicate;
use super::{Ledger, StoreError, column};
use crate::core::gateways::Gateway;
use crate::core::id::GatewayId;

/// A process counts as live for so long after its last sync.
pub(crate) const LIVE_SECONDS: i64 = 60;

/// The time since when a process that synced is live.
pub(crate) fn live_since(now: Timestamp) -> Timestamp {
    now.checked_sub(SignedDuration::from_secs(LIVE_SECONDS)).unwrap_or(Timestamp::MIN)
}

impl Ledger<'_> {
    /// Whose token has this hash.
    pub(crate) fn gateway_by_token(&self, hash: Hex128) -> Result<Option<GatewayId>, StoreError> {
        let mut statement = self.sql("SELECT id FROM gateways WHERE token_hash = ?1")?;
        Ok(statement.query_row([hash.0], |row| row.get(0).map(GatewayId)).optional()?)
    }

    /// Whether a gateway has this name.
    pub(crate) fn gateway_is_named(&self, name: &str) -> Result<bool, StoreError> {
        let mut statement = self.sql("SELECT 1 FROM gateways WHERE name = ?1")?;
        Ok(statement.exists([name])?)
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

    /// All gateways, in the order they were made.
    pub(crate) fn gateways(&self, now: Timestamp) -> Result<Vec<Gateway>, StoreError> {
        let mut statement = self.sql(
            "SELECT id, name, created_ms,
                 (SELECT max(last_seen_ms) FROM boots WHERE gateway = gateways.id),
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
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that a process of this gateway synced, and how far it has swept. False if the
    /// process belongs to another gateway.
    pub(crate) fn see_boot(
        &mut self,
        boot: BootId,
        gateway: GatewayId,
        now: Timestamp,
        swept_through: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let seen = self
            .sql(
                "INSERT INTO boots (boot, gateway, first_seen_ms, last_seen_ms, swept_through_ms)
                 VALUES (?1, ?2, ?3, ?3, ?4)
                 ON CONFLICT (boot) DO UPDATE SET
                     last_seen_ms = max(last_seen_ms, excluded.last_seen_ms),
                     swept_through_ms = max(swept_through_ms, excluded.swept_through_ms)
                 WHERE gateway = excluded.gateway",
            )?
            .execute((
                boot.0,
                gateway.0,
                now.as_millisecond(),
                swept_through.map_or(0, Timestamp::as_millisecond),
            ))?;
        Ok(seen > 0)
    }

    /// Processes seen since `start` that have not swept through `end`.
    pub(crate) fn unswept_boots(
        &self,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut statement = self
            .sql("SELECT count(*) FROM boots WHERE last_seen_ms >= ?1 AND swept_through_ms < ?2")?;
        Ok(statement.query_row((start.as_millisecond(), end.as_millisecond()), |row| row.get(0))?)
    }
}
