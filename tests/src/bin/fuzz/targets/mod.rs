//! What is fuzzed: each target takes any bytes, and says what became of them.

mod catalog;
mod gate;
mod keys;
mod pairs;
mod paths;
mod record;

use crate::chance::Chance;

/// Something that takes bytes.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// What holds for every input.
    pub(crate) law: &'static str,
    /// How many of all inputs go here, in parts of the sum of all shares.
    pub(crate) share: u64,
    /// Takes an input; marks what became of it; says which law was broken.
    pub(crate) run: fn(&[u8], &mut Seen) -> Result<(), String>,
    /// Makes an input from nothing.
    pub(crate) make: fn(&mut Chance) -> Vec<u8>,
    /// Inputs to begin with.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces that mean something in inputs.
    pub(crate) tokens: &'static [&'static [u8]],
    /// Everything that can become of an input: a run in which one never happens tested less than
    /// it says.
    pub(crate) outcomes: &'static [&'static str],
}

/// All of them.
pub(crate) const TARGETS: [&Target; 7] = [
    &pairs::TARGET,
    &paths::TARGET,
    &record::TARGET,
    &gate::ANSWERS,
    &gate::GARBAGE,
    &keys::TARGET,
    &catalog::TARGET,
];

/// The target with this name.
pub(crate) fn named(name: &str) -> Option<&'static Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// Outcomes reached.
#[derive(Clone)]
pub(crate) struct Seen {
    names: &'static [&'static str],
    counts: [u64; 64],
    bits: u64,
}

impl Seen {
    pub(crate) fn of(target: &Target) -> Self {
        Self { names: target.outcomes, counts: [0; 64], bits: 0 }
    }

    /// The next input begins.
    pub(crate) fn begin(&mut self) {
        self.bits = 0;
    }

    /// The current input reached this; counted once an input.
    pub(crate) fn mark(&mut self, outcome: &str) {
        let place = self.names.iter().position(|name| *name == outcome);
        let place = place.unwrap_or_else(|| panic!("the outcome {outcome:?} is not listed"));
        if self.bits & (1 << place) == 0 {
            self.bits |= 1 << place;
            self.counts[place] += 1;
        }
    }

    /// What the current input reached, as one number.
    pub(crate) fn bits(&self) -> u64 {
        self.bits
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    /// Each outcome with how many inputs reached it.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.names.iter().copied().zip(self.counts)
    }
}

/// An error unless this holds.
fn law(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
