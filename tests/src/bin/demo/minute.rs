//! The wall clock's minutes, on which billing periods begin and end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tollgate_tests::signals;

use crate::failure::Failure;
use crate::progress::Progress;

const MINUTE: Duration = Duration::from_mins(1);
/// What is left of a minute must hold all calls, or they are spread over two invoices.
const ROOM: Duration = Duration::from_secs(20);

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The end of the minute that runs, since the epoch.
pub(crate) fn end() -> Duration {
    MINUTE * u32::try_from(now().as_secs() / MINUTE.as_secs() + 1).unwrap_or(u32::MAX)
}

/// Waits for the next minute if this one is nearly over.
pub(crate) fn wait_for_room() -> Result<(), Failure> {
    let end = end();
    if end.saturating_sub(now()) >= ROOM {
        return Ok(());
    }
    wait(end, "a fresh minute begins")
}

/// Waits for the end of a minute.
pub(crate) fn wait_for(end: Duration) -> Result<(), Failure> {
    wait(end, "the minute ends, and the host bills it,")
}

fn wait(end: Duration, what: &str) -> Result<(), Failure> {
    let progress = Progress::new();
    loop {
        let left = end.saturating_sub(now());
        if left.is_zero() {
            return Ok(());
        }
        progress.show(|| format!("{what} in {} s", left.as_secs() + 1));
        signals::pause(left.min(Duration::from_millis(200)))?;
    }
}
