//! Admission: one pure change of a record. All limits are checked, then all charged, or none.
//!
//! `examine` looks at one limit, here the findings are weighed, and `charge` does what was decided.
//! Until then the record is only read: a refused call cannot have changed it.

mod charge;
mod examine;
mod permit;
mod refusal;

use std::rc::Rc;

use tollgate_pricing::gate::{GateProduct, OnOutage, Rule};
use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::{Access, LeaseAsk, RATE_PERIOD, Reason};
use tollgate_pricing::timeline::Period;

use self::charge::charge;
use self::examine::{Finding, Line, Retry, examine};
pub use self::permit::{Charged, Counted, Permit};
pub use self::refusal::{LimitStatus, Refusal, RefusedBy, statuses};
use self::refusal::{by_limit, reason};
use crate::faults;
use crate::record::{MAX_ADMISSION_SLOTS, Record};

/// The moment of a decision, by two clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Wall clock, corrected by the host's, unix milliseconds: for periods.
    pub wall_ms: u64,
    /// Monotonic clock of the process: for rates.
    pub mono_ns: u64,
}

/// A call that wants to be admitted.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The record's product, if the catalog has it. A permit keeps it.
    pub product: Option<&'a Rc<GateProduct>>,
    /// The API's id.
    pub api: &'a str,
    /// The operation's id.
    pub operation: &'a str,
    /// What the operation weighs.
    pub weight: u32,
    /// When.
    pub now: Now,
    /// Whether the host can be asked.
    pub reach: Reach,
    /// For how much longer, in nanoseconds, the host's word holds that a limit's period has
    /// nothing left. Of a rate it is also told to the caller, so it must be the time the host
    /// told; of a quota only that it holds matters.
    pub spent: &'a dyn Fn(Tag, u32) -> Option<u64>,
}

/// Whether the host can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It answers, as far as is known: an empty lease is a question for it.
    Near,
    /// It does not: leases are used up, and then the plan's `on_outage` rule decides.
    Away,
    /// It has not for longer than the catalog's `max_stale`: the rule decides about every call.
    Stale,
}

/// What admission decides.
#[derive(Debug)]
pub enum Admission {
    /// The call may go on; the record must be stored for it to count.
    Admitted {
        /// What settling takes.
        permit: Permit,
        /// Leases that run low, and that this call was elected to ask for.
        low: Vec<LeaseAsk>,
        /// What a limit that only observes would have refused it for.
        would_refuse: Option<Reason>,
        /// It passed by the plan's `on_outage` rule, beyond a lease.
        overdrawn: bool,
    },
    /// The call is refused; the record is as it was.
    Refused(Refusal),
    /// A lease is empty: the host decides.
    Empty(LeaseAsk),
    /// The record's periods have run out: the host knows the next.
    Outdated,
}

/// Decides one call, and charges the record if it may go on.
pub fn admit(record: &mut Record, call: &Call<'_>) -> Admission {
    match check(record, call) {
        Ok(checked) => charge(record, call, checked),
        Err(admission) => {
            faults::count_unchecked(record);
            admission
        }
    }
}

/// A call that every limit has room for.
struct Checked<'a> {
    product: &'a Rc<GateProduct>,
    period: Period,
    lines: Vec<Line<'a>>,
    would_refuse: Option<Reason>,
    overdrawn: bool,
}

