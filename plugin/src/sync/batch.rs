//! Reports of one request, within its bounds.

use std::collections::HashSet;

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::{MAX_RECORDS, RecordReport};

/// Bytes of records in one request; rows and questions have the rest of what the host reads.
pub(super) const RECORD_BYTES: usize = 384 * 1024;

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
        // Generous for every number at its longest.
        let lists = report.slots.len().saturating_add(report.leases.len());
        let bytes = lists.saturating_mul(170).saturating_add(100);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.ids.insert(report.subscription) {
            self.reports.push(report);
        }
    }
}
