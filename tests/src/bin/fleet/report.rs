//! What was promised, what was found, and whether it holds.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::failure::Failure;

/// One line of the table.
#[derive(Debug, Serialize)]
struct Row {
    run: &'static str,
    what: String,
    /// What must be so; none for a figure that is only told.
    must: Option<String>,
    found: String,
    holds: Option<bool>,
}

/// The table, printed line by line as it grows.
#[derive(Debug, Default)]
pub(crate) struct Report {
    run: &'static str,
    rows: Vec<Row>,
}

impl Report {
    /// What follows is about this run.
    pub(crate) fn begin(&mut self, run: &'static str, about: &str) {
        self.run = run;
        println!("\n{run}: {about}");
    }

    /// A promise: what must be so, and whether it is.
    pub(crate) fn check(
        &mut self,
        what: impl Into<String>,
        must: impl Into<String>,
        found: impl Into<String>,
        holds: bool,
    ) {
        let must = Some(must.into());
        self.add(Row {
            run: self.run,
            what: what.into(),
            must,
            found: found.into(),
            holds: Some(holds),
        });
    }

    /// A promise of an exact number.
    pub(crate) fn equal(&mut self, what: impl Into<String>, must: u64, found: u64) {
        self.check(what, must.to_string(), found.to_string(), must == found);
    }

    /// A promise of an upper bound.
    pub(crate) fn at_most(&mut self, what: impl Into<String>, must: u64, found: u64) {
        self.check(what, format!("<= {must}"), found.to_string(), found <= must);
    }

    /// A promise of a lower bound.
    pub(crate) fn at_least(&mut self, what: impl Into<String>, must: u64, found: u64) {
        self.check(what, format!(">= {must}"), found.to_string(), found >= must);
    }

    /// A promise that a list is empty.
    pub(crate) fn none(&mut self, what: impl Into<String>, found: &str) {
        let holds = found.is_empty();
        self.check(what, "none", if holds { "none" } else { found }, holds);
    }

    /// A figure that promises nothing.
    pub(crate) fn tell(&mut self, what: impl Into<String>, found: impl Into<String>) {
        let (what, found) = (what.into(), found.into());
        self.add(Row { run: self.run, what, must: None, found, holds: None });
    }

    fn add(&mut self, row: Row) {
        let mark = match row.holds {
            Some(true) => "ok",
            Some(false) => "NO",
            None => "  ",
        };
        let must = row.must.as_deref().unwrap_or_default();
        println!("  {mark}  {:<68} {must:>10}  {}", row.what, row.found);
        self.rows.push(row);
    }

    /// Whether everything holds, in this run or in all.
    pub(crate) fn holds(&self, run: Option<&str>) -> bool {
        let mut of_run = self.rows.iter().filter(|row| run.is_none_or(|run| row.run == run));
        of_run.all(|row| row.holds != Some(false))
    }

    /// What does not hold, again, for whoever reads only the end.
    pub(crate) fn print_end(&self) {
        let broken = self.rows.iter().filter(|row| row.holds == Some(false));
        let checks = self.rows.iter().filter(|row| row.holds.is_some()).count();
        let broken: Vec<&Row> = broken.collect();
        if broken.is_empty() {
            println!("\nAll of it holds: {checks} checks.");
            return;
        }
        println!("\n{} of {checks} checks do not hold:", broken.len());
        for row in broken {
            let must = row.must.as_deref().unwrap_or_default();
            println!("  {}: {}: {must} expected, found {}", row.run, row.what, row.found);
        }
    }

    /// Writes the table for programs.
    pub(crate) fn write_json(&self, file: &Path) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct All<'a> {
            holds: bool,
            rows: &'a [Row],
        }
        let all = All { holds: self.holds(None), rows: &self.rows };
        let text = serde_json::to_string_pretty(&all)
            .map_err(|cause| Failure::Unexpected(format!("the report is not JSON: {cause}")))?;
        fs::write(file, text + "\n").map_err(Failure::io("write the report"))
    }
}
