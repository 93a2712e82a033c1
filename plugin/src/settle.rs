//! Settling: the second pure change a call makes to its record, at its end.

use tollgate_pricing::gate::Meter;
use tollgate_pricing::sync::{MAX_SLOTS, Meters};

use crate::admit::{Counted, Permit};
use crate::record::Record;

/// What becomes of an admitted call, by its product's rule ([`Permit::billable`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It is billed, and took this of its product's meters.
    Billable(Meters),
    /// It is not billed, and its quotas get back what it took of them.
    Waived,
}

/// What a call that is billed took of its product's meters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Took {
    /// Of each meter; none that is zero.
    pub meters: Meters,
    /// Of all but bytes, added up.
    pub units: u64,
}

impl Took {
    /// Measures each of the product's meters once, however many quotas count it. `read` gives what
    /// is known only when a call has ended.
    pub fn measure(permit: &Permit, mut read: impl FnMut(&Meter) -> u64) -> Self {
        let mut took = Self::default();
        for meter in permit.meters() {
            let units = match meter {
                Meter::Calls => 0, // those are a slot's own counters
                Meter::Weight => permit.weight().into(),
                Meter::Bytes | Meter::Header(_) => read(meter),
            };
            if units > 0 {
                // A catalog has no product with more meters than there is room for.
                took.meters.add(meter.tag(), units);
            }
            if *meter != Meter::Bytes {
                took.units = took.units.saturating_add(units);
            }
        }
        took
    }
}

/// No slot can be opened now: the call stays open until one can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoSlot;

/// Moves an admitted call from open to billable or waived, in the period it was admitted to.
/// Quotas give back its units, or learn what it took; rates have had it, however it ended.
pub fn settle(record: &mut Record, permit: &Permit, ending: &Ending) -> Result<(), NoSlot> {
    let none = Meters::default();
    let took = if let Ending::Billable(took) = ending { took } else { &none };
    let slot = record.slot_for(permit.period(), took, MAX_SLOTS).ok_or(NoSlot)?;
    match ending {
        Ending::Billable(_) => slot.billable = slot.billable.saturating_add(1),
        Ending::Waived => slot.waived = slot.waived.saturating_add(1),
    }
    for (meter, units) in took.as_slice() {
        slot.meters.add(*meter, *units);
    }
    for charged in permit.quotas() {
        // A lease that is gone is of a period that is over: nobody draws on it any more.
        let Some(lease) = record.lease_mut(charged.limit, charged.period) else { continue };
        match (ending, charged.what) {
            (Ending::Waived, Counted::Units(units)) => lease.waive(units),
            (Ending::Billable(took), Counted::Late(meter)) => lease.spend(took.get(meter)),
            (Ending::Billable(_), Counted::Units(_)) | (Ending::Waived, Counted::Late(_)) => {}
        }
    }
    Ok(())
}
