//! What a run of the simulator is told by: a line of progress, a table, one JSON object.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use serde_json::json;

use super::Played;
use super::outage::Day;

/// Fewer worlds may miss something by chance.
const ENOUGH_SEEDS: u64 = 500;
/// Faults that must have happened, or the laws were not tried.
const FAULTS: [&str; 22] = [
    "VM frozen for a minute",
    "VM loaded again after a trap",
    "VM stands still between two hostcalls",
    "calls refused at dispatch",
    "code of the filter updated",
    "configuration of the filter updated",
    "group commit lost with the host",
    "host away",
    "host away for 10 minutes",
    "host restored from a backup",
    "log reported twice",
    "messages duplicated",
    "messages late and out of order",
    "messages lost",
    "network cut",
    "process drained and stopped",
    "process killed",
    "process stands still",
    "process stopped, its log lost",
    "process stopped, its log reported",
    "wall clock of a gateway steps",
    "wall clock of the host steps",
];
/// Laws that must have been checked.
const LAWS: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];
/// What else must have come up.
const EVENTS: [&str; 11] = [
    "let through",
    "refused: rate_limited",
    "refused: quota_exceeded",
    "refused: subscription_inactive",
    "refused: invalid_key",
    "refused: host_unavailable",
    "a quota was used up to its last unit",
    "came again when told: quota",
    "came again when told: rate",
    "came again when told: rate of the fleet",
    "message: calls units back",
];

/// What came of many worlds.
pub(super) struct Report {
    seeds: u64,
    played: u64,
    sum: Played,
    /// What was wrong, by seed.
    pub(super) failed: BTreeMap<u64, String>,
    pub(super) took: Duration,
}

impl Report {
    pub(super) fn new(seeds: u64) -> Self {
        Self {
            seeds,
            played: 0,
            sum: Played::default(),
            failed: BTreeMap::new(),
            took: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, played: Played) {
        self.played += 1;
        self.sum.time += played.time;
        add(&mut self.sum.events, played.events);
        add(&mut self.sum.faults, played.faults);
        add(&mut self.sum.laws, played.laws);
    }

    pub(super) fn is_well(&self) -> bool {
        self.failed.is_empty() && self.missing().is_empty()
    }

    /// What was wrong, and how to see it again.
    pub(super) fn failures(&self) -> String {
        let mut text = String::new();
        for (seed, problem) in &self.failed {
            let _ = writeln!(text, "cargo simulate -- --seeds 1 --seed {seed}\n  {problem}");
        }
        text
    }

    /// What should have come up in so many worlds, and has not.
    fn missing(&self) -> Vec<String> {
        if self.seeds < ENOUGH_SEEDS || !self.failed.is_empty() {
            return Vec::new();
        }
        let sum = &self.sum;
        let faults = FAULTS.iter().filter(|it| !sum.faults.contains_key(**it));
        let events = EVENTS.iter().filter(|it| !sum.events.contains_key(**it));
        let laws = LAWS.iter().filter(|law| !sum.laws.contains_key(law));
        let laws = laws.map(|law| format!("law {law}"));
        faults.chain(events).map(ToString::to_string).chain(laws).collect()
    }

    /// One line that is written over again and again, where there is someone to see it.
    pub(super) fn show_progress(&self) {
        let mut out = std::io::stderr();
        if self.seeds > 1 && out.is_terminal() {
            let done = self.played + self.failed.len() as u64;
            let rate = done / self.took.as_secs().max(1);
            let _ = write!(
                out,
                "\r{done} of {} worlds, {} violations, {:.1} simulated hours, {rate} worlds/s  ",
                self.seeds,
                self.failed.len(),
                self.hours()
            );
        }
    }

    /// A table, what was wrong, and as the last line one JSON object.
    #[allow(clippy::print_stdout, reason = "the program's output")]
    pub(super) fn print(&self) {
        let mut table = String::new();
        for (what, times) in &self.sum.events {
            let _ = writeln!(table, "{times:>12}  {what}");
        }
        for (fault, times) in &self.sum.faults {
            let _ = writeln!(table, "{times:>12}  fault: {fault}");
        }
        for (law, times) in &self.sum.laws {
            let _ = writeln!(table, "{times:>12}  law {law} checked");
        }
        eprintln!("\n{table}\n{}", self.failures());
        let missing = self.missing();
        if !missing.is_empty() {
            eprintln!("never came up: {missing:?}");
        }
        let line = json!({
            "seeds": self.seeds,
            "played": self.played + self.failed.len() as u64,
            "violations": self.failed.len(),
            "failed_seeds": self.failed.keys().collect::<Vec<_>>(),
            "simulated_hours": (self.hours() * 100.0).round() / 100.0,
            "seconds": self.took.as_secs_f64().round(),
            "faults": named(&FAULTS.map(str::to_owned), &self.sum.faults),
            "laws": named(&LAWS, &self.sum.laws),
        });
        println!("{line}");
    }

    fn hours(&self) -> f64 {
        self.sum.time.as_secs_f64() / 3_600.0
    }
}

/// A day without the host, as one JSON object.
#[allow(clippy::print_stdout, reason = "the program's output")]
pub(super) fn print_day(day: &Day) {
    let line = json!({
        "subscriptions": day.subscriptions,
        "calls": day.calls,
        "memory_bytes": day.memory_bytes,
        "log_bytes": day.log_bytes,
        "simulated_hours": 24,
        "violations": 0,
        "seconds": day.took.as_secs_f64().round(),
    });
    println!("{line}");
}

/// With those that never came up.
fn named<K: Clone + Ord>(expected: &[K], counts: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let mut all: BTreeMap<K, u64> = expected.iter().map(|it| (it.clone(), 0)).collect();
    all.extend(counts.clone());
    all
}

fn add<K: Ord>(sums: &mut BTreeMap<K, u64>, counts: BTreeMap<K, u64>) {
    for (what, times) in counts {
        *sums.entry(what).or_default() += times;
    }
}
