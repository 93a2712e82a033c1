//! Reports of one request, within its bounds.

use std::collections::HashSet;

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::{MAX_RECORDS, RecordReport};

/// Bytes of records in one request; rows and questions have the rest of what the host reads.
pub(super) const RECORD_BYTES: usize = 384 * 1024;
/// A report with every number at its longest, but for its lists.
const REPORT_BYTES: usize = 100;
/// A slot likewise, without meters, or a lease.
const ITEM_BYTES: usize = 170;
/// A meter of a slot.
const METER_BYTES: usize = 34;

/// Reports of one request, each record once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) reports: Vec<RecordReport>,
    ids: HashSet<SubscriptionId>,
    bytes: usize,
}

impl Batch {
    pub(super) fn is_full(&self) -> bool {
        self.reports.len() >= MAX_RECORDS || self.bytes >= RECORD_BYTES
    }

    pub(super) fn is_half_full(&self) -> bool {
        self.reports.len() >= MAX_RECORDS / 2 || self.bytes >= RECORD_BYTES / 2
    }

    pub(super) fn push(&mut self, report: RecordReport) {
        self.bytes = self.bytes.saturating_add(most_bytes(&report));
        if self.ids.insert(report.subscription) {
            self.reports.push(report);
        }
    }
}

/// No report with as many items is longer.
fn most_bytes(report: &RecordReport) -> usize {
    let meters = report.slots.iter().map(|slot| slot.meters.as_slice().len());
    let meters = meters.fold(0, usize::saturating_add).saturating_mul(METER_BYTES);
    let items = report.slots.len().saturating_add(report.leases.len()).saturating_mul(ITEM_BYTES);
    REPORT_BYTES.saturating_add(items).saturating_add(meters)
}

#[cfg(test)]
mod tests;
