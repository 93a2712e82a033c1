//! How processes and their VMs end otherwise than by a trap: updates of code and configuration,
//! drains, SIGTERM, and what is found in the log afterwards.

use std::time::Duration;

use tollgate_pricing::sync::spill::{Reader, Spill};

use super::book::{Fate, Lost};
use super::play::Play;
use crate::wasm::{End, Order};
use crate::world::At;

const SECOND: Duration = Duration::from_secs(1);
/// A drain that takes longer is given up.
const LONGEST_DRAIN_SECONDS: u32 = 20;
/// What a process has to deliver yet.
const UNDELIVERED: &str = "tollgate_undelivered";

/// What a log was found to hold.
pub(super) struct Log {
    spills: Vec<Spill>,
    /// The operator reports it, and so often.
    times: u64,
}

impl Play {
    /// A VM that takes new calls.
    pub(super) fn open_vm(&mut self, process: usize) -> At {
        let open = (0..self.vms[process]).filter(|vm| !self.is_retired(At(process, *vm)));
        let open: Vec<usize> = open.collect();
        At(process, self.random.of(&open))
    }

    /// Whether another VM has taken its place.
    pub(super) fn is_retired(&mut self, at: At) -> bool {
        !self.is_away(at) && self.process(at.0).vm(at.1).is_retired()
    }

    /// Whoever is at work goes on.
    pub(super) fn finish_all(&mut self, process: usize) {
        let mut order = Order::drawn(&mut self.random, self.vms[process]);
        self.process(process).finish_all(&mut order);
        self.observe();
    }

    /// The operator gives Envoy another filter: other code, or another configuration of it.
    pub(super) fn update(&mut self, process: usize) {
        self.finish_all(process);
        if self.random.one_in(2) {
            self.process(process).update_code();
            self.vms[process] = self.process(process).vms();
            self.updated.insert(self.lives[process], self.world.monotonic());
            self.fault("code of the filter updated");
        } else {
            self.process(process).update_configuration();
            self.fault("configuration of the filter updated");
        }
        self.is_in_trouble();
    }

    /// A process is stopped, drained before or not, and another one takes its place.
    pub(super) fn stop(&mut self, process: usize) {
        self.finish_all(process);
        for vm in 0..self.vms[process] {
            self.process(process).vm(vm).disarm();
        }
        let is_drained = self.random.one_in(2) && self.drain(process);
        let life = self.lives[process];
        for call in self.under_way.clone() {
            if self.book.calls[call].at.0 == process {
                self.note_end(call, End::Aborted);
                // Nothing was measured of it.
                (self.book.calls[call].bytes, self.book.calls[call].units) = (0, 0);
            }
        }
        for call in std::mem::take(&mut self.undecided) {
            if self.book.calls[call].at.0 == process {
                self.book.calls[call].fate = Fate::Left;
            } else {
                self.undecided.push(call);
            }
        }
        self.under_way.retain(|call| self.book.calls[*call].at.0 != process);
        self.process(process).stop();
        let times = self.random.below(3);
        let log = self.read_log(process, times);
        // One that did not hear of a restore has told nobody again what the lost ledger knew.
        let restored = self.world.host.restored;
        let knows = |spill: &Spill| restored.is_none_or(|epoch| spill.epoch == epoch);
        // Nor is it whole if something was written after its last word, as after an update.
        let is_last = log.spills.last().is_some_and(|spill| spill.last && knows(spill));
        self.was_killed_new |= !is_last && self.is_newly_updated(life);
        let is_whole = is_last && times > 0;
        let is_drained = is_drained && is_last;
        // VMs that were replaced have told their last rows to the log only.
        let has_rows = log.spills.iter().any(|spill| spill.rows.is_some());
        self.fault(match (is_drained, is_whole) {
            (true, _) => "process drained and stopped",
            (false, true) => "process stopped, its log reported",
            (false, false) => "process stopped, its log lost",
        });
        let before: Vec<Lost> = self.book.calls.iter().map(|call| call.lost).collect();
        self.replace(process);
        if is_drained || is_whole {
            // What it had counted is in the ledger, or in its log.
            for (call, before) in self.book.calls.iter_mut().zip(before) {
                if call.life == life {
                    call.lost = before;
                }
            }
        }
        self.is_lossless &= is_whole || is_drained && !has_rows;
        self.ingest(&log);
        self.logs.push(log);
        self.is_in_trouble();
    }

