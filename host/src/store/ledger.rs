//! The ledger inside a transaction: what requests read and change.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection};
use tollgate_pricing::catalog::Catalog;
use tollgate_pricing::id::{Hex128, LedgerId};
use tollgate_pricing::key::KeySecrets;

use super::StoreError;

/// Parsed catalogs kept in memory; older ones are parsed again when a late period needs one.
const MAX_PARSED_CATALOGS: usize = 8;

/// Who this ledger is, and what it hashes with. Fixed while the process lives.
pub(crate) struct Identity {
    pub(crate) ledger: LedgerId,
    pub(crate) epoch: u32,
    /// For API keys; gateways get them too.
    pub(crate) keys: KeySecrets,
    /// For tokens; nobody gets it.
    pub(crate) tokens: [u8; 32],
    /// The operator token's hash.
    pub(crate) operator: Hex128,
}

/// Catalogs by revision, parsed.
#[derive(Default)]
pub(crate) struct Catalogs {
    /// Revisions up to here are committed, so their text cannot change any more.
    committed: u32,
    parsed: BTreeMap<u32, Arc<Catalog>>,
}

impl Catalogs {
    /// What was parsed in this transaction holds.
    pub(super) fn committed(&mut self) {
        if let Some((newest, _)) = self.parsed.last_key_value() {
            self.committed = self.committed.max(*newest);
        }
    }

    /// A revision number may come again with another text: forget what never was.
    pub(super) fn undone(&mut self) {
        self.parsed.split_off(&self.committed.saturating_add(1));
    }

    pub(super) fn get(&self, revision: u32) -> Option<Arc<Catalog>> {
        self.parsed.get(&revision).map(Arc::clone)
    }

    pub(super) fn keep(&mut self, revision: u32, catalog: Arc<Catalog>) {
        if self.parsed.len() >= MAX_PARSED_CATALOGS {
            self.parsed.pop_first();
        }
        self.parsed.insert(revision, catalog);
    }
}

/// The ledger inside a transaction. Its methods are the store's words, spread over this module's
/// siblings, one file a concern.
pub struct Ledger<'s> {
    connection: &'s Connection,
    pub(crate) identity: &'s Identity,
    pub(super) catalogs: &'s mut Catalogs,
}

impl<'s> Ledger<'s> {
    pub(super) fn new(
        connection: &'s Connection,
        identity: &'s Identity,
        catalogs: &'s mut Catalogs,
    ) -> Self {
        Self { connection, identity, catalogs }
    }

    /// Prepares a statement, once in the connection's life.
    pub(super) fn sql(&self, sql: &str) -> Result<CachedStatement<'s>, rusqlite::Error> {
        self.connection.prepare_cached(sql)
    }

    /// The id SQLite gave the row inserted last.
    pub(super) fn inserted_id(&self) -> Result<u64, StoreError> {
        let id = self.connection.last_insert_rowid();
        u64::try_from(id).map_err(|_| StoreError::damaged("an id", id))
    }

    /// Rows written since the database was opened, also those of transactions that were undone.
    pub(super) fn changes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Whether SQLite has given the transaction up, as it does when the disk is full.
    pub(super) fn lost(&self) -> bool {
        self.connection.is_autocommit()
    }

    /// Does a part of a request: undone alone if it fails.
    pub(crate) fn part<T, E: From<StoreError>>(
        &mut self,
        body: impl FnOnce(&mut Ledger<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run("SAVEPOINT part")?;
        let done = body(self).and_then(|value| {
            self.run("RELEASE part")?;
            Ok(value)
        });
        if done.is_err() {
            self.undo_part();
        }
        done
    }

    fn undo_part(&mut self) {
        let undone = self.run("ROLLBACK TO part").and_then(|()| self.run("RELEASE part"));
        if undone.is_err() && !self.lost() {
            // What cannot be undone alone must not be committed: the batch finds by `lost` that
            // there is nothing to commit any more.
            let _ = self.run("ROLLBACK");
        }
        self.catalogs.undone();
    }

    pub(super) fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.sql(sql)?.execute([])?;
        Ok(())
    }
}

#[cfg(test)]
impl Ledger<'_> {
    /// Puts another catalog in the place of one.
    pub(crate) fn replace_catalog(&mut self, revision: u32, catalog: Catalog) {
        self.catalogs.keep(revision, Arc::new(catalog));
    }

    /// Leaves room for no more pages than there are and so many, or for all there can be.
    pub(crate) fn leave_room(&self, pages: Option<u32>) {
        let used: u32 =
            self.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        let most = pages.map_or(u32::MAX - 1, |pages| used + pages);
        self.connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(())).unwrap();
    }

    /// Everything in a table, one row a line, sorted.
    pub(crate) fn dump(&self, table: &str) -> String {
        let mut statement = self.connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let line = |row: &rusqlite::Row<'_>| {
            let values =
                (0..columns).map(|column| crate::core::testing::shown(&row.get_unwrap(column)));
            Ok(values.collect::<Vec<_>>().join(" "))
        };
        let rows = statement.query_map([], line).unwrap();
        let mut lines: Vec<String> =
            rows.map(|row| format!("{table}: {}\n", row.unwrap())).collect();
        lines.sort();
        lines.concat()
    }
}
