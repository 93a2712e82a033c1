//! Spills: usage that a gateway wrote into its proxy's log because nobody acknowledged it, read
//! from there and reported. It merges as a sync's does: any of them, in any order, as often as one
//! likes, beside the syncs of the same process.
//!
//! A spill is not a sync: its process is not seen alive by it, and is told nothing. Its epoch does
//! not matter either: what was counted before a restore was counted.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::BootId;
use tollgate_pricing::sync::RecordReport;
use tollgate_pricing::sync::spill::Spill;

use super::sync::{door, records, rows};
use super::{Refusal, Request, gateways};
use crate::store::Ledger;

/// Gateways named in an error.
const MAX_NAMED: u32 = 10;

/// Reports one spill -> [`Ingested`].
#[derive(Debug)]
pub struct IngestSpill {
    /// What was read.
    pub spill: Spill,
    /// The gateway of a process that never synced here, by its name; the only one there is if
    /// absent. A process that did has the one it synced as.
    pub gateway: Option<String>,
}

/// What was new in a spill, or in several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ingested {
    /// Calls let through that the ledger did not have.
    pub admitted: u64,
    /// Calls that the ledger did not have as billable.
    pub billable: u64,
    /// Calls that the ledger did not have as waived.
    pub waived: u64,
    /// Batches of rows that the ledger did not have.
    pub batches: u64,
    /// Slots of counters that contradict the ledger and were kept aside.
    pub kept_aside: u64,
}

impl Request for IngestSpill {
    type Answer = Ingested;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Ingested, Refusal> {
        let is_genuine = self.spill.is_sealed_by(&ledger.identity.keys);
        let Spill { boot, ledger: whose, at_ms, rows, records, last, .. } = self.spill;
        let expected = ledger.identity.ledger;
        if let Some(found) = whose.filter(|found| *found != expected) {
            return Err(Refusal::ForeignLedger { expected, found });
        }
        if !is_genuine {
            return Err(Refusal::ForgedSpill(boot));
        }
        door::check_records(&records)?;
        know(ledger, boot, self.gateway)?;
        let mut news = Ingested::default();
        if let Some(batch) = &rows {
            let known =
                |ledger: &Ledger<'_>| ledger.batch_hash(boot, batch.incarnation, batch.sequence);
            let before = known(ledger)?.is_some();
            rows::book(ledger, boot, batch, now)?;
            if !before && known(ledger)?.is_some() {
                news.batches = 1;
            }
        }
        for record in &records {
            news = news.plus(merge(ledger, boot, record, now)?);
        }
        let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        // Nobody writes later than now. Whose clock says so, does not know when it was.
        match at.filter(|at| *at <= now) {
            Some(at) if last && ledger.has_told_all(boot)? => ledger.account_for_boot(boot, at)?,
            _ if last => {}
            at => ledger.read_of_boot(boot, at.unwrap_or(now))?,
        }
        gateways::free_if_ended(ledger, boot, now)?;
        Ok(news)
    }
}

/// Makes a process known that never synced.
fn know(ledger: &mut Ledger<'_>, boot: BootId, gateway: Option<String>) -> Result<(), Refusal> {
    if ledger.boot(boot)?.is_some() {
        return Ok(());
    }
    let name = match gateway {
        Some(name) => name,
        None => match <[String; 1]>::try_from(ledger.gateway_names(MAX_NAMED)?) {
            Ok([only]) => only,
            Err(names) => return Err(Refusal::WhoseBoot(boot, names.join(", "))),
        },
    };
    let gateway = ledger.gateway_named(&name)?.ok_or(Refusal::NoGateway(name))?;
    Ok(ledger.hear_of_boot(boot, gateway)?)
}

/// Merges one record: what was new in it.
fn merge(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    record: &RecordReport,
    now: Timestamp,
) -> Result<Ingested, Refusal> {
    let mut before = Vec::with_capacity(record.slots.len());
    for slot in &record.slots {
        let of = (boot, record.subscription, slot.number);
        let known = match ledger.slot(of.0, of.1, of.2)? {
            Some(known) => Some(known),
            None => ledger.unattributed_slot(of.0, of.1, of.2)?,
        };
        before.push(known.unwrap_or_default());
    }
    // Nobody is there to be told that its periods run short.
    let acks = records::merge(ledger, boot, record, now, &mut BTreeSet::new())?;
    let mut news = Ingested::default();
    for (slot, before) in record.slots.iter().zip(before) {
        let Some(ack) = acks.iter().find(|ack| ack.slot.number == slot.number) else {
            news.kept_aside = news.kept_aside.saturating_add(1);
            continue;
        };
        news = news.plus(Ingested {
            admitted: ack.slot.admitted.saturating_sub(before.admitted),
            billable: ack.slot.billable.saturating_sub(before.billable),
            waived: ack.slot.waived.saturating_sub(before.waived),
            ..Ingested::default()
        });
    }
    Ok(news)
}

impl Ingested {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            admitted: self.admitted.saturating_add(other.admitted),
            billable: self.billable.saturating_add(other.billable),
            waived: self.waived.saturating_add(other.waived),
            batches: self.batches.saturating_add(other.batches),
            kept_aside: self.kept_aside.saturating_add(other.kept_aside),
        }
    }
}

/// Reports several spills, each for itself: what is wrong with one does not hold back the others
/// -> what became of each.
#[derive(Debug)]
pub struct IngestSpills {
    /// What was read, in any order.
    pub spills: Vec<Spill>,
    /// As in [`IngestSpill`].
    pub gateway: Option<String>,
}

impl Request for IngestSpills {
    type Answer = Vec<Result<Ingested, Refusal>>;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Self::Answer, Refusal> {
        let mut answers = Vec::with_capacity(self.spills.len());
        for spill in self.spills {
            let request = IngestSpill { spill, gateway: self.gateway.clone() };
            match ledger.part(|ledger| request.apply(ledger, now)) {
                Err(refusal @ Refusal::Unavailable(_)) => return Err(refusal),
                answer => answers.push(answer),
            }
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests;
