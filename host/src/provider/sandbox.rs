//! The built-in provider: it charges nobody and remembers everything, in a file of its own.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::money::{Amount, Currency};

use super::ProviderError;
use crate::core::charges::{Charge, Outcome};
use crate::core::invoice::InvoiceNumber;
use crate::store::{OpenError, StoreError, connect, parsed, time};

/// Its database in a ledger's directory.
pub const SANDBOX_FILE: &str = "sandbox.db";

/// A charge the sandbox has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Received {
    /// The sandbox's name of it.
    pub reference: String,
    /// What makes it one, however often it is sent.
    pub idempotency_key: String,
    /// What it pays.
    pub invoice: InvoiceNumber,
    /// For what.
    #[serde(with = "crate::core::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// Who pays.
    pub consumer: String,
    /// How much.
    pub amount: Amount,
    /// When it first came.
    pub received: Timestamp,
}

/// The sandbox's books.
#[derive(Debug)]
pub struct Sandbox {
    connection: Connection,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS charges (
        id              INTEGER PRIMARY KEY,
        idempotency_key TEXT    NOT NULL UNIQUE,
        invoice         TEXT    NOT NULL,
        subscription    INTEGER NOT NULL,
        consumer        TEXT    NOT NULL,
        amount_minor    INTEGER NOT NULL,
        currency        TEXT    NOT NULL,
        received_ms     INTEGER NOT NULL
    ) STRICT;
";

impl Sandbox {
    /// Opens the sandbox beside a ledger, or makes one.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(SANDBOX_FILE);
        Self::with(connect(&path)?).map_err(|error| OpenError::Database { path, error })
    }

    /// A sandbox in memory, for simulations and tests.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::with(Connection::open_in_memory()?)
    }

    fn with(connection: Connection) -> Result<Self, StoreError> {
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection })
    }

    /// Charges once per idempotency key; the same charge again gets the same answer.
    pub fn charge(&mut self, now: Timestamp, charge: &Charge) -> Result<Outcome, ProviderError> {
        let received = self
            .insert(now, charge)
            .map_err(|error| ProviderError::Unavailable(StoreError::from(error).to_string()))?;
        let same = received.invoice == charge.invoice
            && received.subscription == charge.subscription
            && received.consumer == charge.consumer
            && received.amount == charge.amount;
        if !same {
            return Err(ProviderError::KeyReused(charge.idempotency_key.clone()));
        }
        Ok(Outcome::Accepted { reference: received.reference })
    }

    fn insert(&mut self, now: Timestamp, charge: &Charge) -> Result<Received, rusqlite::Error> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT INTO charges (idempotency_key, invoice, subscription, consumer,
                 amount_minor, currency, received_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (idempotency_key) DO NOTHING",
            (
                &charge.idempotency_key,
                charge.invoice.to_string(),
                charge.subscription.0,
                &charge.consumer,
                charge.amount.minor(),
                charge.amount.currency().to_string(),
                now.as_millisecond(),
            ),
        )?;
        let received = transaction.query_row(
            &format!("SELECT {COLUMNS} FROM charges WHERE idempotency_key = ?1"),
            [&charge.idempotency_key],
            received,
        )?;
        transaction.commit()?;
        Ok(received)
    }

    /// Everything it was asked to charge, in the order it came.
    pub fn charges(&self) -> Result<Vec<Received>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM charges ORDER BY id"))?;
        let rows = statement.query_map([], received)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

const COLUMNS: &str = "id, idempotency_key, invoice, subscription, consumer,
                       amount_minor, currency, received_ms";

fn received(row: &Row<'_>) -> Result<Received, rusqlite::Error> {
    let currency: Currency = parsed(row, 6)?;
    Ok(Received {
        reference: format!("sandbox_{:06}", row.get::<_, u64>(0)?),
        idempotency_key: row.get(1)?,
        invoice: parsed(row, 2)?,
        subscription: SubscriptionId(row.get(3)?),
        consumer: row.get(4)?,
        amount: Amount::new(row.get(5)?, currency),
        received: time(row, 7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(key: &str, minor: i64) -> Charge {
        Charge {
            id: 1,
            idempotency_key: key.to_owned(),
            invoice: "2026-000001".parse().unwrap(),
            subscription: SubscriptionId(1),
            consumer: "acme".to_owned(),
            amount: Amount::new(minor, "USD".parse().unwrap()),
        }
    }

    #[test]
    fn a_key_charges_once() {
        let mut sandbox = Sandbox::in_memory().unwrap();
        let mut check = |key: &str, minor, expected: &str| {
            let now = Timestamp::UNIX_EPOCH;
            let found = match sandbox.charge(now, &charge(key, minor)) {
                Ok(outcome) => format!("{outcome:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{key} {minor}");
        };
        check("a", 15, "Accepted { reference: \"sandbox_000001\" }");
        check("a", 15, "Accepted { reference: \"sandbox_000001\" }");
        let reused = "the payment provider has another charge under the idempotency key a";
        check("a", 16, reused);
        check("b", 16, "Accepted { reference: \"sandbox_000002\" }");
        let charges = sandbox.charges().unwrap();
        let amounts: Vec<_> = charges.iter().map(|charge| charge.amount.minor()).collect();
        assert_eq!(amounts, [15, 16]);
    }
}
