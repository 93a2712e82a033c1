//! `tollgate ingest-spill`: usage that gateways wrote into their proxies' logs, reported.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use tollgate_pricing::id::{BootId, Hex128};
use tollgate_pricing::sync::MAX_REQUEST_BYTES;
use tollgate_pricing::sync::spill::{Reader, Spill};

use self::lines::{Line, Lines, MAX_LINE_BYTES};
use self::progress::{PROGRESS_LINES, Progress};
use self::report::{Damaged, Incomplete, Report, text};
use super::error::Error;
use super::output::Output;
use super::remote::Remote;
use crate::client::Client;
use crate::serve::body::{SpillAnswer, Spills};

mod lines;
mod progress;
mod report;

/// Spills in one request, if they are small.
const MAX_BATCH: usize = 500;
/// Bytes of spills in one request, which has some more around them.
const MAX_BATCH_BYTES: usize = MAX_REQUEST_BYTES - 16 * 1024;
/// Processes that end in the logs read together.
const MAX_ENDS: usize = 10_000;
const BUFFER_BYTES: usize = 256 * 1024;

/// Report usage that gateways wrote into their proxies' logs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A gateway that cannot report its usage writes it into Envoy's log, in lines with the word
TOLLGATE-SPILL-1. Give the logs here, whole, as often as you like: what the ledger has is not
counted again. Parts of one log in several files: give them together.

Example:
  kubectl logs envoy-0 --previous | tollgate ingest-spill -")]
pub(super) struct Args {
    /// Logs; other lines in them are passed over; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Whose Envoy it was, if it never reached the host; not needed if there is one gateway
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let client = args.remote.client()?;
    let mut ingest = Ingest::new(|spills| post(&client, args.gateway.clone(), spills));
    for file in &args.files {
        let unreadable = |error| Error::Read { path: file.clone(), error };
        if file.as_os_str() == "-" {
            ingest.read(file, io::stdin().lock())?;
        } else {
            let log = File::open(file).map_err(unreadable)?;
            ingest.read(file, BufReader::with_capacity(BUFFER_BYTES, log))?;
        }
    }
    let report = ingest.end()?;
    let printed = output.print(&report, text)?;
    if report.is_sound() { Ok(printed) } else { Err(Error::Found(printed)) }
}

fn post(
    client: &Client,
    gateway: Option<String>,
    spills: Vec<Spill>,
) -> Result<Vec<SpillAnswer>, Error> {
    Ok(client.post("/v1/spills", &Spills { gateway, spills })?)
}

/// Logs being read, and spills on their way to the host.
struct Ingest<P> {
    post: P,
    reader: Reader,
    waiting: Vec<Spill>,
    waiting_bytes: usize,
    /// The last words of processes. They account for all that was written before, so they are
    /// reported when all of that is in the ledger, in whatever order the files were given.
    ends: BTreeMap<BootId, (Spill, usize)>,
    report: Report,
}

impl<P: FnMut(Vec<Spill>) -> Result<Vec<SpillAnswer>, Error>> Ingest<P> {
    fn new(post: P) -> Self {
        Self {
            post,
            reader: Reader::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            ends: BTreeMap::new(),
            report: Report::default(),
        }
    }

    fn read(&mut self, file: &Path, log: impl BufRead) -> Result<(), Error> {
        let mut lines = Lines::new(log);
        let mut number: u64 = 0;
        let mut progress = Progress::new();
        loop {
            let line =
                lines.next().map_err(|error| Error::Read { path: file.to_owned(), error })?;
            let Some(line) = line else { break };
            number = number.saturating_add(1);
            let read = match line {
                Line::Other => Ok(None),
                Line::Marked(line) => {
                    let line = String::from_utf8_lossy(line);
                    self.reader.read(&line).map_err(|problem| problem.to_string())
                }
                Line::TooLong => {
                    Err(format!("expected at most {MAX_LINE_BYTES} bytes, found more"))
                }
            };
            match read.and_then(|spill| spill.map(sized).transpose()) {
                Ok(None) => {}
                Ok(Some((spill, bytes))) => {
                    self.report.spills = self.report.spills.saturating_add(1);
                    self.take(spill, bytes)?;
                }
                Err(problem) => {
                    let damaged = Damaged { file: file.to_owned(), line: number, problem };
                    self.report.damaged.tell(damaged);
                }
            }
            if number.is_multiple_of(PROGRESS_LINES) {
                progress.tell(file, lines.bytes(), self.report.spills);
            }
        }
        progress.clear();
        self.report.lines = self.report.lines.saturating_add(number);
        Ok(())
    }

    /// Keeps a process's last word, the newest of several: it says nothing else.
    fn take(&mut self, spill: Spill, bytes: usize) -> Result<(), Error> {
        if !spill.last {
            return self.push(spill, bytes);
        }
        let has_room = self.ends.len() < MAX_ENDS;
        match self.ends.get_mut(&spill.boot) {
            Some(known) if known.0.at_ms < spill.at_ms => *known = (spill, bytes),
            Some(_) => {}
            None if has_room => drop(self.ends.insert(spill.boot, (spill, bytes))),
            None => self.report.ends_in_doubt = self.report.ends_in_doubt.saturating_add(1),
        }
        Ok(())
    }

    fn push(&mut self, spill: Spill, bytes: usize) -> Result<(), Error> {
        let together = self.waiting_bytes.saturating_add(bytes);
        if together > MAX_BATCH_BYTES || self.waiting.len() >= MAX_BATCH {
            self.send()?;
        }
        self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
        self.waiting.push(spill);
        Ok(())
    }

    fn send(&mut self) -> Result<(), Error> {
        self.waiting_bytes = 0;
        let spills = std::mem::take(&mut self.waiting);
        if spills.is_empty() {
            return Ok(());
        }
        for answer in (self.post)(spills)? {
            match answer {
                SpillAnswer::Ingested(new) => self.report.new = self.report.new.plus(new),
                SpillAnswer::Refused(problem) => self.report.refuse(problem),
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<Report, Error> {
        self.send()?;
        let parts = self.reader.incomplete();
        let mut missing: Vec<(Hex128, u64)> = parts.chain(self.reader.missing()).collect();
        missing.sort_unstable();
        for (incarnation, number) in missing {
            self.report.incomplete.tell(Incomplete { incarnation, number });
        }
        let ends = std::mem::take(&mut self.ends);
        if !self.report.is_sound() {
            let doubted = u64::try_from(ends.len()).unwrap_or(u64::MAX);
            self.report.ends_in_doubt = self.report.ends_in_doubt.saturating_add(doubted);
            return Ok(self.report);
        }
        for (spill, bytes) in ends.into_values() {
            self.push(spill, bytes)?;
        }
        self.send()?;
        Ok(self.report)
    }
}

/// A spill with the bytes it has on the wire, of which one request must hold it.
fn sized(spill: Spill) -> Result<(Spill, usize), String> {
    let bytes = serde_json::to_vec(&spill).map_err(|error| error.to_string())?.len();
    if bytes > MAX_BATCH_BYTES {
        return Err(format!("expected a spill of at most {MAX_BATCH_BYTES} bytes, found {bytes}"));
    }
    // With the comma after it.
    Ok((spill, bytes.saturating_add(1)))
}

#[cfg(test)]
mod tests;
