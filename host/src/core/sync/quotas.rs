//! Units of a quota's period: the sum of what is out never grows past the quota by a grant.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use tollgate_pricing::catalog::BillingPeriod;
use tollgate_pricing::gate::QuotaPeriod;
use tollgate_pricing::sync::{LeaseOutcome, MAX_STALE_SECONDS};

use super::super::Refusal;
use super::super::hold;
use super::super::quota::QuotaClock;
use super::grant::Claim;
use super::leases::{Answer, Asked};
use super::recall::{self, WAIT_MS};
use crate::store::{LeaseRow, Ledger, SubscriptionRow};

/// A process that asked so long ago wants no more.
const DEMAND: SignedDuration = SignedDuration::from_secs(60);
/// How far a gateway's clock may be off: by what it has not heard from the host.
const SLACK: SignedDuration = SignedDuration::from_secs(MAX_STALE_SECONDS.cast_signed());
/// When to ask again, where no time is known.
const RETRY_MS: u64 = 1_000;

/// Answers an ask for units of a quota: (units, how its periods run, the billing period).
pub(super) fn answer(
    ledger: &mut Ledger<'_>,
    row: &SubscriptionRow,
    (limit, period, every): (u64, &QuotaPeriod, BillingPeriod),
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let clock = QuotaClock::new(period, every, row.public.anchor);
    let Some(near) = clock.and_then(|clock| near(&clock, asked.of.period, now)) else {
        return Ok(Answer::new(asked.own.granted, LeaseOutcome::Outdated));
    };
    let Asked { of, mut own, ask } = asked;
    if asked.is_behind() && own.unspent() >= ask.need.max(1) {
        ledger.store_lease(of, &own)?;
        return Ok(Answer::new(own.granted, LeaseOutcome::Granted));
    }
    let leases = ledger.leases(of)?;
    let others = || leases.iter().filter(|lease| lease.boot != own.boot);
    let out = others().fold(own.out(), |sum, lease| sum.saturating_add(lease.out()));
    let claim = Claim {
        limit,
        left: limit.saturating_sub(out),
        unspent: own.unspent(),
        // Whoever asks gets at least one more, if there is one.
        want: ask.want.max(own.unspent().saturating_add(1)),
        need: ask.need,
        first: own.granted == 0,
        others: recall::wanting(others(), DEMAND, now),
    };
    if hold::holds(ledger, near.begins, now)? {
        ledger.store_lease(of, &own)?;
        let outcome = LeaseOutcome::Exhausted { retry_ms: RETRY_MS };
        return Ok(Answer::new(own.granted, outcome));
    }
    let units = claim.units();
    let holders: Vec<LeaseRow> =
        others().filter(|it| recall::can_return(it, now)).copied().collect();
    let enough = units > 0 && claim.lacking() <= units;
    // Where a call waits for more than is left, others are asked before the rest is given away.
    if (enough || (units > 0 && holders.is_empty())) && grant(&mut own, units) {
        ledger.store_lease(of, &own)?;
        return Ok(Answer::new(own.granted, LeaseOutcome::Granted));
    }
    ledger.store_lease(of, &own)?;
    if holders.is_empty() {
        let retry_ms = near.ends_in_ms.unwrap_or(RETRY_MS);
        return Ok(Answer::new(own.granted, LeaseOutcome::Exhausted { retry_ms }));
    }
    if ask.need > 0 {
        recall::call(ledger, of, &holders)?;
    }
    Ok(Answer::new(own.granted, LeaseOutcome::Wait { retry_ms: WAIT_MS }))
}

/// Gives so many units beside what was spent already. False at the end of the numbers, to which a
/// process comes that takes and returns for ever: no more for it.
fn grant(own: &mut LeaseRow, units: u64) -> bool {
    let granted = own.granted.saturating_add(own.overdrawn()).saturating_add(units);
    let fits = i64::try_from(granted).is_ok();
    if fits {
        own.granted = granted;
    }
    fits
}

/// A period that units may be asked for.
struct Near {
    /// Not later than its start.
    begins: Timestamp,
    /// If it is the one now.
    ends_in_ms: Option<u64>,
}

/// A period that is now, or may be by a gateway's clock.
fn near(clock: &QuotaClock, number: u32, now: Timestamp) -> Option<Near> {
    let first = clock.at(now.checked_sub(SLACK).ok()?)?;
    let last = clock.at(now.checked_add(SLACK).ok()?)?;
    let current = clock.at(now)?;
    if !(first.number..=last.number).contains(&number) {
        return None;
    }
    let ends_in = u64::try_from(current.end.duration_since(now).as_millis()).unwrap_or(0).max(1);
    Some(match number.cmp(&current.number) {
        Ordering::Less => Near { begins: first.start, ends_in_ms: None },
        Ordering::Equal => Near { begins: current.start, ends_in_ms: Some(ends_in) },
        Ordering::Greater => Near { begins: current.end, ends_in_ms: None },
    })
}

/// Whether a period is over by any gateway's clock: no units of it are asked for any more.
pub(super) fn is_over(
    (period, every): (&QuotaPeriod, BillingPeriod),
    anchor: Timestamp,
    number: u32,
    now: Timestamp,
) -> bool {
    let clock = QuotaClock::new(period, every, anchor);
    let first = clock.zip(now.checked_sub(SLACK).ok()).and_then(|(clock, time)| clock.at(time));
    first.is_some_and(|first| number < first.number)
}
