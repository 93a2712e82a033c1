//! A subscription as gateways are told of it: its access, its plan, and periods for a while.

use std::num::NonZeroU32;

use jiff::Timestamp;
use tollgate_pricing::catalog::Product;
use tollgate_pricing::gate::{QuotaPeriod, Rule};
use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::{QuotaPeriods, SubscriptionState};
use tollgate_pricing::timeline::{MAX_PERIODS, Period, Timeline};

use super::super::{Refusal, catalog, periods};
use crate::store::{Ledger, SubscriptionRow};

/// Its state now, its periods written as far as they are told.
pub(super) fn of(
    ledger: &mut Ledger<'_>,
    row: &mut SubscriptionRow,
    now: Timestamp,
) -> Result<SubscriptionState, Refusal> {
    periods::cover(ledger, row, now)?;
    let billing: Vec<Period> =
        ledger.periods_around(row.public.id, now, MAX_PERIODS)?.iter().map(periods::wire).collect();
    let (_, catalog) = catalog::in_force(ledger)?;
    let quotas = match catalog.product(&row.public.product) {
        Some(product) => quotas(product, row, &billing, now),
        // An ended subscription holds no product back.
        None => Vec::new(),
    };
    Ok(SubscriptionState {
        id: row.public.id,
        revision: row.revision,
        product: Tag::of(&row.public.product),
        catalog: row.catalog,
        access: row.public.state.access(),
        expires_ms: None,
        periods: Timeline::of(&billing),
        quotas,
        overrides: Vec::new(),
    })
}

fn quotas(
    product: &Product,
    row: &SubscriptionRow,
    billing: &[Period],
    now: Timestamp,
) -> Vec<QuotaPeriods> {
    let mut quotas = Vec::new();
    for limit in &product.limits {
        let periods = match &limit.rule {
            Rule::SlidingWindow { .. } | Rule::TokenBucket { .. } => continue,
            Rule::Quota {
                period: QuotaPeriod::Calendar { .. } | QuotaPeriod::Lifetime, ..
            } => {
                continue;
            }
            Rule::Quota { period: QuotaPeriod::Billing, .. } => billing.to_vec(),
            Rule::Quota { period: QuotaPeriod::Seconds(seconds), .. } => {
                equal_spans(*seconds, row.public.anchor, billing, now)
            }
        };
        quotas.push(QuotaPeriods { limit: limit.tag(), periods: Timeline::of(&periods) });
    }
    quotas
}

/// The quota period before the current one, and on to the end of the last billing period, so that
/// a record that knows enough billing periods knows enough of these; at least the next, at most
/// what a state holds.
fn equal_spans(
    seconds: NonZeroU32,
    anchor: Timestamp,
    billing: &[Period],
    now: Timestamp,
) -> Vec<Period> {
    let until = billing.last().map_or(0, |period| period.end_ms);
    let current = periods::quota_number(seconds, anchor, now);
    let first = current.saturating_sub(1).max(1);
    let mut spans: Vec<Period> = Vec::new();
    for number in (first..=u32::MAX).take(MAX_PERIODS) {
        let known = spans.last().is_some_and(|last| last.end_ms >= until);
        if known && number > current.saturating_add(1) {
            break;
        }
        let Some(start) = periods::quota_end(seconds, anchor, number.saturating_sub(1)) else {
            break;
        };
        let Some(end) = periods::quota_end(seconds, anchor, number) else {
            break;
        };
        spans.push(Period {
            number,
            start_ms: periods::wire_ms(start),
            end_ms: periods::wire_ms(end),
        });
    }
    spans
}
