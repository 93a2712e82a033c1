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
    /// When the running sweep began; none before its first step.
    begun: Option<Now>,
    at: Place,
    /// The running sweep met a record that cannot be read, or that the host refuses.
    has_gap: bool,
    /// Records that cannot be read, since they were last asked for.
    damaged: Vec<SubscriptionId>,
    /// What the host has stored of each record, so that it is not told again.
    stored: HashMap<SubscriptionId, RecordReport>,
    /// A sweep was completed: everything up to here is known to the host.
    completed: Option<Now>,
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
    begun: Now,
    next: Place,
    is_last: bool,
}

impl Sweep {
    /// Visits the next records and adds to `batch` those that the host has not stored as they are.
    pub(super) fn step(&mut self, host: &impl Host, now: Now, batch: &mut Batch) -> Step {
        let begun = *self.begun.get_or_insert(now);
        let now = Now { wall_ms: now.wall_ms.max(begun.wall_ms), ..now };
        let mut next = self.at;
        let mut read: usize = 0;
        while let Some(page) = shared::directory_page(host, next.page) {
            for id in page.iter().skip(next.entry) {
                let seen = visit(host, *id, now);
                // A record that changes too fast to be read is where the next step begins.
                if read >= STEP || batch.is_full() || matches!(seen, Err(Failed::Busy)) {
                    return Step { begun, next, is_last: false };
                }
                match seen {
                    Ok(seen) => self.report(seen, batch),
                    Err(Failed::Damaged) => {
                        self.has_gap = true;
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
        Step { begun, next: Place::default(), is_last: true }
    }

    fn report(&self, seen: Seen, batch: &mut Batch) {
        let report = &seen.report;
        if seen.is_short || self.stored.get(&report.subscription) != Some(report) {
            batch.push(seen.report);
        }
    }

    /// A step's reports arrived, and the host has stored them or not `all` of them.
    pub(super) fn advance(&mut self, step: Option<Step>, all: bool) {
        let Some(step) = step.filter(|step| self.begun == Some(step.begun)) else {
            return;
        };
        self.at = step.next;
        self.has_gap |= !all;
        if step.is_last {
            // What is in a gap is not known to the host.
            self.completed = Some(step.begun).filter(|_| !self.has_gap);
            self.begun = None;
            self.has_gap = false;
        }
    }

    /// Remembers what the host has stored.
    pub(super) fn store(&mut self, reports: Vec<RecordReport>) {
        self.stored.extend(reports.into_iter().map(|report| (report.subscription, report)));
    }

    /// When a completed sweep began, once.
    pub(super) fn take_completed(&mut self) -> Option<Now> {
        self.completed.take()
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
