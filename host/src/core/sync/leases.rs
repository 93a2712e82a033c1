//! Leases: units of a limit, given to processes that ask. What is out never grows past the limit
//! by a grant, whatever is asked, by whom, how often, in which order.
//!
//! A lease is counted as the larger of what is held and what was spent, so that an overdraft,
//! which a plan may allow, counts for everybody.

use jiff::Timestamp;
use tollgate_pricing::catalog::BillingPeriod;
use tollgate_pricing::gate::Rule;
use tollgate_pricing::id::{BootId, Tag};
use tollgate_pricing::sync::{
    Access, LeaseAnswer, LeaseAsk, LeaseOutcome, LeaseReport, RATE_PERIOD,
};

use super::super::{Refusal, catalog};
use super::{aside, quotas, rates};
use crate::store::{LeaseOf, LeaseRow, Ledger, Recalled, SubscriptionRow};

/// What becomes of an ask: all that was ever granted, for how long, and what that means.
pub(super) struct Answer {
    pub(super) granted: u64,
    pub(super) lasts_ms: Option<u64>,
    pub(super) outcome: LeaseOutcome,
}

impl Answer {
    pub(super) fn new(granted: u64, outcome: LeaseOutcome) -> Self {
        Self { granted, lasts_ms: None, outcome }
    }
}

/// A limit as one subscription has it.
pub(super) struct Leased {
    pub(super) rule: Rule,
    /// Its product's billing period.
    pub(super) every: BillingPeriod,
}

/// The limit of this tag, if the subscription's product has it and it is leased.
pub(super) fn leased(
    ledger: &mut Ledger<'_>,
    row: &SubscriptionRow,
    limit: Tag,
) -> Result<Option<Leased>, Refusal> {
    let (_, catalog) = catalog::in_force(ledger)?;
    let Some(product) = catalog.product(&row.public.product) else {
        return Ok(None);
    };
    let Some(found) = product.limits.iter().find(|candidate| candidate.tag() == limit) else {
        return Ok(None);
    };
    let rule = match ledger.override_of(row.public.id, limit)? {
        Some(own) => found.rule.clone().with(&own),
        None => found.rule.clone(),
    };
    Ok(rule.is_leased().then_some(Leased { rule, every: product.every }))
}

/// What a report of a lease comes with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Beside {
    /// The counters of the same calls, from the same read.
    Counters,
    /// A question: counters follow later, if they do.
    Question,
}

/// Merges what a process says of its lease, or says why not.
pub(super) fn merge(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    row: &SubscriptionRow,
    (report, beside): (&LeaseReport, Beside),
    now: Timestamp,
) -> Result<Result<(), String>, Refusal> {
    if let Err(problem) = check(report) {
        return Ok(Err(problem));
    }
    let of = LeaseOf { subscription: row.public.id, limit: report.limit, period: report.period };
    let stored = ledger.lease(of, boot)?;
    let before = stored.unwrap_or_else(|| LeaseRow::new(boot, now));
    let mut merged = LeaseRow {
        granted: before.granted.max(report.granted),
        used: before.used.max(report.used),
        waived: before.waived.max(report.waived),
        returned: before.returned.max(report.returned),
        counted: match beside {
            Beside::Counters => before.counted.max(report.used),
            Beside::Question => before.counted,
        },
        ..before
    };
    if report.granted > before.granted {
        // The process cannot have invented it: this ledger is older than what granted it.
        tracing::warn!(
            %boot, subscription = %of.subscription, limit = of.limit.0, period = of.period,
            "a process holds {} units, of which this ledger knows {}: taken over; a ledger that \
             was put back goes through `tollgate restore`",
            report.granted, before.granted
        );
    }
    if answers_recall(&before, &merged, report) {
        merged.recall = Recalled::No;
    }
    if merged == before {
        return Ok(Ok(()));
    }
    if of.period == RATE_PERIOD
        && let Some(leased) = leased(ledger, row, of.limit)?
    {
        rates::note(ledger, of, &leased.rule, &before, &mut merged, now)?;
    }
    ledger.store_lease(of, &merged)?;
    Ok(Ok(()))
}

/// A process hands back no more than it got, and no call gives back what none took.
fn check(report: &LeaseReport) -> Result<(), String> {
    for (name, units) in [("granted", report.granted), ("used", report.used)] {
        if i64::try_from(units).is_err() {
            return Err(format!("{name} {units} is past {}", i64::MAX));
        }
    }
    if report.returned > report.granted {
        let (granted, found) = (report.granted, report.returned);
        return Err(format!("expected at most {granted} returned, found {found}"));
    }
    if report.waived > report.used {
        let (used, found) = (report.used, report.waived);
        return Err(format!("expected at most {used} waived, found {found}"));
    }
    if report.period == RATE_PERIOD && report.waived > 0 {
        return Err(format!("expected no unit of a rate waived, found {}", report.waived));
    }
    Ok(())
}

/// Whether a recall is done with: something came back, or there is nothing to return. If all is
/// called back, only the latter; and what the process has not heard of yet is not nothing.
fn answers_recall(before: &LeaseRow, merged: &LeaseRow, report: &LeaseReport) -> bool {
    let nothing = report.granted == merged.granted && report.unspent() == 0;
    match before.recall {
        Recalled::No => false,
        Recalled::Some => nothing || report.returned > before.returned,
        Recalled::All => nothing,
    }
}

/// Merges what an ask says of its lease and answers it, granting what may be granted.
pub(super) fn answer(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    ask: &LeaseAsk,
    now: Timestamp,
) -> Result<LeaseAnswer, Refusal> {
    let (subscription, limit, period) = ask.about();
    let of = LeaseOf { subscription, limit, period };
    let Answer { granted, lasts_ms, outcome } = answered(ledger, boot, of, ask, now)?;
    Ok(LeaseAnswer { subscription, limit, period, granted, lasts_ms, outcome })
}

fn answered(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    of: LeaseOf,
    ask: &LeaseAsk,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let Some(row) = ledger.subscription(of.subscription)? else {
        return Ok(Answer::new(0, LeaseOutcome::Outdated));
    };
    if let Err(problem) = merge(ledger, boot, &row, (&ask.lease, Beside::Question), now)? {
        aside::keep_lease(ledger, boot, of.subscription, &ask.lease, &problem, now)?;
        return Ok(Answer::new(0, LeaseOutcome::Outdated));
    }
    let mut own = ledger.lease(of, boot)?.unwrap_or_else(|| LeaseRow::new(boot, now));
    let leased = match row.public.state.access() {
        Access::Active => leased(ledger, &row, of.limit)?,
        Access::Suspended | Access::Ended => None,
    };
    let Some(leased) = leased else {
        return Ok(Answer::new(own.granted, LeaseOutcome::Outdated));
    };
    own.asked = now;
    let asked = Asked { of, own, ask };
    if let Rule::Quota { units, period, .. } = &leased.rule {
        quotas::answer(ledger, &row, (units.get(), period, leased.every), asked, now)
    } else if of.period == RATE_PERIOD {
        rates::answer(ledger, &leased.rule, asked, now)
    } else {
        Ok(Answer::new(own.granted, LeaseOutcome::Outdated))
    }
}

/// A question and the lease it is about, as it is after its report.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) of: LeaseOf,
    pub(super) own: LeaseRow,
    pub(super) ask: &'a LeaseAsk,
}

impl Asked<'_> {
    /// Whether the process was granted what it does not know of: an answer is under way or lost.
    pub(super) fn is_behind(&self) -> bool {
        self.own.granted > self.ask.lease.granted
    }
}

#[cfg(test)]
mod tests;
