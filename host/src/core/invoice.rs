//! Invoices: numbered without gaps, made once, never changed.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tollgate_pricing::id::{BadId, SubscriptionId};
use tollgate_pricing::money::Amount;
use tollgate_pricing::quote::Line;

use super::charges::ChargeState;
use super::draft::draft;
use super::subscriptions::find;
use super::{Refusal, Request};
use crate::store::Ledger;

/// Invoices in one list.
pub const MAX_LISTED_INVOICES: u32 = 10_000;

/// The year an invoice was made in and its place in it, from 1 and without gaps: `2026-000001`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InvoiceNumber {
    /// UTC.
    pub year: i16,
    /// Counts from 1 in each year.
    pub place: u32,
}

impl fmt::Display for InvoiceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:06}", self.year, self.place)
    }
}

impl FromStr for InvoiceNumber {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let parse = || {
            let (year, place) = text.split_once('-')?;
            Some(Self { year: year.parse().ok()?, place: place.parse().ok()? })
        };
        parse().ok_or_else(|| BadId {
            expected: "an invoice like 2026-000001",
            found: text.to_owned(),
        })
    }
}

impl Serialize for InvoiceNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InvoiceNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::id::by_text(deserializer)
    }
}

/// What a billing period costs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invoice {
    /// Its number; none in a preview.
    pub number: Option<InvoiceNumber>,
    /// For what.
    #[serde(with = "super::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// Who pays.
    pub consumer: String,
    /// The id of the product that prices the period.
    pub product: String,
    /// Which of its billing periods.
    pub period: u32,
    /// The period's first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
    /// When it was made, or previewed.
    pub issued: Timestamp,
    /// Billable calls over all lines, late ones of earlier periods too.
    pub calls: u64,
    /// This period's lines, then what came late for earlier ones.
    pub lines: Vec<InvoiceLine>,
    /// The sum of the lines' amounts.
    pub total: Amount,
    /// How far its charge is; none if nothing is owed, or in a preview.
    pub charge: Option<ChargeState>,
}

/// One line of an invoice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InvoiceLine {
    /// The closed billing period this line corrects: it says what is billed on top. None for the
    /// invoice's own period.
    pub adjusts: Option<u32>,
    /// What, how much, for how much.
    #[serde(flatten)]
    pub line: Line,
}

/// The newest invoices, newest first, at most [`MAX_LISTED_INVOICES`] -> `Vec<Invoice>`.
#[derive(Debug)]
pub struct ListInvoices;

/// One invoice -> [`Invoice`].
#[derive(Debug)]
pub struct ReadInvoice(pub InvoiceNumber);

/// What the oldest open period would cost if it were closed now -> [`Invoice`] without a number.
#[derive(Debug)]
pub struct PreviewInvoice(pub SubscriptionId);

impl Request for ListInvoices {
    type Answer = Vec<Invoice>;

    fn apply(self, ledger: &mut Ledger<'_>, _now: Timestamp) -> Result<Vec<Invoice>, Refusal> {
        Ok(ledger.invoices(MAX_LISTED_INVOICES)?)
    }
}

impl Request for ReadInvoice {
    type Answer = Invoice;

    fn apply(self, ledger: &mut Ledger<'_>, _now: Timestamp) -> Result<Invoice, Refusal> {
        ledger.invoice(self.0)?.ok_or(Refusal::NoInvoice(self.0))
    }
}

impl Request for PreviewInvoice {
    type Answer = Invoice;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Invoice, Refusal> {
        let row = find(ledger, self.0)?;
        let period = ledger.oldest_open_period(self.0)?.ok_or(Refusal::NoOpenPeriod(self.0))?;
        Ok(draft(ledger, &row.public, &period, now)?.invoice)
    }
}
