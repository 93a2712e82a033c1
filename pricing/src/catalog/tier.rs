//! What a `tier` asks of the limits beside it.
//!
//! A tier is a fixed price for the calls of a billing period, whatever their number: the invoice
//! has one line and no overage. So nothing but the gate keeps a caller from taking more than was
//! paid for, and a quota does so only if all of this is true:
//!
//! - It refuses: a soft quota and one with `enforce: false` let everything pass.
//! - It counts calls. The price is for calls; an operation may weigh nothing, a response may name
//!   no units, and bytes say nothing of calls. Meters known late may be exceeded besides.
//! - Each call is counted by it, or by another that is as good: quotas of single APIs or
//!   operations do together what one of the whole product does.
//! - Its periods are no longer than the billing period. In longer ones a caller could take the
//!   calls of many paid periods in the first, and pay the others for nothing. Where calendars make
//!   lengths differ, the shortest period of the quota is compared with the longest to be billed:
//!   30 days beside a month are meant to be the same. Shorter ones are good: 1000 calls a day are
//!   a bound for the month too.
//!
//! Rates are bounds as well, but of another kind: nobody sells a month by its seconds, and a rate
//! that happens to be low would hide a quota that was forgotten.
//!
//! More than the price includes is a gift that a seller may make. Less is a promise that the gate
//! would break: what is paid for could never be used.
//!
//! With `on_outage: allow` a caller can go past the quota while the host is away. That is said in
//! so many words, bounded by the outage, and shown: not refused here.

use crate::gate::{CalendarUnit, Limit, Meter, QuotaPeriod, Rule};
use crate::quote::Model;

use super::api::Apis;
use super::mistake::Log;
use super::place::Place;
use super::product::Placed;
use super::{BillingPeriod, Product};

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Refuses a tier that its quotas do not keep, in `place`: where the limits are, or would be.
pub(super) fn check(
    product: &Product,
    limits: &[Placed<'_>],
    place: &Place<'_>,
    apis: &Apis<'_>,
    log: &mut Log,
) {
    let Model::Tier { included, .. } = product.price else { return };
    if let Some(of) = unkept(product, apis) {
        place.mistake(
            log,
            format!(
                "expected a hard quota of `calls` with periods no longer than the billing period, \
                 found none{of}: a `tier` is a fixed price for the calls it includes, and nothing \
                 else stops more of them"
            ),
        );
    }
    for (place, limit) in limits {
        let Some(most) = most_calls(limit, product.every) else { continue };
        if most < included.get() {
            place.mistake(
                log,
                format!(
                    "expected at least the {included} calls of a billing period that the price \
                     includes, found that it lets {most} pass: raise it, or lower `included`"
                ),
            );
        }
    }
}

/// Of what calls nothing stops more: nothing to add if no quota is any good at all, else the first
/// operation without one. None if all calls are kept.
fn unkept(product: &Product, apis: &Apis<'_>) -> Option<String> {
    let keeping: Vec<_> = product.limits.iter().filter(|it| keeps(it, product.every)).collect();
    if keeping.is_empty() {
        return Some(String::new());
    }
    if keeping.iter().any(|limit| limit.on.is_none()) {
        return None;
    }
    product.apis.iter().find_map(|api| {
        let is_kept = |operation: &str| keeping.iter().any(|it| it.counts(api, operation));
        let (operation, _) = apis.counted(api)?.find(|(operation, _)| !is_kept(operation))?;
        Some(format!(" for operation `{operation}` of API `{api}`"))
    })
}

/// Whether a limit keeps the calls that it counts.
fn keeps(limit: &Limit, every: BillingPeriod) -> bool {
    let Rule::Quota { meter: Meter::Calls, period, .. } = &limit.rule else { return false };
    let shortest = shortest_seconds(period, every);
    limit.blocks() && shortest.is_some_and(|shortest| shortest <= longest_seconds(every))
}

/// The most calls of a billing period that a quota over the whole product lets pass. None if it
/// is another kind of limit, or of another meter.
fn most_calls(limit: &Limit, every: BillingPeriod) -> Option<u64> {
    let Rule::Quota { meter: Meter::Calls, units, period, .. } = &limit.rule else { return None };
    if !limit.blocks() || limit.on.is_some() {
        return None;
    }
    let periods = match period {
        QuotaPeriod::Billing | QuotaPeriod::Lifetime => 1,
        // A billing period may begin and end within periods of the quota.
        QuotaPeriod::Seconds(_) | QuotaPeriod::Calendar { .. } => {
            let whole = longest_seconds(every).checked_div(shortest_seconds(period, every)?)?;
            whole.saturating_add(2)
        }
    };
    Some(units.get().saturating_mul(periods))
}

/// The shortest period of a quota; none if it has no end. An hour more or less on the day that a
/// zone's clocks are changed does not count.
fn shortest_seconds(period: &QuotaPeriod, every: BillingPeriod) -> Option<u64> {
    Some(match period {
        QuotaPeriod::Lifetime => return None,
        QuotaPeriod::Billing => longest_seconds(every),
        QuotaPeriod::Seconds(seconds) => seconds.get().into(),
        QuotaPeriod::Calendar { unit, .. } => match unit {
            CalendarUnit::Hour => 60 * 60,
            CalendarUnit::Day => DAY_SECONDS,
            CalendarUnit::Week => 7 * DAY_SECONDS,
            CalendarUnit::Month => 28 * DAY_SECONDS,
            CalendarUnit::Year => 365 * DAY_SECONDS,
        },
    })
}

/// The longest billing period.
fn longest_seconds(every: BillingPeriod) -> u64 {
    match every {
        BillingPeriod::Minutes(minutes) => u64::from(minutes.get()).saturating_mul(60),
        BillingPeriod::Day => DAY_SECONDS,
        BillingPeriod::Week => 7 * DAY_SECONDS,
        BillingPeriod::Month => 31 * DAY_SECONDS,
        BillingPeriod::Year => 366 * DAY_SECONDS,
    }
}
