//! Rows as they are reported: added up by what tells calls apart.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::CachedStatement;
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::Histogram;

use super::column::{self, halves, sum};
use super::{Ledger, StoreError};

/// Histograms read for one report: the newest.
const MAX_HISTOGRAMS: u32 = 100_000;

/// What tells calls apart in a report, as a column of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    Operation,
    Status,
    Country,
    Hour,
}

/// What these calls have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum DetailKey {
    Operation(Option<String>, Option<String>),
    Status(u16),
    Country(String),
    /// Unix hour.
    Hour(i64),
}

/// What became of calls, whatever the reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Billable,
    Waived,
    Open,
    Refused,
}

/// Rows added up, each number at most SQLite's largest integer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) calls: u64,
    pub(crate) latency_us: u64,
    pub(crate) bytes: u64,
    pub(crate) units: u64,
}

/// How long calls took.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Times {
    pub(crate) longest_us: u64,
    pub(crate) histogram: Histogram,
}

/// Admitted calls are in the counters of a period. Rows of one that this ledger never had belong to
/// what is unattributed; rows that a gateway merged beyond their subscription have none.
const COUNTED: &str = "(subscription IS NULL OR outcome IN ('open', 'refused') OR EXISTS (
     SELECT 1 FROM periods
     WHERE periods.subscription = calls.subscription AND number = period))";
/// Countries have no period.
const KNOWN: &str = "(subscription IS NULL OR EXISTS (
     SELECT 1 FROM subscriptions WHERE id = places.subscription))";

impl Ledger<'_> {
    /// Rows of one subscription, or of all, by what tells them apart and what became of them.
    pub(crate) fn detail(
        &self,
        by: Detail,
        subscription: Option<SubscriptionId>,
    ) -> Result<Vec<(DetailKey, Fate, Sums)>, StoreError> {
        let (table, counted, key) = match by {
            Detail::Operation => ("calls", COUNTED, "api, operation"),
            Detail::Status => ("calls", COUNTED, "status, NULL"),
            Detail::Hour => ("calls", COUNTED, "minute / 60, NULL"),
            Detail::Country => ("places", KNOWN, "country, NULL"),
        };
        let units = if by == Detail::Country { "0, 0".to_owned() } else { halves("units") };
        let (calls, latency, bytes) = (halves("calls"), halves("latency_us"), halves("bytes"));
        let whose = whose(subscription);
        let mut statement = self.sql(&format!(
            "SELECT outcome, {calls}, {latency}, {bytes}, {units}, {key} FROM {table}
             WHERE {whose} AND {counted} GROUP BY outcome, {key}"
        ))?;
        let mut rows = query(&mut statement, subscription)?;
        let mut detail = Vec::new();
        while let Some(row) = rows.next()? {
            let key = match by {
                Detail::Operation => DetailKey::Operation(row.get(9)?, row.get(10)?),
                Detail::Status => DetailKey::Status(row.get(9)?),
                Detail::Country => DetailKey::Country(row.get(9)?),
                Detail::Hour => DetailKey::Hour(row.get(9)?),
            };
            let sums = Sums {
                calls: sum(row, 1)?,
                latency_us: sum(row, 3)?,
                bytes: sum(row, 5)?,
                units: sum(row, 7)?,
            };
            detail.push((key, fate(row.get_ref(0)?.as_str().unwrap_or_default())?, sums));
        }
        Ok(detail)
    }

    /// How long calls took, by operation: as far as the newest histograms tell.
    pub(crate) fn times(
        &self,
        subscription: Option<SubscriptionId>,
    ) -> Result<BTreeMap<DetailKey, Times>, StoreError> {
        let whose = whose(subscription);
        let mut statement = self.sql(&format!(
            "SELECT api, operation, max_us, histogram FROM latencies WHERE {whose}
             ORDER BY rowid DESC LIMIT {MAX_HISTOGRAMS}"
        ))?;
        let mut rows = query(&mut statement, subscription)?;
        let mut times: BTreeMap<DetailKey, Times> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let key = DetailKey::Operation(row.get(0)?, row.get(1)?);
            let sum = times.entry(key).or_default();
            sum.longest_us = sum.longest_us.max(row.get(2)?);
            sum.histogram.merge(&column::json(row, 3)?);
        }
        Ok(times)
    }

    /// Batches of rows that never came, of all processes.
    pub(crate) fn missing_batches(&self) -> Result<u64, StoreError> {
        let mut statement =
            self.sql("SELECT coalesce(sum(min(missing, 4294967296)), 0) FROM incarnations")?;
        Ok(statement.query_row([], |row| row.get(0))?)
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
}

/// Whose rows: by the expression of the tables' indexes.
fn whose(subscription: Option<SubscriptionId>) -> &'static str {
    if subscription.is_some() { "coalesce(subscription, 0) = ?1" } else { "?1 IS NULL" }
}

fn query<'s>(
    statement: &'s mut CachedStatement<'_>,
    subscription: Option<SubscriptionId>,
) -> Result<rusqlite::Rows<'s>, rusqlite::Error> {
    statement.query([subscription.map(|id| id.0)])
}

fn fate(word: &str) -> Result<Fate, StoreError> {
    match word {
        "billable" => Ok(Fate::Billable),
        "waived" => Ok(Fate::Waived),
        "open" => Ok(Fate::Open),
        "refused" => Ok(Fate::Refused),
        _ => Err(StoreError::damaged("an outcome", word)),
    }
}
