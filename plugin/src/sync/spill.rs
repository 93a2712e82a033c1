//! What a VM writes into the proxy's log while nobody acknowledges what it reports, and at its
//! end: its own part, as it would have been reported. `tollgate ingest-spill` reports it then.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};

use tollgate_pricing::id::{Hex128, SubscriptionId};
use tollgate_pricing::sync::spill::Spill;
use tollgate_pricing::sync::{RecordReport, RowBatch};

use super::sweep;
use crate::gate::Gate;
use crate::host::{Host, Level};
use crate::metrics::Metric;
use crate::shared::{self, Failed};

/// After this long without an acknowledgement a VM writes, …
const FIRST_NS: u64 = 30_000_000_000;
/// … again after twice as long, and so on up to this.
const LONGEST_NS: u64 = 600_000_000_000;
/// Records read in one tick.
const STEP: usize = 500;
/// Bytes of records in one spill: with what goes around them, about a line.
const SPILL_BYTES: usize = 4_000;

/// What a VM has written.
#[derive(Default)]
pub(super) struct Spills {
    /// Counts spills of this incarnation from 1.
    number: u64,
    /// Set while there is something to acknowledge and nothing is.
    outage: Option<Outage>,
    /// A hash of each record as it was last written, since the last acknowledgement or end.
    written: HashMap<SubscriptionId, u64>,
    /// The last batch of rows that was written, since then.
    sequence: u64,
    /// People were told what the lines are, since then.
    is_told: bool,
    /// Something could not be read or written, since then.
    has_gap: bool,
}

/// A time without acknowledgements.
struct Outage {
    /// When to begin writing, monotonic.
    next_ns: u64,
    /// How long after that to begin again.
    pause_ns: u64,
    /// Records that are still to be written this time.
    left: VecDeque<SubscriptionId>,
}

impl Spills {
    /// The host acknowledges, or there is nothing for it to: the log is not needed.
    pub(super) fn acknowledged(&mut self) {
        *self = Self { number: self.number, ..Self::default() };
    }

    /// Whether to begin writing now.
    fn is_due(&mut self, now_ns: u64) -> bool {
        let begun = || Outage {
            next_ns: now_ns.saturating_add(FIRST_NS),
            pause_ns: FIRST_NS.saturating_mul(2),
            left: VecDeque::new(),
        };
        let outage = self.outage.get_or_insert_with(begun);
        let is_due = now_ns >= outage.next_ns;
        if is_due {
            outage.next_ns = now_ns.saturating_add(outage.pause_ns);
            outage.pause_ns = outage.pause_ns.saturating_mul(2).min(LONGEST_NS);
        }
        is_due
    }

    /// Records to write in this tick.
    fn step(&mut self) -> Vec<SubscriptionId> {
        let Some(Outage { left, .. }) = &mut self.outage else { return Vec::new() };
        left.drain(..left.len().min(STEP)).collect()
    }

    /// Whether a record is other than it was last written; from now on it is written so.
    fn is_news(&mut self, subscription: SubscriptionId, text: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        hasher.write(text);
        let hash = hasher.finish();
        self.written.insert(subscription, hash) != Some(hash)
    }
}

impl<H: Host> Gate<H> {
    /// Writes the records that this VM touched, if nothing was acknowledged for long.
    pub(crate) fn spill_if_due(&mut self, now_ns: u64) {
        if self.sync.undelivered() == 0 {
            self.sync.spills.acknowledged();
            return;
        }
        if self.sync.spills.is_due(now_ns) {
            let all = self.sync.unacknowledged().collect();
            if let Some(outage) = &mut self.sync.spills.outage {
                outage.left = all;
            }
        }
        let step = self.sync.spills.step();
        self.spill_records(step);
    }

    /// Forgets what was written before: at the end everything is, once.
    pub(crate) fn begin_last_spill(&mut self) {
        self.sync.spills.acknowledged();
    }

