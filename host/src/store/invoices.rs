//! Invoices, their lines, and the outbox of charges.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::money::{Amount, Currency};
use tollgate_pricing::quote::Line;

use super::{Ledger, StoreError, column};
use crate::core::charges::{Charge, ChargeState};
use crate::core::invoice::{Invoice, InvoiceLine, InvoiceNumber};

/// An invoice's columns, joined with its period's and its newest charge's.
const INVOICES: &str = "
    SELECT i.year, i.place, i.subscription, i.consumer, i.product, i.period, p.start_ms, p.end_ms,
        i.issued_ms, i.calls, i.total_minor, i.currency, c.state, c.said
    FROM invoices AS i
    JOIN periods AS p ON p.subscription = i.subscription AND p.number = i.period
    LEFT JOIN charges AS c ON c.year = i.year AND c.place = i.place AND c.revision =
        (SELECT max(revision) FROM charges WHERE year = i.year AND place = i.place)";

fn invoice(row: &Row<'_>) -> Result<Invoice, rusqlite::Error> {
    let currency: Currency = column::parsed(row, 11)?;
    let charge = match row.get_ref(12)? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(charge_state(row, 12)?),
    };
    Ok(Invoice {
        number: Some(number(row)?),
        subscription: SubscriptionId(row.get(2)?),
        consumer: row.get(3)?,
        product: row.get(4)?,
        period: row.get(5)?,
        start: column::time(row, 6)?,
        end: column::time(row, 7)?,
        issued: column::time(row, 8)?,
        calls: row.get(9)?,
        lines: Vec::new(),
        total: Amount::new(row.get(10)?, currency),
        charge,
    })
}

fn number(row: &Row<'_>) -> Result<InvoiceNumber, rusqlite::Error> {
    Ok(InvoiceNumber { year: row.get(0)?, place: row.get(1)? })
}

/// A charge to be put into the outbox.
pub(crate) struct NewCharge<'a> {
    pub(crate) invoice: InvoiceNumber,
    pub(crate) revision: u32,
    pub(crate) idempotency_key: &'a str,
}

/// Where a charge in the outbox is.
pub(crate) struct ChargeRow {
    pub(crate) charge: Charge,
    /// How often it was claimed.
    pub(crate) attempts: u32,
}

