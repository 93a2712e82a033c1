//! The two clocks of a process. They move only when a test moves them.

use std::time::Duration;

/// Noon, 15 January 2026 (UTC): no boundary of a minute's calendar period is near by accident.
const START_WALL: Duration = Duration::from_hours(491_244);
/// A machine that has been up for an hour.
const START_MONOTONIC: Duration = Duration::from_hours(1);

/// Wall and monotonic time of one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Since the Unix epoch.
    pub(crate) wall: Duration,
    /// Since the machine started.
    pub(crate) monotonic: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        Self { wall: START_WALL, monotonic: START_MONOTONIC }
    }
}

impl Clock {
    /// Lets time pass on both clocks.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.wall += by;
        self.monotonic += by;
    }
}

/// What a plugin reads: nanoseconds in 64 bits, good until the year 2554.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("virtual time stays below the year 2554")
}
