//! The database's shape, and which ledger is in it.

use rusqlite::{Connection, OptionalExtension};
use tollgate_pricing::id::{Hex128, LedgerId};

use super::StoreError;

/// The schema this program writes, as SQLite's `user_version`.
pub(super) const VERSION: i64 = 3;

/// The one row of the table `ledger`.
pub(super) struct LedgerRow {
    pub(super) id: LedgerId,
    pub(super) epoch: u32,
    /// Tells whether a secret is this ledger's.
    pub(super) secret_check: [u8; 32],
}

/// The schema found; 0 in a new database.
pub(super) fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Makes the tables and the ledger's row, all or nothing.
pub(super) fn create(connection: &mut Connection, row: &LedgerRow) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    transaction.execute(
        "INSERT INTO ledger (one, id, epoch, secret_check, revision) VALUES (1, ?1, ?2, ?3, 0)",
        (row.id.0, row.epoch, row.secret_check),
    )?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Which ledger this is.
pub(super) fn read(connection: &Connection) -> Result<LedgerRow, StoreError> {
    connection
        .query_row("SELECT id, epoch, secret_check FROM ledger", [], |row| {
            Ok(LedgerRow { id: Hex128(row.get(0)?), epoch: row.get(1)?, secret_check: row.get(2)? })
        })
        .optional()?
        .ok_or_else(|| StoreError::damaged("the table of the ledger's id", "empty"))
}
