//! Many seeds, on all cores: `cargo simulate`, and the fixed set of the tests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;

use super::report::{self, Report};
use super::{outage, play, wrong};

/// Worlds played by each run of the tests.
const IN_TESTS: u64 = 12;
/// Failures after which no new world is begun.
const MOST_FAILURES: usize = 5;

/// Random worlds in which anything fails: the laws on the real plugin and the real core.
///
/// A seed is a world, the same each time. One that breaks a law is printed with the command that
/// plays it again; `--seeds 1` tells what happens in it. The last line is one JSON object. Exit
/// codes: 0 all is well, 1 a law was broken, or (of 500 seeds or more) a fault or a law never came
/// up, 2 the options are wrong.
#[derive(Parser)]
#[command(name = "cargo simulate --")]
struct Options {
    /// Worlds to play.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Instead: a day without the host, for so many active subscriptions.
    #[arg(long, value_name = "SUBSCRIPTIONS", conflicts_with_all = ["seeds", "seed"])]
    outage: Option<u64>,
    /// Instead: the seeds by which mistakes made on purpose are noticed.
    #[arg(long, conflicts_with_all = ["seeds", "seed"])]
    mistakes: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// `cargo simulate`.
#[allow(dead_code, reason = "the tests have a main function of their own")]
pub(crate) fn main() {
    let options = Options::parse();
    if let Some(subscriptions) = options.outage {
        report::print_day(&outage::play(subscriptions, outage::HOURS));
        return;
    }
    // What is wrong with a world is told with its seed.
    std::panic::set_hook(Box::new(|_| ()));
    if options.mistakes {
        std::process::exit(i32::from(!wrong::search()));
    }
    let report = run(options.seed, options.seeds, true);
    report.print();
    std::process::exit(i32::from(!report.is_well()));
}

#[test]
fn worlds() {
    let report = run(1, IN_TESTS, false);
    assert!(report.is_well(), "{}", report.failures());
}

/// Plays worlds on all cores.
fn run(first: u64, seeds: u64, tell: bool) -> Report {
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let report = Mutex::new(Report::new(seeds));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds || report.lock().expect("no panic").failed.len() >= MOST_FAILURES {
                return;
            }
            let seed = first.wrapping_add(number);
            let traced = tell && seeds == 1;
            let played = catch_unwind(AssertUnwindSafe(|| play(seed, None, traced)));
            let mut report = report.lock().expect("no panic");
            match played {
                Ok(played) => report.add(played),
                Err(panic) => drop(report.failed.insert(seed, text_of(&*panic))),
            }
            report.took = began.elapsed();
            if tell {
                report.show_progress();
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    report.into_inner().expect("no panic")
}

/// What a panic said.
pub(super) fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
