//! What a run is told by.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::engine::Tally;
use crate::failure::{hex, simplest};
use crate::targets;

/// Shorter runs may miss an outcome by chance.
const ENOUGH_INPUTS: u64 = 10_000;

/// The command that gives a target this input again.
pub(crate) fn replay_line(target: &str, input: &[u8]) -> String {
    format!("cargo fuzz-bytes --target {target} --input {:?}", hex(input)).replace('"', "'")
}

/// One line that is written over again and again, where there is someone to see it.
pub(crate) fn progress(done: u64, of: u64, passed: Duration) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        let rate = done as f64 / passed.as_secs_f64();
        let _ = write!(out, "\r{done} of {of} inputs, {rate:.0}/s  ");
    }
}

/// Prints a table and the failures. True if there was none.
pub(crate) fn print(tallies: Vec<Tally>, seed: u64, took: Duration) -> bool {
    let inputs: u64 = tallies.iter().map(|tally| tally.inputs).sum();
    let mut failed = 0;
    println!("\n{:<9} {:>10} {:>11} {:>9}  failures", "target", "inputs", "µs each", "slowest");
    for tally in &tallies {
        let each = tally.spent.as_secs_f64() * 1e6 / tally.inputs.max(1) as f64;
        let slowest = format!("{:.1} ms", tally.slowest.as_secs_f64() * 1e3);
        let (name, failures) = (tally.target.name, tally.failures.len());
        println!("{name:<9} {:>10} {each:>11.2} {slowest:>9}  {failures}", tally.inputs);
    }
    for tally in &tallies {
        println!("\n{}: {}", tally.target.name, tally.target.law);
        let reached: Vec<String> =
            tally.seen.counts().map(|(name, count)| format!("{name} {count}")).collect();
        for line in reached.chunks(4) {
            println!("  {}", line.join(" | "));
        }
    }
    for tally in tallies {
        let missed = tally.seen.counts().filter(|(_, count)| *count == 0);
        for (outcome, _) in missed.filter(|_| tally.inputs >= ENOUGH_INPUTS) {
            failed += 1;
            println!("\nFAILED {}: no input reached {outcome:?}", tally.target.name);
        }
        for failure in tally.failures {
            failed += 1;
            let target = targets::named(failure.target);
            let small = target.map_or(failure.clone(), |target| simplest(target, failure));
            println!("\nFAILED {}: {}", small.target, small.what);
            println!("  {}", replay_line(small.target, &small.input));
        }
    }
    let seconds = took.as_secs_f64();
    println!(
        "\n{inputs} inputs of seed {seed} in {seconds:.1} s: {:.0} a second, {failed} failures",
        inputs as f64 / seconds
    );
    failed == 0
}
