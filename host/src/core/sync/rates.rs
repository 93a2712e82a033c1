//! Rates over the fleet, by grants that expire.
//!
//! A process may spend what it holds at any time between the host's answer and the grant's expiry.
//! So a unit that is out counts until it is known to be spent, returned, or past use; all of this
//! is in the ledger, and so outlives the host's process.

mod bucket;
mod window;

use jiff::{SignedDuration, Timestamp};
use tollgate_pricing::gate::Rule;
use tollgate_pricing::sync::LeaseOutcome;

use super::super::{Refusal, hold};
use super::grant::Claim;
use super::leases::{Answer, Asked};
use super::recall::{self, WAIT_MS};
use crate::store::{LeaseOf, LeaseRow, Ledger};
use bucket::Bucket;
use window::Window;

/// A process that asked so long ago wants no more.
const DEMAND: SignedDuration = SignedDuration::from_secs(5);
/// A process that asked so shortly ago spends what it holds: it is not called to return it.
const FRESH: SignedDuration = SignedDuration::from_millis(500);
/// When to ask a restored ledger again.
const HELD_RETRY_MS: u64 = 1_000;
/// The longest that a grant lasts.
const MAX_LASTS_MS: u64 = 5_000;
/// Clocks of two machines run apart, and the host's own is corrected, by less than this part.
const DRIFT_PART: u64 = 512;

/// What a rate has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Room {
    /// The whole limit.
    limit: u64,
    /// Units that may be granted now.
    left: u64,
    /// Of what the asking process holds, units that are past use and must find room again.
    lapsed: u64,
    /// How long a grant lasts now.
    lasts_ms: u64,
    /// When there can be units again, if nobody returns any.
    retry_ms: u64,
}

/// Takes over what a process reports: what was spent counts from now on by when it can have been.
pub(super) fn note(
    ledger: &mut Ledger<'_>,
    of: LeaseOf,
    rule: &Rule,
    before: &LeaseRow,
    merged: &mut LeaseRow,
    now: Timestamp,
) -> Result<(), Refusal> {
    if merged.granted > before.granted {
        // Granted by a ledger that is lost, not longer ago than it lasts.
        merged.expires = merged.expires.max(expiry(now, MAX_LASTS_MS));
    }
    match rule {
        Rule::SlidingWindow { calls, period_seconds, .. } => {
            Window::new(calls.get(), period_seconds.get()).note(ledger, of, before, merged, now)
        }
        Rule::TokenBucket { calls, period_seconds, burst, .. } => {
            Bucket::new(calls.get(), period_seconds.get(), burst.get())
                .note(ledger, of, before, merged, now)
        }
        Rule::Quota { .. } => Ok(()),
    }
}

/// Answers an ask for units of a rate.
pub(super) fn answer(
    ledger: &mut Ledger<'_>,
    rule: &Rule,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let leases = ledger.leases(asked.of)?;
    match rule {
        Rule::SlidingWindow { calls, period_seconds, .. } => {
            let window = Window::new(calls.get(), period_seconds.get());
            let need = asked.ask.need;
            let room = window.room(ledger, asked.of, &leases, &asked.own, need, now)?;
            give(ledger, asked, &leases, room, |_, _| Ok(()), now)
        }
        Rule::TokenBucket { calls, period_seconds, burst, .. } => {
            let bucket = Bucket::new(calls.get(), period_seconds.get(), burst.get());
            ledger.drop_rate_leases(asked.of.subscription, asked.of.limit, long_before(now, 0))?;
            let filled = bucket.fill(ledger, asked.of, &leases, now)?;
            let room = bucket.room(&filled, &leases, &asked.own, now);
            let of = asked.of;
            let take = |ledger: &mut Ledger<'_>, units| bucket.take(ledger, of, &filled, units);
            give(ledger, asked, &leases, room, take, now)
        }
        Rule::Quota { .. } => Ok(Answer::new(asked.own.granted, LeaseOutcome::Outdated)),
    }
}