    /// Writes all that this VM did and the host has not acknowledged. True if that was anything
    /// that was not written before.
    pub(crate) fn spill_rest(&mut self) -> bool {
        let before = self.sync.spills.number;
        let records: Vec<SubscriptionId> = self.sync.unacknowledged().collect();
        self.spill_records(records);
        for batch in self.sync.rows.seal_all(self.incarnation) {
            if batch.sequence > self.sync.spills.sequence {
                self.sync.spills.sequence = batch.sequence;
                self.spill(Some(batch), Vec::new(), false);
            }
        }
        self.sync.spills.number > before
    }

    /// Whether something at this end could not be read or written.
    pub(crate) fn has_spill_gap(&self) -> bool {
        self.sync.spills.has_gap
    }

    /// Writes every record of the process: what VMs did that died, or only a lost ledger was told,
    /// is among them.
    pub(crate) fn spill_all(&mut self) {
        let mut page = 0;
        while let Some(ids) = shared::directory_page(&self.host, page) {
            self.spill_records(ids);
            page = page.saturating_add(1);
        }
    }

    /// Writes that everything is said.
    pub(crate) fn spill_last(&mut self) {
        if !self.sync.spills.has_gap {
            self.spill(None, Vec::new(), true);
        }
    }

    /// Writes records that are not as they were last written, each freshly read.
    fn spill_records(&mut self, ids: Vec<SubscriptionId>) {
        let now = self.now(self.host.monotonic_ns());
        let (mut records, mut bytes) = (Vec::new(), 0_usize);
        for id in ids {
            let seen = match sweep::visit(&self.host, id, now) {
                Ok(seen) => seen,
                // Listed, and not made yet.
                Err(Failed::Missing) => continue,
                // It is noted where it is reported.
                Err(Failed::Damaged | Failed::Busy) => {
                    self.sync.spills.has_gap = true;
                    continue;
                }
            };
            let Ok(text) = serde_json::to_vec(&seen.report) else { continue };
            if !self.sync.spills.is_news(id, &text) {
                continue;
            }
            if bytes.saturating_add(text.len()) > SPILL_BYTES && !records.is_empty() {
                self.spill(None, std::mem::take(&mut records), false);
                bytes = 0;
            }
            bytes = bytes.saturating_add(text.len());
            records.push(seen.report);
        }
        if !records.is_empty() {
            self.spill(None, records, false);
        }
    }

    fn spill(&mut self, rows: Option<RowBatch>, records: Vec<RecordReport>, last: bool) {
        if self.boot.is_none() {
            self.boot = shared::boot(&self.host);
        }
        let number = self.sync.spills.number.saturating_add(1);
        // This VM's own: the process's may be large, and is not to be read for every line.
        if self.loaded.is_none() {
            self.load_newer_catalog();
        }
        let Some(loaded) = self.loaded.clone() else {
            // Nothing was admitted in this process without one.
            return;
        };
        let lines = self.boot.and_then(|boot| {
            let (ledger, epoch) = (self.head.ledger, self.head.epoch);
            let (at_ms, seal) = (self.wall_ms(), Hex128([0; 16]));
            Spill { boot, ledger, epoch, at_ms, rows, records, last, seal }
                .sealed(&loaded.catalog.secrets)
                .lines(self.incarnation, number)
        });
        let Some(lines) = lines else {
            let line = "usage that nobody acknowledged cannot be written to this log: it is lost";
            self.host.log(Level::Error, line);
            self.sync.spills.has_gap = true;
            return;
        };
        self.sync.spills.number = number;
        if !last && !std::mem::replace(&mut self.sync.spills.is_told, true) {
            // Without the words by which those lines are found.
            let line = "usage that the host has not acknowledged is written to this log: keep it, \
                        and report it with `tollgate ingest-spill FILE`";
            self.host.log(Level::Warn, line);
        }
        for line in &lines {
            self.host.log(Level::Critical, line);
        }
        self.host.count(Metric::Spilled, u32::try_from(lines.len()).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests;
