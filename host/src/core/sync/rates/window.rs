//! A sliding window over the fleet.
//!
//! Counted are: units that were spent, until a window's length after they can have been at the
//! latest; units that are held, until a window's length after they are past use. At every grant
//! the sum is at most the limit. So in any window, whatever was spent in it was counted at the last
//! grant of it.

use jiff::{SignedDuration, Timestamp};

use super::super::super::Refusal;
use super::{MAX_LASTS_MS, Room, after, ms_until, with_drift};
use crate::store::{LeaseOf, LeaseRow, Ledger, Spent};

/// What was spent is remembered in so many steps of a window, each by its end.
const STEPS: u64 = 64;
/// Bounds of how long a grant lasts.
const MIN_LASTS_MS: u64 = 250;
const MAX_TIGHT_LASTS_MS: u64 = 1_000;

pub(super) struct Window {
    calls: u64,
    length_ms: u64,
}

impl Window {
    pub(super) fn new(calls: u32, period_seconds: u32) -> Self {
        let length_ms = u64::from(period_seconds).saturating_mul(1_000);
        Self { calls: u64::from(calls), length_ms }
    }

    /// How long after its time a unit counts, by the clock that runs fastest.
    fn counts_ms(&self) -> u64 {
        with_drift(self.length_ms)
    }

    fn step_ms(&self) -> u64 {
        self.length_ms.checked_div(STEPS).unwrap_or(0).max(1)
    }

    pub(super) fn note(
        &self,
        ledger: &mut Ledger<'_>,
        of: LeaseOf,
        before: &LeaseRow,
        merged: &LeaseRow,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let spent = merged.used.saturating_sub(before.used);
        let held = spent.min(before.unspent());
        // An overdraft, or what a lost ledger granted, may have been spent just now. More than the
        // limit is the same as the limit.
        let beyond = spent.saturating_sub(held).min(self.calls);
        self.add(ledger, of, before.expires.min(now), held, now)?;
        self.add(ledger, of, now, beyond, now)
    }

    fn add(
        &self,
        ledger: &mut Ledger<'_>,
        of: LeaseOf,
        at: Timestamp,
        units: u64,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if units == 0 || after(at, self.counts_ms()) <= now {
            return Ok(());
        }
        let at_ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
        let at_ms = at_ms.next_multiple_of(self.step_ms());
        let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
        let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::MAX);
        Ok(ledger.add_spent(of.subscription, of.limit, Spent { at, units })?)
    }

    /// What there is room for, and when for what a call needs.
    pub(super) fn room(
        &self,
        ledger: &mut Ledger<'_>,
        of: LeaseOf,
        leases: &[LeaseRow],
        own: &LeaseRow,
        need: u64,
        now: Timestamp,
    ) -> Result<Room, Refusal> {
        let counts_ms = self.counts_ms();
        let counts = SignedDuration::from_millis(i64::try_from(counts_ms).unwrap_or(i64::MAX));
        let before = now.saturating_sub(counts).unwrap_or(Timestamp::MIN);
        ledger.drop_spent(of.subscription, of.limit, before)?;
        ledger.drop_rate_leases(of.subscription, of.limit, super::long_before(now, counts_ms))?;
        // A clock that was set back must not count anything longer than it can be.
        let latest = after(now, counts_ms.saturating_add(self.step_ms()));
        let last_held = after(now, with_drift(MAX_LASTS_MS).saturating_add(counts_ms));
        let mut counted: Vec<(Timestamp, u64)> = ledger
            .spent(of.subscription, of.limit)?
            .into_iter()
            .map(|spent| (after(spent.at, counts_ms).min(latest), spent.units))
            .collect();
        let mut lapsed = 0;
        for lease in leases.iter().map(|lease| if lease.boot == own.boot { own } else { lease }) {
            let until = after(lease.expires, counts_ms).min(last_held);
            if until > now {
                counted.push((until, lease.unspent()));
            } else if lease.boot == own.boot {
                lapsed = lease.unspent();
            }
        }
        counted.retain(|(_, units)| *units > 0);
        counted.sort_unstable();
        let sum = counted.iter().fold(0_u64, |sum, (_, units)| sum.saturating_add(*units));
        let left = self.calls.saturating_sub(sum);
        let wanted = need.max(1).saturating_add(lapsed).min(self.calls);
        Ok(Room {
            limit: self.calls,
            left,
            lapsed,
            lasts_ms: self.lasts_ms(left),
            retry_ms: self.retry_ms(&counted, sum, wanted, now),
        })
    }

    /// Long where there is much, so that few ask; short where the window is tight, so that little
    /// is held for nothing.
    fn lasts_ms(&self, left: u64) -> u64 {
        let part = |parts| self.length_ms.checked_div(parts).unwrap_or(0);
        if left < self.calls.div_ceil(2) {
            part(20).clamp(MIN_LASTS_MS, MAX_TIGHT_LASTS_MS)
        } else {
            part(10).clamp(MIN_LASTS_MS, MAX_LASTS_MS)
        }
    }

    fn retry_ms(&self, counted: &[(Timestamp, u64)], sum: u64, wanted: u64, now: Timestamp) -> u64 {
        let mut sum = sum;
        for (until, units) in counted {
            sum = sum.saturating_sub(*units);
            if sum.saturating_add(wanted) <= self.calls {
                return ms_until(now, *until).max(1);
            }
        }
        1
    }
}
