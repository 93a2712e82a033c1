//! Closing periods: counters become an invoice and a charge, once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::SubscriptionId;

use super::draft::{Draft, correction, draft};
use super::invoice::InvoiceNumber;
use super::periods::{MAX_NEW_PERIODS, cover_some};
use super::subscriptions::{find, run_out};
use super::{Refusal, Request};
use crate::store::{Ledger, NewCharge, PeriodRow};

/// Periods closed by one request: it stays a short transaction.
pub const MAX_CLOSES: usize = 1_000;

/// Ends every subscription whose time has run out, then closes every period that may be closed, each
/// subscription's in order -> [`Closed`]. What is ended or closed stays so: again changes nothing.
///
/// Both in one transaction: no period is billed that begins after its subscription's end.
#[derive(Debug)]
pub struct Close {
    /// How long after a period's end silent gateways and open calls are waited for.
    pub grace: SignedDuration,
    /// Since when gateways can report: while nobody heard them, no grace runs out.
    pub serving_since: Timestamp,
}

/// What was closed, and what waits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Closed {
    /// Subscriptions that expired just now, or before while nobody looked.
    #[serde(with = "super::id::subscription_texts")]
    pub expired: Vec<SubscriptionId>,
    /// Closed just now.
    pub closed: Vec<ClosedPeriod>,
    /// Ended, but not closed yet: the first such period of each subscription. Closed, but with late
    /// usage that cannot be billed.
    pub waiting: Vec<WaitingPeriod>,
    /// Invoices for what came late, of subscriptions that ended and have no next invoice.
    pub corrections: Vec<InvoiceNumber>,
    /// Whether there is more to close than one request does: ask again.
    pub more: bool,
}

/// A period that was closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClosedPeriod {
    /// Whose.
    #[serde(with = "super::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// Which of its billing periods.
    pub period: u32,
    /// Its invoice; none if nothing was used and nothing is owed.
    pub invoice: Option<InvoiceNumber>,
}

/// A period that ended and is not closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WaitingPeriod {
    /// Whose.
    #[serde(with = "super::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// Which of its billing periods.
    pub period: u32,
    /// When it ended.
    pub ended: Timestamp,
    /// Why it waits.
    #[serde(flatten)]
    pub reason: Waiting,
}

/// Why a period that ended is not closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Waiting {
    /// Processes that may have usage have not reported all of it.
    Unswept {
        /// How many.
        boots: u64,
        /// Of which gateways: their names.
        gateways: Vec<String>,
        /// Until when they are waited for.
        until: Timestamp,
    },
    /// Calls are not settled.
    OpenCalls {
        /// How many.
        calls: u64,
        /// Until when they are waited for.
        until: Timestamp,
    },
    /// It cannot be closed, no period can be put after it, or what came late for it cannot be
    /// billed; an operator must look.
    Unpriced {
        /// What is wrong.
        message: String,
    },
}

impl Request for Close {
    type Answer = Closed;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Closed, Refusal> {
        let patience = now.checked_sub(self.grace).unwrap_or(Timestamp::MIN);
        let mut round = Round {
            now,
            grace: self.grace,
            serving_since: self.serving_since,
            patience: if self.serving_since <= patience { patience } else { Timestamp::MIN },
            answer: Closed::default(),
            stuck: HashSet::new(),
            unswept: HashMap::new(),
        };
        let mut left = MAX_NEW_PERIODS;
        round.expire(ledger, &mut left)?;
        round.cover(ledger, &mut left)?;
        let mut last: Option<PeriodRow> = None;
        while !round.answer.more {
            let ended = ledger.ended_periods(now, last.as_ref(), MAX_CLOSES)?;
            for period in &ended {
                round.look_at(ledger, period)?;
            }
            last = ended.last().cloned();
            if last.is_none() {
                break;
            }
        }
        for newest in ledger.late_and_ended()? {
            round.correct(ledger, &newest)?;
        }
        round.answer.more |= left == 0;
        Ok(round.answer)
    }
}

