//! A rate over the fleet: a lease of the host's window or bucket, to be spent within a short time.
//!
//! The host counts granted units against its window from the grant on, so here no window is kept:
//! only how many are left, and until when.

use tollgate_pricing::sync::RATE_PERIOD;

use super::lease::Lease;
use super::pace::Pace;

/// More is asked for when what is left expires sooner than this.
const EXPIRES_SOON_NS: u64 = 100_000_000;

/// What a record remembers of a fleet-wide rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RateState {
    /// Units; of [`RATE_PERIOD`].
    pub lease: Lease,
    /// They may be spent before this, by the monotonic clock.
    pub until_ns: u64,
    /// How fast they go.
    pub pace: Pace,
}

const _: () = assert!(RATE_PERIOD == 0, "a default lease is one of a rate");

impl RateState {
    /// Units that may be spent now.
    pub fn left(&self, now_ns: u64) -> u64 {
        if now_ns < self.until_ns { self.lease.left() } else { 0 }
    }

    /// Whether what is left will not be there for long.
    pub fn expires_soon(&self, now_ns: u64) -> bool {
        self.until_ns.saturating_sub(now_ns) < EXPIRES_SOON_NS
    }

    /// Takes over the host's cumulative grant and how long it lasts. True if any of it was news.
    pub fn grant(&mut self, granted: u64, until_ns: u64) -> bool {
        let longer = until_ns > self.until_ns;
        self.until_ns = self.until_ns.max(until_ns);
        self.lease.grant(granted) || longer
    }

    /// Returns what can no longer be spent. True if there was any.
    pub fn expire(&mut self, now_ns: u64) -> bool {
        now_ns >= self.until_ns && self.lease.give_back(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_there_until_they_expire_and_then_returned_once() {
        let mut rate = RateState::default();
        assert!(rate.grant(10, 1_000));
        assert!(!rate.grant(7, 900), "an older answer changes nothing");
        assert!(rate.grant(10, 1_100), "the same units for longer");
        rate.lease.spend(4);
        assert_eq!((rate.left(1_099), rate.left(1_100)), (6, 0));
        assert!(!rate.expire(1_099));
        assert!(rate.expire(1_100));
        assert!(!rate.expire(1_100));
        assert_eq!(rate.lease.returned, 6);
        assert!(rate.grant(15, 2_000));
        assert_eq!(rate.left(1_200), 5);
    }
}
