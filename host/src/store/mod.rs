//! The ledger on SQLite, in the core's words. All SQL is here; no rule is.
//!
//! One process holds the database, exclusively. Everything goes through [`Store::commit`]: many
//! requests, a savepoint each, one commit, and only then their answers.

#![warn(clippy::indexing_slicing, clippy::as_conversions, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::as_conversions, clippy::arithmetic_side_effects))]

use rusqlite::Connection;

mod backup;
mod batch;
mod catalogs;
mod column;
mod conflicts;
mod detail;
mod error;
mod gateways;
mod health;
mod invoices;
mod keys;
mod leases;
mod ledger;
mod open;
mod overrides;
mod periods;
mod rates;
mod restored;
mod rows;
mod schema;
mod simulated;
mod slots;
mod subscriptions;
mod unaccounted;
mod unattributed;

pub use batch::{Batch, Committed};
pub use error::StoreError;
pub use ledger::Ledger;
pub use open::{Birth, DATABASE_FILE, OPERATOR_TOKEN_FILE, OpenError, SECRET_FILE};

pub(crate) use column::{parsed, time};
pub(crate) use conflicts::Kept;
pub(crate) use detail::{Detail, DetailKey, Fate, Sums, Times};
pub(crate) use gateways::live_since;
pub(crate) use invoices::NewCharge;
pub(crate) use keys::NewKey;
pub(crate) use leases::{LeaseOf, LeaseRow, Recalled};
use ledger::{Catalogs, Identity};
pub(crate) use open::connect;
pub(crate) use overrides::OwnRow;
pub(crate) use periods::PeriodRow;
pub(crate) use rates::{BucketRow, Spent};
pub(crate) use rows::Cursor;
pub(crate) use slots::Counters;
pub(crate) use subscriptions::SubscriptionRow;
pub(crate) use unaccounted::BootLife;

/// The ledger's database and secrets.
pub struct Store {
    connection: Connection,
    identity: Identity,
    catalogs: Catalogs,
}

impl Store {
    /// Runs many requests in one transaction; their answers are delivered once it is committed,
    /// and cannot be before. If the commit fails, each is answered `unavailable` and nothing was
    /// changed.
    pub fn commit<'a>(&mut self, fill: impl FnOnce(&mut Batch<'_, 'a>)) -> Committed {
        let mut batch = Batch::begin(&self.connection, &self.identity, &mut self.catalogs);
        fill(&mut batch);
        batch.finish()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("ledger", &self.identity.ledger).finish_non_exhaustive()
    }
}
