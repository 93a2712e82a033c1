//! What was used: counters by subscription and billing period, refusals from the rows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::SubscriptionId;

use super::subscriptions::find;
use super::{Refusal, Request};
use crate::store::{Ledger, PeriodRow};

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

impl Request for ReadUsage {
    type Answer = UsageReport;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<UsageReport, Refusal> {
        if let Some(id) = self.subscription {
            find(ledger, id)?;
        }
        let begun = ledger.begun_periods(self.subscription, now, MAX_REPORTED_PERIODS)?;
        let truncated = u32::try_from(begun.len()).is_ok_and(|n| n >= MAX_REPORTED_PERIODS);
        let mut report = UsageReport { truncated, ..UsageReport::default() };
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

fn of_period(ledger: &Ledger<'_>, period: &PeriodRow) -> Result<PeriodUsage, Refusal> {
    let subscription = find(ledger, period.subscription)?.public;
    let counters = ledger.counters(period.subscription, period.number)?;
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
        admitted: counters.admitted,
        billable: counters.billable,
        waived: counters.waived,
        open: counters.open(),
        refused: sum(&refused_by_reason),
        refused_by_reason,
        would_refuse: sum(&would_refuse_by_reason),
        would_refuse_by_reason,
    })
}

fn sum(by_reason: &BTreeMap<String, u64>) -> u64 {
    by_reason.values().fold(0, |sum, calls| sum.saturating_add(*calls))
}

#[cfg(test)]
mod tests {
    use tollgate_pricing::sync::{Outcome, Reason, Row, SyncRequest};

    use super::super::testing::{World, batch, boot, nothing};
    use super::*;

    #[test]
    fn what_would_have_been_refused_is_counted_apart() {
        let mut world = World::new();
        let gateway = world.gateway("edge");
        let id = world.subscribe("free");
        let minute = u32::try_from(world.now.as_second() / 60).unwrap();
        let row = |subscription, outcome, would_refuse, calls| Row {
            period: 0,
            bytes: 0,
            units: 0,
            subscription,
            api: None,
            operation: None,
            status: 200,
            outcome,
            would_refuse,
            minute,
            calls,
            latency_us: 0,
        };
        let rows = [
            row(Some(id), Outcome::Billable, None, 1),
            row(Some(id), Outcome::Billable, Some(Reason::RateLimited), 2),
            row(Some(id), Outcome::Billable, Some(Reason::QuotaExceeded), 4),
            row(Some(id), Outcome::Open, Some(Reason::SubscriptionInactive), 8),
            row(Some(id), Outcome::Refused(Reason::RateLimited), None, 16),
            row(None, Outcome::Open, None, 32),
            row(None, Outcome::Open, Some(Reason::MissingKey), 64),
        ];
        let request = SyncRequest { rows: Some(batch(9, 1, &rows)), ..nothing(boot(1)) };
        world.sync(gateway, request);
        let report = world.ask(ReadUsage { subscription: None }).unwrap();
        let period = &report.periods[0];
        assert_eq!((period.refused, period.would_refuse), (16, 14));
        let reasons = format!("{:?}", period.would_refuse_by_reason);
        assert_eq!(
            reasons,
            r#"{"quota_exceeded": 4, "rate_limited": 2, "subscription_inactive": 8}"#
        );
        let unidentified = &report.unidentified;
        assert_eq!((unidentified.open_operations, unidentified.would_refuse), (32, 64));
    }

    #[test]
    fn a_report_says_when_it_is_cut() {
        let mut world = World::new();
        let id = world.subscribe("over");
        world.pass(10 * 60);
        assert!(!world.ask(ReadUsage { subscription: None }).unwrap().truncated);
        // Periods are written ahead: these have begun some minutes later.
        for _ in 0..1_000 {
            world.subscribe("over");
        }
        world.pass(11 * 60);
        assert!(world.ask(ReadUsage { subscription: None }).unwrap().truncated);
        assert!(!world.ask(ReadUsage { subscription: Some(id) }).unwrap().truncated);
    }
}
