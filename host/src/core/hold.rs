//! After a restore: what a restored ledger does not know was granted since its backup, so it grants
//! nothing of what had begun until the processes that lived then have reported everything.

use jiff::{SignedDuration, Timestamp};

use tollgate_pricing::sync::MAX_STALE_SECONDS;

use super::Refusal;
use crate::store::Ledger;

/// How long processes that the ledger does not know yet are waited for: each syncs every second.
pub const UNKNOWN_SECONDS: i64 = 60;
/// A process that was seen so long before the ledger's last sight of any is waited for.
pub const AWAITED_SECONDS: i64 = 15 * 60;

/// When a ledger was restored, and how far the wait is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Restored {
    pub(crate) at: Timestamp,
    /// When a gateway was first heard after that.
    pub(crate) heard: Option<Timestamp>,
    /// When an operator ended the wait.
    pub(crate) released: Option<Timestamp>,
    /// Processes that have not reported everything.
    pub(crate) awaited: u64,
}

impl Restored {
    /// Since when nothing is granted of what had begun; none if the wait is over.
    pub(crate) fn since(&self, now: Timestamp) -> Option<Timestamp> {
        if self.released.is_some() {
            return None;
        }
        let Some(heard) = self.heard else {
            return Some(now);
        };
        let passed = now.duration_since(heard) >= SignedDuration::from_secs(UNKNOWN_SECONDS);
        (!passed || self.awaited > 0).then_some(heard.max(self.at))
    }
}

/// Whether nothing is granted of a period that begins then, or of a rate, which began long ago.
///
/// Units of a period may have been granted before it began, as far ahead as a gateway's clock may
/// be off.
pub(super) fn holds(
    ledger: &Ledger<'_>,
    begins: Timestamp,
    now: Timestamp,
) -> Result<bool, Refusal> {
    let Some(since) = ledger.restored()?.and_then(|restored| restored.since(now)) else {
        return Ok(false);
    };
    let ahead = SignedDuration::from_secs(i64::try_from(MAX_STALE_SECONDS).unwrap_or(i64::MAX));
    Ok(begins <= since.saturating_add(ahead).unwrap_or(Timestamp::MAX))
}
