//! A subscription as gateways are told of it: its access, its plan, and periods for a while.

use jiff::Timestamp;
use tollgate_pricing::catalog::Product;
use tollgate_pricing::gate::Rule;
use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::{QuotaPeriods, SubscriptionState};
use tollgate_pricing::timeline::{MAX_PERIODS, Period, Timeline};

use super::super::quota::QuotaClock;
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
        expires_ms: row.public.expires.map(periods::wire_ms),
        periods: Timeline::of(&billing),
        quotas,
        overrides: ledger.overrides_of(row.public.id)?,
    })
}

fn quotas(
    product: &Product,
    row: &SubscriptionRow,
    billing: &[Period],
    now: Timestamp,
) -> Vec<QuotaPeriods> {
    // As far as the billing periods go, so that a record that knows enough of them knows enough
    // of these.
    let until = billing.last().map_or(0, |period| period.end_ms);
    let mut quotas = Vec::new();
    for limit in &product.limits {
        let Rule::Quota { period, .. } = &limit.rule else { continue };
        let Some(clock) = QuotaClock::new(period, product.every, row.public.anchor) else {
            continue;
        };
        let periods = Timeline::of(&clock.around(now, until));
        quotas.push(QuotaPeriods { limit: limit.tag(), periods });
    }
    quotas
}
