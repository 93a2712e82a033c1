//! `cargo fuzz-bytes`: millions of absurd inputs to everything that reads bytes from outside.
//!
//! A panic in the plugin is a trap in Envoy, and takes a VM's streams with it; so this profile
//! has overflow checks and debug assertions, and any panic is a failure. Beyond that each of the
//! [`targets`] has a law that holds for every input. The [`engine`] makes inputs from the seed
//! alone: by [`mutate`] from examples, from [`corpus`], or anew.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test: what fails here is a finding, or a mistake in the test"
)]
#![allow(clippy::cast_possible_truncation, reason = "chance is cut to what is needed")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod chance;
mod corpus;
mod engine;
mod examples;
mod failure;
mod mutate;
mod report;
mod tape;
mod targets;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use engine::{Run, lock};
use failure::{attempt, catch_panics, unhex};
use targets::{Seen, TARGETS, Target};

/// An input that does not end is given up on, and the run with it.
const HANGS: Duration = Duration::from_secs(20);

/// Feed the gate, and the catalog's reader, bytes nobody would send
///
/// Ends with a table of what became of the inputs, and every failure as one line to replay it.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo fuzz-bytes", max_term_width = 100)]
struct Args {
    /// Inputs in all
    #[arg(long, default_value_t = 10_000_000)]
    inputs: u64,
    /// The same seed gives the same inputs, whatever the number of threads
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this target
    #[arg(long, value_parser = target)]
    target: Option<&'static Target>,
    /// Replay one input of the target instead, as hex
    #[arg(long, requires = "target")]
    input: Option<String>,
    /// Print a short input for each outcome instead, for the corpus
    #[arg(long)]
    examples: bool,
    /// Threads; all cores by default
    #[arg(long)]
    threads: Option<usize>,
}

fn target(name: &str) -> Result<&'static Target, String> {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    targets::named(name).ok_or_else(|| format!("one of {}", names.join(", ")))
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    catch_panics();
    let passed = match (args.target, &args.input) {
        (Some(target), Some(input)) => replay(target, input),
        (only, _) if args.examples => {
            let all = TARGETS.to_vec();
            examples::print(&only.map_or(all, |only| vec![only]), args.seed);
            true
        }
        (only, _) => fuzz(&args, only),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(target: &'static Target, text: &str) -> bool {
    let Some(input) = unhex(text) else {
        println!("expected an even number of hex digits");
        return false;
    };
    let mut seen = Seen::of(target);
    let result = attempt(target, &input, &mut seen);
    let reached: Vec<&str> =
        seen.counts().filter(|(_, count)| *count > 0).map(|(name, _)| name).collect();
    println!("reached: {}", reached.join(", "));
    match &result {
        Ok(()) => println!("passed"),
        Err(what) => println!("FAILED: {what}"),
    }
    result.is_ok()
}

fn fuzz(args: &Args, only: Option<&'static Target>) -> bool {
    let targets: Vec<&'static Target> = only.map_or_else(|| TARGETS.to_vec(), |only| vec![only]);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = args.threads.unwrap_or(cores).max(1);
    let run = Run::new(args.seed, args.inputs, &targets, threads);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn({
                    let run = &run;
                    move || run.work(thread)
                })
            })
            .collect();
        watch(&run, args.inputs, begun, || {
            workers.iter().all(std::thread::ScopedJoinHandle::is_finished)
        });
    });
    report::print(run.into_tallies(), args.seed, begun.elapsed())
}

/// Shows how far it is, and ends the program where an input does not end.
fn watch(run: &Run, inputs: u64, begun: Instant, is_done: impl Fn() -> bool) {
    let mut shown = Instant::now();
    while !is_done() {
        std::thread::sleep(Duration::from_millis(20));
        for under_way in &run.under_way {
            if let Some((since, target, input)) = &*lock(under_way)
                && since.elapsed() > HANGS
            {
                println!(
                    "FAILED {target}: an input does not end\n  {}",
                    report::replay_line(target, input)
                );
                std::process::exit(1);
            }
        }
        if shown.elapsed() >= Duration::from_secs(2) {
            shown = Instant::now();
            report::progress(run.inputs().0, inputs, begun.elapsed());
        }
    }
}
