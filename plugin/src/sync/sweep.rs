//! The sweep: an elected VM reads every record of the process in turn, so that what a dead VM
//! touched is reported too, and the host learns how far all counters are known.

use std::collections::HashMap;

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::{Access, MAX_STALE_SECONDS, RecordReport};

use super::batch::Batch;
use crate::admit::Now;
use crate::host::Host;
use crate::record::Record;
use crate::shared::{self, Failed, Store};

/// Records read in one step.
const STEP: usize = 2_000;
/// A record is reported though nothing changed when its known periods end sooner than this.
const HORIZON_MS: u64 = MAX_STALE_SECONDS * 1_000 / 2;

/// How far this VM's sweep came.
#[derive(Default)]
pub(super) struct Sweep {
    /// When the running sweep began, by the host's clock; none before its first step.
    begun_ms: Option<u64>,
    at: Place,
    /// The running sweep met a record that cannot be read.
    is_damaged: bool,
    /// Records that cannot be read, since they were last asked for.
    damaged: Vec<SubscriptionId>,
    /// What the host has stored of each record, so that it is not told again.
    stored: HashMap<SubscriptionId, RecordReport>,
    /// A sweep was completed: everything up to here is known to the host.
    completed_ms: Option<u64>,
}

/// A place in the directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Place {
    page: u32,
    entry: usize,
}

/// A step that was sent; it counts once it is acknowledged.
#[derive(Clone, Copy)]
pub(super) struct Step {
    begun_ms: u64,
    next: Place,
    is_last: bool,
}

impl Sweep {
    /// Visits the next records and adds to `batch` those that the host has not stored as they are.
    pub(super) fn step(&mut self, host: &impl Host, now: Now, batch: &mut Batch) -> Step {
        let begun_ms = *self.begun_ms.get_or_insert(now.wall_ms);
        let now = Now { wall_ms: now.wall_ms.max(begun_ms), ..now };
        let mut next = self.at;
        let mut read: usize = 0;
        while let Some(page) = shared::directory_page(host, next.page) {
            for id in page.iter().skip(next.entry) {
                let seen = visit(host, *id, now);
                // A record that changes too fast to be read is where the next step begins.
                if read >= STEP || batch.is_full() || matches!(seen, Err(Failed::Busy)) {
                    return Step { begun_ms, next, is_last: false };
                }
                match seen {
                    Ok(seen) => self.report(seen, batch),
                    Err(Failed::Damaged) => {
                        self.is_damaged = true;
                        self.damaged.push(*id);
                    }
                    // Listed, and not made yet.
                    Err(Failed::Missing | Failed::Busy) => {}
                }
                next.entry = next.entry.saturating_add(1);
                read = read.saturating_add(1);
            }
            next = Place { page: next.page.saturating_add(1), entry: 0 };
        }
        Step { begun_ms, next: Place::default(), is_last: true }
    }

    fn report(&self, seen: Seen, batch: &mut Batch) {
        let report = &seen.report;
        if seen.is_short || self.stored.get(&report.subscription) != Some(report) {
            batch.push(seen.report);
        }
    }

    /// A step's reports are stored.
    pub(super) fn advance(&mut self, step: Option<Step>) {
        let Some(step) = step.filter(|step| self.begun_ms == Some(step.begun_ms)) else {
            return;
        };
        self.at = step.next;
        if step.is_last {
            // What a damaged record holds is not known to anyone.
            self.completed_ms = Some(step.begun_ms).filter(|_| !self.is_damaged);
            self.begun_ms = None;
            self.is_damaged = false;
        }
    }

    /// Remembers what the host has stored.
    pub(super) fn store(&mut self, reports: Vec<RecordReport>) {
        self.stored.extend(reports.into_iter().map(|report| (report.subscription, report)));
    }

    /// How far a completed sweep came, once.
    pub(super) fn take_completed(&mut self) -> Option<u64> {
        self.completed_ms.take()
    }

    /// Records that were met and cannot be read, once.
    pub(super) fn take_damaged(&mut self) -> Vec<SubscriptionId> {
        std::mem::take(&mut self.damaged)
    }

    /// Begins again from the first record, and tells the host everything again: as one not
    /// elected, or after a restore.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }
}

/// A record, read for a report.
pub(super) struct Seen {
    pub(super) report: RecordReport,
    /// It may call, and its known periods end soon.
    is_short: bool,
}

/// Reads a record for a report, after doing what is due by now. Where a period has ended, that
/// write makes the compare-and-swap of any VM fail that read the record before and has been held
/// up since: no call enters a period that was swept.
pub(super) fn visit(host: &impl Host, id: SubscriptionId, now: Now) -> Result<Seen, Failed> {
    shared::update(host, id, |record: &mut Record| {
        let changed = record.pass_time(now);
        let report = record.report();
        let is_short = record.access == Access::Active
            && report.known_until_ms < now.wall_ms.saturating_add(HORIZON_MS);
        (if changed { Store::Yes } else { Store::No }, Seen { report, is_short })
    })
}
