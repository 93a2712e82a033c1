//! Numbers that tell how the ledger is.

use jiff::Timestamp;

use super::{Ledger, StoreError, live_since};
use crate::core::health::{Health, STUCK_ATTEMPTS};

impl Ledger<'_> {
    /// How the ledger is.
    pub(crate) fn health(&self, now: Timestamp) -> Result<Health, StoreError> {
        let mut statement = self.sql(
            "SELECT (SELECT count(*) FROM gateways),
                 (SELECT count(*) FROM boots WHERE last_seen_ms >= ?1),
                 (SELECT count(*) FROM unattributed),
                 (SELECT count(*) FROM charges WHERE state IN ('pending', 'in_flight')),
                 (SELECT count(*) FROM charges
                  WHERE state IN ('pending', 'in_flight') AND attempts >= ?2),
                 (SELECT count(*) FROM charges WHERE state = 'rejected')",
        )?;
        let health = Health {
            ledger: self.identity.ledger,
            epoch: self.identity.epoch,
            revision: self.revision()?,
            catalog: self.catalog_revision()?,
            conflicts: self.conflicts()?,
            gateways: 0,
            live_boots: 0,
            unattributed: 0,
            missing_batches: self.missing_batches()?,
            open_charges: 0,
            stuck_charges: 0,
            rejected_charges: 0,
        };
        Ok(statement.query_row((live_since(now).as_millisecond(), STUCK_ATTEMPTS), |row| {
            Ok(Health {
                gateways: row.get(0)?,
                live_boots: row.get(1)?,
                unattributed: row.get(2)?,
                open_charges: row.get(3)?,
                stuck_charges: row.get(4)?,
                rejected_charges: row.get(5)?,
                ..health
            })
        })?)
    }
}
