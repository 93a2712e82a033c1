//! Catalogs by revision.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::OptionalExtension;
use tollgate_pricing::catalog::Catalog;

use super::{Ledger, StoreError};

impl Ledger<'_> {
    /// The revision in force.
    pub(crate) fn catalog_revision(&self) -> Result<Option<u32>, StoreError> {
        let mut statement = self.sql("SELECT max(revision) FROM catalogs")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// The text of a revision.
    pub(crate) fn catalog_text(&self, revision: u32) -> Result<Option<String>, StoreError> {
        let mut statement = self.sql("SELECT text FROM catalogs WHERE revision = ?1")?;
        Ok(statement.query_row([revision], |row| row.get(0)).optional()?)
    }

    /// The revision that was in force at a time.
    pub(crate) fn catalog_at(&self, time: Timestamp) -> Result<Option<u32>, StoreError> {
        let mut statement = self.sql("SELECT max(revision) FROM catalogs WHERE loaded_ms <= ?1")?;
        Ok(statement.query_row([time.as_millisecond()], |row| row.get(0))?)
    }

    /// A catalog that was loaded.
    pub(crate) fn catalog(&mut self, revision: u32) -> Result<Arc<Catalog>, StoreError> {
        if let Some(catalog) = self.catalogs.get(revision) {
            return Ok(catalog);
        }
        let text = self
            .catalog_text(revision)?
            .ok_or_else(|| StoreError::damaged("a catalog that is referred to", "missing"))?;
        let catalog = Catalog::parse(&text).map_err(|mistakes| {
            StoreError::Damaged(format!("catalog {revision} is not read any more: {mistakes}"))
        })?;
        let catalog = Arc::new(catalog);
        self.catalogs.keep(revision, Arc::clone(&catalog));
        Ok(catalog)
    }

    /// Adds the next revision.
    pub(crate) fn insert_catalog(
        &mut self,
        revision: u32,
        text: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql("INSERT INTO catalogs (revision, loaded_ms, text) VALUES (?1, ?2, ?3)")?
            .execute((revision, now.as_millisecond(), text))?;
        Ok(())
    }

    /// Prices the periods of live subscriptions that have not begun by this catalog.
    pub(crate) fn move_coming_periods(
        &mut self,
        catalog: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql(
            "UPDATE periods INDEXED BY periods_open SET catalog = ?1
             WHERE closed_ms IS NULL AND end_ms > ?2 AND start_ms > ?2",
        )?
        .execute((catalog, now.as_millisecond()))?;
        Ok(())
    }

    /// Tells gateways that the live subscriptions of a product need this catalog.
    pub(crate) fn move_subscriptions(
        &mut self,
        product: &str,
        catalog: u32,
    ) -> Result<(), StoreError> {
        let moved = self
            .sql(
                "UPDATE subscriptions SET catalog = ?2,
                     revision = (SELECT revision FROM ledger) + moved.place
                 FROM (SELECT id, row_number() OVER (ORDER BY id) AS place
                       FROM subscriptions WHERE product = ?1 AND ended_ms IS NULL) AS moved
                 WHERE subscriptions.id = moved.id",
            )?
            .execute((product, catalog))?;
        let moved = u64::try_from(moved).unwrap_or(u64::MAX);
        self.sql("UPDATE ledger SET revision = revision + ?1")?.execute([moved])?;
        Ok(())
    }
}
