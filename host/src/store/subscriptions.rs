//! Subscriptions, and the one sequence of their changes and their keys'.

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row};
use tollgate_pricing::id::SubscriptionId;

use super::{Ledger, StoreError, column};
use crate::core::subscriptions::{State, Subscription};

/// A subscription, with what only the ledger cares for.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionRow {
    pub(crate) public: Subscription,
    /// Gateways admit it only under this catalog or a later one.
    pub(crate) catalog: u32,
    pub(crate) revision: u64,
    /// The newest period with a row; 0 if none has.
    pub(crate) last_period: u32,
    /// That period's end; the anchor if none has a row.
    pub(crate) covered: Timestamp,
}

const COLUMNS: &str = "id, name, product, consumer, state, created_ms, anchor_ms, expires_ms,
                       ended_ms, catalog, revision, last_period, covered_ms";

fn subscription(row: &Row<'_>) -> Result<SubscriptionRow, rusqlite::Error> {
    let word = row.get_ref(4)?.as_str()?;
    let Some(state) = State::ALL.into_iter().find(|state| state.word() == word) else {
        let error = format!("a state cannot be {word}").into();
        return Err(rusqlite::Error::FromSqlConversionFailure(4, Type::Text, error));
    };
    Ok(SubscriptionRow {
        public: Subscription {
            id: SubscriptionId(row.get(0)?),
            name: row.get(1)?,
            product: row.get(2)?,
            consumer: row.get(3)?,
            state,
            created: column::time(row, 5)?,
            anchor: column::time(row, 6)?,
            expires: column::optional_time(row, 7)?,
            ended: column::optional_time(row, 8)?,
        },
        catalog: row.get(9)?,
        revision: row.get(10)?,
        last_period: row.get(11)?,
        covered: column::time(row, 12)?,
    })
}

impl Ledger<'_> {
    /// The revision of the last change.
    pub(crate) fn revision(&self) -> Result<u64, StoreError> {
        let mut statement = self.sql("SELECT revision FROM ledger")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Takes the next revision, for one change.
    pub(crate) fn next_revision(&mut self) -> Result<u64, StoreError> {
        let mut statement =
            self.sql("UPDATE ledger SET revision = revision + 1 RETURNING revision")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// One subscription.
    pub(crate) fn subscription(
        &self,
        id: SubscriptionId,
    ) -> Result<Option<SubscriptionRow>, StoreError> {
        // Ids are SQLite's own: one past its integers is nobody's.
        if i64::try_from(id.0).is_err() {
            return Ok(None);
        }
        let mut statement = self.sql(&select("WHERE id = ?1"))?;
        Ok(statement.query_row([id.0], subscription).optional()?)
    }

    /// All subscriptions, in the order they were made.
    pub(crate) fn subscriptions(&self) -> Result<Vec<SubscriptionRow>, StoreError> {
        let mut statement = self.sql(&select("ORDER BY id"))?;
        let rows = statement.query_map([], subscription)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds a subscription and gives it its id; `row.public.id` is not read.
    pub(crate) fn insert_subscription(
        &mut self,
        row: &SubscriptionRow,
    ) -> Result<SubscriptionId, StoreError> {
        let public = &row.public;
        self.sql(
            "INSERT INTO subscriptions (name, product, consumer, state, created_ms, anchor_ms,
                 expires_ms, ended_ms, catalog, revision, last_period, covered_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute((
            &public.name,
            &public.product,
            &public.consumer,
            public.state.word(),
            public.created.as_millisecond(),
            public.anchor.as_millisecond(),
            public.expires.map(Timestamp::as_millisecond),
            public.ended.map(Timestamp::as_millisecond),
            row.catalog,
            row.revision,
            row.last_period,
            row.covered.as_millisecond(),
        ))?;
        Ok(SubscriptionId(self.inserted_id()?))
    }

    /// Writes all of a subscription that may change but how far its periods go.
    pub(crate) fn update_subscription(&mut self, row: &SubscriptionRow) -> Result<(), StoreError> {
        let public = &row.public;
        self.sql(
            "UPDATE subscriptions SET product = ?2, state = ?3, anchor_ms = ?4, expires_ms = ?5,
                 ended_ms = ?6, catalog = ?7, revision = ?8
             WHERE id = ?1",
        )?
        .execute((
            public.id.0,
            &public.product,
            public.state.word(),
            public.anchor.as_millisecond(),
            public.expires.map(Timestamp::as_millisecond),
            public.ended.map(Timestamp::as_millisecond),
            row.catalog,
            row.revision,
        ))?;
        Ok(())
    }

    /// Writes how far a subscription's periods go.
    pub(crate) fn update_cover(&mut self, row: &SubscriptionRow) -> Result<(), StoreError> {
        self.sql("UPDATE subscriptions SET last_period = ?2, covered_ms = ?3 WHERE id = ?1")?
            .execute((row.public.id.0, row.last_period, row.covered.as_millisecond()))?;
        Ok(())
    }

    /// Live subscriptions whose periods all ended.
    pub(crate) fn uncovered(&self, now: Timestamp) -> Result<Vec<SubscriptionRow>, StoreError> {
        let mut statement = self
            .sql(&select("WHERE ended_ms IS NULL AND state <> 'submitted' AND covered_ms <= ?1"))?;
        let rows = statement.query_map([now.as_millisecond()], subscription)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Live subscriptions whose time has run out, the first to end first.
    pub(crate) fn run_out(&self, now: Timestamp) -> Result<Vec<SubscriptionRow>, StoreError> {
        let mut statement = self.sql(&select(
            "INDEXED BY subscriptions_by_expiry
             WHERE ended_ms IS NULL AND expires_ms IS NOT NULL AND expires_ms <= ?1
             ORDER BY expires_ms, id",
        ))?;
        let rows = statement.query_map([now.as_millisecond()], subscription)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many subscriptions of a product have not ended.
    pub(crate) fn live_subscriptions(&self, product: &str) -> Result<u64, StoreError> {
        let mut statement =
            self.sql("SELECT count(*) FROM subscriptions WHERE product = ?1 AND ended_ms IS NULL")?;
        Ok(statement.query_row([product], |row| row.get(0))?)
    }

    /// Whether there ever was a subscription.
    pub(crate) fn has_subscriptions(&self) -> Result<bool, StoreError> {
        let mut statement = self.sql("SELECT 1 FROM subscriptions LIMIT 1")?;
        Ok(statement.exists([])?)
    }

    /// Subscriptions changed after a revision, each with its own, oldest change first.
    pub(crate) fn subscriptions_since(
        &self,
        revision: i64,
        limit: usize,
    ) -> Result<Vec<(u64, SubscriptionId)>, StoreError> {
        let mut statement = self.sql(
            "SELECT revision, id FROM subscriptions WHERE revision > ?1
             ORDER BY revision LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map((revision, limit), |row| Ok((row.get(0)?, SubscriptionId(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn select(which: &str) -> String {
    format!("SELECT {COLUMNS} FROM subscriptions {which}")
}
