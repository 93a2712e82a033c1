//! Limits that were lowered: what processes hold of them is called back, all of it, so that what
//! is left is given anew.

use tollgate_pricing::catalog::Product;
use tollgate_pricing::gate::Rule;
use tollgate_pricing::id::{SubscriptionId, Tag};

use super::Refusal;
use crate::store::Ledger;

/// Calls back what processes hold of one subscription's limit.
pub fn recall(
    ledger: &mut Ledger<'_>,
    subscription: SubscriptionId,
    limit: Tag,
) -> Result<(), Refusal> {
    Ok(ledger.recall_all(subscription, limit)?)
}

/// Calls back what processes hold of a product's limits that allow less than before.
pub(super) fn recall_of_product(
    ledger: &mut Ledger<'_>,
    old: &Product,
    new: &Product,
) -> Result<(), Refusal> {
    for limit in &old.limits {
        let next = new.limits.iter().find(|next| next.id == limit.id);
        if next.is_none_or(|next| is_lower(&limit.rule, &next.rule)) {
            ledger.recall_all_of_product(&old.id, limit.tag())?;
        }
    }
    Ok(())
}

/// Whether a rule allows less than the one before it, in any way.
pub fn is_lower(old: &Rule, new: &Rule) -> bool {
    match (old, new) {
        (Rule::Quota { units: old, .. }, Rule::Quota { units: new, .. }) => new < old,
        (
            Rule::SlidingWindow { calls: old, period_seconds: old_period, .. },
            Rule::SlidingWindow { calls: new, period_seconds: new_period, .. },
        ) => new < old || new_period > old_period,
        (
            Rule::TokenBucket { calls: old, period_seconds: old_period, burst: old_burst, .. },
            Rule::TokenBucket { calls: new, period_seconds: new_period, burst: new_burst, .. },
        ) => new < old || new_period > old_period || new_burst < old_burst,
        _ => true,
    }
}
