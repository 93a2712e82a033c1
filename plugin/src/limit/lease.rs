//! A lease: units of a fleet-wide allowance that this process may spend.
//!
//! Counters only grow, so the host may hear of them late, twice or out of order. A call is
//! admitted while `used − waived < granted − returned`: a waived call gives its units back here,
//! inside the lease, without asking anyone.

use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::LeaseReport;

use crate::faults::{self, Fault};

/// This process's share of one period, or of a rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lease {
    /// Which period.
    pub period: u32,
    /// Units received.
    pub granted: u64,
    /// Units spent.
    pub used: u64,
    /// Units that waived calls gave back.
    pub waived: u64,
    /// Units handed back to the host.
    pub returned: u64,
}

impl Lease {
    /// Units spent and not given back.
    pub fn spent(&self) -> u64 {
        self.used.saturating_sub(self.waived)
    }

    /// Units that may still be spent.
    pub fn left(&self) -> u64 {
        let returned = if faults::is(Fault::ReuseReturned) { 0 } else { self.returned };
        self.granted.saturating_sub(returned).saturating_sub(self.spent())
    }

    /// Units spent beyond what is held, if `more` were.
    pub fn overdraft(&self, more: u64) -> u64 {
        let taken = self.spent().saturating_add(self.returned).saturating_add(more);
        taken.saturating_sub(self.granted)
    }

    /// Whether the host need not know that it ever was.
    pub fn is_untouched(&self) -> bool {
        self.granted == 0 && self.used == 0
    }

    /// Spends units.
    pub fn spend(&mut self, units: u64) {
        self.used = self.used.saturating_add(units);
    }

    /// Takes back units of a waived call.
    pub fn waive(&mut self, units: u64) {
        self.waived = self.waived.saturating_add(units).min(self.used);
    }

    /// Hands back to the host so many units, of those that are left. True if there were any.
    pub fn give_back(&mut self, units: u64) -> bool {
        let units = units.min(self.left());
        self.returned = self.returned.saturating_add(units);
        units > 0
    }

    /// Takes over the host's cumulative grant, which may be older than what is known. True if it
    /// was news.
    pub fn grant(&mut self, granted: u64) -> bool {
        let news = granted > self.granted;
        self.granted = self.granted.max(granted);
        news
    }

    /// What the host is told.
    pub fn report(&self, limit: Tag) -> LeaseReport {
        let Self { period, granted, used, waived, returned } = *self;
        LeaseReport { limit, period, granted, used, waived, returned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_every_counter() {
        let check = |granted, used, waived, returned, left, overdraft| {
            let lease = Lease { period: 1, granted, used, waived, returned };
            assert_eq!((lease.left(), lease.overdraft(0)), (left, overdraft), "{lease:?}");
        };
        check(10, 7, 2, 1, 4, 0);
        check(10, 10, 0, 0, 0, 0);
        check(10, 13, 0, 0, 0, 3);
        check(10, 13, 4, 0, 1, 0);
        check(10, 5, 0, 5, 0, 0);
        check(10, 5, 1, 5, 1, 0);
        check(0, u64::MAX, 0, u64::MAX, 0, u64::MAX);
    }

    #[test]
    fn it_gives_back_no_more_than_is_left() {
        let mut lease = Lease { granted: 10, used: 7, ..Lease::default() };
        assert!(lease.give_back(2));
        assert!(lease.give_back(9));
        assert!(!lease.give_back(9));
        assert_eq!((lease.returned, lease.left()), (3, 0));
        lease.waive(4);
        assert_eq!(lease.left(), 4, "what comes back later is this process's again");
        lease.waive(100);
        assert_eq!(lease.left(), 7, "no more comes back than went");
    }
}
