//! One short input for each outcome, to keep in `corpus.txt`.

use crate::chance::Chance;
use crate::failure::{attempt, hex, shrink};
use crate::mutate::mutate;
use crate::targets::{Seen, Target};

/// Inputs tried for each target.
const TRIES: usize = 20_000;

/// Prints a line of the corpus for each outcome that was found.
pub(crate) fn print(targets: &[&Target], seed: u64) {
    for target in targets {
        let mut chance = Chance::of(seed, target.name, u64::MAX);
        let mut left: Vec<&str> = target.outcomes.to_vec();
        let seeds = (target.seeds)();
        for _ in 0..TRIES {
            let mut input = (target.make)(&mut chance);
            mutate(&mut input, &seeds, target.tokens, &mut chance);
            let reached = outcomes(target, &input);
            // A whole catalog is too long to keep; those are files of their own.
            let found = left.iter().position(|it| reached.contains(it) && input.len() < 1_000);
            let Some(found) = found else { continue };
            let outcome = left.swap_remove(found);
            let input = shrink(input, |input| outcomes(target, input).contains(&outcome));
            let digits = if input.is_empty() { "-".to_owned() } else { hex(&input) };
            println!("{} {digits} # {outcome}", target.name);
        }
    }
}

/// What an input reaches, if no law is broken by it.
fn outcomes(target: &Target, input: &[u8]) -> Vec<&'static str> {
    let mut seen = Seen::of(target);
    match attempt(target, input, &mut seen) {
        Ok(()) => seen.counts().filter(|(_, count)| *count > 0).map(|(name, _)| name).collect(),
        Err(_) => Vec::new(),
    }
}
