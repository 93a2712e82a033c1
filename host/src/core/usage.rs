//! What was used: counters by subscription and billing period, refusals from the rows.
//!
//! Counters are what is billed; [`detail`] tells what the calls in them looked like.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::catalog::Product;
use tollgate_pricing::gate::Meter;
use tollgate_pricing::id::{SubscriptionId, Tag};

use super::subscriptions::find;
use super::{Refusal, Request};
use crate::store::{Ledger, PeriodRow};

pub mod detail;

/// Periods in one report: the newest.
pub const MAX_REPORTED_PERIODS: u32 = 10_000;

/// Usage of one subscription, or of all -> [`UsageReport`].
#[derive(Debug)]
pub struct ReadUsage {
    /// Whose; everybody's if none.
    pub subscription: Option<SubscriptionId>,
}

/// What was used.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UsageReport {
    /// By subscription and period, in that order; periods in which nothing happened are left out,
    /// but for the current one of a subscription that has not ended.
    pub periods: Vec<PeriodUsage>,
    /// Calls without a subscription: refused ones, and those of open operations. Empty when one
    /// subscription was asked for.
    pub unidentified: Unidentified,
    /// What was counted for subscriptions or periods that this ledger never had, as after a restore
    /// from an old backup: it is billed to nobody, and somebody must look.
    pub unattributed: Vec<Unattributed>,
    /// Batches of rows that never came, of all processes: without them refusals may be missing.
    pub missing_batches: u64,
    /// Whether only the newest [`MAX_REPORTED_PERIODS`] were looked at, and older ones may be left
    /// out.
    pub truncated: bool,
}

/// What a subscription used in one billing period: admitted = billable + waived + open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeriodUsage {
    /// Whose.
    #[serde(with = "super::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// The product that prices it.
    pub product: String,
    /// Who pays.
    pub consumer: String,
    /// Which of its billing periods, from 1.
    pub period: u32,
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
    /// Whether it can still change.
    pub state: PeriodState,
    /// Calls let through.
    pub admitted: u64,
    /// Of these, billed.
    pub billable: u64,
    /// Of these, not billed.
    pub waived: u64,
    /// Of these, not settled yet.
    pub open: u64,
    /// What the billable ones took of each of the product's meters, by its name: `weight`, `bytes`,
    /// `header x-tokens`; by its tag if no product knows it any more.
    pub meters: BTreeMap<String, u64>,
    /// Calls the gate answered itself.
    pub refused: u64,
    /// The same by reason.
    pub refused_by_reason: BTreeMap<String, u64>,
    /// Calls that passed although a limit would have refused them, or the whole gateway, which only
    /// observe. Those of a limit are among those admitted, those of a gateway are not.
    pub would_refuse: u64,
    /// The same by reason.
    pub would_refuse_by_reason: BTreeMap<String, u64>,
}

/// Whether a billing period can still change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodState {
    /// It can.
    Open,
    /// It is billed, and what comes late becomes a line of the next invoice; or it had not begun
    /// when its subscription ended, and is not billed.
    Closed,
}

/// Calls whose subscription is not known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Unidentified {
    /// Calls of open operations.
    pub open_operations: u64,
    /// Calls the gate answered itself.
    pub refused: u64,
    /// The same by reason.
    pub refused_by_reason: BTreeMap<String, u64>,
    /// Calls that passed a gateway which only observes, and would have been refused.
    pub would_refuse: u64,
    /// The same by reason.
    pub would_refuse_by_reason: BTreeMap<String, u64>,
}

/// What processes counted for a subscription or period that this ledger never had.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unattributed {
    /// Whose, by the number the process knows.
    #[serde(with = "super::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// Which of its billing periods, likewise.
    pub period: u32,
    /// Calls let through.
    pub admitted: u64,
    /// Of these, what would have been billed.
    pub billable: u64,
    /// Of these, what would not.
    pub waived: u64,
    /// What the billable ones took, as in [`PeriodUsage::meters`].
    pub meters: BTreeMap<String, u64>,
    /// When it was first reported.
    pub first_reported: Timestamp,
}

