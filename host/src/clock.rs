//! The one place of this program that reads clocks and draws random bytes.

use std::io;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// The time on the machine's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// The time passed, for what is done only so often.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Random bytes fit for keys and tokens.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], io::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A corrected clock goes faster than it should by at most this part of the time passed.
const MAX_GAIN_PART: u32 = 1_024;
/// One that is ahead goes slower by at most this part: what a rate remembers only stays longer.
const MAX_LOSS_PART: u32 = 2;
/// Ahead of it by more, the machine's clock was set, and the ledger's follows with a jump that is
/// told.
const MAX_BEHIND: SignedDuration = SignedDuration::from_secs(60);

/// The ledger's clock: as the machine's clock showed at the start and the time passed since, led
/// back to the machine's clock slowly. It never goes backwards, and jumps only forward, telling so.
#[derive(Debug)]
pub(crate) struct SteadyClock {
    read: Instant,
    steady: Steady,
}

/// A reading of a steady clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The ledger's time.
    pub now: Timestamp,
    /// By how much it jumped since the reading before.
    pub jumped: Option<SignedDuration>,
}

impl SteadyClock {
    pub(crate) fn start() -> Self {
        Self { read: Instant::now(), steady: Steady::starting_at(now()) }
    }

    pub(crate) fn read(&mut self) -> Reading {
        let instant = Instant::now();
        let passed = instant.saturating_duration_since(self.read);
        self.read = instant;
        self.steady.advance(passed, now())
    }
}

/// What a [`SteadyClock`] shows, without a clock.
#[derive(Debug)]
pub struct Steady {
    last: Timestamp,
}

impl Steady {
    /// As the machine's clock shows at the start.
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { last: wall }
    }

    /// So much later, when the machine's clock shows this.
    pub fn advance(&mut self, passed: Duration, wall: Timestamp) -> Reading {
        let elapsed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        let due = self.last.saturating_add(elapsed).unwrap_or(Timestamp::MAX);
        let behind = wall.duration_since(due);
        if behind > MAX_BEHIND {
            self.last = wall;
            return Reading { now: wall, jumped: Some(behind) };
        }
        let gain = elapsed.checked_div(part(MAX_GAIN_PART)).unwrap_or_default();
        let loss = elapsed.checked_div(part(MAX_LOSS_PART)).unwrap_or_default();
        let correction = behind.clamp(-loss, gain);
        self.last = due.saturating_add(correction).unwrap_or(due).max(self.last);
        Reading { now: self.last, jumped: None }
    }
}

fn part(part: u32) -> i32 {
    i32::try_from(part).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_800_000_000_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(START + ms).unwrap()
    }

    #[test]
    fn it_is_led_to_the_machines_clock_slowly() {
        let mut steady = Steady { last: at(0) };
        let mut check = |passed_ms: u64, wall_ms: i64, shown_ms: i64, jumped_ms: Option<i64>| {
            let read = steady.advance(Duration::from_millis(passed_ms), at(wall_ms));
            let expected =
                Reading { now: at(shown_ms), jumped: jumped_ms.map(SignedDuration::from_millis) };
            assert_eq!(read, expected, "at {wall_ms}");
        };
        check(1_024, 1_024, 1_024, None);
        // Behind by ten milliseconds: one in 1,024 is made up.
        check(1_024, 2_058, 2_049, None);
        check(10_240, 12_298, 12_298, None);
        // Set back by an hour: it waits at half the pace, and does not go back.
        check(1_000, 13_298 - 3_600_000, 12_798, None);
        check(0, 13_298 - 3_600_000, 12_798, None);
        // Back in time: what was waited is made up slowly.
        check(1_024, 14_322, 13_823, None);
        // Set forward by a day: told.
        check(1_000, 86_415_322, 86_415_322, Some(86_415_322 - 14_823));
    }

    proptest! {
        #[test]
        fn it_never_goes_backwards_and_hardly_faster(
            steps in proptest::collection::vec((0_u64..100_000, -200_000_i64..200_000), 1..50),
        ) {
            let mut steady = Steady { last: at(0) };
            let (mut before, mut wall) = (at(0), 0);
            for (passed, set) in steps {
                wall += i64::try_from(passed).unwrap() + set;
                let read = steady.advance(Duration::from_millis(passed), at(wall));
                let shown = read.now.duration_since(before);
                let passed = SignedDuration::from_millis(i64::try_from(passed).unwrap());
                let most = passed + passed / 1_024 + read.jumped.unwrap_or_default();
                prop_assert!(shown <= most, "{shown:?} in {passed:?}");
                prop_assert!(shown >= passed / 2);
                before = read.now;
            }
        }
    }
}
