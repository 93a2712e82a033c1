//! Keeping aside what contradicts the ledger: once, loudly, and for somebody to look at.

use jiff::Timestamp;
use tollgate_pricing::id::{BootId, SubscriptionId};
use tollgate_pricing::sync::LeaseReport;

use super::super::Refusal;
use crate::store::{Kept, Ledger};

/// What is kept of one report.
const MAX_KEPT_BYTES: usize = 4 * 1024;

/// Keeps a report aside and says so, unless it is known already. One that does not fit any more is
/// counted and logged, each time it comes.
pub(super) fn keep(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    now: Timestamp,
    problem: &str,
    reported: &str,
) -> Result<(), Refusal> {
    let reported = cut(reported);
    match ledger.keep_conflict(boot, now, problem, reported)? {
        Kept::New => {
            tracing::error!(%boot, problem, reported, "a report contradicts the ledger");
        }
        Kept::Known => {}
        Kept::Full => {
            tracing::error!(%boot, problem, reported, "a report contradicts the ledger; not kept");
        }
    }
    Ok(())
}

/// Keeps a lease's report aside.
pub(super) fn keep_lease(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    subscription: SubscriptionId,
    lease: &LeaseReport,
    problem: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (limit, period) = (lease.limit.0, lease.period);
    let problem = format!("{subscription} lease {limit} period {period}: {problem}");
    keep(ledger, boot, now, &problem, &format!("{lease:?}"))
}

fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(MAX_KEPT_BYTES);
    text.get(..end).unwrap_or_default()
}