/// Gives what there is room for. `take` hears how many units that were not counted before.
fn give(
    ledger: &mut Ledger<'_>,
    asked: Asked<'_>,
    leases: &[LeaseRow],
    room: Room,
    take: impl FnOnce(&mut Ledger<'_>, u64) -> Result<(), Refusal>,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let Asked { of, mut own, ask } = asked;
    let others = || leases.iter().filter(|lease| lease.boot != own.boot);
    let held = own.unspent();
    // One time holds for all that a process holds: what is past use is used again with the rest,
    // or the rest is not given.
    let Some(left) = room.left.checked_sub(room.lapsed) else {
        return refuse(ledger, asked, leases, room, now);
    };
    if hold::holds(ledger, Timestamp::MIN, now)? {
        ledger.store_lease(of, &own)?;
        let outcome = LeaseOutcome::Exhausted { retry_ms: HELD_RETRY_MS };
        return Ok(Answer::new(own.granted, outcome));
    }
    let claim = Claim {
        limit: room.limit,
        left,
        unspent: held,
        want: ask.want.max(1),
        need: ask.need,
        first: own.granted == 0,
        others: recall::wanting(others(), DEMAND, now),
    };
    let units = claim.units();
    let granted = own.granted.saturating_add(own.overdrawn()).saturating_add(units);
    let nothing = units == 0 && (held == 0 || claim.lacking() > 0);
    if nothing || i64::try_from(granted).is_err() {
        return refuse(ledger, asked, leases, room, now);
    }
    if units > 0 {
        own.granted = granted;
    }
    own.expires = own.expires.max(expiry(now, room.lasts_ms));
    take(ledger, units.saturating_add(room.lapsed))?;
    ledger.store_lease(of, &own)?;
    Ok(Answer {
        granted: own.granted,
        lasts_ms: Some(room.lasts_ms),
        outcome: LeaseOutcome::Granted,
    })
}

/// Nothing now: others are called, if they hold what they do not spend, or the time is told.
fn refuse(
    ledger: &mut Ledger<'_>,
    asked: Asked<'_>,
    leases: &[LeaseRow],
    room: Room,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let Asked { of, own, ask } = asked;
    ledger.store_lease(of, &own)?;
    let fresh = now.checked_sub(FRESH).unwrap_or(Timestamp::MIN);
    let idle = |it: &&LeaseRow| {
        it.boot != own.boot && recall::can_return(it, now) && it.expires > now && it.asked < fresh
    };
    let holders: Vec<LeaseRow> = leases.iter().filter(idle).copied().collect();
    if holders.is_empty() || ask.need == 0 {
        let retry_ms = room.retry_ms;
        return Ok(Answer::new(own.granted, LeaseOutcome::Exhausted { retry_ms }));
    }
    recall::call(ledger, of, &holders)?;
    let retry_ms = room.retry_ms.min(WAIT_MS);
    Ok(Answer::new(own.granted, LeaseOutcome::Wait { retry_ms }))
}

/// When a grant that lasts so long is past use, by any clock.
fn expiry(now: Timestamp, lasts_ms: u64) -> Timestamp {
    after(now, with_drift(lasts_ms))
}

/// So long by the clock that runs slowest.
fn with_drift(ms: u64) -> u64 {
    ms.saturating_add(ms.div_ceil(DRIFT_PART)).saturating_add(1)
}

fn after(time: Timestamp, ms: u64) -> Timestamp {
    let ms = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    time.saturating_add(ms).unwrap_or(Timestamp::MAX)
}

/// From one time to a later one; 0 if it is not later.
fn ms_until(now: Timestamp, later: Timestamp) -> u64 {
    u64::try_from(later.as_millisecond().saturating_sub(now.as_millisecond())).unwrap_or(0)
}

/// A lease of before that is dropped if its process is silent: nothing in it counts any more.
fn long_before(now: Timestamp, counts_ms: u64) -> Timestamp {
    const SILENT: SignedDuration = SignedDuration::from_hours(24);
    let counts = SignedDuration::from_millis(i64::try_from(counts_ms).unwrap_or(i64::MAX));
    let before = now.saturating_sub(SILENT).and_then(|time| time.saturating_sub(counts));
    before.unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
