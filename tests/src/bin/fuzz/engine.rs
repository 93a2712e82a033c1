//! Feeds targets: inputs in shards that depend on the seed alone, on every core.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::corpus;
use crate::failure::{Failure, attempt, kind};
use crate::mutate::mutate;
use crate::targets::{Seen, Target};

/// Inputs of one shard: enough to build on what was found in it.
const SHARD: u64 = 25_000;
/// Inputs a shard keeps to build on.
const MAX_KEPT: usize = 2_000;
/// Faults told apart for one target.
const MAX_FAILURES: usize = 12;
/// An input that takes longer hangs a worker thread of Envoy: that is a fault too.
const SLOW: Duration = Duration::from_secs(2);

/// What became of one target's inputs.
pub(crate) struct Tally {
    pub(crate) target: &'static Target,
    pub(crate) inputs: u64,
    pub(crate) spent: Duration,
    pub(crate) slowest: Duration,
    pub(crate) seen: Seen,
    pub(crate) failures: Vec<Failure>,
}

impl Tally {
    fn new(target: &'static Target) -> Self {
        Self {
            target,
            inputs: 0,
            spent: Duration::ZERO,
            slowest: Duration::ZERO,
            seen: Seen::of(target),
            failures: Vec::new(),
        }
    }

    fn fail(&mut self, failure: Failure) {
        let found = kind(&failure.what);
        let known = self.failures.iter().position(|known| kind(&known.what) == found);
        match known {
            // The shortest is the easiest to read.
            Some(known) if failure.input.len() < self.failures[known].input.len() => {
                self.failures[known] = failure;
            }
            None if self.failures.len() < MAX_FAILURES => self.failures.push(failure),
            _ => {}
        }
    }

    fn add(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.spent += other.spent;
        self.slowest = self.slowest.max(other.slowest);
        self.seen.add(&other.seen);
        other.failures.into_iter().for_each(|failure| self.fail(failure));
    }
}

struct Shard {
    target: &'static Target,
    number: u64,
    inputs: u64,
}

/// An input under way, for whoever watches that it ends.
pub(crate) type UnderWay = Mutex<Option<(Instant, &'static str, Vec<u8>)>>;

/// One fuzzing run.
pub(crate) struct Run {
    seed: u64,
    shards: Vec<Shard>,
    next: AtomicUsize,
    tallies: Mutex<Vec<Tally>>,
    pub(crate) under_way: Vec<UnderWay>,
}

impl Run {
    pub(crate) fn new(seed: u64, inputs: u64, targets: &[&'static Target], threads: usize) -> Self {
        let all: u64 = targets.iter().map(|target| target.share).sum();
        let mut shards = Vec::new();
        for target in targets {
            let mut left = (inputs * target.share).div_ceil(all.max(1));
            for number in 0.. {
                let inputs = left.min(SHARD);
                shards.push(Shard { target, number, inputs });
                left -= inputs;
                if left == 0 {
                    break;
                }
            }
        }
        // All targets from the start on, whatever ends the run.
        shards.sort_by_key(|shard| shard.number);
        let tallies = targets.iter().map(|target| Tally::new(target)).collect();
        let under_way = (0..threads).map(|_| Mutex::new(None)).collect();
        Self { seed, shards, next: AtomicUsize::new(0), tallies: Mutex::new(tallies), under_way }
    }

    /// One thread's work: shards, until there are none.
    pub(crate) fn work(&self, thread: usize) {
        while let Some(shard) = self.shards.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let tally = self.shard(shard, &self.under_way[thread]);
            let mut tallies = lock(&self.tallies);
            if let Some(all) = tallies.iter_mut().find(|all| all.target.name == shard.target.name) {
                all.add(tally);
            }
        }
    }

    /// Inputs so far, and whether no shard is left.
    pub(crate) fn inputs(&self) -> (u64, bool) {
        let inputs = lock(&self.tallies).iter().map(|tally| tally.inputs).sum();
        (inputs, self.next.load(Ordering::Relaxed) >= self.shards.len())
    }

    pub(crate) fn into_tallies(self) -> Vec<Tally> {
        self.tallies.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, shard: &Shard, under_way: &UnderWay) -> Tally {
        let target = shard.target;
        let mut chance = Chance::of(self.seed, target.name, shard.number);
        let mut tally = Tally::new(target);
        let mut corpus = (target.seeds)();
        corpus.extend(corpus::of(target.name));
        let mut known = HashSet::new();
        let begun = Instant::now();
        for turn in 0..shard.inputs {
            let whole = usize::try_from(turn).ok().and_then(|turn| corpus.get(turn));
            let input = match whole.filter(|_| shard.number == 0) {
                Some(input) => input.clone(),
                None => next_input(target, &corpus, &mut chance),
            };
            *lock(under_way) = Some((Instant::now(), target.name, input.clone()));
            let result = attempt(target, &input, &mut tally.seen);
            let took = lock(under_way).take().map_or(SLOW, |(since, _, _)| since.elapsed());
            tally.slowest = tally.slowest.max(took);
            let slow = || Err(format!("slow: longer than {} s", SLOW.as_secs()));
            let result = if took > SLOW { slow() } else { result };
            if let Err(what) = result {
                tally.fail(Failure { target: target.name, input, what });
            } else if known.insert(tally.seen.bits()) && corpus.len() < MAX_KEPT {
                // Reached a combination of outcomes that nothing before it did.
                corpus.push(input);
            }
        }
        tally.inputs = shard.inputs;
        tally.spent = begun.elapsed();
        tally
    }
}

fn next_input(target: &Target, corpus: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    if corpus.is_empty() || chance.once_in(4) {
        let mut made = (target.make)(chance);
        if chance.once_in(4) {
            mutate(&mut made, corpus, target.tokens, chance);
        }
        return made;
    }
    let mut input = chance.pick(corpus).clone();
    mutate(&mut input, corpus, target.tokens, chance);
    input
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