impl Request for ReadUsage {
    type Answer = UsageReport;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<UsageReport, Refusal> {
        let unattributed = unattributed(ledger, self.subscription)?;
        if let Some(id) = self.subscription
            && unattributed.is_empty()
        {
            find(ledger, id)?;
        }
        let begun = ledger.begun_periods(self.subscription, now, MAX_REPORTED_PERIODS)?;
        let truncated = u32::try_from(begun.len()).is_ok_and(|n| n >= MAX_REPORTED_PERIODS);
        let mut report = UsageReport {
            unattributed,
            missing_batches: ledger.missing_batches()?,
            truncated,
            ..UsageReport::default()
        };
        for period in begun {
            let usage = of_period(ledger, &period)?;
            if usage.admitted > 0
                || usage.refused > 0
                || usage.would_refuse > 0
                || (period.end > now && period.closed.is_none())
            {
                report.periods.push(usage);
            }
        }
        if self.subscription.is_none() {
            let refused_by_reason = ledger.refused_calls(None, i64::MIN..i64::MAX)?;
            let would_refuse_by_reason = ledger.would_be_refused_calls(None, i64::MIN..i64::MAX)?;
            report.unidentified = Unidentified {
                open_operations: ledger.open_operation_calls()?,
                refused: sum(&refused_by_reason),
                refused_by_reason,
                would_refuse: sum(&would_refuse_by_reason),
                would_refuse_by_reason,
            };
        }
        Ok(report)
    }
}

fn of_period(ledger: &mut Ledger<'_>, period: &PeriodRow) -> Result<PeriodUsage, Refusal> {
    let subscription = find(ledger, period.subscription)?.public;
    let counters = ledger.counters(period.subscription, period.number)?;
    let metered = ledger.metered(period.subscription, period.number)?;
    let meters = if metered.is_empty() {
        BTreeMap::new()
    } else {
        named(&ledger.catalog(period.catalog)?.products, metered)
    };
    // Periods begin and end on whole minutes.
    let minute = |time: Timestamp| time.as_second().div_euclid(60);
    let minutes = minute(period.start)..minute(period.end);
    let refused_by_reason = ledger.refused_calls(Some(period.subscription), minutes.clone())?;
    let would_refuse_by_reason =
        ledger.would_be_refused_calls(Some(period.subscription), minutes)?;
    Ok(PeriodUsage {
        subscription: period.subscription,
        product: period.product.clone(),
        consumer: subscription.consumer,
        period: period.number,
        start: period.start,
        end: period.end,
        state: match period.closed {
            None => PeriodState::Open,
            Some(_) => PeriodState::Closed,
        },
        admitted: counters.admitted_at_least(),
        billable: counters.billable,
        waived: counters.waived,
        open: counters.open(),
        meters,
        refused: sum(&refused_by_reason),
        refused_by_reason,
        would_refuse: sum(&would_refuse_by_reason),
        would_refuse_by_reason,
    })
}

/// Everything that belongs to nobody here, at most [`MAX_REPORTED_PERIODS`].
fn unattributed(
    ledger: &mut Ledger<'_>,
    subscription: Option<SubscriptionId>,
) -> Result<Vec<Unattributed>, Refusal> {
    let catalog = match ledger.catalog_revision()? {
        Some(revision) => Some(ledger.catalog(revision)?),
        None => None,
    };
    let products = catalog.as_ref().map_or(&[][..], |catalog| &catalog.products);
    let most = usize::try_from(MAX_REPORTED_PERIODS).unwrap_or(usize::MAX);
    let found = ledger.unattributed(subscription)?.into_iter().take(most);
    let report = found.map(|((subscription, period), found)| Unattributed {
        subscription,
        period,
        admitted: found.counters.admitted_at_least(),
        billable: found.counters.billable,
        waived: found.counters.waived,
        meters: named(products, found.meters),
        first_reported: found.first,
    });
    Ok(report.collect())
}

/// Units by the meters' names, as far as these products know them.
fn named<'p>(
    products: impl IntoIterator<Item = &'p Product>,
    units: BTreeMap<Tag, u64>,
) -> BTreeMap<String, u64> {
    let theirs = products.into_iter().flat_map(Product::meters);
    let meters: Vec<Meter> = [Meter::Weight, Meter::Bytes].into_iter().chain(theirs).collect();
    let name = |tag: Tag| match meters.iter().find(|meter| meter.tag() == tag) {
        Some(Meter::Calls) => "calls".to_owned(),
        Some(Meter::Weight) => "weight".to_owned(),
        Some(Meter::Bytes) => "bytes".to_owned(),
        Some(Meter::Header(name)) => format!("header {name}"),
        None => tag.0.to_string(),
    };
    units.into_iter().map(|(tag, units)| (name(tag), units)).collect()
}

fn sum(by_reason: &BTreeMap<String, u64>) -> u64 {
    by_reason.values().fold(0, |sum, calls| sum.saturating_add(*calls))
}

#[cfg(test)]
mod tests;
