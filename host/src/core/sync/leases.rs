//! Leases: units of a quota, given to processes that ask. The sum of what is granted and not
//! returned never exceeds the quota, whatever is asked, by whom, how often, in which order.

use jiff::{SignedDuration, Timestamp};
use tollgate_pricing::gate::{QuotaPeriod, Rule};
use tollgate_pricing::id::{BootId, SubscriptionId};
use tollgate_pricing::sync::{
    Access, LeaseAnswer, LeaseAsk, LeaseOutcome, LeaseReport, MAX_STALE_SECONDS,
};

use super::super::{Refusal, catalog, periods};
use crate::store::{LeaseOf, LeaseRow, Ledger, SubscriptionRow, live_since};

/// A first grant is at most this part of the quota: a clean return cannot be relied on.
const FIRST_GRANT_PART: u64 = 10;

/// Merges what a process says of its lease, or says why not.
pub(super) fn merge(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    subscription: SubscriptionId,
    report: &LeaseReport,
) -> Result<Result<(), String>, Refusal> {
    let of = LeaseOf { subscription, quota: report.limit, period: report.period };
    let Some(stored) = ledger.lease(of, boot)? else {
        let nothing = [report.granted, report.used, report.waived, report.returned];
        return Ok(if nothing.iter().all(|units| *units == 0) {
            Ok(())
        } else {
            Err("it was never granted".to_owned())
        });
    };
    if report.granted > stored.granted {
        let (granted, found) = (stored.granted, report.granted);
        return Ok(Err(format!("expected at most {granted} granted, found {found}")));
    }
    let merged = LeaseRow {
        used: stored.used.max(report.used),
        waived: stored.waived.max(report.waived),
        returned: stored.returned.max(report.returned),
        ..stored
    };
    if !is_possible(&merged) {
        return Ok(Err(format!(
            "expected used - waived + returned of at most {}, found {} - {} + {}",
            merged.granted, merged.used, merged.waived, merged.returned
        )));
    }
    if merged != stored {
        ledger.store_lease(of, &merged)?;
    }
    Ok(Ok(()))
}

/// Nobody uses or returns what was not granted.
fn is_possible(lease: &LeaseRow) -> bool {
    let fits = |units: u64| i64::try_from(units).is_ok();
    let spent = lease.used.checked_sub(lease.waived);
    fits(lease.used)
        && spent
            .and_then(|spent| spent.checked_add(lease.returned))
            .is_some_and(|gone| gone <= lease.granted)
}

/// Answers an ask, granting what may be granted.
pub(super) fn answer(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    ask: &LeaseAsk,
    now: Timestamp,
) -> Result<LeaseAnswer, Refusal> {
    let (subscription, limit, period) = ask.about();
    let of = LeaseOf { subscription, quota: limit, period };
    let (granted, outcome) = granted(ledger, boot, of, ask, now)?;
    Ok(LeaseAnswer { subscription, limit, period, granted, lasts_ms: None, outcome })
}

fn granted(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    of: LeaseOf,
    ask: &LeaseAsk,
    now: Timestamp,
) -> Result<(u64, LeaseOutcome), Refusal> {
    let Some(row) = ledger.subscription(of.subscription)? else {
        return Ok((0, LeaseOutcome::Outdated));
    };
    let leases = ledger.leases(of)?;
    let before = leases.iter().find(|lease| lease.boot == boot).map_or(0, |lease| lease.granted);
    if before > ask.lease.granted {
        // The answer to an earlier ask is under way or lost: this one tells it again.
        return Ok((before, LeaseOutcome::Granted));
    }
    let limit = match row.public.state.access() {
        Access::Active => quota_now(ledger, &row, of, now)?,
        Access::Suspended | Access::Ended => None,
    };
    // Nobody was ever granted more than the ledger knows: a process that says so is not believed.
    let Some(limit) = limit.filter(|_| before == ask.lease.granted) else {
        return Ok((before, LeaseOutcome::Outdated));
    };
    let units = grant(limit, &leases, boot, ask.want, now);
    // A process that takes and returns for ever comes to the end of the numbers: no more for it.
    let after = before.saturating_add(units);
    if units == 0 || i64::try_from(after).is_err() {
        return Ok((before, LeaseOutcome::Exhausted { retry_ms: 1_000 }));
    }
    ledger.grant(of, boot, after)?;
    Ok((after, LeaseOutcome::Granted))
}

