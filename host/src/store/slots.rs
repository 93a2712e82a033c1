//! Slots: what each process counted in a billing period, and their sums.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, Rows};
use tollgate_pricing::id::{BootId, SubscriptionId, Tag};
use tollgate_pricing::sync::{Meters, Slot};

use super::column::{self, halves, sum};
use super::{Ledger, StoreError};

/// Counters added up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) admitted: u64,
    pub(crate) billable: u64,
    pub(crate) waived: u64,
}

/// Where sums end.
const MAX_SUM: u64 = i64::MAX.unsigned_abs();

impl Counters {
    /// Those of a slot.
    pub(crate) fn of(slot: &Slot) -> Self {
        Self { admitted: slot.admitted, billable: slot.billable, waived: slot.waived }
    }

    /// Adds up rows of admitted, billable, waived. Here: SQLite's sum fails past 63 bits, and takes
    /// the statement with it.
    fn sum(mut rows: Rows<'_>) -> Result<Self, StoreError> {
        let mut sum = Self::default();
        while let Some(row) = rows.next()? {
            let slot = Self { admitted: row.get(0)?, billable: row.get(1)?, waived: row.get(2)? };
            sum = sum.plus(slot);
        }
        Ok(sum)
    }

    /// Both together, up to where sums end.
    pub(crate) fn plus(self, other: Self) -> Self {
        let add = |sum: u64, more: u64| sum.saturating_add(more).min(MAX_SUM);
        Self {
            admitted: add(self.admitted, other.admitted),
            billable: add(self.billable, other.billable),
            waived: add(self.waived, other.waived),
        }
    }

    /// Whether no more calls were settled than admitted.
    pub(crate) fn are_possible(self) -> bool {
        self.billable.saturating_add(self.waived) <= self.admitted
    }

    /// Whether these are what was counted, and not where sums end.
    pub(crate) fn are_exact(self) -> bool {
        self.admitted < MAX_SUM
    }

    /// Calls let through: whatever was settled was, also where a restored ledger has lost the slot
    /// that says so.
    pub(crate) fn admitted_at_least(self) -> u64 {
        self.admitted.max(self.billable.saturating_add(self.waived)).min(MAX_SUM)
    }

    /// Calls that are not settled.
    pub(crate) fn open(self) -> u64 {
        self.admitted.saturating_sub(self.billable).saturating_sub(self.waived)
    }
}

/// The other slots of a process for one period.
const BESIDE: &str = "SELECT admitted, billable, waived FROM slots
     WHERE boot = ?1 AND subscription = ?2 AND period = ?3 AND number <> ?4";

/// A slot, from its columns.
pub(super) const SLOT: &str = "number, period, admitted, billable, waived, meters";

pub(super) fn slot(row: &Row<'_>) -> Result<Slot, rusqlite::Error> {
    Ok(Slot {
        number: row.get(0)?,
        period: row.get(1)?,
        admitted: row.get(2)?,
        billable: row.get(3)?,
        waived: row.get(4)?,
        meters: column::json(row, 5)?,
    })
}

impl Ledger<'_> {
    /// A slot as it is stored.
    pub(crate) fn slot(
        &self,
        boot: BootId,
        subscription: SubscriptionId,
        number: u32,
    ) -> Result<Option<Slot>, StoreError> {
        let mut statement = self.sql(&format!(
            "SELECT {SLOT} FROM slots WHERE boot = ?1 AND subscription = ?2 AND number = ?3"
        ))?;
        Ok(statement.query_row((boot.0, subscription.0, number), slot).optional()?)
    }

    /// Writes a slot, and marks its period as late if that was billed without these calls.
    pub(crate) fn store_slot(
        &mut self,
        boot: BootId,
        subscription: SubscriptionId,
        slot: &Slot,
    ) -> Result<(), StoreError> {
        // Admitted and waived calls are not billed, nor are meters. What was closed before it began
        // never is.
        self.sql(
            "UPDATE periods SET late = 1
             WHERE subscription = ?1 AND number = ?2 AND late = 0 AND closed_ms > start_ms
               AND ?5 > coalesce((SELECT billable FROM slots
                   WHERE boot = ?3 AND subscription = ?1 AND number = ?4), 0)",
        )?
        .execute((subscription.0, slot.period, boot.0, slot.number, slot.billable))?;
        self.sql(
            "INSERT INTO slots (boot, subscription, number, period, admitted, billable, waived,
                 meters)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
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
        ))?;
        Ok(())
    }

    /// A period's counters over all processes, each at most SQLite's largest integer.
    pub(crate) fn counters(
        &self,
        subscription: SubscriptionId,
        period: u32,
    ) -> Result<Counters, StoreError> {
        let mut statement = self.sql(
            "SELECT admitted, billable, waived FROM slots
             WHERE subscription = ?1 AND period = ?2",
        )?;
        Counters::sum(statement.query((subscription.0, period))?)
    }

    /// All counters of one subscription, or of all, over all periods.
    pub(crate) fn counters_of(
        &self,
        subscription: Option<SubscriptionId>,
    ) -> Result<Counters, StoreError> {
        let [admitted, billable, waived] = ["admitted", "billable", "waived"].map(halves);
        let whose = if subscription.is_some() { "subscription = ?1" } else { "?1 IS NULL" };
        let mut statement =
            self.sql(&format!("SELECT {admitted}, {billable}, {waived} FROM slots WHERE {whose}"))?;
        Ok(statement.query_row([subscription.map(|id| id.0)], |row| {
            Ok(Counters { admitted: sum(row, 0)?, billable: sum(row, 2)?, waived: sum(row, 4)? })
        })?)
    }

    /// What the billable calls of a period took of each meter, over all processes, by the meter's
    /// tag. Sums end at the largest number.
    pub(crate) fn metered(
        &self,
        subscription: SubscriptionId,
        period: u32,
    ) -> Result<BTreeMap<Tag, u64>, StoreError> {
        let mut statement = self.sql(
            "SELECT meters FROM slots WHERE subscription = ?1 AND period = ?2 AND meters <> '[]'",
        )?;
        let mut rows = statement.query((subscription.0, period))?;
        let mut sums = BTreeMap::new();
        while let Some(row) = rows.next()? {
            add_meters(&mut sums, &column::json(row, 0)?);
        }
        Ok(sums)
    }

    /// What the other slots of a process hold for a slot's period.
    pub(crate) fn counters_beside(
        &self,
        boot: BootId,
        subscription: SubscriptionId,
        slot: &Slot,
    ) -> Result<Counters, StoreError> {
        let mut statement = self.sql(BESIDE)?;
        let of = (boot.0, subscription.0, slot.period, slot.number);
        Counters::sum(statement.query(of)?)
    }
}

/// Adds what one slot took of each meter: of several products there can be more than one slot holds.
pub(super) fn add_meters(sums: &mut BTreeMap<Tag, u64>, meters: &Meters) {
    for (tag, units) in meters.as_slice() {
        let sum = sums.entry(*tag).or_default();
        *sum = sum.saturating_add(*units);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::World;

    /// However many processes counted in the period: a year has thousands.
    #[test]
    fn a_processes_slots_are_found_among_its_own() {
        let world = World::empty();
        let mut plan =
            world.store.connection.prepare(&format!("EXPLAIN QUERY PLAN {BESIDE}")).unwrap();
        let step: String = plan.query_row((0, 0, 0, 0), |row| row.get(3)).unwrap();
        let expected = "SEARCH slots USING COVERING INDEX slots_by_period \
                        (subscription=? AND period=? AND boot=?)";
        assert_eq!(step, expected);
    }
}
