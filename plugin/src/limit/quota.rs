//! A quota: one lease a period, of the periods that still matter.

use tollgate_pricing::timeline::Period;

use super::lease::Lease;
use super::pace::Pace;

/// Leases kept: the entered period's, the one before for calls that settle late, and one that was
/// granted for a period that is not entered yet.
///
/// The oldest makes room for a fourth. Its period is over; if the host has not heard what it
/// returned, those units stay charged in a period nobody draws on any more.
pub const MAX_LEASES: usize = 3;

/// What a record remembers of a quota.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QuotaState {
    /// The period that calls are admitted to; 0 before the first.
    pub entered: u32,
    /// In the order of their periods.
    pub leases: Vec<PeriodLease>,
    /// How fast units of the entered period go.
    pub pace: Pace,
}

/// A lease of a period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PeriodLease {
    /// Where the period ends, unix milliseconds.
    pub end_ms: u64,
    /// The units.
    pub lease: Lease,
}

impl PeriodLease {
    fn of(period: Period) -> Self {
        let lease = Lease { period: period.number, ..Lease::default() };
        Self { end_ms: period.end_ms, lease }
    }
}

impl QuotaState {
    /// The lease that a call in `period` would be admitted under, without entering the period.
    /// Periods never go backwards: it is that of the latest one entered, if that is later.
    pub fn at(&self, period: Period) -> PeriodLease {
        let number = period.number.max(self.entered);
        let known = self.leases.iter().find(|kept| kept.lease.period == number);
        known.copied().unwrap_or(PeriodLease::of(period))
    }

    /// Enters the period, and gives the lease to charge: the one of [`QuotaState::at`].
    pub fn enter(&mut self, period: Period) -> Option<&mut PeriodLease> {
        if period.number > self.entered {
            self.entered = period.number;
            self.pace.begin();
        }
        let entered = self.entered;
        let place = match self.place(entered) {
            Ok(place) => place,
            // Only of the period just entered can there be none.
            Err(place) => self.insert(place, period)?,
        };
        self.leases.get_mut(place)
    }

    /// The lease of a period that units were granted for. Made if there is none and calls may yet
    /// be admitted under it; a period before the entered one was either known or dropped.
    pub fn granted(&mut self, period: Period) -> Option<&mut Lease> {
        let place = match self.place(period.number) {
            Ok(place) => place,
            Err(_) if period.number < self.entered => return None,
            Err(place) => self.insert(place, period)?,
        };
        self.leases.get_mut(place).map(|kept| &mut kept.lease)
    }

    /// The lease of a period, if there is one.
    pub fn lease_mut(&mut self, period: u32) -> Option<&mut Lease> {
        let place = self.place(period).ok()?;
        self.leases.get_mut(place).map(|kept| &mut kept.lease)
    }

    fn place(&self, period: u32) -> Result<usize, usize> {
        self.leases.binary_search_by_key(&period, |kept| kept.lease.period)
    }

    /// Makes room by dropping the oldest lease; not for one that is older still. If no call was
    /// admitted for so long that the dropped one is the entered period's, the next is entered: a
    /// period without its lease must not come again.
    fn insert(&mut self, place: usize, period: Period) -> Option<usize> {
        let full = self.leases.len() >= MAX_LEASES;
        let place = if full { place.checked_sub(1)? } else { place };
        if full {
            self.leases.remove(0);
        }
        self.leases.insert(place, PeriodLease::of(period));
        let oldest = self.leases.first().map_or(0, |kept| kept.lease.period);
        if full && oldest > self.entered {
            self.entered = oldest;
            self.pace.begin();
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u32) -> Period {
        Period { number, start_ms: 0, end_ms: 1 }
    }

    #[test]
    fn periods_never_go_backwards_and_one_before_is_kept() {
        let mut quota = QuotaState::default();
        let entered = |quota: &mut QuotaState, number| {
            let would = quota.at(of(number));
            let lease = *quota.enter(of(number)).unwrap();
            assert_eq!(lease, would);
            lease.lease.period
        };
        let periods = |quota: &QuotaState| -> Vec<u32> {
            quota.leases.iter().map(|kept| kept.lease.period).collect()
        };
        assert_eq!(entered(&mut quota, 3), 3);
        assert_eq!(entered(&mut quota, 4), 4);
        assert_eq!(entered(&mut quota, 3), 4, "a clock that stepped back");
        quota.granted(of(7)).unwrap().grant(5);
        assert_eq!(quota.entered, 4, "what is granted ahead is not entered");
        assert_eq!(periods(&quota), [3, 4, 7]);
        assert_eq!(entered(&mut quota, 7), 7);
        assert_eq!(quota.at(of(7)).lease.left(), 5);
        assert_eq!(entered(&mut quota, 9), 9);
        assert_eq!(periods(&quota), [4, 7, 9]);
        assert_eq!(quota.granted(of(8)), None, "a period that was passed over");
        quota.granted(of(10)).unwrap().grant(1);
        quota.granted(of(11)).unwrap().grant(1);
        assert_eq!(periods(&quota), [9, 10, 11]);
        quota.granted(of(12)).unwrap().grant(1);
        assert_eq!(periods(&quota), [10, 11, 12]);
        assert_eq!(entered(&mut quota, 9), 10, "what was dropped does not come again");
        assert_eq!(quota.granted(of(9)), None);
    }
}