    /// Lets every call of a process end, and waits until all is delivered: whether it is.
    fn drain(&mut self, process: usize) -> bool {
        for _ in 0..3 {
            self.pass(SECOND);
            for call in self.under_way.clone() {
                if self.book.calls[call].at.0 == process {
                    let end = self.drawn_end();
                    self.end(call, end);
                }
            }
        }
        let mut looks = 0;
        for _ in 0..LONGEST_DRAIN_SECONDS {
            self.pass(SECOND);
            let is_delivered = self.process(process).metric(UNDELIVERED) == Some(0);
            looks = if is_delivered { looks + 1 } else { 0 };
            if looks == 2 {
                return true;
            }
        }
        false
    }

    /// What a process wrote, and whether all of it may be written.
    fn read_log(&mut self, process: usize, times: u64) -> Log {
        let lines = self.process(process).log();
        self.check_secrets(&lines);
        let mut reader = Reader::default();
        let read = |line: &String| reader.read(line).expect("a line that is whole");
        let spills: Vec<Spill> = lines.iter().filter_map(read).collect();
        if !spills.is_empty() {
            self.count("usage found in a log");
        }
        Log { spills, times }
    }

    /// The operator reports what was found in a log.
    fn ingest(&mut self, log: &Log) {
        for _ in 0..log.times {
            for spill in &log.spills {
                let news = self.world.ingest(spill);
                if self.traced {
                    let epoch = spill.epoch;
                    let slots = spill.records.iter().map(|it| (it.subscription, &it.slots));
                    let slots: Vec<_> = slots.collect();
                    eprintln!(
                        "{news:?} in {} epoch {epoch} last {}: {slots:?}",
                        spill.boot, spill.last
                    );
                }
            }
        }
        match (log.spills.is_empty(), log.times) {
            (true, _) | (_, 0) => {}
            (false, 1) => self.count("a log is reported"),
            (false, _) => self.fault("log reported twice"),
        }
    }

    /// Of a process that is killed some of the log may be found.
    pub(super) fn kept_log(&mut self, process: usize) {
        let times = self.random.below(3);
        let log = self.read_log(process, times);
        self.logs.push(log);
    }

    /// Reports all logs once more, those of living processes too: nothing is counted twice.
    pub(super) fn ingest_all(&mut self) {
        for process in 0..self.vms.len() {
            let log = self.read_log(process, 1);
            self.logs.push(log);
        }
        let mut logs = std::mem::take(&mut self.logs);
        self.random.shuffle(&mut logs);
        for log in &logs {
            self.ingest(log);
        }
        self.logs = logs;
    }

    /// Law 7: nothing that opens anything is written down.
    pub(super) fn check_secrets(&mut self, lines: &[String]) {
        let token = self.world.host.gateway_token.clone();
        for line in lines {
            let is_key = |secret: &str| line.contains(secret);
            let told = self.owners.iter().any(|owner| is_key(&owner.of.key));
            assert!(!told && !is_key(&token), "law 7: {line}");
        }
        self.holds(7);
    }

    /// Law 8: what a process keeps is bounded.
    pub(super) fn check_sizes(&mut self) {
        for process in 0..self.vms.len() {
            let (entries, largest) = self.process(process).shared_sizes();
            assert!(largest <= MAX_VALUE_BYTES, "law 8: a value of {largest} bytes");
            assert!(entries <= MAX_VALUES, "law 8: {entries} values in shared data");
            for vm in 0..self.vms[process] {
                let bytes = self.process(process).vm(vm).memory_bytes();
                assert!(bytes <= MAX_MEMORY_BYTES, "law 8: {bytes} bytes in VM {vm}");
            }
            self.holds(8);
        }
    }
}

/// A record's bound; the catalog of these worlds is smaller.
const MAX_VALUE_BYTES: usize = 12 * 1024;
/// Records, keys, and a few of the process's own.
const MAX_VALUES: usize = 64;
/// What a VM needs for few subscriptions.
const MAX_MEMORY_BYTES: usize = 8 * 1024 * 1024;