/// One request's way through the periods that ended.
struct Round {
    now: Timestamp,
    grace: SignedDuration,
    serving_since: Timestamp,
    /// What ended before is not waited for any more.
    patience: Timestamp,
    answer: Closed,
    /// Periods are closed in order: what waits holds back those after it.
    stuck: HashSet<SubscriptionId>,
    /// Whose processes have not swept a period, by its bounds.
    unswept: HashMap<(Timestamp, Timestamp), BTreeMap<String, u64>>,
}

impl Round {
    /// Ends subscriptions whose time has run out, after writing at most `left` periods.
    fn expire(&mut self, ledger: &mut Ledger<'_>, left: &mut u32) -> Result<(), Refusal> {
        for row in ledger.run_out(self.now)? {
            let (id, period, covered) = (row.public.id, row.last_period, row.covered);
            let most = *left;
            match part(ledger, ("end", id, period), |ledger| run_out(ledger, row, most))? {
                Ok((written, is_done)) => {
                    *left = left.saturating_sub(written);
                    if is_done {
                        self.answer.expired.push(id);
                    } else {
                        // Periods after its end must not be billed before it has one.
                        self.stuck.insert(id);
                    }
                }
                Err(message) => {
                    self.stuck.insert(id);
                    self.wait(id, period, covered, Waiting::Unpriced { message });
                }
            }
        }
        Ok(())
    }

    /// Writes the periods of those whose all ended, at most `left`.
    fn cover(&mut self, ledger: &mut Ledger<'_>, left: &mut u32) -> Result<(), Refusal> {
        for mut row in ledger.uncovered(self.now)? {
            if *left == 0 {
                break;
            }
            let (id, now) = (row.public.id, self.now);
            if self.stuck.contains(&id) {
                continue;
            }
            let (period, ended) = (row.last_period, row.covered);
            match part(ledger, ("continue", id, period), |ledger| {
                cover_some(ledger, &mut row, now, *left)
            })? {
                Ok(written) => *left = left.saturating_sub(written),
                Err(message) => {
                    let reason = Waiting::Unpriced { message };
                    self.wait(id, period, ended, reason);
                }
            }
        }
        Ok(())
    }

    fn look_at(&mut self, ledger: &mut Ledger<'_>, period: &PeriodRow) -> Result<(), Refusal> {
        if self.stuck.contains(&period.subscription) {
            return Ok(());
        }
        if self.answer.closed.len() >= MAX_CLOSES {
            self.answer.more = true;
            return Ok(());
        }
        if let Some(reason) = self.why_wait(ledger, period)? {
            self.stick(period, reason);
            return Ok(());
        }
        let (subscription, number) = (period.subscription, period.number);
        let closed =
            part(ledger, ("close", subscription, number), |ledger| close(ledger, period, self.now));
        match closed? {
            Ok(invoice) => {
                let closed = ClosedPeriod { subscription, period: number, invoice };
                self.answer.closed.push(closed);
            }
            Err(message) => self.stick(period, Waiting::Unpriced { message }),
        }
        Ok(())
    }

    fn stick(&mut self, period: &PeriodRow, reason: Waiting) {
        self.stuck.insert(period.subscription);
        self.wait(period.subscription, period.number, period.end, reason);
    }

    fn correct(&mut self, ledger: &mut Ledger<'_>, newest: &PeriodRow) -> Result<(), Refusal> {
        let (id, number) = (newest.subscription, newest.number);
        match part(ledger, ("correct", id, number), |ledger| correct(ledger, newest, self.now))? {
            Ok(invoice) => self.answer.corrections.extend(invoice),
            Err(message) => self.wait(id, number, newest.end, Waiting::Unpriced { message }),
        }
        Ok(())
    }

    fn wait(
        &mut self,
        subscription: SubscriptionId,
        period: u32,
        ended: Timestamp,
        reason: Waiting,
    ) {
        self.answer.waiting.push(WaitingPeriod { subscription, period, ended, reason });
    }

