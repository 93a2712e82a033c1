//! Weights of operations and the quotas that count them: each is of use only with the other.

use crate::gate::{Limit, Meter, Rule};

use super::Product;
use super::api::Apis;
use super::mistake::Log;
use super::product::Placed;

/// Finds quotas of a product that count nothing, or refuse every call of an operation.
pub(super) fn check(product: &Product, limits: &[Placed<'_>], apis: &Apis<'_>, log: &mut Log) {
    for (place, limit) in limits {
        let Rule::Quota { units, meter: Meter::Weight, .. } = limit.rule else { continue };
        let Some((operation, weight)) = heaviest(product, limit, apis) else { continue };
        if weight == 0 {
            place.mistake(
                log,
                "expected an operation that weighs something, found that all it counts weigh 0: \
                 this quota would never count a call",
            );
        } else if limit.blocks() && u64::from(weight) > units.get() {
            place.mistake(
                log,
                format!(
                    "expected a weight of at least {weight}, which each call of operation \
                     `{operation}` has, found {units}: it would refuse them all"
                ),
            );
        }
    }
}

/// The heaviest operation that a limit counts. None while there are mistakes in the APIs.
fn heaviest<'p>(product: &Product, limit: &Limit, apis: &'p Apis<'_>) -> Option<(&'p str, u32)> {
    let mut heaviest: Option<(&str, u32)> = None;
    for api in &product.apis {
        for (operation, weight) in apis.counted(api)? {
            let is_more = heaviest.is_none_or(|(_, most)| weight > most);
            if is_more && limit.counts(api, operation) {
                heaviest = Some((operation, weight));
            }
        }
    }
    heaviest
}

/// Finds weights that no quota counts. Whoever writes one means that a call costs more of some
/// quota, and a quota of `calls` does not look at it.
pub(super) fn check_use(products: &[Product], apis: &Apis<'_>, log: &mut Log) {
    for (place, target) in apis.weights() {
        let counts = |limit: &Limit| {
            matches!(limit.rule, Rule::Quota { meter: Meter::Weight, .. })
                && limit.counts(&target.api, target.operation.as_deref().unwrap_or_default())
        };
        let is_used = products
            .iter()
            .any(|product| product.apis.contains(&target.api) && product.limits.iter().any(counts));
        if !is_used {
            place.mistake(
                log,
                "no quota counts this weight: write `quota: { weight: … }` in a product that opens \
                 the API, or leave it out",
            );
        }
    }
}
