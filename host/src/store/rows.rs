//! Descriptive rows, the cursors that let each batch in once, and reports that were kept aside.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;
use rusqlite::OptionalExtension;
use tollgate_pricing::id::{BootId, Hex128, SubscriptionId};
use tollgate_pricing::sync::{Outcome, Reason, Row};

use super::{Ledger, StoreError};

/// How far an incarnation's batches have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) last: u64,
    /// Batches before `last` that never came.
    pub(crate) missing: u64,
}

/// Conflicts kept; those past it are only counted and logged.
const MAX_CONFLICTS: u64 = 10_000;

/// What became of a report that was to be kept aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// It is kept.
    New,
    /// It was kept before.
    Known,
    /// Too many are kept: it is counted.
    Full,
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
    pub(crate) fn add_rows(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let mut statement = self.sql(
            "INSERT INTO calls (subscription, minute, outcome, reason, api, operation, status,
                 would_refuse, calls, latency_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (coalesce(subscription, 0), minute, outcome, coalesce(reason, ''),
                 coalesce(api, ''), coalesce(operation, ''), status, coalesce(would_refuse, ''))
             DO UPDATE SET
                 calls = calls + min(excluded.calls, 9223372036854775807 - calls),
                 latency_us = latency_us
                     + min(excluded.latency_us, 9223372036854775807 - latency_us)",
        )?;
        for row in rows {
            let (outcome, reason) = match row.outcome {
                Outcome::Billable => ("billable", None),
                Outcome::Waived => ("waived", None),
                Outcome::Open => ("open", None),
                Outcome::Refused(reason) => ("refused", Some(reason.as_str())),
            };
            statement.execute((
                row.subscription.map(|id| id.0),
                row.minute,
                outcome,
                reason,
                &row.api,
                &row.operation,
                row.status,
                row.would_refuse.map(Reason::as_str),
                row.calls,
                row.latency_us,
            ))?;
        }
        Ok(())
    }

    /// Refused calls by reason, of one subscription or of none, in `[from, to)` unix minutes.
    pub(crate) fn refused_calls(
        &self,
        subscription: Option<SubscriptionId>,
        minutes: Range<i64>,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        self.by_reason(
            "SELECT reason, calls FROM calls
             WHERE coalesce(subscription, 0) = ?1 AND minute >= ?2 AND minute < ?3
               AND outcome = 'refused'",
            subscription,
            minutes,
        )
    }

    /// The same of calls that passed and would have been refused by what only observes.
    pub(crate) fn would_be_refused_calls(
        &self,
        subscription: Option<SubscriptionId>,
        minutes: Range<i64>,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        self.by_reason(
            "SELECT would_refuse, calls FROM calls
             WHERE coalesce(subscription, 0) = ?1 AND minute >= ?2 AND minute < ?3
               AND would_refuse IS NOT NULL",
            subscription,
            minutes,
        )
    }

    fn by_reason(
        &self,
        sql: &str,
        subscription: Option<SubscriptionId>,
        minutes: Range<i64>,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut statement = self.sql(sql)?;
        let whose = subscription.map_or(0, |id| id.0);
        let mut rows = statement.query((whose, minutes.start, minutes.end))?;
        let mut calls = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let sum: &mut u64 = calls.entry(row.get(0)?).or_default();
            *sum = sum.saturating_add(row.get(1)?);
        }
        Ok(calls)
    }

    /// Calls of open operations without a subscription. Not those that passed only because nothing
    /// is refused.
    pub(crate) fn open_operation_calls(&self) -> Result<u64, StoreError> {
        let mut statement = self.sql(
            "SELECT calls FROM calls
             WHERE coalesce(subscription, 0) = 0 AND outcome = 'open' AND would_refuse IS NULL",
        )?;
        let mut rows = statement.query([])?;
        let mut sum: u64 = 0;
        while let Some(row) = rows.next()? {
            sum = sum.saturating_add(row.get(0)?);
        }
        Ok(sum)
    }

    /// Keeps a report aside, once.
    pub(crate) fn keep_conflict(
        &mut self,
        boot: BootId,
        now: Timestamp,
        problem: &str,
        reported: &str,
    ) -> Result<Kept, StoreError> {
        let mut hash = blake3::Hasher::new();
        hash.update(&boot.0);
        hash.update(problem.as_bytes());
        hash.update(reported.as_bytes());
        let hash = hash.finalize();
        if self.sql("SELECT 1 FROM conflicts WHERE hash = ?1")?.exists([hash.as_bytes()])? {
            return Ok(Kept::Known);
        }
        if self.conflicts()? >= MAX_CONFLICTS {
            self.sql("UPDATE ledger SET unkept_conflicts = unkept_conflicts + 1")?.execute([])?;
            return Ok(Kept::Full);
        }
        self.sql(
            "INSERT INTO conflicts (hash, boot, seen_ms, problem, reported)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((hash.as_bytes(), boot.0, now.as_millisecond(), problem, reported))?;
        Ok(Kept::New)
    }

    /// Reports that contradict the ledger, kept aside or past what is kept.
    pub(crate) fn conflicts(&self) -> Result<u64, StoreError> {
        // None is ever deleted.
        let mut statement = self.sql(
            "SELECT unkept_conflicts + (SELECT coalesce(max(id), 0) FROM conflicts) FROM ledger",
        )?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::health::ReadHealth;
    use crate::core::testing::{World, boot, nothing};
    use crate::core::{Refusal, Request};

    struct Keep(std::ops::Range<u64>);

    impl Request for Keep {
        type Answer = Option<Kept>;

        fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Self::Answer, Refusal> {
            let mut last = None;
            for number in self.0 {
                last = Some(ledger.keep_conflict(boot(1), now, "wrong", &number.to_string())?);
            }
            Ok(last)
        }
    }

    #[test]
    fn conflicts_past_the_bound_are_counted() {
        let mut world = World::new();
        let gateway = world.gateway("edge");
        world.sync(gateway, nothing(boot(1)));
        let most = MAX_CONFLICTS;
        for (numbers, kept, conflicts) in [
            (0..1, Kept::New, 1),
            (0..1, Kept::Known, 1),
            (0..most, Kept::New, most),
            (7..8, Kept::Known, most),
            (most..most + 2, Kept::Full, most + 2),
        ] {
            assert_eq!(world.ask(Keep(numbers)).unwrap(), Some(kept));
            assert_eq!(world.ask(ReadHealth).unwrap().conflicts, conflicts);
        }
        assert_eq!(world.dump(&["conflicts"]).lines().count(), usize::try_from(most).unwrap());
    }
}