    fn why_wait(
        &mut self,
        ledger: &Ledger<'_>,
        period: &PeriodRow,
    ) -> Result<Option<Waiting>, Refusal> {
        if period.end <= self.patience {
            return Ok(None);
        }
        let until = self.waits_until(period);
        let unswept = match self.unswept.entry((period.start, period.end)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                unknown.insert(ledger.unswept_boots(period.start, period.end)?)
            }
        };
        if !unswept.is_empty() {
            let boots = unswept.values().fold(0, |sum: u64, boots| sum.saturating_add(*boots));
            let gateways = unswept.keys().cloned().collect();
            return Ok(Some(Waiting::Unswept { boots, gateways, until }));
        }
        let counters = ledger.counters(period.subscription, period.number)?;
        let calls = counters.open();
        Ok((calls > 0).then_some(Waiting::OpenCalls { calls, until }))
    }

    /// When nobody is waited for any more: the grace after the period's end, in which gateways
    /// could be heard.
    fn waits_until(&self, period: &PeriodRow) -> Timestamp {
        let from = period.end.max(self.serving_since);
        from.saturating_add(self.grace).unwrap_or(Timestamp::MAX)
    }
}

/// Does one subscription's part: what is wrong with one must not hold back the others.
fn part<T>(
    ledger: &mut Ledger<'_>,
    (what, subscription, period): (&str, SubscriptionId, u32),
    body: impl FnOnce(&mut Ledger<'_>) -> Result<T, Refusal>,
) -> Result<Result<T, String>, Refusal> {
    match ledger.part(body) {
        Ok(value) => Ok(Ok(value)),
        Err(refusal @ Refusal::Unavailable(_)) => Err(refusal),
        Err(refusal) => {
            tracing::error!(%subscription, period, %refusal, "cannot {what} a period");
            Ok(Err(refusal.to_string()))
        }
    }
}

/// Closes one period: the counters' invoice and its charge, in one go.
fn close(
    ledger: &mut Ledger<'_>,
    period: &PeriodRow,
    now: Timestamp,
) -> Result<Option<InvoiceNumber>, Refusal> {
    let subscription = find(ledger, period.subscription)?.public;
    let draft = draft(ledger, &subscription, period, now)?;
    if !ledger.close_period(period, draft.billable, now)? {
        return Err(Refusal::Damaged(format!(
            "period {} of {} is closed already",
            period.number, period.subscription
        )));
    }
    let key = format!("p{}", period.number);
    issue(ledger, &draft, &key, now)
}

/// Invoices what came late for a subscription that ended, up to its newest late period.
fn correct(
    ledger: &mut Ledger<'_>,
    newest: &PeriodRow,
    now: Timestamp,
) -> Result<Option<InvoiceNumber>, Refusal> {
    let subscription = find(ledger, newest.subscription)?.public;
    let draft = correction(ledger, &subscription, newest, now)?;
    // A period is late because its own billable calls have grown, and they only grow: no two
    // corrections have the same key.
    let key = format!("p{}:late{}", newest.number, draft.billable);
    issue(ledger, &draft, &key, now)
}

/// Makes a draft final: its number, its lines, its charge, and what it settles.
fn issue(
    ledger: &mut Ledger<'_>,
    draft: &Draft,
    billed: &str,
    now: Timestamp,
) -> Result<Option<InvoiceNumber>, Refusal> {
    for (period, billed) in &draft.late {
        ledger.settle_late(period, *billed)?;
    }
    let invoice = &draft.invoice;
    if invoice.calls == 0 && invoice.total.minor() == 0 {
        return Ok(None);
    }
    let year = now.to_zoned(TimeZone::UTC).year();
    let number = ledger.next_invoice_number(year)?;
    ledger.insert_invoice(number, invoice, draft.correction)?;
    if invoice.total.minor() > 0 {
        let revision = 1;
        let key =
            format!("{}:{}:{billed}:r{revision}", ledger.identity.ledger, invoice.subscription);
        let charge = NewCharge { invoice: number, revision, idempotency_key: &key };
        ledger.insert_charge(&charge, now)?;
    }
    Ok(Some(number))
}

#[cfg(test)]
mod tests;
