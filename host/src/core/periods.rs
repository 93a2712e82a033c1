//! Periods: numbered from 1, half-open, each beginning where the one before ended, all counted
//! from the subscription's anchor.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use tollgate_pricing::catalog::BillingPeriod;
use tollgate_pricing::sync::MAX_STALE_SECONDS;
use tollgate_pricing::timeline::Period;

use super::{Refusal, catalog};
use crate::store::{Ledger, PeriodRow, SubscriptionRow};

/// Periods of one subscription written at once; a host that was away for longer catches up with
/// the next request.
pub(super) const MAX_NEW_PERIODS: u32 = 10_000;

/// Where the first period of a subscription made now begins: on the whole minute (UTC).
pub(super) fn anchor(now: Timestamp) -> Timestamp {
    let into_minute = now.as_millisecond().rem_euclid(60_000);
    let floored = now.as_millisecond().saturating_sub(into_minute);
    Timestamp::from_millisecond(floored).unwrap_or(now)
}

/// Where billing period `number` ends and the next begins; the anchor for 0.
///
/// Months and years are counted from the anchor itself, so that a month's last day stays one: 31
/// January, 28 February, 31 March.
pub(super) fn billing_end(
    every: BillingPeriod,
    anchor: Timestamp,
    number: u32,
) -> Result<Timestamp, Refusal> {
    const MINUTE: i64 = 60;
    const DAY: i64 = 24 * 60 * MINUTE;
    let number = i64::from(number);
    let calendar = |span: Result<Span, jiff::Error>| {
        let from = anchor.to_zoned(TimeZone::UTC);
        span.and_then(|span| from.checked_add(span))
            .map(|end| end.timestamp())
            .map_err(|_| past_bounds())
    };
    match every {
        BillingPeriod::Minutes(minutes) => {
            // Both are below 2^32, their product below 2^63.
            let minutes = i64::from(minutes.get()).saturating_mul(number);
            after(anchor, minutes.saturating_mul(MINUTE))
        }
        BillingPeriod::Day => after(anchor, number.saturating_mul(DAY)),
        BillingPeriod::Week => after(anchor, number.saturating_mul(7 * DAY)),
        BillingPeriod::Month => calendar(Span::new().try_months(number)),
        BillingPeriod::Year => calendar(Span::new().try_years(number)),
    }
}

fn after(anchor: Timestamp, seconds: i64) -> Result<Timestamp, Refusal> {
    anchor.checked_add(SignedDuration::from_secs(seconds)).map_err(|_| past_bounds())
}

fn past_bounds() -> Refusal {
    Refusal::PastBounds("a period's time")
}

/// The time until which gateways must know a subscription's periods.
pub(super) fn horizon(now: Timestamp) -> Timestamp {
    let stale = i64::try_from(MAX_STALE_SECONDS).unwrap_or(i64::MAX);
    after(now, stale).unwrap_or(Timestamp::MAX)
}

/// Writes a live subscription's billing periods up to the horizon, and at least the next one.
/// An ended one gets no more, and one that is not approved has none yet.
///
/// A period is bound to the catalog that was in force when it began, or for those to come to the
/// one in force now.
pub(super) fn cover(
    ledger: &mut Ledger<'_>,
    row: &mut SubscriptionRow,
    now: Timestamp,
) -> Result<(), Refusal> {
    cover_some(ledger, row, now, MAX_NEW_PERIODS).map(drop)
}

/// The same with at most so many periods: how many were written.
pub(super) fn cover_some(
    ledger: &mut Ledger<'_>,
    row: &mut SubscriptionRow,
    now: Timestamp,
    most: u32,
) -> Result<u32, Refusal> {
    if !row.public.has_periods_to_come() {
        return Ok(0);
    }
    let (revision, catalog) = catalog::in_force(ledger)?;
    let Some(product) = catalog.product(&row.public.product) else {
        return Err(Refusal::Damaged(format!(
            "{} is live, but its product is not in the catalog",
            row.public.id
        )));
    };
    let mut start_of_last = match row.last_period.checked_sub(1) {
        None => Timestamp::MIN,
        Some(before) => billing_end(product.every, row.public.anchor, before)?,
    };
    let horizon = horizon(now);
    let before = row.last_period;
    while row.covered < horizon || start_of_last <= now {
        if row.last_period.saturating_sub(before) >= most {
            break;
        }
        let number = row.last_period.checked_add(1).ok_or_else(past_bounds)?;
        let start = row.covered;
        let end = billing_end(product.every, row.public.anchor, number)?;
        // The first is written when its subscription begins, within its first minute.
        let bound = if start > now || number == 1 {
            revision
        } else {
            begun_under(ledger, row, start)?.unwrap_or(revision)
        };
        ledger.insert_period(&PeriodRow {
            subscription: row.public.id,
            number,
            start,
            end,
            product: row.public.product.clone(),
            catalog: bound,
            closed: None,
            billed: 0,
        })?;
        row.last_period = number;
        row.covered = end;
        start_of_last = start;
    }
    if row.last_period > before {
        ledger.update_cover(row)?;
    }
    Ok(row.last_period.saturating_sub(before))
}

