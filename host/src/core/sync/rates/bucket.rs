//! A token bucket over the fleet.
//!
//! What is in it and what processes hold of it together never exceed the burst: tokens that are
//! held leave no room to be filled. So in any time, calls admitted are at most what was held and
//! what was in it at the start, which is the burst, and what was gained since. Tokens past use go
//! back into it if their process returns them soon. Later they just leave room, and are taken anew
//! if the process asks for more.

use jiff::Timestamp;

use super::super::super::Refusal;
use super::{Room, after, ms_until};
use crate::store::{BucketRow, LeaseOf, LeaseRow, Ledger};

/// How long a grant lasts: while much is in the bucket, and while little is.
const LASTS_MS: u64 = 1_000;
const TIGHT_LASTS_MS: u64 = 500;
/// How long tokens that are past use are waited for: processes return them every second.
const GRACE_MS: u64 = 3_000;
/// Nobody asks for single tokens as fast as they come.
const MIN_RETRY_MS: u64 = 20;

pub(super) struct Bucket {
    /// Tokens gained per period; parts of a token gained per millisecond.
    calls: u64,
    period_ms: u64,
    burst: u64,
}

impl Bucket {
    pub(super) fn new(calls: u32, period_seconds: u32, burst: u32) -> Self {
        let period_ms = u64::from(period_seconds).saturating_mul(1_000);
        Self { calls: u64::from(calls), period_ms, burst: u64::from(burst) }
    }

    /// Tokens as parts of tokens.
    fn parts(&self, tokens: u64) -> u64 {
        tokens.saturating_mul(self.period_ms)
    }

    fn room_for(&self, held: u64) -> u64 {
        self.parts(self.burst.saturating_sub(held))
    }

    /// The bucket as it is now. A new one is full.
    pub(super) fn fill(
        &self,
        ledger: &Ledger<'_>,
        of: LeaseOf,
        leases: &[LeaseRow],
        now: Timestamp,
    ) -> Result<BucketRow, Refusal> {
        let Some(stored) = ledger.bucket(of.subscription, of.limit)? else {
            let level = self.room_for(held(leases, now));
            return Ok(BucketRow { level, period_ms: self.period_ms, filled: now });
        };
        // Of another period since the catalog changed: as many whole and broken tokens as before.
        let level = u128::from(stored.level).saturating_mul(u128::from(self.period_ms));
        let level = level.checked_div(u128::from(stored.period_ms)).unwrap_or(0);
        let level = u64::try_from(level).unwrap_or(u64::MAX);
        let filled = stored.filled.min(now);
        Ok(BucketRow {
            level: self.filled(level, filled, leases, now),
            period_ms: self.period_ms,
            filled: now,
        })
    }

    /// Gains from one time to the next at which held tokens are past use: until then they leave
    /// no room.
    fn filled(&self, level: u64, from: Timestamp, leases: &[LeaseRow], now: Timestamp) -> u64 {
        let mut times: Vec<Timestamp> =
            leases.iter().map(lapse).filter(|at| (from..now).contains(at)).collect();
        times.push(now);
        times.sort_unstable();
        let (mut level, mut from) = (level, from);
        for time in times {
            let room = self.room_for(held(leases, from));
            let gained = self.calls.saturating_mul(ms_until(from, time));
            level = level.saturating_add(gained).min(room);
            from = time;
        }
        level
    }

    pub(super) fn note(
        &self,
        ledger: &mut Ledger<'_>,
        of: LeaseOf,
        before: &LeaseRow,
        merged: &LeaseRow,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut leases = ledger.leases(of)?;
        let mut row = self.fill(ledger, of, &leases, now)?;
        let spent = merged.used.saturating_sub(before.used);
        let returned = merged.returned.saturating_sub(before.returned);
        // What was spent past what was held is an overdraft.
        let beyond = spent.saturating_add(returned).saturating_sub(before.unspent());
        let back = if lapse(before) > now { returned.min(before.unspent()) } else { 0 };
        let credit = self.parts(back);
        row.level = row.level.saturating_add(credit).saturating_sub(self.parts(beyond));
        leases.retain(|lease| lease.boot != merged.boot);
        leases.push(*merged);
        row.level = row.level.min(self.room_for(held(&leases, now)));
        Ok(ledger.store_bucket(of.subscription, of.limit, &row)?)
    }

    pub(super) fn room(
        &self,
        row: &BucketRow,
        leases: &[LeaseRow],
        own: &LeaseRow,
        now: Timestamp,
    ) -> Room {
        let left = row.level.checked_div(self.period_ms).unwrap_or(0);
        let lapsed = if lapse(own) <= now { own.unspent() } else { 0 };
        let ample = left >= self.burst.div_ceil(2);
        Room {
            limit: self.burst,
            left,
            lapsed,
            lasts_ms: if ample { LASTS_MS } else { TIGHT_LASTS_MS },
            retry_ms: self.retry_ms(row, leases, lapsed, now).max(MIN_RETRY_MS),
        }
    }

    /// Until there is a token more than what is past use.
    fn retry_ms(&self, row: &BucketRow, leases: &[LeaseRow], lapsed: u64, now: Timestamp) -> u64 {
        let wanted = lapsed.saturating_add(1).min(self.burst);
        if held(leases, now).saturating_add(wanted) > self.burst {
            let holders = leases.iter().filter(|it| lapse(it) > now && it.unspent() > 0);
            let first = holders.map(lapse).min();
            return first.map_or(1, |first| ms_until(now, first).saturating_add(1));
        }
        self.parts(wanted).saturating_sub(row.level).div_ceil(self.calls.max(1))
    }

    /// Takes tokens, which there are.
    pub(super) fn take(
        &self,
        ledger: &mut Ledger<'_>,
        of: LeaseOf,
        row: &BucketRow,
        tokens: u64,
    ) -> Result<(), Refusal> {
        let level = row.level.saturating_sub(self.parts(tokens));
        Ok(ledger.store_bucket(of.subscription, of.limit, &BucketRow { level, ..*row })?)
    }
}

/// Tokens that processes hold, and may spend or return.
fn held(leases: &[LeaseRow], now: Timestamp) -> u64 {
    let counted = leases.iter().filter(|lease| lapse(lease) > now);
    counted.fold(0, |sum, lease| sum.saturating_add(lease.unspent()))
}

/// When tokens are waited for no more.
fn lapse(lease: &LeaseRow) -> Timestamp {
    after(lease.expires, GRACE_MS)
}
