//! One scale for every moment of a run: nanoseconds since this program first looked.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Nanoseconds since this program first looked at the clock.
pub(crate) type Ns = u64;

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// A moment on that scale; the start of it for moments before.
pub(crate) fn ns(at: Instant) -> Ns {
    span(at.saturating_duration_since(epoch()))
}

/// This moment.
pub(crate) fn now() -> Ns {
    // The scale must begin before the moment is taken, the first time too.
    epoch();
    ns(Instant::now())
}

/// A time span in nanoseconds.
pub(crate) fn span(time: Duration) -> Ns {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A span for people: milliseconds, or seconds with one digit where these are many.
pub(crate) fn show(span: Ns) -> String {
    let ms = span.div_ceil(1_000_000);
    if ms < 10_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) }
}

/// A moment by the wall's clock, if nobody has set that since.
pub(crate) fn wall(at: Ns) -> Timestamp {
    let ago = Duration::from_nanos(now().saturating_sub(at));
    Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::MIN)
}
