//! What was found in logs, and what became of it.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use tollgate_pricing::id::Hex128;

use super::super::output::printable;
use crate::core::spill::Ingested;
use crate::serve::Problem;

/// Damaged lines, and the like, that are told one by one.
const MAX_TOLD: usize = 100;

/// What was found, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct Report {
    /// Lines read.
    pub(super) lines: u64,
    /// Spills found, whole.
    pub(super) spills: u64,
    /// What was new to the ledger in them.
    pub(super) new: Ingested,
    /// Spills that the host refused, by why.
    pub(super) refused: Told<Refused>,
    /// Lines that were cut or changed.
    pub(super) damaged: Told<Damaged>,
    /// Spills of which lines are missing.
    pub(super) incomplete: Told<Incomplete>,
    /// Processes that said that this was all, which is not all here: they were not believed.
    pub(super) ends_in_doubt: u64,
}

/// Things that are told one by one, up to [`MAX_TOLD`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Told<T> {
    /// All of them.
    pub(super) count: u64,
    /// The first.
    pub(super) first: Vec<T>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Refused {
    pub(super) reason: String,
    pub(super) detail: String,
    /// How many for this.
    pub(super) spills: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Damaged {
    pub(super) file: PathBuf,
    pub(super) line: u64,
    pub(super) problem: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Incomplete {
    pub(super) incarnation: Hex128,
    pub(super) number: u64,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl<T> Told<T> {
    pub(super) fn tell(&mut self, thing: T) {
        self.count = self.count.saturating_add(1);
        if self.first.len() < MAX_TOLD {
            self.first.push(thing);
        }
    }
}

impl Report {
    pub(super) fn refuse(&mut self, problem: Problem) {
        let Problem { reason, detail, .. } = problem;
        let known = self.refused.first.iter_mut().find(|known| known.detail == detail);
        if let Some(known) = known {
            known.spills = known.spills.saturating_add(1);
            self.refused.count = self.refused.count.saturating_add(1);
        } else {
            self.refused.tell(Refused { reason, detail, spills: 1 });
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.refused.count == 0
            && self.damaged.count == 0
            && self.incomplete.count == 0
            && self.ends_in_doubt == 0
            && self.new.kept_aside == 0
    }
}

pub(super) fn text(report: &Report) -> String {
    let Ingested { admitted, billable, waived, batches, kept_aside } = report.new;
    let mut text = format!(
        "{} lines read, {} spills in them.\n\
         New to the ledger: {admitted} calls admitted, {billable} billable, {waived} waived; \
         {batches} batches of rows.\n",
        report.lines, report.spills
    );
    if kept_aside > 0 {
        let _ = writeln!(
            text,
            "\n{kept_aside} slots contradict the ledger and were kept aside: the host's log tells \
             of them."
        );
    }
    list(&mut text, "spills refused", &report.refused, |it| {
        format!("{} because: {}", it.spills, it.detail)
    });
    list(&mut text, "damaged lines", &report.damaged, |it| {
        format!("{} line {}: {}", it.file.display(), it.line, it.problem)
    });
    list(&mut text, "spills of which lines are missing", &report.incomplete, |it| {
        format!("number {} of {}", it.number, it.incarnation)
    });
    if report.ends_in_doubt > 0 {
        let _ = writeln!(
            text,
            "\n{} processes wrote that this was all, and it is not all here: they stay unaccounted.",
            report.ends_in_doubt
        );
    }
    text
}

fn list<T>(text: &mut String, what: &str, told: &Told<T>, line: impl Fn(&T) -> String) {
    if told.count == 0 {
        return;
    }
    let _ = writeln!(text, "\n{} {what}:", told.count);
    for thing in &told.first {
        let _ = writeln!(text, "  {}", printable(&line(thing)));
    }
    if told.first.len() >= MAX_TOLD {
        text.push_str("  … and so on\n");
    }
}
