//! What a ledger does when it was put back from a backup: it says so to everybody, takes no number
//! again that its lost future may have used, and waits for who knows of that.

use jiff::{SignedDuration, Timestamp};
use tollgate_pricing::id::{BootId, LedgerId};

use super::hold::AWAITED_SECONDS;
use super::{Refusal, Request, periods};
use crate::store::Ledger;

/// Numbers from which a restored ledger goes on: past its own, and, as they grow with time faster
/// than anybody takes numbers, past those of every ledger that was restored from the same copy
/// before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Unused {
    /// Epochs begin here or later.
    epoch: u32,
    /// Catalogs likewise.
    catalog: u32,
    /// Subscriptions likewise.
    subscription: u64,
    /// Revisions likewise.
    revision: u64,
}

impl Unused {
    /// What the ledger of the copy can have reached after it, should the clock be wrong.
    const REVISION_JUMP: u64 = 1 << 32;
    const SUBSCRIPTION_JUMP: u64 = 1 << 20;
    const CATALOG_JUMP: u32 = 1 << 16;

    fn at(now: Timestamp) -> Self {
        let seconds = u32::try_from(now.as_second().max(0)).unwrap_or(0);
        let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Self {
            epoch: seconds,
            catalog: seconds,
            subscription: u64::from(seconds).saturating_mul(1 << 10),
            // Below 2^63 for as long as seconds fit 32 bits.
            revision: milliseconds.min(1 << 42).saturating_mul(1 << 20),
        }
    }

    fn revision_after(self, last: u64) -> u64 {
        self.revision.max(last.saturating_add(Self::REVISION_JUMP))
    }

    fn subscription_after(self, last: u64) -> u64 {
        self.subscription.max(last.saturating_add(Self::SUBSCRIPTION_JUMP))
    }

    fn catalog_after(self, last: u32) -> Option<u32> {
        Some(self.catalog.max(last.checked_add(Self::CATALOG_JUMP)?))
    }
}

/// Makes of a copy of a ledger the ledger again -> [`Restored`].
#[derive(Debug)]
pub struct Restore;

/// A ledger that was restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// Which.
    pub ledger: LedgerId,
    /// From now on.
    pub epoch: u32,
    /// When it last heard of a process.
    pub last_sight: Option<Timestamp>,
    /// Processes that are waited for.
    pub awaited: Vec<BootId>,
}

impl Request for Restore {
    type Answer = Restored;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Restored, Refusal> {
        let last_sight = ledger.last_sight()?;
        let awaited = match last_sight {
            Some(last) => {
                let since = last.checked_sub(SignedDuration::from_secs(AWAITED_SECONDS));
                ledger.await_boots(since.unwrap_or(Timestamp::MIN))?
            }
            None => Vec::new(),
        };
        let unused = Unused::at(now);
        let revision = unused.revision_after(ledger.revision()?);
        let epoch = ledger.raise_epoch(unused.epoch, revision, now)?;
        let subscription = unused.subscription_after(ledger.last_subscription()?);
        ledger.skip_subscriptions(subscription)?;
        if let Some(old) = ledger.catalog_revision()? {
            let text = ledger.catalog_text(old)?.ok_or(Refusal::NoCatalog)?;
            let revision =
                unused.catalog_after(old).ok_or(Refusal::PastBounds("catalog revisions"))?;
            ledger.insert_catalog(revision, &text, now)?;
            // Periods that went by meanwhile are those that were told, and what is reported of
            // them must find them.
            for mut row in ledger.subscriptions()? {
                periods::cover_some(ledger, &mut row, now, u32::MAX)?;
            }
            ledger.move_coming_periods(revision, now)?;
            ledger.tell_all_anew(revision)?;
        }
        Ok(Restored { ledger: ledger.identity.ledger, epoch, last_sight, awaited })
    }
}

#[cfg(test)]
mod tests;
