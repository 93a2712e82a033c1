//! Rows as they come: the cursors that let each batch in once, and what is added up.

use rusqlite::OptionalExtension;
use tollgate_pricing::id::{BootId, Hex128};
use tollgate_pricing::sync::{Histogram, Latency, Outcome, PlaceRow, Reason, Row, Rows};

use super::{Ledger, StoreError, column};

/// How far an incarnation's batches have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) last: u64,
    /// Batches before `last` that never came.
    pub(crate) missing: u64,
}

impl Ledger<'_> {
    /// How far an incarnation has come.
    pub(crate) fn cursor(&self, boot: BootId, incarnation: Hex128) -> Result<Cursor, StoreError> {
        let mut statement = self
            .sql("SELECT last, missing FROM incarnations WHERE boot = ?1 AND incarnation = ?2")?;
        let cursor = statement
            .query_row((boot.0, incarnation.0), |row| {
                Ok(Cursor { last: row.get(0)?, missing: row.get(1)? })
            })
            .optional()?;
        Ok(cursor.unwrap_or_default())
    }

    /// The hash of a batch that was booked, if it is still kept.
    pub(crate) fn batch_hash(
        &self,
        boot: BootId,
        incarnation: Hex128,
        sequence: u64,
    ) -> Result<Option<Hex128>, StoreError> {
        let mut statement = self.sql(
            "SELECT hash FROM batches WHERE boot = ?1 AND incarnation = ?2 AND sequence = ?3",
        )?;
        Ok(statement
            .query_row((boot.0, incarnation.0, sequence), |row| row.get(0).map(Hex128))
            .optional()?)
    }

    /// Notes a batch and moves the cursor; forgets batches up to `forget`.
    pub(crate) fn book_batch(
        &mut self,
        boot: BootId,
        incarnation: Hex128,
        (sequence, hash): (u64, Hex128),
        cursor: Cursor,
        forget: u64,
    ) -> Result<(), StoreError> {
        self.sql(
            "INSERT INTO incarnations (boot, incarnation, last, missing) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (boot, incarnation)
             DO UPDATE SET last = excluded.last, missing = excluded.missing",
        )?
        .execute((boot.0, incarnation.0, cursor.last, cursor.missing))?;
        self.sql(
            "INSERT INTO batches (boot, incarnation, sequence, hash) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((boot.0, incarnation.0, sequence, hash.0))?;
        self.sql("DELETE FROM batches WHERE boot = ?1 AND incarnation = ?2 AND sequence <= ?3")?
            .execute((boot.0, incarnation.0, forget))?;
        Ok(())
    }

    /// Adds rows to those like them. Sums end at SQLite's largest integer.
    pub(crate) fn add_rows(&mut self, rows: &Rows) -> Result<(), StoreError> {
        self.add_calls(&rows.calls)?;
        self.add_places(&rows.places)?;
        rows.latencies.iter().try_for_each(|latency| self.add_latency(latency))
    }

    fn add_calls(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let mut statement = self.sql(
            "INSERT INTO calls (subscription, period, minute, outcome, reason, api, operation,
                 status, would_refuse, calls, latency_us, bytes, units)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (coalesce(subscription, 0), minute, outcome, period, coalesce(reason, ''),
                 coalesce(api, ''), coalesce(operation, ''), status, coalesce(would_refuse, ''))
             DO UPDATE SET
                 calls = calls + min(excluded.calls, 9223372036854775807 - calls),
                 latency_us = latency_us
                     + min(excluded.latency_us, 9223372036854775807 - latency_us),
                 bytes = bytes + min(excluded.bytes, 9223372036854775807 - bytes),
                 units = units + min(excluded.units, 9223372036854775807 - units)",
        )?;
        for row in rows {
            let (outcome, reason) = outcome(row.outcome);
            statement.execute((
                row.subscription.map(|id| id.0),
                row.period,
                row.minute,
                outcome,
                reason,
                &row.api,
                &row.operation,
                row.status,
                row.would_refuse.map(Reason::as_str),
                row.calls,
                row.latency_us,
                row.bytes,
                row.units,
            ))?;
        }
        Ok(())
    }

    fn add_places(&mut self, rows: &[PlaceRow]) -> Result<(), StoreError> {
        let mut statement = self.sql(
            "INSERT INTO places (subscription, hour, country, status, outcome, reason, calls,
                 latency_us, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (coalesce(subscription, 0), hour, country, outcome, coalesce(reason, ''),
                 status)
             DO UPDATE SET
                 calls = calls + min(excluded.calls, 9223372036854775807 - calls),
                 latency_us = latency_us
                     + min(excluded.latency_us, 9223372036854775807 - latency_us),
                 bytes = bytes + min(excluded.bytes, 9223372036854775807 - bytes)",
        )?;
        for row in rows {
            let (outcome, reason) = outcome(row.outcome);
            statement.execute((
                row.subscription.map(|id| id.0),
                row.hour,
                row.country.as_str(),
                row.status,
                outcome,
                reason,
                row.calls,
                row.latency_us,
                row.bytes,
            ))?;
        }
        Ok(())
    }

    fn add_latency(&mut self, row: &Latency) -> Result<(), StoreError> {
        let of = (row.subscription.map_or(0, |id| id.0), row.hour, &row.api, &row.operation);
        let mut known = self.sql(
            "SELECT histogram FROM latencies
             WHERE coalesce(subscription, 0) = ?1 AND hour = ?2
               AND coalesce(api, '') = coalesce(?3, '')
               AND coalesce(operation, '') = coalesce(?4, '')",
        )?;
        let known: Option<Histogram> =
            known.query_row(of, |row| column::json(row, 0)).optional()?;
        let mut histogram = known.unwrap_or_default();
        histogram.merge(&row.histogram);
        self.sql(
            "INSERT INTO latencies (subscription, api, operation, hour, min_us, max_us, histogram)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (coalesce(subscription, 0), hour, coalesce(api, ''),
                 coalesce(operation, ''))
             DO UPDATE SET
                 min_us = min(min_us, excluded.min_us), max_us = max(max_us, excluded.max_us),
                 histogram = excluded.histogram",
        )?
        .execute((
            row.subscription.map(|id| id.0),
            &row.api,
            &row.operation,
            row.hour,
            row.min_us,
            row.max_us,
            column::to_json(&histogram)?,
        ))?;
        Ok(())
    }
}

/// An outcome's word, and why.
fn outcome(outcome: Outcome) -> (&'static str, Option<&'static str>) {
    match outcome {
        Outcome::Billable => ("billable", None),
        Outcome::Waived => ("waived", None),
        Outcome::Open => ("open", None),
        Outcome::Refused(reason) => ("refused", Some(reason.as_str())),
    }
}