/// Decides without changing anything; an error is the decision not to charge.
fn check<'a>(record: &Record, call: &Call<'a>) -> Result<Checked<'a>, Admission> {
    let now = call.now;
    if !record.is_confirmed() {
        return Err(Admission::Outdated);
    }
    let refused = |refusal| Err(Admission::Refused(refusal));
    if record.access != Access::Active || record.expires_ms.is_some_and(|end| end <= now.wall_ms) {
        return refused(Refusal::plain(Reason::SubscriptionInactive));
    }
    let product = call.product.ok_or(Admission::Outdated)?;
    if !product.apis.iter().any(|opened| opened == call.api) {
        return refused(Refusal::plain(Reason::ApiNotInProduct));
    }
    if call.reach == Reach::Stale && product.on_outage == OnOutage::Deny {
        return refused(Refusal::passing(Reason::HostUnavailable, 1_000));
    }
    let period = record.period_at(now.wall_ms).ok_or(Admission::Outdated)?;
    if !record.has_slot(period.number, MAX_ADMISSION_SLOTS) {
        return refused(Refusal::passing(Reason::Busy, 1_000));
    }
    let lines = lines(record, call, product, period);
    let weighed = weigh(&lines, call.reach, product.on_outage);
    if let Some((retry, longest)) = weighed.refused {
        return refused(by_limit(&lines, longest, retry, now));
    }
    if weighed.outdated {
        return Err(Admission::Outdated);
    }
    if weighed.cut_off {
        return refused(Refusal::passing(Reason::HostUnavailable, 1_000));
    }
    let fresh = lines.iter().filter(|line| line.is_fresh).count();
    if !record.has_room(fresh, product, now) {
        return refused(Refusal::passing(Reason::Busy, 1_000));
    }
    if let Some(ask) = weighed.empty {
        return Err(Admission::Empty(ask));
    }
    let would_refuse = weighed.observed.map(|(_, reason)| reason);
    let overdrawn = weighed.overdrawn;
    Ok(Checked { product, period, lines, would_refuse, overdrawn })
}

/// Every limit that counts the call, as the call meets it.
fn lines<'a>(
    record: &Record,
    call: &Call<'a>,
    product: &'a GateProduct,
    period: Period,
) -> Vec<Line<'a>> {
    // Where the record is ahead of this VM's clock, quotas follow the record.
    let quota_ms = call.now.wall_ms.max(period.start_ms);
    let mut lines = Vec::with_capacity(product.limits.len());
    let counting = product.limits.iter().filter(|limit| limit.counts(call.api, call.operation));
    lines.extend(counting.map(|limit| examine(record, call, limit, quota_ms)));
    lines
}
/// What the limits say together.
#[derive(Default)]
struct Weighed<'a, 'b> {
    /// The one that refuses for longest.
    refused: Option<(Retry, &'b Line<'a>)>,
    /// What would be, if all limits were enforced.
    observed: Option<(Retry, Reason)>,
    /// A quota's periods have run out.
    outdated: bool,
    /// The plan does not let it pass without the host.
    cut_off: bool,
    /// The plan does.
    overdrawn: bool,
    /// A lease to ask for.
    empty: Option<LeaseAsk>,
}

/// Weighs what the limits say. Those that do not block refuse nothing and ask for nothing.
fn weigh<'a, 'b>(lines: &'b [Line<'a>], reach: Reach, on_outage: OnOutage) -> Weighed<'a, 'b> {
    let mut weighed = Weighed::default();
    for line in lines {
        let blocks = line.limit.blocks();
        let is_soft = matches!(*line.rule, Rule::Quota { hard: false, .. });
        match line.seen.finding {
            Finding::Room => {}
            Finding::Unknown => weighed.outdated = true,
            Finding::Spent(retry) if blocks => {
                if weighed.refused.is_none_or(|(longest, _)| retry > longest) {
                    weighed.refused = Some((retry, line));
                }
            }
            Finding::Spent(retry) => {
                if !is_soft && weighed.observed.is_none_or(|(longest, _)| retry > longest) {
                    weighed.observed = Some((retry, reason(&line.rule)));
                }
            }
            Finding::Unleased(_) if !blocks => {}
            Finding::Unleased(ask) if reach == Reach::Near => {
                // A rate's units expire soon: they are asked for last.
                let is_first = weighed.empty.is_none_or(|other| other.lease.period == RATE_PERIOD);
                weighed.empty = if is_first { Some(ask) } else { weighed.empty };
            }
            Finding::Unleased(_) if may_overdraw(line, on_outage) => weighed.overdrawn = true,
            Finding::Unleased(_) => weighed.cut_off = true,
        }
    }
    weighed
}

/// Whether the plan lets a call pass beyond its lease while the host cannot be asked.
fn may_overdraw(line: &Line<'_>, on_outage: OnOutage) -> bool {
    match on_outage {
        OnOutage::Deny => false,
        OnOutage::Allow => true,
        OnOutage::AllowUpTo(most) => line.seen.lease.is_some_and(|mut lease| {
            if line.seen.period.is_none() {
                lease.give_back(u64::MAX); // a rate's, of which what is left has expired
            }
            lease.overdraft(line.seen.needs) <= most.get()
        }),
    }
}

#[cfg(test)]
mod tests;
