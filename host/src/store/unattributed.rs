//! Slots of subscriptions or periods that this ledger never had.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::OptionalExtension;
use tollgate_pricing::id::{BootId, SubscriptionId, Tag};
use tollgate_pricing::sync::Slot;

use super::slots::{Counters, SLOT, add_meters, slot};
use super::{Ledger, StoreError, column};

/// Slots kept at most, over the ledger's life.
const MAX_UNATTRIBUTED: u64 = 100_000;

/// What was counted for a period that this ledger never had, over all processes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Unattributed {
    pub(crate) counters: Counters,
    pub(crate) meters: BTreeMap<Tag, u64>,
    /// When the first of it came.
    pub(crate) first: Timestamp,
}

impl Ledger<'_> {
    /// A slot that is kept as unattributed.
    pub(crate) fn unattributed_slot(
        &self,
        boot: BootId,
        subscription: SubscriptionId,
        number: u32,
    ) -> Result<Option<Slot>, StoreError> {
        let mut statement = self.sql(&format!(
            "SELECT {SLOT} FROM unattributed
             WHERE boot = ?1 AND subscription = ?2 AND number = ?3"
        ))?;
        Ok(statement.query_row((boot.0, subscription.0, number), slot).optional()?)
    }

    /// Whether any slot of a subscription in a process is kept as unattributed.
    pub(crate) fn has_unattributed(
        &self,
        boot: BootId,
        subscription: SubscriptionId,
    ) -> Result<bool, StoreError> {
        Ok(self
            .sql("SELECT 1 FROM unattributed WHERE boot = ?1 AND subscription = ?2 LIMIT 1")?
            .exists((boot.0, subscription.0))?)
    }

    /// Whether one more can be kept.
    pub(crate) fn has_room_for_unattributed(&self) -> Result<bool, StoreError> {
        // Those that are gone have taken theirs.
        let mut statement = self.sql("SELECT coalesce(max(id), 0) FROM unattributed")?;
        let last: u64 = statement.query_row([], |row| row.get(0))?;
        Ok(last < MAX_UNATTRIBUTED)
    }

    /// Writes a slot that nobody here can be billed for.
    pub(crate) fn store_unattributed(
        &mut self,
        boot: BootId,
        subscription: SubscriptionId,
        slot: &Slot,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.sql(
            "INSERT INTO unattributed (boot, subscription, number, period, admitted, billable,
                 waived, meters, first_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (boot, subscription, number) DO UPDATE SET
                 admitted = excluded.admitted, billable = excluded.billable,
                 waived = excluded.waived, meters = excluded.meters",
        )?
        .execute((
            boot.0,
            subscription.0,
            slot.number,
            slot.period,
            slot.admitted,
            slot.billable,
            slot.waived,
            column::to_json(&slot.meters)?,
            now.as_millisecond(),
        ))?;
        Ok(())
    }

    /// Forgets a slot that has found its period.
    pub(crate) fn remove_unattributed(
        &mut self,
        boot: BootId,
        subscription: SubscriptionId,
        number: u32,
    ) -> Result<(), StoreError> {
        self.sql("DELETE FROM unattributed WHERE boot = ?1 AND subscription = ?2 AND number = ?3")?
            .execute((boot.0, subscription.0, number))?;
        Ok(())
    }

    /// Everything that is unattributed, by subscription and period.
    pub(crate) fn unattributed(
        &self,
        subscription: Option<SubscriptionId>,
    ) -> Result<BTreeMap<(SubscriptionId, u32), Unattributed>, StoreError> {
        let mut statement = self.sql(&format!(
            "SELECT {SLOT}, subscription, first_ms FROM unattributed
             WHERE ?1 IS NULL OR subscription = ?1"
        ))?;
        let mut rows = statement.query([subscription.map(|id| id.0)])?;
        let mut sums = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (slot, whose, first) =
                (slot(row)?, SubscriptionId(row.get(6)?), column::time(row, 7)?);
            let fresh = || Unattributed { first, ..Unattributed::default() };
            let sum = sums.entry((whose, slot.period)).or_insert_with(fresh);
            sum.counters = sum.counters.plus(Counters::of(&slot));
            add_meters(&mut sum.meters, &slot.meters);
            sum.first = sum.first.min(first);
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{World, boot, slot};

    #[test]
    fn past_the_bound_only_what_is_known_is_acknowledged() {
        let mut world = World::new();
        let gateway = world.gateway("edge");
        let stranger = SubscriptionId(77);
        let mut check = |number, admitted, acks: usize, last: Option<u64>| {
            let answer = world.sync(gateway, slot(boot(1), stranger, (number, 1, admitted, 0, 0)));
            assert_eq!(answer.slots.len(), acks, "slot {number}");
            let Some(last) = last else { return };
            world.with_ledger(|ledger| {
                Ok(ledger.run(&format!("UPDATE unattributed SET id = {last}"))?)
            });
        };
        check(1, 1, 1, Some(MAX_UNATTRIBUTED - 1));
        check(2, 1, 1, None);
        check(3, 1, 0, None);
        check(1, 2, 1, None);
        let kept = world.dump(&["conflicts"]);
        assert!(kept.contains("sub_77 slot 3: too much is unattributed already"), "{kept}");
    }
}
