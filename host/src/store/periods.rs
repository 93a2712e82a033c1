//! Billing periods with their bounds.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use tollgate_pricing::id::SubscriptionId;

use super::{Ledger, StoreError, column};

/// A billing period.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PeriodRow {
    pub(crate) subscription: SubscriptionId,
    pub(crate) number: u32,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// It is priced by this product in this catalog.
    pub(crate) product: String,
    pub(crate) catalog: u32,
    pub(crate) closed: Option<Timestamp>,
    /// Calls on invoices so far.
    pub(crate) billed: u64,
}

const COLUMNS: &str = "subscription, number, start_ms, end_ms, product, catalog, closed_ms, billed";

fn period(row: &Row<'_>) -> Result<PeriodRow, rusqlite::Error> {
    Ok(PeriodRow {
        subscription: SubscriptionId(row.get(0)?),
        number: row.get(1)?,
        start: column::time(row, 2)?,
        end: column::time(row, 3)?,
        product: row.get(4)?,
        catalog: row.get(5)?,
        closed: column::optional_time(row, 6)?,
        billed: row.get(7)?,
    })
}

fn select(which: &str) -> String {
    format!("SELECT {COLUMNS} FROM periods {which}")
}

impl Ledger<'_> {
    /// Adds a period.
    pub(crate) fn insert_period(&mut self, row: &PeriodRow) -> Result<(), StoreError> {
        self.sql(
            "INSERT INTO periods (subscription, number, start_ms, end_ms, product, catalog)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            row.subscription.0,
            row.number,
            row.start.as_millisecond(),
            row.end.as_millisecond(),
            &row.product,
            row.catalog,
        ))?;
        Ok(())
    }

    /// The period before the current one, the current one, and those to come.
    pub(crate) fn periods_around(
        &self,
        subscription: SubscriptionId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<PeriodRow>, StoreError> {
        let mut statement = self.sql(&select(
            "WHERE subscription = ?1 AND number >= coalesce(
                 (SELECT number FROM periods WHERE subscription = ?1 AND start_ms <= ?2
                  ORDER BY number DESC LIMIT 1), 1) - 1
             ORDER BY number LIMIT ?3",
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((subscription.0, now.as_millisecond(), limit), period)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Periods that have begun: the newest of one subscription, or of all, oldest first.
    pub(crate) fn begun_periods(
        &self,
        subscription: Option<SubscriptionId>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<PeriodRow>, StoreError> {
        let now = now.as_millisecond();
        let mut periods: Vec<PeriodRow> = match subscription {
            Some(id) => self
                .sql(&select(
                    "WHERE subscription = ?1 AND start_ms <= ?2 ORDER BY number DESC LIMIT ?3",
                ))?
                .query_map((id.0, now, limit), period)?
                .collect::<Result<_, _>>()?,
            None => self
                .sql(&select("WHERE start_ms <= ?1 ORDER BY start_ms DESC LIMIT ?2"))?
                .query_map((now, limit), period)?
                .collect::<Result<_, _>>()?,
        };
        periods.sort_by_key(|period| (period.subscription, period.number));
        Ok(periods)
    }

    /// The oldest period that is not closed.
    pub(crate) fn oldest_open_period(
        &self,
        subscription: SubscriptionId,
    ) -> Result<Option<PeriodRow>, StoreError> {
        let mut statement = self.sql(&select(
            "INDEXED BY periods_open_of
             WHERE subscription = ?1 AND closed_ms IS NULL ORDER BY number LIMIT 1",
        ))?;
        Ok(statement.query_row([subscription.0], period).optional()?)
    }

    /// Periods that ended and are not closed, in the order of their ends: the next after one.
    pub(crate) fn ended_periods(
        &self,
        now: Timestamp,
        after: Option<&PeriodRow>,
        limit: usize,
    ) -> Result<Vec<PeriodRow>, StoreError> {
        let mut statement = self.sql(&select(
            "WHERE closed_ms IS NULL AND end_ms <= ?1
               AND (end_ms, subscription, number) > (?2, ?3, ?4)
             ORDER BY end_ms, subscription, number LIMIT ?5",
        ))?;
        let (end, subscription, number) = match after {
            Some(row) => (row.end.as_millisecond(), row.subscription.0, row.number),
            None => (i64::MIN, 0, 0),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map((now.as_millisecond(), end, subscription, number, limit), period)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Closes a period. False if it is closed already.
    pub(crate) fn close_period(
        &mut self,
        row: &PeriodRow,
        billed: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let closed = self
            .sql(
                "UPDATE periods SET closed_ms = ?3, billed = ?4
                 WHERE subscription = ?1 AND number = ?2 AND closed_ms IS NULL",
            )?
            .execute((row.subscription.0, row.number, now.as_millisecond(), billed))?;
        Ok(closed == 1)
    }

    /// Closes the periods of a subscription that have not begun, which end with it: they are owed
    /// nothing. A gateway that does not know yet may still let calls through; these are counted in
    /// them, and never late.
    pub(crate) fn close_coming_periods(
        &mut self,
        subscription: SubscriptionId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql(
            "UPDATE periods SET closed_ms = ?2
             WHERE subscription = ?1 AND start_ms >= ?2 AND closed_ms IS NULL",
        )?
        .execute((subscription.0, now.as_millisecond()))?;
        Ok(())
    }

    /// Prices the periods of a subscription that have not begun by its new product.
    pub(crate) fn change_coming_products(
        &mut self,
        subscription: SubscriptionId,
        product: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql(
            "UPDATE periods SET product = ?2
             WHERE subscription = ?1 AND start_ms > ?3 AND closed_ms IS NULL",
        )?
        .execute((subscription.0, product, now.as_millisecond()))?;
        Ok(())
    }

    /// Closed periods of a subscription with billable calls that are on no invoice.
    pub(crate) fn late_periods(
        &self,
        subscription: SubscriptionId,
    ) -> Result<Vec<PeriodRow>, StoreError> {
        // The index is named because SQLite would read all of a subscription's periods instead.
        let mut statement = self.sql(&select(
            "INDEXED BY periods_late WHERE subscription = ?1 AND late = 1 ORDER BY number",
        ))?;
        let rows = statement.query_map([subscription.0], period)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest late period of each ended subscription that has no period to be closed.
    pub(crate) fn late_and_ended(&self) -> Result<Vec<PeriodRow>, StoreError> {
        let mut statement = self.sql(&select(
            "AS late WHERE late.late = 1
               AND (SELECT ended_ms FROM subscriptions WHERE id = late.subscription) IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM periods AS open INDEXED BY periods_open_of
                   WHERE open.subscription = late.subscription AND open.closed_ms IS NULL)
               AND NOT EXISTS (SELECT 1 FROM periods AS newer INDEXED BY periods_late
                   WHERE newer.subscription = late.subscription AND newer.late = 1
                     AND newer.number > late.number)",
        ))?;
        let rows = statement.query_map([], period)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that what came late for a closed period is on an invoice.
    pub(crate) fn settle_late(&mut self, row: &PeriodRow, billed: u64) -> Result<(), StoreError> {
        self.sql(
            "UPDATE periods SET late = 0, billed = ?3 WHERE subscription = ?1 AND number = ?2",
        )?
        .execute((row.subscription.0, row.number, billed))?;
        Ok(())
    }
}
