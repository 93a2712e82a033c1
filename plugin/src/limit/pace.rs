//! How fast units of a leased limit go: what to ask for, when, and by whom.

use tollgate_pricing::gate::{Meter, Rule};

const SECOND_NS: u64 = 1_000_000_000;
/// Units are returned when none was spent for so long.
pub const IDLE_NS: u64 = 5 * 60 * SECOND_NS;
/// A lease that was used within this time keeps half when others need it.
const IN_USE_NS: u64 = SECOND_NS;
/// Calls that a process without history asks for.
const FIRST_CALLS: u64 = 10;
/// The part of a quota of bytes or response units that it asks for: how many a call takes, only
/// calls will tell.
const FIRST_PART: u64 = 100;

/// The time that an ask looks ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// An ask is for what goes in this time.
    ahead_ns: u64,
    /// Measured over at least this time.
    measured_ns: u64,
    /// For how long the one elected to ask is left to do so.
    ask_ns: u64,
    /// More is asked for when less than this part of what is wanted is left.
    low_part: u64,
}

/// Of a quota.
pub const QUOTA: Span = Span {
    ahead_ns: 60 * SECOND_NS,
    measured_ns: 5 * SECOND_NS,
    ask_ns: 2 * SECOND_NS,
    low_part: 4,
};
/// Of a fleet-wide rate, whose units expire soon.
pub const RATE: Span =
    Span { ahead_ns: SECOND_NS, measured_ns: SECOND_NS, ask_ns: SECOND_NS / 4, low_part: 2 };

/// How fast units go, by the monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pace {
    /// Start of the running measurement; 0 if none runs.
    pub since_ns: u64,
    /// Units spent of the lease at that time.
    pub used: u64,
    /// The last finished measurement, in units per [`Span::ahead_ns`].
    pub ahead: u64,
    /// Until then, someone is asking for more.
    pub asked_until_ns: u64,
    /// When units were last spent or received.
    pub touched_ns: u64,
}

impl Pace {
    /// Units were spent, so that `used` of the lease are.
    pub fn note(&mut self, used: u64, now_ns: u64, span: Span) {
        self.touched_ns = self.touched_ns.max(now_ns);
        let elapsed = now_ns.saturating_sub(self.since_ns);
        if self.since_ns == 0 {
            (self.since_ns, self.used) = (now_ns, used);
        } else if elapsed >= span.measured_ns {
            self.ahead = part(used.saturating_sub(self.used), span.ahead_ns, elapsed);
            (self.since_ns, self.used) = (now_ns, used);
        }
    }

    /// A new period's lease begins: its counters start at zero, demand does not.
    pub fn begin(&mut self) {
        (self.since_ns, self.used) = (0, 0);
    }

    /// Units to ask for: what goes in the span ahead. What went since the measurement began will
    /// go again, so that asks double while each grant is used up.
    pub fn want(&self, used: u64, first: u64, now_ns: u64, span: Span) -> u64 {
        let elapsed = now_ns.saturating_sub(self.since_ns).max(span.ahead_ns);
        let lately = part(used.saturating_sub(self.used), span.ahead_ns, elapsed);
        self.ahead.max(lately).max(first)
    }

    /// Whether the caller is the one to ask for more, with so many units left of those wanted.
    pub fn is_low(left: u64, want: u64, span: Span) -> bool {
        left.saturating_mul(span.low_part) <= want
    }

    /// Elects the caller to ask, unless another was just now.
    pub fn elect(&mut self, now_ns: u64, span: Span) -> bool {
        let elected = self.asked_until_ns <= now_ns;
        if elected {
            self.asked_until_ns = now_ns.saturating_add(span.ask_ns);
        }
        elected
    }

    /// Whether nothing was spent or received for so long that what is held should go back.
    pub fn is_idle(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.touched_ns) >= IDLE_NS
    }

    /// What to return of so many unspent units that others need: half of what is in use.
    pub fn spare(&self, unspent: u64, now_ns: u64) -> u64 {
        let in_use = now_ns.saturating_sub(self.touched_ns) < IN_USE_NS;
        if in_use { unspent.div_ceil(2) } else { unspent }
    }
}

/// What a process without history asks for, when a call needs `need` units.
pub fn first_want(rule: &Rule, need: u64) -> u64 {
    match rule {
        Rule::SlidingWindow { calls, .. } | Rule::TokenBucket { calls, .. } => {
            FIRST_CALLS.min(calls.get().into())
        }
        Rule::Quota { units, meter, .. } => match meter {
            Meter::Calls | Meter::Weight => {
                FIRST_CALLS.saturating_mul(need.max(1)).min(units.get()).max(need)
            }
            Meter::Bytes | Meter::Header(_) => units.get().div_ceil(FIRST_PART),
        },
    }
}

/// `units × of / whole`, rounded up.
fn part(units: u64, of: u64, whole: u64) -> u64 {
    let exact = u128::from(units).saturating_mul(of.into());
    u64::try_from(exact.div_ceil(u128::from(whole.max(1)))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_NS: u64 = 9 * SECOND_NS;

    #[test]
    fn asks_double_while_each_grant_is_used_up_and_then_follow_the_measure() {
        let mut pace = Pace::default();
        let mut used = 0;
        let mut wants = Vec::new();
        for _ in 0..5 {
            let want = pace.want(used, 10, START_NS, QUOTA);
            wants.push(want);
            for _ in 0..want {
                pace.note(used, START_NS, QUOTA);
                used += 1;
            }
        }
        assert_eq!(wants, [10, 10, 20, 40, 80]);
        pace.note(used, START_NS + 10 * SECOND_NS, QUOTA);
        assert_eq!(pace.want(used, 10, START_NS + 10 * SECOND_NS, QUOTA), 160 * 6);
    }

    #[test]
    fn a_burst_of_yesterday_is_no_demand_of_today() {
        let mut pace = Pace::default();
        pace.note(0, START_NS, RATE);
        assert_eq!(pace.want(500, 10, START_NS + SECOND_NS / 2, RATE), 500);
        assert_eq!(pace.want(500, 10, START_NS + 5 * SECOND_NS, RATE), 100);
        pace.note(500, START_NS + 100 * SECOND_NS, RATE);
        assert_eq!(pace.want(500, 3, START_NS + 100 * SECOND_NS, RATE), 5);
    }

    #[test]
    fn one_is_elected_at_a_time() {
        let mut pace = Pace::default();
        assert!(pace.elect(START_NS, QUOTA));
        assert!(!pace.elect(START_NS + 1, QUOTA));
        assert!(pace.elect(START_NS + QUOTA.ask_ns, QUOTA));
    }

    #[test]
    fn what_is_in_use_is_halved_and_the_rest_returned() {
        let pace = Pace { touched_ns: START_NS, ..Pace::default() };
        assert_eq!(pace.spare(5, START_NS + IN_USE_NS - 1), 3);
        assert_eq!(pace.spare(5, START_NS + IN_USE_NS), 5);
        assert!(!pace.is_idle(START_NS + IDLE_NS - 1));
        assert!(pace.is_idle(START_NS + IDLE_NS));
    }
}
