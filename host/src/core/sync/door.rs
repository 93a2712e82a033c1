//! The bounds of a request, before anything of it is looked at.

use jiff::Timestamp;
use tollgate_pricing::gate::MAX_LIMITS;
use tollgate_pricing::sync::{
    MAX_ASKS, MAX_RECORDS, MAX_SLOTS, PROTOCOL, RecordReport, SyncRequest,
};
use tollgate_pricing::timeline::MAX_PERIODS;

use super::super::Refusal;

/// Leases in one record: each limit's in every period it may still know.
const MAX_LEASES: usize = MAX_LIMITS * MAX_PERIODS;

/// Refuses a request that no gateway of this protocol sends.
pub(super) fn check(request: &SyncRequest) -> Result<(), Refusal> {
    if request.protocol != PROTOCOL {
        return Err(Refusal::Invalid {
            what: "protocol",
            expected: PROTOCOL.to_string(),
            found: request.protocol.to_string(),
        });
    }
    check_records(&request.records)?;
    at_most("keys", request.keys.len(), MAX_ASKS)?;
    at_most("leases", request.leases.len(), MAX_ASKS)?;
    Ok(())
}

/// Refuses more of a report than a process has.
pub(in crate::core) fn check_records(records: &[RecordReport]) -> Result<(), Refusal> {
    at_most("records", records.len(), MAX_RECORDS)?;
    for record in records {
        at_most("slots of a record", record.slots.len(), MAX_SLOTS)?;
        at_most("leases of a record", record.leases.len(), MAX_LEASES)?;
    }
    Ok(())
}

fn at_most(what: &'static str, found: usize, most: usize) -> Result<(), Refusal> {
    if found <= most {
        return Ok(());
    }
    Err(Refusal::Invalid { what, expected: format!("at most {most}"), found: found.to_string() })
}

/// How far the process has swept. No sweep can have begun later than now, and one of before a
/// restore may have told another ledger.
pub(super) fn swept(request: &SyncRequest, epoch: u32, now: Timestamp) -> Option<Timestamp> {
    let through_ms = request.swept_through_ms.filter(|_| request.epoch == epoch)?;
    let millisecond = i64::try_from(through_ms).unwrap_or(i64::MAX);
    let swept = Timestamp::from_millisecond(millisecond).unwrap_or(Timestamp::MAX);
    Some(swept.min(now))
}
