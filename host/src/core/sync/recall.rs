//! Calling units back from processes that hold more than they spend, for those that need them.

use jiff::{SignedDuration, Timestamp};
use tollgate_pricing::gate::Rule;
use tollgate_pricing::id::BootId;
use tollgate_pricing::sync::{LeaseAnswer, LeaseOutcome, MAX_ASKS, Recall};

use super::super::Refusal;
use super::leases::{self, Leased};
use super::quotas;
use crate::store::{LeaseOf, LeaseRow, Ledger, Recalled, live_since};

/// When to ask again for units that are called back: a recall is delivered within a second, and
/// answered at once.
pub(super) const WAIT_MS: u64 = 250;
/// A process that was not heard for so long will not return anything soon.
const HEARD: SignedDuration = SignedDuration::from_secs(5);

/// Other processes that live and want units: they asked not longer ago than this.
pub(super) fn wanting<'a>(
    others: impl Iterator<Item = &'a LeaseRow>,
    within: SignedDuration,
    now: Timestamp,
) -> u64 {
    let since = now.checked_sub(within).unwrap_or(Timestamp::MIN);
    let wanting = others.filter(|it| it.asked >= since && it.last_seen >= live_since(now));
    u64::try_from(wanting.count()).unwrap_or(u64::MAX)
}

/// Whether a process holds units and was heard just now.
pub(super) fn can_return(lease: &LeaseRow, now: Timestamp) -> bool {
    let since = now.checked_sub(HEARD).unwrap_or(Timestamp::MIN);
    lease.unspent() > 0 && lease.last_seen >= since
}

/// Calls units back from these.
pub(super) fn call(
    ledger: &mut Ledger<'_>,
    of: LeaseOf,
    holders: &[LeaseRow],
) -> Result<(), Refusal> {
    for holder in holders.iter().filter(|holder| holder.recall == Recalled::No) {
        ledger.store_lease(of, &LeaseRow { recall: Recalled::Some, ..*holder })?;
    }
    Ok(())
}

/// What a process is called to return, in every answer until it has; and beside it what it was
/// ever granted, because nobody can return what they have not heard of. Units of a period that is
/// over are nobody's any more, and a process may have forgotten them: it is not called for ever.
pub(super) fn standing(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    answered: &[LeaseAnswer],
    now: Timestamp,
) -> Result<(Vec<Recall>, Vec<LeaseAnswer>), Refusal> {
    let mut recalls = Vec::new();
    let mut grants = Vec::new();
    for (of, granted, all) in ledger.recalled_leases(boot, MAX_ASKS)? {
        let LeaseOf { subscription, limit, period } = of;
        if is_over(ledger, of, now)? {
            ledger.recall_no_more(of, boot)?;
            continue;
        }
        recalls.push(Recall { subscription, limit, period, all });
        let is_told = |answer: &&LeaseAnswer| {
            (answer.subscription, answer.limit, answer.period) == (subscription, limit, period)
        };
        if answered.iter().find(is_told).is_none() {
            let outcome = LeaseOutcome::Granted;
            let lasts_ms = None;
            grants.push(LeaseAnswer { subscription, limit, period, granted, lasts_ms, outcome });
        }
    }
    Ok((recalls, grants))
}

/// Whether units are of a quota's period that nobody can ask for any more.
fn is_over(ledger: &mut Ledger<'_>, of: LeaseOf, now: Timestamp) -> Result<bool, Refusal> {
    let Some(row) = ledger.subscription(of.subscription)? else {
        return Ok(false);
    };
    let leased = leases::leased(ledger, &row, of.limit)?;
    let Some(Leased { rule: Rule::Quota { period, .. }, every }) = leased else {
        return Ok(false);
    };
    Ok(quotas::is_over((&period, every), row.public.anchor, of.period, now))
}
