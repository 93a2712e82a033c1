//! Many seeds, on all cores; what happened in them, and whether everything did that should.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

use super::play;
use super::play::Counts;

/// Worlds played by each run of the tests.
const IN_TESTS: u64 = 12;
/// A world to play and tell of, and no other.
pub(super) const SEED: &str = "TOLLGATE_SEED";
/// What must have happened in five hundred worlds, or they were not worth much.
const EXPECTED: [&str; 16] = [
    "let through",
    "refused: rate_limited",
    "refused: quota_exceeded",
    "refused: subscription_inactive",
    "refused: invalid_key",
    "refused: host_unavailable",
    "fault: a VM is loaded again",
    "fault: a VM stands still between two hostcalls",
    "fault: a process is killed",
    "fault: the network is cut",
    "fault: messages are lost",
    "a quota was used up to its last unit",
    "came again when told: quota",
    "came again when told: rate",
    "came again when told: rate of the fleet",
    "message: calls units back",
];
const ENOUGH: u64 = 500;

/// Random worlds in which anything fails: the laws on the real plugin and the real core.
///
/// A seed that fails is printed, and is played alone with `TOLLGATE_SEED=…` in the environment.
#[derive(Parser)]
#[command(name = "cargo seeds")]
struct Options {
    /// Worlds to play.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// `cargo seeds`.
#[allow(dead_code, reason = "the tests have a main function of their own")]
pub(crate) fn main() {
    let options = Options::parse();
    if std::env::var_os(SEED).is_none() {
        // Those of worlds are told at the end.
        std::panic::set_hook(Box::new(|_| ()));
    }
    let is_well = run(options.from, options.seeds, true);
    std::process::exit(i32::from(!is_well));
}

#[test]
fn worlds() {
    assert!(run(1, IN_TESTS, false), "see above");
}

/// Plays worlds on all cores: whether all went well, and all happened that should.
fn run(from: u64, seeds: u64, tell: bool) -> bool {
    if let Some(seed) = std::env::var(SEED).ok().and_then(|text| text.parse().ok()) {
        summarise(&play(seed, None), 1, Duration::ZERO);
        return true;
    }
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let sums = Mutex::new((Counts::new(), BTreeMap::<u64, String>::new()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds || sums.lock().expect("no panic").1.len() > 4 {
                return;
            }
            let seed = from + number;
            let played = catch_unwind(AssertUnwindSafe(|| play(seed, None)));
            let mut sums = sums.lock().expect("no panic");
            match played {
                Ok(counts) => add(&mut sums.0, counts),
                Err(panic) => drop(sums.1.insert(seed, text_of(&*panic))),
            }
            if tell && number % 1_000 == 999 {
                eprintln!("{} worlds after {:.0?}", number + 1, began.elapsed());
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let (counts, failed) = sums.into_inner().expect("no panic");
    if tell {
        summarise(&counts, seeds, began.elapsed());
    }
    for (seed, problem) in &failed {
        eprintln!("{SEED}={seed}: {problem}");
    }
    let missing = EXPECTED.iter().filter(|what| !counts.contains_key(**what));
    let missing: Vec<_> = missing.filter(|_| seeds >= ENOUGH && failed.is_empty()).collect();
    if !missing.is_empty() {
        eprintln!("never happened: {missing:?}");
    }
    failed.is_empty() && missing.is_empty()
}

fn add(sums: &mut Counts, counts: Counts) {
    for (what, times) in counts {
        *sums.entry(what).or_default() += times;
    }
}

fn summarise(counts: &Counts, seeds: u64, took: Duration) {
    for (what, times) in counts {
        eprintln!("{times:>12}  {what}");
    }
    eprintln!("{seeds:>12}  worlds, in {took:.1?}");
}

/// What a panic said.
pub(super) fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
