//! API keys, by their hash.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use tollgate_pricing::id::{Hex128, SubscriptionId};
use tollgate_pricing::key::KeyHash;
use tollgate_pricing::sync::KeyAnswer;

use super::error::is_duplicate;
use super::{Ledger, StoreError, column};
use crate::core::id::KeyId;
use crate::core::keys::{Key, KeyState};

/// A key that is added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewKey {
    pub(crate) subscription: SubscriptionId,
    pub(crate) hash: KeyHash,
    /// Whether its owner brought it.
    pub(crate) imported: bool,
    pub(crate) revision: u64,
}

const COLUMNS: &str = "id, subscription, imported, created_ms, retires_ms, revoked_ms";

fn key(row: &Row<'_>) -> Result<Key, rusqlite::Error> {
    let (retires, revoked) = (column::optional_time(row, 4)?, column::optional_time(row, 5)?);
    Ok(Key {
        id: KeyId(row.get(0)?),
        subscription: SubscriptionId(row.get(1)?),
        state: KeyState::of(retires, revoked),
        imported: row.get(2)?,
        created: column::time(row, 3)?,
        retires,
        revoked,
    })
}

fn select(which: &str) -> String {
    format!("SELECT {COLUMNS} FROM keys {which}")
}

impl Ledger<'_> {
    /// Adds a key; none if the hash is there already.
    pub(crate) fn insert_key(
        &mut self,
        key: &NewKey,
        now: Timestamp,
    ) -> Result<Option<KeyId>, StoreError> {
        let added = self
            .sql(
                "INSERT INTO keys (subscription, hash, imported, created_ms, revision)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                key.subscription.0,
                key.hash.0,
                key.imported,
                now.as_millisecond(),
                key.revision,
            ));
        match added {
            Ok(_) => Ok(Some(KeyId(self.inserted_id()?))),
            Err(error) if is_duplicate(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// One key.
    pub(crate) fn key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        if i64::try_from(id.0).is_err() {
            return Ok(None);
        }
        let mut statement = self.sql(&select("WHERE id = ?1"))?;
        Ok(statement.query_row([id.0], key).optional()?)
    }

    /// The key with this hash, revoked or not.
    pub(crate) fn key_by_hash(&self, hash: KeyHash) -> Result<Option<Key>, StoreError> {
        let mut statement = self.sql(&select("WHERE hash = ?1"))?;
        Ok(statement.query_row([hash.0], key).optional()?)
    }

    /// A subscription's keys, in the order they were made.
    pub(crate) fn keys(&self, subscription: SubscriptionId) -> Result<Vec<Key>, StoreError> {
        let mut statement = self.sql(&select("WHERE subscription = ?1 ORDER BY id"))?;
        let rows = statement.query_map([subscription.0], key)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keys that retire by now, the first first.
    pub(crate) fn retired_keys(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        let mut statement = self.sql(&select(
            "INDEXED BY keys_retiring
             WHERE revoked_ms IS NULL AND retires_ms IS NOT NULL AND retires_ms <= ?1
             ORDER BY retires_ms, id LIMIT ?2",
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((now.as_millisecond(), limit), key)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes when a key retires. Gateways are not told: it passes until it is revoked.
    pub(crate) fn retire_key(&mut self, id: KeyId, at: Timestamp) -> Result<(), StoreError> {
        self.sql("UPDATE keys SET retires_ms = ?2 WHERE id = ?1")?
            .execute((id.0, at.as_millisecond()))?;
        Ok(())
    }

    /// Revokes a key.
    pub(crate) fn revoke_key(
        &mut self,
        id: KeyId,
        revision: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql("UPDATE keys SET revoked_ms = ?2, revision = ?3 WHERE id = ?1")?.execute((
            id.0,
            now.as_millisecond(),
            revision,
        ))?;
        Ok(())
    }

    /// Whose key has this hash, if it is not revoked.
    pub(crate) fn key_owner(&self, hash: KeyHash) -> Result<Option<SubscriptionId>, StoreError> {
        let mut statement =
            self.sql("SELECT subscription FROM keys WHERE hash = ?1 AND revoked_ms IS NULL")?;
        Ok(statement.query_row([hash.0], |row| row.get(0).map(SubscriptionId)).optional()?)
    }

    /// Keys changed after a revision, each with its own, oldest change first.
    pub(crate) fn keys_since(
        &self,
        revision: i64,
        limit: usize,
    ) -> Result<Vec<(u64, KeyAnswer)>, StoreError> {
        let mut statement = self.sql(
            "SELECT revision, hash, iif(revoked_ms IS NULL, subscription, NULL) FROM keys
             WHERE revision > ?1 ORDER BY revision LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((revision, limit), |row| {
            let answer = KeyAnswer {
                hash: Hex128(row.get(1)?),
                subscription: row.get::<_, Option<u64>>(2)?.map(SubscriptionId),
            };
            Ok((row.get(0)?, answer))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