impl Ledger<'_> {
    /// The number after the newest of this year.
    pub(crate) fn next_invoice_number(&self, year: i16) -> Result<InvoiceNumber, StoreError> {
        let mut statement =
            self.sql("SELECT coalesce(max(place), 0) + 1 FROM invoices WHERE year = ?1")?;
        let place = statement.query_row([year], |row| row.get(0))?;
        Ok(InvoiceNumber { year, place })
    }

    /// Adds an invoice with its lines.
    pub(crate) fn insert_invoice(
        &mut self,
        number: InvoiceNumber,
        invoice: &Invoice,
        correction: bool,
    ) -> Result<(), StoreError> {
        self.sql(
            "INSERT INTO invoices (year, place, subscription, period, correction, product,
                 consumer, issued_ms, calls, total_minor, currency)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute((
            number.year,
            number.place,
            invoice.subscription.0,
            invoice.period,
            correction,
            &invoice.product,
            &invoice.consumer,
            invoice.issued.as_millisecond(),
            invoice.calls,
            invoice.total.minor(),
            invoice.total.currency().to_string(),
        ))?;
        let mut statement = self.sql(
            "INSERT INTO invoice_lines (year, place, position, adjusts, description, calls,
                 quantity, unit_price, amount_minor)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for (position, InvoiceLine { adjusts, line }) in (1_i64..).zip(&invoice.lines) {
            statement.execute((
                number.year,
                number.place,
                position,
                adjusts,
                &line.description,
                line.calls,
                line.quantity,
                &line.unit_price,
                line.amount.minor(),
            ))?;
        }
        Ok(())
    }

    /// One invoice.
    pub(crate) fn invoice(&self, number: InvoiceNumber) -> Result<Option<Invoice>, StoreError> {
        let mut statement = self.sql(&format!("{INVOICES} WHERE i.year = ?1 AND i.place = ?2"))?;
        let found = statement.query_row((number.year, number.place), invoice).optional()?;
        found.map(|invoice| self.with_lines(invoice)).transpose()
    }

    /// The newest invoices, newest first.
    pub(crate) fn invoices(&self, limit: u32) -> Result<Vec<Invoice>, StoreError> {
        let mut statement =
            self.sql(&format!("{INVOICES} ORDER BY i.year DESC, i.place DESC LIMIT ?1"))?;
        let rows = statement.query_map([limit], invoice)?;
        rows.map(|row| self.with_lines(row?)).collect()
    }

    fn with_lines(&self, mut invoice: Invoice) -> Result<Invoice, StoreError> {
        let Some(number) = invoice.number else {
            return Ok(invoice);
        };
        let currency = invoice.total.currency();
        let mut statement = self.sql(
            "SELECT adjusts, description, calls, quantity, unit_price, amount_minor
             FROM invoice_lines WHERE year = ?1 AND place = ?2 ORDER BY position",
        )?;
        let rows = statement.query_map((number.year, number.place), |row| {
            Ok(InvoiceLine {
                adjusts: row.get(0)?,
                line: Line {
                    description: row.get(1)?,
                    calls: row.get(2)?,
                    quantity: row.get(3)?,
                    unit_price: row.get(4)?,
                    amount: Amount::new(row.get(5)?, currency),
                },
            })
        })?;
        invoice.lines = rows.collect::<Result<_, _>>()?;
        Ok(invoice)
    }

    /// Puts a charge into the outbox, due at once.
    pub(crate) fn insert_charge(
        &mut self,
        charge: &NewCharge<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql(
            "INSERT INTO charges (year, place, revision, idempotency_key, state, attempts, due_ms)
             VALUES (?1, ?2, ?3, ?4, 'pending', 0, ?5)",
        )?
        .execute((
            charge.invoice.year,
            charge.invoice.place,
            charge.revision,
            charge.idempotency_key,
            now.as_millisecond(),
        ))?;
        Ok(())
    }

    /// Charges that are not settled and due, oldest first.
    pub(crate) fn due_charges(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ChargeRow>, StoreError> {
        let mut statement = self.sql(
            "SELECT year, place, c.id, idempotency_key, subscription, consumer, total_minor,
                 currency, attempts
             FROM charges AS c JOIN invoices AS i USING (year, place)
             WHERE state IN ('pending', 'in_flight') AND due_ms <= ?1
             ORDER BY due_ms, c.id LIMIT ?2",
        )?;
        let rows = statement.query_map((now.as_millisecond(), limit), |row| {
            let currency = column::parsed(row, 7)?;
            Ok(ChargeRow {
                charge: Charge {
                    id: row.get(2)?,
                    idempotency_key: row.get(3)?,
                    invoice: number(row)?,
                    subscription: SubscriptionId(row.get(4)?),
                    consumer: row.get(5)?,
                    amount: Amount::new(row.get(6)?, currency),
                },
                attempts: row.get(8)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that a charge is being sent, and when it is due again.
    pub(crate) fn claim_charge(
        &mut self,
        id: u64,
        now: Timestamp,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql(
            "UPDATE charges SET state = 'in_flight', attempts = attempts + 1, due_ms = ?3,
                 first_attempt_ms = coalesce(first_attempt_ms, ?2)
             WHERE id = ?1",
        )?
        .execute((id, now.as_millisecond(), due.as_millisecond()))?;
        Ok(())
    }

    /// How far a charge is.
    pub(crate) fn charge_state(&self, id: u64) -> Result<Option<ChargeState>, StoreError> {
        if i64::try_from(id).is_err() {
            return Ok(None);
        }
        let mut statement = self.sql("SELECT state, said FROM charges WHERE id = ?1")?;
        Ok(statement.query_row([id], |row| charge_state(row, 0)).optional()?)
    }

    /// Writes what a provider said of a charge.
    pub(crate) fn settle_charge(&mut self, id: u64, state: &ChargeState) -> Result<(), StoreError> {
        let (word, said) = match state {
            ChargeState::Pending => ("pending", None),
            ChargeState::InFlight => ("in_flight", None),
            ChargeState::Accepted { reference } => ("accepted", Some(reference)),
            ChargeState::Rejected { message } => ("rejected", Some(message)),
        };
        self.sql("UPDATE charges SET state = ?2, said = ?3 WHERE id = ?1")?
            .execute((id, word, said))?;
        Ok(())
    }
}

fn charge_state(row: &Row<'_>, column: usize) -> Result<ChargeState, rusqlite::Error> {
    let said = row.get::<_, Option<String>>(column.saturating_add(1))?.unwrap_or_default();
    Ok(match row.get_ref(column)?.as_str()? {
        "accepted" => ChargeState::Accepted { reference: said },
        "rejected" => ChargeState::Rejected { message: said },
        "in_flight" => ChargeState::InFlight,
        _ => ChargeState::Pending,
    })
}