/// The calls of a quota, if it is one of the subscription's and the period is near.
fn quota_now(
    ledger: &mut Ledger<'_>,
    row: &SubscriptionRow,
    of: LeaseOf,
    now: Timestamp,
) -> Result<Option<u64>, Refusal> {
    let (_, catalog) = catalog::in_force(ledger)?;
    let rule = catalog
        .product(&row.public.product)
        .and_then(|product| product.limits.iter().find(|limit| limit.tag() == of.quota))
        .map(|limit| limit.rule.clone());
    let Some(Rule::Quota { units, period, .. }) = rule else {
        return Ok(None);
    };
    let Some(before) = of.period.checked_sub(1) else {
        return Ok(None);
    };
    let anchor = row.public.anchor;
    let bounds = match period {
        QuotaPeriod::Seconds(seconds) => periods::quota_end(seconds, anchor, before)
            .zip(periods::quota_end(seconds, anchor, of.period)),
        QuotaPeriod::Billing => {
            ledger.period(of.subscription, of.period)?.map(|period| (period.start, period.end))
        }
        QuotaPeriod::Calendar { .. } | QuotaPeriod::Lifetime => None,
    };
    let Some((start, end)) = bounds else {
        return Ok(None);
    };
    // A gateway's clock may be off by what it has not heard from the host.
    let slack = SignedDuration::from_secs(i64::try_from(MAX_STALE_SECONDS).unwrap_or(i64::MAX));
    let near = start.duration_since(now) <= slack && now.duration_since(end) <= slack;
    Ok(near.then_some(units.get()))
}

/// How many units a process gets: little at first, what it wants later, and never more than half
/// of what is left while others that live hold some too. Alone, it may get all.
fn grant(limit: u64, leases: &[LeaseRow], boot: BootId, want: u64, now: Timestamp) -> u64 {
    let out = leases.iter().fold(0_u64, |sum, lease| sum.saturating_add(lease.held()));
    let left = limit.saturating_sub(out);
    let first = !leases.iter().any(|lease| lease.boot == boot);
    let others = leases
        .iter()
        .any(|lease| lease.boot != boot && lease.held() > 0 && lease.last_seen >= live_since(now));
    let mut units = want.max(1);
    if first {
        units = units.min((limit / FIRST_GRANT_PART).max(1));
    }
    if others {
        units = units.min((left / 2).max(1));
    }
    units.min(left)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_pricing::id::Hex128;

    use super::*;

    fn lease(boot: u8, granted: u64, returned: u64, seen_s: i64) -> LeaseRow {
        LeaseRow {
            boot: Hex128([boot; 16]),
            granted,
            used: 0,
            waived: 0,
            returned,
            last_seen: Timestamp::from_second(seen_s).unwrap(),
        }
    }

    #[test]
    fn a_grant_is_small_at_first_and_shared_when_others_live() {
        let check = |limit, leases: &[LeaseRow], want, expected| {
            let now = Timestamp::from_second(1_000).unwrap();
            let found = grant(limit, leases, Hex128([1; 16]), want, now);
            assert_eq!(found, expected, "want {want} of {limit} beside {leases:?}");
        };
        check(100, &[], 1_000, 10);
        check(100, &[], 3, 3);
        check(100, &[], 0, 1);
        check(5, &[], 5, 1);
        // Alone it may get all.
        check(100, &[lease(1, 10, 0, 990)], 1_000, 90);
        check(100, &[lease(1, 100, 0, 990)], 1_000, 0);
        check(100, &[lease(1, 100, 30, 990)], 1_000, 30);
        // Others that live share; those that were not seen for a minute keep what they hold.
        check(100, &[lease(1, 10, 0, 990), lease(2, 10, 0, 990)], 1_000, 40);
        check(100, &[lease(1, 10, 0, 990), lease(2, 10, 0, 900)], 1_000, 80);
        check(100, &[lease(1, 49, 0, 990), lease(2, 50, 0, 990)], 1_000, 1);
        check(100, &[lease(1, 10, 0, 990), lease(2, 20, 20, 990)], 1_000, 90);
        // A limit that was lowered.
        check(10, &[lease(1, 100, 0, 990)], 1_000, 0);
    }

    proptest! {
        #[test]
        fn never_more_than_is_left(
            limit in 1_u64..,
            leases in proptest::collection::vec((0_u8..4, 0_u64.., 0_u64.., 900_i64..1_000), 0..6),
            want in any::<u64>(),
        ) {
            let leases: Vec<_> = leases
                .into_iter()
                .map(|(boot, granted, returned, seen)| lease(boot, granted, returned, seen))
                .collect();
            let held = leases.iter().fold(0_u64, |sum, lease| sum.saturating_add(lease.held()));
            let now = Timestamp::from_second(1_000).unwrap();
            let units = grant(limit, &leases, Hex128([1; 16]), want, now);
            prop_assert!(units <= limit.saturating_sub(held));
        }
    }
}
