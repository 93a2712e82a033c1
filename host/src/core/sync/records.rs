//! Records: counters and leases of one subscription in one process, merged by max.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tollgate_pricing::id::{BootId, SubscriptionId};
use tollgate_pricing::sync::{MAX_STALE_SECONDS, RecordReport, Slot, SlotAck};

use super::super::{Refusal, periods};
use super::{aside, leases};
use crate::store::{Counters, Ledger, SubscriptionRow};

/// Merges a record, acknowledges its slots as they are stored, and notes in `short` whether its
/// periods run short. A slot that cannot be stored is not acknowledged: the process keeps it.
pub(super) fn merge(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    record: &RecordReport,
    now: Timestamp,
    short: &mut BTreeSet<SubscriptionId>,
) -> Result<Vec<SlotAck>, Refusal> {
    let subscription = record.subscription;
    let Some(row) = ledger.subscription(subscription)? else {
        let problem = format!("{subscription}: no such subscription");
        aside::keep(ledger, boot, now, &problem, &format!("{record:?}"))?;
        return Ok(Vec::new());
    };
    let mut acks = Vec::with_capacity(record.slots.len());
    for slot in &record.slots {
        match merge_slot(ledger, boot, &row, slot)? {
            Ok(slot) => acks.push(SlotAck { subscription, slot }),
            Err(problem) => {
                let problem = format!("{subscription} slot {}: {problem}", slot.number);
                aside::keep(ledger, boot, now, &problem, &format!("{slot:?}"))?;
            }
        }
    }
    for lease in &record.leases {
        if let Err(problem) = leases::merge(ledger, boot, &row, lease, now)? {
            aside::keep_lease(ledger, boot, subscription, lease, &problem, now)?;
        }
    }
    let soon_ms = periods::wire_ms(now).saturating_add(MAX_STALE_SECONDS * 1_000 / 2);
    if row.public.has_periods_to_come() && record.known_until_ms < soon_ms {
        short.insert(subscription);
    }
    Ok(acks)
}

/// The slot as it is stored now, or why it is not.
fn merge_slot(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    row: &SubscriptionRow,
    slot: &Slot,
) -> Result<Result<Slot, String>, Refusal> {
    if slot.number == 0 {
        return Ok(Err("expected slots counted from 1, found 0".to_owned()));
    }
    if !(1..=row.last_period).contains(&slot.period) {
        let (last, found) = (row.last_period, slot.period);
        return Ok(Err(format!("expected a period of 1 to {last}, found {found}")));
    }
    let stored = ledger.slot(boot, row.public.id, slot.number)?;
    if let Some(stored) = &stored
        && stored.period != slot.period
    {
        let (expected, found) = (stored.period, slot.period);
        return Ok(Err(format!("expected period {expected}, found {found}")));
    }
    let before = stored.clone().unwrap_or_default();
    let merged = Slot {
        number: slot.number,
        period: slot.period,
        admitted: before.admitted.max(slot.admitted),
        billable: before.billable.max(slot.billable),
        waived: before.waived.max(slot.waived),
        meters: slot.meters.clone(),
    };
    let columns =
        [("admitted", merged.admitted), ("billable", merged.billable), ("waived", merged.waived)];
    if let Some((name, calls)) = columns.iter().find(|(_, calls)| i64::try_from(*calls).is_err()) {
        return Ok(Err(format!("{name} {calls} is past {}", i64::MAX)));
    }
    let counters =
        Counters { admitted: merged.admitted, billable: merged.billable, waived: merged.waived };
    // A call that settles after its slot was dropped is counted in a later one, so it is the
    // period's slots together that settle no more than they admitted.
    let together = ledger.counters_beside(boot, row.public.id, &merged)?.plus(counters);
    if !together.are_possible() {
        return Ok(Err(format!(
            "expected billable + waived of at most admitted in period {}, found {} + {} of {}",
            slot.period, together.billable, together.waived, together.admitted
        )));
    }
    if stored.as_ref() != Some(&merged) {
        ledger.store_slot(boot, row.public.id, &merged)?;
    }
    Ok(Ok(merged))
}
