//! A line of a report being added up.

use tollgate_pricing::sync::Histogram;

use super::{DetailLine, Key, Spread};
use crate::store::{Fate, Sums, Times};

/// What a line is made of. Sums end where SQLite's integers do.
#[derive(Clone, Copy, Default)]
pub(super) struct Cell {
    pub(super) billable: u64,
    pub(super) waived: u64,
    pub(super) open_operations: u64,
    pub(super) refused: u64,
    bytes: u64,
    units: u64,
    latency_us: u64,
}

fn add(sum: u64, more: u64) -> u64 {
    sum.saturating_add(more).min(i64::MAX.unsigned_abs())
}

impl Cell {
    pub(super) fn add(&mut self, fate: Fate, sums: Sums) {
        let calls = match fate {
            Fate::Billable => &mut self.billable,
            Fate::Waived => &mut self.waived,
            Fate::Open => &mut self.open_operations,
            Fate::Refused => &mut self.refused,
        };
        *calls = add(*calls, sums.calls);
        self.bytes = add(self.bytes, sums.bytes);
        self.units = add(self.units, sums.units);
        self.latency_us = add(self.latency_us, sums.latency_us);
    }

    pub(super) fn add_line(&mut self, line: &DetailLine) {
        let all = line.mean_latency_us.saturating_mul(line.calls());
        for (sum, more) in [
            (&mut self.billable, line.billable),
            (&mut self.waived, line.waived),
            (&mut self.open_operations, line.open_operations),
            (&mut self.refused, line.refused),
            (&mut self.bytes, line.bytes),
            (&mut self.units, line.units),
            (&mut self.latency_us, all),
        ] {
            *sum = add(*sum, more);
        }
    }

    pub(super) fn line(self, key: Key, times: Option<&Times>) -> DetailLine {
        let mut line = DetailLine {
            key,
            billable: self.billable,
            waived: self.waived,
            open_operations: self.open_operations,
            refused: self.refused,
            bytes: self.bytes,
            units: self.units,
            mean_latency_us: 0,
            spread: times.and_then(Spread::of),
        };
        line.mean_latency_us = self.latency_us.checked_div(line.calls()).unwrap_or(0);
        line
    }
}

impl Spread {
    pub(super) fn of(times: &Times) -> Option<Self> {
        let within = |percent| within(&times.histogram, percent, times.longest_us);
        Some(Self { p50_us: within(50)?, p95_us: within(95)?, p99_us: within(99)? })
    }
}

/// The time within which so many of 100 calls ended (nearest rank); none of no calls.
fn within(histogram: &Histogram, percent: u64, longest_us: u64) -> Option<u64> {
    let rank = u128::from(histogram.total()).saturating_mul(u128::from(percent)).div_ceil(100);
    let mut calls: u128 = 0;
    let step = histogram.iter().find_map(|(step, count)| {
        calls = calls.saturating_add(u128::from(count));
        (calls >= rank).then_some(step)
    })?;
    let (_, past) = Histogram::bounds(step);
    Some(past.saturating_sub(1).min(longest_us))
}

impl DetailLine {
    pub(super) fn calls(&self) -> u64 {
        [self.waived, self.open_operations, self.refused].into_iter().fold(self.billable, add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_known_to_an_eighth() {
        let check = |values: &[u64], expected: Option<[u64; 3]>| {
            let mut times = Times::default();
            for value in values {
                times.histogram.add(*value);
                times.longest_us = times.longest_us.max(*value);
            }
            let found =
                Spread::of(&times).map(|spread| [spread.p50_us, spread.p95_us, spread.p99_us]);
            assert_eq!(found, expected, "{values:?}");
        };
        check(&[], None);
        check(&[0], Some([0, 0, 0]));
        check(&[1_000], Some([1_000, 1_000, 1_000]));
        check(&[100, 100, 100, 9_000], Some([103, 9_000, 9_000]));
    }
}
