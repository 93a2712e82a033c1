//! Inputs that were worth keeping: each once broke something, or was hard to reach. Every run
//! begins with them, and `cargo test` replays them.
//!
//! One a line, as printed with a failure: target, hex (`-` for none), and after `#` what it is.

use crate::failure::unhex;

const TEXT: &str = include_str!("corpus.txt");

/// Every kept input with its target's name.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, Option<Vec<u8>>)> {
    TEXT.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let target = words.next()?;
        let hex = words.next().unwrap_or_default();
        Some((target, unhex(if hex == "-" { "" } else { hex })))
    })
}

/// The kept inputs of one target.
pub(crate) fn of(target: &str) -> impl Iterator<Item = Vec<u8>> {
    all().filter(move |(name, _)| *name == target).filter_map(|(_, input)| input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{attempt, catch_panics};
    use crate::targets::{self, Seen};

    #[test]
    fn what_broke_once_does_not_break_again() {
        catch_panics();
        let mut broken = Vec::new();
        for (name, input) in all() {
            let target = targets::named(name);
            let (Some(target), Some(input)) = (target, input) else {
                broken.push(format!("{name}: no such target, or no hex"));
                continue;
            };
            if let Err(what) = attempt(target, &input, &mut Seen::of(target)) {
                broken.push(format!("{name}: {what}"));
            }
        }
        assert_eq!(broken, [""; 0]);
    }
}
