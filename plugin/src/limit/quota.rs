//! A quota: units of a fleet-wide allowance, leased to this process.
//!
//! Counters only grow, so the host may hear of them late, twice or out of order. A call is
//! admitted while `used − waived < granted − returned`: a waived call gives its unit back here,
//! inside the lease, without asking anyone.

use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::LeaseReport;
use tollgate_pricing::timeline::Period;

/// Leases kept: the entered period's, the one before for calls that settle late, and one that was
/// granted for a period that is not entered yet.
pub const MAX_LEASES: usize = 3;
/// The least time over which demand is measured.
const DEMAND_NS: u64 = 5_000_000_000;
const MINUTE_NS: u64 = 60_000_000_000;
/// What a process without history asks for.
const FIRST_WANT: u64 = 10;
/// For how long the one elected to ask is left to do so.
const ASK_NS: u64 = 2_000_000_000;

/// What a record remembers of a quota.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QuotaState {
    /// The period that calls are admitted to; 0 before the first.
    pub entered: u32,
    /// In the order of their periods.
    pub leases: Vec<Lease>,
}

/// This process's share of one period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lease {
    /// Which period.
    pub period: u32,
    /// Where it ends, unix milliseconds.
    pub end_ms: u64,
    /// Units received.
    pub granted: u64,
    /// Units spent by admission.
    pub used: u64,
    /// Units that waived calls gave back.
    pub waived: u64,
    /// Units handed back to the host.
    pub returned: u64,
    /// How fast units go.
    pub demand: Demand,
    /// Until then, someone is asking for more.
    pub asked_until_ns: u64,
}

/// How fast units go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// Start of the running measurement, monotonic.
    pub since_ns: u64,
    /// `used` at that time.
    pub used: u64,
    /// The last finished measurement.
    pub per_minute: u64,
}

impl QuotaState {
    /// The lease of `period`, or of the latest one entered before: periods never go backwards.
    pub fn enter(&mut self, period: Period) -> Option<&mut Lease> {
        if period.number < self.entered {
            return self.current_mut();
        }
        self.entered = period.number;
        self.lease(period)
    }

    /// The lease that calls are admitted under.
    pub fn current(&self) -> Option<&Lease> {
        self.leases.iter().find(|lease| lease.period == self.entered)
    }

    /// The same, to charge.
    pub fn current_mut(&mut self) -> Option<&mut Lease> {
        self.leases.iter_mut().find(|lease| lease.period == self.entered)
    }

    /// The lease of a period, made if there is none. Only admission enters a period: what is
    /// granted for a later one waits for it.
    pub fn lease(&mut self, period: Period) -> Option<&mut Lease> {
        let place = match self.leases.binary_search_by_key(&period.number, |lease| lease.period) {
            Ok(place) => place,
            Err(place) => self.insert(place, period)?,
        };
        self.leases.get_mut(place)
    }

    /// Makes room by dropping the oldest lease; not for one that is older still.
    fn insert(&mut self, place: usize, period: Period) -> Option<usize> {
        let full = self.leases.len() >= MAX_LEASES;
        let place = if full { place.checked_sub(1)? } else { place };
        if full {
            self.leases.remove(0);
        }
        let before =
            self.leases.get(place.wrapping_sub(1)).map_or(Demand::default(), |lease| lease.demand);
        let demand = Demand { used: 0, ..before };
        let (period, end_ms) = (period.number, period.end_ms);
        self.leases.insert(place, Lease { period, end_ms, demand, ..Lease::default() });
        Some(place)
    }
}

impl Lease {
    /// Units that may still be spent.
    pub fn left(&self) -> u64 {
        let held = self.granted.saturating_sub(self.returned);
        held.saturating_sub(self.used.saturating_sub(self.waived))
    }

    /// Units this process would use in the next minute, at least a few.
    pub fn want(&self) -> u64 {
        self.demand.per_minute.max(FIRST_WANT)
    }

    /// Spends a unit. True if this call is the one to ask for more: few are left, and nobody else
    /// is asking.
    pub fn charge(&mut self, now_ns: u64) -> bool {
        self.used = self.used.saturating_add(1);
        let elapsed = now_ns.saturating_sub(self.demand.since_ns);
        if self.demand.since_ns == 0 {
            self.demand.since_ns = now_ns;
            self.demand.used = self.used;
        } else if elapsed >= DEMAND_NS {
            let used = self.used.saturating_sub(self.demand.used);
            let per_minute = used.saturating_mul(MINUTE_NS).checked_div(elapsed).unwrap_or(0);
            self.demand = Demand { since_ns: now_ns, used: self.used, per_minute };
        }
        let low = self.left().saturating_mul(4) <= self.want();
        let ask = low && self.asked_until_ns <= now_ns;
        if ask {
            self.asked_until_ns = now_ns.saturating_add(ASK_NS);
        }
        ask
    }

    /// Takes over the host's cumulative grant, which may be older than what is known.
    pub fn grant(&mut self, granted: u64) {
        self.granted = self.granted.max(granted);
    }

    /// What the host is told.
    pub fn report(&self, limit: Tag) -> LeaseReport {
        LeaseReport {
            limit,
            period: self.period,
            granted: self.granted,
            used: self.used,
            waived: self.waived,
            returned: self.returned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_never_go_backwards_and_one_before_is_kept() {
        let of = |number| Period { number, start_ms: 0, end_ms: 1 };
        let mut quota = QuotaState::default();
        assert_eq!(quota.enter(of(3)).unwrap().period, 3);
        assert_eq!(quota.enter(of(4)).unwrap().period, 4);
        assert_eq!(quota.enter(of(3)).unwrap().period, 4, "a clock that stepped back");
        let periods = |quota: &QuotaState| -> Vec<u32> {
            quota.leases.iter().map(|lease| lease.period).collect()
        };
        quota.lease(of(7)).unwrap().grant(5);
        assert_eq!(quota.current().unwrap().period, 4, "what is granted ahead is not entered");
        assert_eq!(periods(&quota), [3, 4, 7]);
        assert_eq!(quota.enter(of(7)).unwrap().left(), 5);
        assert_eq!(quota.enter(of(9)).unwrap().left(), 0);
        assert_eq!(periods(&quota), [4, 7, 9]);
        assert_eq!(quota.lease(of(2)), None, "older than any that is kept");
        assert_eq!(quota.lease(of(8)).unwrap().left(), 0);
        assert_eq!(periods(&quota), [7, 8, 9]);
    }

    #[test]
    fn what_is_left_follows_every_counter() {
        let lease = Lease { granted: 10, used: 7, waived: 2, returned: 1, ..Lease::default() };
        assert_eq!(lease.left(), 4);
        let late = Lease { granted: 0, used: 3, ..Lease::default() };
        assert_eq!(late.left(), 0);
    }

    #[test]
    fn one_asks_for_more_when_few_are_left() {
        let mut lease = Lease { granted: 20, ..Lease::default() };
        let asked: Vec<bool> = (0..20).map(|_| lease.charge(1_000)).collect();
        let first = asked.iter().position(|ask| *ask).unwrap();
        assert_eq!(first, 17, "a quarter of what it wants is left");
        assert_eq!(asked.iter().filter(|ask| **ask).count(), 1);
        assert!(lease.charge(1_000 + ASK_NS), "another asks when no answer came");
    }

    #[test]
    fn demand_is_what_went_in_the_last_seconds_per_minute() {
        let mut lease = Lease { granted: 10_000, ..Lease::default() };
        for call in 0..=100_u64 {
            lease.charge(1 + call * DEMAND_NS / 100);
        }
        assert_eq!(lease.want(), 100 * 12);
    }
}
