//! Settling: the second pure change a call makes to its record, at its end.

use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::MAX_SLOTS;

use crate::admit::{Counted, Permit};
use crate::record::Record;

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It was forwarded and no server error came of it.
    Billable,
    /// It was never forwarded, or ended in a server error: not billed, and its quota goes back.
    Waived,
}

impl Ending {
    /// The rule by which calls are billed. `status` is 0 when no answer was sent.
    pub fn of(forwarded: bool, status: u16) -> Self {
        if forwarded && status < 500 { Self::Billable } else { Self::Waived }
    }
}

/// What is known of a call only when it has ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Measured {
    /// Bytes of request and response, headers included.
    pub bytes: u64,
    /// Whole numbers in response headers, by the quota that counts them.
    pub headers: Vec<(Tag, u64)>,
}

/// No slot can be opened now: the call stays open until one can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoSlot;

/// Moves an admitted call from open to billable or waived, in the period it was admitted to.
/// Quotas give back its units, or learn what it took; rates have had it, however it ended.
pub fn settle(
    record: &mut Record,
    permit: &Permit,
    ending: Ending,
    measured: &Measured,
) -> Result<(), NoSlot> {
    let slot = record.slot_mut(permit.period(), MAX_SLOTS).ok_or(NoSlot)?;
    match ending {
        Ending::Billable => slot.billable = slot.billable.saturating_add(1),
        Ending::Waived => slot.waived = slot.waived.saturating_add(1),
    }
    for charged in permit.quotas() {
        // A lease that is gone is of a period that is over: nobody draws on it any more.
        let Some(lease) = record.lease_mut(charged.limit, charged.period) else { continue };
        match (ending, charged.what) {
            (Ending::Waived, Counted::Units(units)) => lease.waive(units),
            (Ending::Billable, Counted::Bytes) => lease.spend(measured.bytes),
            (Ending::Billable, Counted::Header) => lease.spend(measured.units(charged.limit)),
            (Ending::Billable, Counted::Units(_))
            | (Ending::Waived, Counted::Bytes | Counted::Header) => {}
        }
    }
    Ok(())
}

impl Measured {
    fn units(&self, limit: Tag) -> u64 {
        self.headers.iter().find(|(quota, _)| *quota == limit).map_or(0, |(_, units)| *units)
    }
}