/// The catalog that was in force when a period began. None if it does not know the product, as
/// when the clock was set back.
fn begun_under(
    ledger: &mut Ledger<'_>,
    row: &SubscriptionRow,
    start: Timestamp,
) -> Result<Option<u32>, Refusal> {
    let Some(revision) = ledger.catalog_at(start.max(row.public.created))? else {
        return Ok(None);
    };
    let known = ledger.catalog(revision)?.product(&row.public.product).is_some();
    Ok(known.then_some(revision))
}

/// A time on the wire: unix milliseconds.
pub(super) fn wire_ms(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0)
}

/// A billing period on the wire.
pub(super) fn wire(row: &PeriodRow) -> Period {
    Period { number: row.number, start_ms: wire_ms(row.start), end_ms: wire_ms(row.end) }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn months_are_counted_from_the_anchor() {
        let check = |every, anchor: &str, ends: &[&str]| {
            for (number, end) in (1..).zip(ends) {
                let found = billing_end(every, time(anchor), number).unwrap();
                assert_eq!(found, time(end), "{every:?} {number} from {anchor}");
            }
        };
        let five = NonZeroU32::new(5).unwrap();
        check(
            BillingPeriod::Month,
            "2027-01-31T10:07:00Z",
            &["2027-02-28T10:07:00Z", "2027-03-31T10:07:00Z", "2027-04-30T10:07:00Z"],
        );
        check(
            BillingPeriod::Month,
            "2028-01-30T00:00:00Z",
            &["2028-02-29T00:00:00Z", "2028-03-30T00:00:00Z"],
        );
        check(
            BillingPeriod::Year,
            "2028-02-29T00:00:00Z",
            &[
                "2029-02-28T00:00:00Z",
                "2030-02-28T00:00:00Z",
                "2031-02-28T00:00:00Z",
                "2032-02-29T00:00:00Z",
            ],
        );
        check(BillingPeriod::Week, "2026-12-28T00:01:00Z", &["2027-01-04T00:01:00Z"]);
        check(BillingPeriod::Day, "2026-12-31T00:01:00Z", &["2027-01-01T00:01:00Z"]);
        check(
            BillingPeriod::Minutes(five),
            "2026-12-31T23:58:00Z",
            &["2027-01-01T00:03:00Z", "2027-01-01T00:08:00Z"],
        );
    }

    #[test]
    fn a_time_past_every_bound_is_refused() {
        let minute = BillingPeriod::Minutes(NonZeroU32::MAX);
        for every in [minute, BillingPeriod::Year, BillingPeriod::Month] {
            let refusal = billing_end(every, time("2026-01-01T00:00:00Z"), u32::MAX).unwrap_err();
            assert_eq!(refusal.reason(), "past_bounds");
        }
    }

    /// A hundred years of any anchor's months: without gaps, one a month, on the anchor's day or
    /// the month's last.
    fn hundred_years(anchor: Timestamp) {
        let civil = |time: Timestamp| time.to_zoned(TimeZone::UTC).datetime();
        let first = civil(anchor);
        for number in 1..=1200 {
            let start = billing_end(BillingPeriod::Month, anchor, number - 1).unwrap();
            let end = billing_end(BillingPeriod::Month, anchor, number).unwrap();
            let (start, end) = (civil(start), civil(end));
            assert!(start < end);
            let months =
                |at: jiff::civil::DateTime| i32::from(at.year()) * 12 + i32::from(at.month());
            assert_eq!(months(end) - months(first), i32::try_from(number).unwrap());
            assert_eq!(end.day(), first.day().min(end.days_in_month()));
            assert_eq!(end.time(), first.time());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn months_never_drift(minute in 0_i64..60 * 24 * 366 * 8) {
            let first = time("2024-01-01T00:00:00Z").as_second();
            hundred_years(Timestamp::from_second(first + minute * 60).unwrap());
        }
    }

    #[test]
    fn an_anchor_is_on_the_minute() {
        for (now, anchor_of) in [
            ("2026-11-22T15:30:59.999Z", "2026-11-22T15:30:00Z"),
            ("2026-11-22T15:30:00Z", "2026-11-22T15:30:00Z"),
            ("1969-12-31T23:59:01Z", "1969-12-31T23:59:00Z"),
        ] {
            assert_eq!(anchor(time(now)), time(anchor_of));
        }
    }
}
