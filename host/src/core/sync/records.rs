//! Records: counters and leases of one subscription in one process, merged by max.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tollgate_pricing::id::{BootId, SubscriptionId};
use tollgate_pricing::sync::{MAX_METERS, MAX_STALE_SECONDS, RecordReport, Slot, SlotAck};

use super::super::{Refusal, periods};
use super::leases::Beside;
use super::{aside, leases};
use crate::store::{Counters, Ledger, SubscriptionRow};

/// Merges a record, acknowledges its slots as they are stored, and notes in `short` whether its
/// periods run short. A slot that cannot be stored is not acknowledged: the process keeps it.
pub(in crate::core) fn merge(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    record: &RecordReport,
    now: Timestamp,
    short: &mut BTreeSet<SubscriptionId>,
) -> Result<Vec<SlotAck>, Refusal> {
    let subscription = record.subscription;
    let mut row = ledger.subscription(subscription)?;
    if let Some(row) = &mut row
        && record.slots.iter().any(|slot| slot.period > row.last_period)
    {
        // A copy of a ledger that was put back by hand may not have written what it told.
        periods::cover(ledger, row, now)?;
    }
    let last_period = row.as_ref().map_or(0, |row| row.last_period);
    let mut acks = Vec::with_capacity(record.slots.len());
    for slot in &record.slots {
        match merge_slot(ledger, (boot, subscription), last_period, slot, now)? {
            Ok(slot) => acks.push(SlotAck { subscription, slot }),
            Err(problem) => {
                let problem = format!("{subscription} slot {}: {problem}", slot.number);
                aside::keep(ledger, boot, now, &problem, &format!("{slot:?}"))?;
            }
        }
    }
    // Of a subscription that is not known no limit is either: nothing was leased by this ledger.
    if let Some(row) = &row {
        merge_leases(ledger, boot, row, record, now)?;
        let soon_ms = periods::wire_ms(now).saturating_add(MAX_STALE_SECONDS * 1_000 / 2);
        if row.public.has_periods_to_come() && record.known_until_ms < soon_ms {
            short.insert(subscription);
        }
    }
    Ok(acks)
}

fn merge_leases(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    row: &SubscriptionRow,
    record: &RecordReport,
    now: Timestamp,
) -> Result<(), Refusal> {
    for lease in &record.leases {
        if let Err(problem) = leases::merge(ledger, boot, row, (lease, Beside::Counters), now)? {
            aside::keep_lease(ledger, boot, record.subscription, lease, &problem, now)?;
        }
    }
    Ok(())
}

/// The slot as it is stored now, or why it is not. Of a subscription or period that this ledger
/// never had it is kept as unattributed: billed to nobody, but acknowledged, so that the process can
/// drop it and its sweep goes on.
fn merge_slot(
    ledger: &mut Ledger<'_>,
    (boot, subscription): (BootId, SubscriptionId),
    last_period: u32,
    slot: &Slot,
    now: Timestamp,
) -> Result<Result<Slot, String>, Refusal> {
    if slot.number == 0 || slot.period == 0 {
        let (number, period) = (slot.number, slot.period);
        return Ok(Err(format!(
            "expected slots and periods counted from 1, found {number} of {period}"
        )));
    }
    if i64::try_from(subscription.0).is_err() {
        return Ok(Err("no such subscription".to_owned()));
    }
    let attributed = ledger.slot(boot, subscription, slot.number)?;
    let unattributed = match attributed {
        Some(_) => None,
        None => ledger.unattributed_slot(boot, subscription, slot.number)?,
    };
    let stored = attributed.as_ref().or(unattributed.as_ref());
    let merged = match merged(stored, slot) {
        Ok(merged) => merged,
        Err(problem) => return Ok(Err(problem)),
    };
    if slot.period > last_period {
        if stored == Some(&merged) {
            return Ok(Ok(merged));
        }
        // What is settled is not held against what was admitted: that may be in a slot which a
        // lost ledger acknowledged.
        return keep_unattributed(
            ledger,
            (boot, subscription),
            merged,
            unattributed.is_some(),
            now,
        );
    }
    if let Err(problem) = check_settled(ledger, (boot, subscription), &merged)? {
        return Ok(Err(problem));
    }
    if attributed.as_ref() != Some(&merged) {
        ledger.store_slot(boot, subscription, &merged)?;
    }
    if unattributed.is_some() {
        ledger.remove_unattributed(boot, subscription, slot.number)?;
    }
    Ok(Ok(merged))
}

/// The larger of what is stored and what is reported, number by number; or why these are not of one
/// slot, or not of any.
fn merged(stored: Option<&Slot>, slot: &Slot) -> Result<Slot, String> {
    if let Some(stored) = stored
        && stored.period != slot.period
    {
        return Err(format!("expected period {}, found {}", stored.period, slot.period));
    }
    if !slot.meters.are_sound() {
        return Err(format!("expected at most {MAX_METERS} meters, each once and in its place"));
    }
    let fresh = Slot { number: slot.number, period: slot.period, ..Slot::default() };
    let mut merged = stored.cloned().unwrap_or(fresh);
    merged.admitted = merged.admitted.max(slot.admitted);
    merged.billable = merged.billable.max(slot.billable);
    merged.waived = merged.waived.max(slot.waived);
    if !merged.meters.merge(&slot.meters) {
        return Err(format!("expected at most {MAX_METERS} meters with those before"));
    }
    let calls =
        [("admitted", merged.admitted), ("billable", merged.billable), ("waived", merged.waived)];
    let units = merged.meters.as_slice().iter().map(|(_, units)| ("meter", *units));
    match calls.into_iter().chain(units).find(|(_, count)| i64::try_from(*count).is_err()) {
        Some((name, count)) => Err(format!("{name} {count} is past {}", i64::MAX)),
        None => Ok(merged),
    }
}

/// No more calls are settled than were admitted. One that settles after its slot was dropped is
/// counted in a later one, so that is said of a period's slots together; and not after a restore, as
/// what a lost ledger acknowledged is not sent again.
fn check_settled(
    ledger: &Ledger<'_>,
    (boot, subscription): (BootId, SubscriptionId),
    merged: &Slot,
) -> Result<Result<(), String>, Refusal> {
    let beside = ledger.counters_beside(boot, subscription, merged)?;
    let together = beside.plus(Counters::of(merged));
    if together.are_possible() || ledger.began_before_restore(subscription, merged.period)? {
        return Ok(Ok(()));
    }
    Ok(Err(format!(
        "expected billable + waived of at most admitted in period {}, found {} + {} of {}",
        merged.period, together.billable, together.waived, together.admitted
    )))
}

fn keep_unattributed(
    ledger: &mut Ledger<'_>,
    (boot, subscription): (BootId, SubscriptionId),
    slot: Slot,
    is_known: bool,
    now: Timestamp,
) -> Result<Result<Slot, String>, Refusal> {
    if !is_known {
        if !ledger.has_room_for_unattributed()? {
            return Ok(Err("too much is unattributed already".to_owned()));
        }
        if !ledger.has_unattributed(boot, subscription)? {
            tracing::warn!(
                %boot, %subscription, period = slot.period,
                "a process counted calls of a subscription or period that this ledger never had: \
                 they are billed to nobody, and `tollgate usage` shows them"
            );
        }
    }
    ledger.store_unattributed(boot, subscription, &slot, now)?;
    Ok(Ok(slot))
}

#[cfg(test)]
mod tests;
