//! Numbered periods that follow each other without a gap, kept small: on the wire and in a record.

use serde::{Deserialize, Serialize};

/// Lengths of different kind a timeline holds. Many periods at once are all of one length; those
/// of a calendar are named few at a time.
pub const MAX_RUNS: usize = 8;
/// Periods a timeline names at once.
pub const MAX_PERIODS: usize = 40;

const MILLIS: u64 = 1_000;

/// A half-open span of the wall clock, numbered from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// Which one of its kind.
    pub number: u32,
    /// Its first millisecond (unix).
    pub start_ms: u64,
    /// The first millisecond after it.
    pub end_ms: u64,
}

/// So many periods of one length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The length of each.
    pub seconds: u32,
    /// How many.
    pub count: u8,
}

/// Periods, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Timeline {
    /// Number of the first period.
    pub first: u32,
    /// Its start, unix milliseconds.
    pub start_ms: u64,
    /// Lengths, at most [`MAX_RUNS`].
    pub runs: Vec<Run>,
}

impl Timeline {
    /// Takes periods that follow each other and are whole seconds long; what does not fit is left
    /// out from there on, and asked for when it is reached.
    pub fn of(periods: &[Period]) -> Self {
        let Some(first) = periods.first() else { return Self::default() };
        let mut line = Self { first: first.number, start_ms: first.start_ms, runs: Vec::new() };
        let (mut number, mut start_ms) = (first.number, first.start_ms);
        for period in periods.iter().take(MAX_PERIODS) {
            let length_ms = period.end_ms.saturating_sub(period.start_ms);
            let seconds = length_ms.checked_div(MILLIS).and_then(|whole| u32::try_from(whole).ok());
            let follows = period.number == number && period.start_ms == start_ms;
            match seconds.filter(|seconds| follows && *seconds > 0) {
                Some(seconds) if line.add(seconds) => {}
                _ => break,
            }
            number = number.saturating_add(1);
            start_ms = period.end_ms;
        }
        line
    }

    /// As much of it as a record holds: whoever sent more is not this version's host.
    #[must_use]
    pub fn bounded(&self) -> Self {
        Self { runs: self.runs.iter().take(MAX_RUNS).copied().collect(), ..*self }
    }

    fn add(&mut self, seconds: u32) -> bool {
        if let Some(run) = self.runs.last_mut().filter(|run| run.seconds == seconds) {
            run.count = run.count.saturating_add(1);
            return true;
        }
        let fits = self.runs.len() < MAX_RUNS;
        if fits {
            self.runs.push(Run { seconds, count: 1 });
        }
        fits
    }

    /// Every period, in order.
    pub fn iter(&self) -> impl Iterator<Item = Period> {
        let mut start_ms = self.start_ms;
        let lengths = self.runs.iter().flat_map(|run| (0..run.count).map(|_| run.seconds));
        (0_u32..).zip(lengths).map_while(move |(place, seconds)| {
            let number = self.first.checked_add(place)?;
            let length_ms = u64::from(seconds).saturating_mul(MILLIS);
            let period = Period { number, start_ms, end_ms: start_ms.saturating_add(length_ms) };
            start_ms = period.end_ms;
            Some(period)
        })
    }

    /// The period at `now_ms`: the first if none has begun, none if all are over.
    pub fn at(&self, now_ms: u64) -> Option<Period> {
        self.iter().find(|period| now_ms < period.end_ms)
    }

    /// The period with this number.
    pub fn get(&self, number: u32) -> Option<Period> {
        self.iter().find(|period| period.number == number)
    }

    /// Where its last period ends; 0 if it has none.
    pub fn end_ms(&self) -> u64 {
        self.iter().last().map_or(0, |period| period.end_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_gives_back_what_it_was_made_of(
            first in 1_u32..1_000,
            start in 0_u64..2_000_000_000,
            runs in proptest::collection::vec((1_u32..40_000_000, 1_usize..9), 1..7),
        ) {
            let mut start_ms = start * MILLIS;
            let mut periods = Vec::new();
            let lengths = runs.iter().flat_map(|(seconds, count)| std::iter::repeat_n(*seconds, *count));
            for (number, seconds) in (first..).zip(lengths) {
                let end_ms = start_ms + u64::from(seconds) * MILLIS;
                periods.push(Period { number, start_ms, end_ms });
                start_ms = end_ms;
            }
            periods.truncate(MAX_PERIODS);
            let line = Timeline::of(&periods);
            prop_assert_eq!(line.iter().collect::<Vec<_>>(), periods.clone());
            prop_assert_eq!(line.end_ms(), periods.last().unwrap().end_ms);
            for period in &periods {
                prop_assert_eq!(line.at(period.start_ms), Some(*period));
                prop_assert_eq!(line.at(period.end_ms - 1), Some(*period));
                prop_assert_eq!(line.get(period.number), Some(*period));
            }
            prop_assert_eq!(line.at(0), periods.first().copied());
            prop_assert_eq!(line.at(line.end_ms()), None);
        }
    }

    #[test]
    fn a_gap_ends_it() {
        let period = |number, start_ms, end_ms| Period { number, start_ms, end_ms };
        let check = |periods: &[Period], kept: usize| {
            assert_eq!(Timeline::of(periods).iter().count(), kept, "{periods:?}");
        };
        check(&[], 0);
        check(&[period(1, 0, 0)], 0);
        check(&[period(1, 0, 1_000), period(2, 1_000, 3_000)], 2);
        check(&[period(1, 0, 1_000), period(2, 2_000, 3_000)], 1);
        check(&[period(1, 0, 1_000), period(3, 1_000, 3_000)], 1);
    }
}
