//! API keys, by their hash.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use tollgate_pricing::id::{Hex128, SubscriptionId};
use tollgate_pricing::key::KeyHash;
use tollgate_pricing::sync::KeyAnswer;

use super::error::is_duplicate;
use super::{Ledger, StoreError, column};
use crate::core::id::KeyId;
use crate::core::keys::Key;

fn key(row: &Row<'_>) -> Result<Key, rusqlite::Error> {
    Ok(Key {
        id: KeyId(row.get(0)?),
        subscription: SubscriptionId(row.get(1)?),
        created: column::time(row, 2)?,
        revoked: column::optional_time(row, 3)?,
    })
}

impl Ledger<'_> {
    /// Adds a key; none if the hash is there already.
    pub(crate) fn insert_key(
        &mut self,
        subscription: SubscriptionId,
        hash: KeyHash,
        revision: u64,
        now: Timestamp,
    ) -> Result<Option<KeyId>, StoreError> {
        let added = self
            .sql(
                "INSERT INTO keys (subscription, hash, created_ms, revision)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((subscription.0, hash.0, now.as_millisecond(), revision));
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
        let mut statement =
            self.sql("SELECT id, subscription, created_ms, revoked_ms FROM keys WHERE id = ?1")?;
        Ok(statement.query_row([id.0], key).optional()?)
    }

    /// A subscription's keys, in the order they were made.
    pub(crate) fn keys(&self, subscription: SubscriptionId) -> Result<Vec<Key>, StoreError> {
        let mut statement = self.sql(
            "SELECT id, subscription, created_ms, revoked_ms FROM keys
             WHERE subscription = ?1 ORDER BY id",
        )?;
        let rows = statement.query_map([subscription.0], key)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many of a subscription's keys are not revoked.
    pub(crate) fn live_keys(&self, subscription: SubscriptionId) -> Result<u64, StoreError> {
        let mut statement =
            self.sql("SELECT count(*) FROM keys WHERE subscription = ?1 AND revoked_ms IS NULL")?;
        Ok(statement.query_row([subscription.0], |row| row.get(0))?)
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
