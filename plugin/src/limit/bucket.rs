//! A token bucket: governor's GCRA over one number in the record.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::window::WaitNs;

/// The fill of a bucket, as GCRA keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bucket {
    /// Monotonic time at which the bucket would be full again (the theoretical arrival time);
    /// 0 if it was never used.
    pub full_at_ns: u64,
    /// What one call weighed in that time; 0 if it was never used.
    pub interval_ns: u64,
}

/// What a bucket allows.
#[derive(Clone, Copy, Debug)]
pub struct BucketRule {
    /// Calls gained per period.
    pub calls: NonZeroU32,
    /// The period.
    pub period_seconds: NonZeroU32,
    /// The bucket's size.
    pub burst: NonZeroU32,
}

impl BucketRule {
    /// One call's refill time, rounded up so that the rate is never exceeded.
    fn interval_ns(self) -> u64 {
        let period_ns = u64::from(self.period_seconds.get()).saturating_mul(1_000_000_000);
        period_ns.div_ceil(self.calls.get().into())
    }

    /// As governor takes it. A bucket that takes longer than governor's clock to refill holds one.
    fn quota(self) -> Option<Quota> {
        let interval = Duration::from_nanos(self.interval_ns());
        let refill = interval.as_nanos().saturating_mul(self.burst.get().into());
        let fits = u64::try_from(refill).is_ok_and(|ns| ns < u64::MAX.wrapping_shr(1));
        let quota = Quota::with_period(interval)?;
        Some(if fits { quota.allow_burst(self.burst) } else { quota })
    }
}

impl Bucket {
    /// The bucket after one more call at `now_ns`, or how long until one fits.
    pub fn take(self, rule: BucketRule, now_ns: u64) -> Result<Self, WaitNs> {
        let state = Stored(Cell::new(self.fitted(rule, now_ns).full_at_ns));
        let clock = At(Cell::new(0));
        let Some(quota) = rule.quota() else {
            return Err(WaitNs(u64::MAX));
        };
        // Governor keeps state relative to its construction: that is time zero in every VM.
        let limiter: RateLimiter<NotKeyed, _, _, NoOpMiddleware<Nanos>> =
            RateLimiter::new(quota, state, clock);
        limiter.clock().0.set(now_ns);
        match limiter.check() {
            Ok(()) => {
                let full_at_ns = limiter.into_state_store().0.get();
                Ok(Self { full_at_ns, interval_ns: rule.interval_ns() })
            }
            Err(not_until) => {
                let at = not_until.earliest_possible();
                Err(WaitNs(at.duration_since(Nanos::new(now_ns)).as_u64()))
            }
        }
    }

    /// Calls that would pass now.
    pub fn room(self, rule: BucketRule, now_ns: u64) -> u64 {
        u64::from(rule.burst.get()).saturating_sub(self.fitted(rule, now_ns).missing(now_ns))
    }

    /// Calls that the bucket lacks to be full, a part of one being one.
    fn missing(self, now_ns: u64) -> u64 {
        self.full_at_ns.saturating_sub(now_ns).div_ceil(self.interval_ns.max(1))
    }

    /// This bucket under a rule that may have changed: it lacks as many calls as before, and they
    /// come back as fast as the rule says now.
    fn fitted(self, rule: BucketRule, now_ns: u64) -> Self {
        let interval_ns = rule.interval_ns();
        let full_at_ns = if self.interval_ns == interval_ns || self.full_at_ns <= now_ns {
            self.full_at_ns
        } else {
            let refill_ns = self.missing(now_ns).saturating_mul(interval_ns);
            now_ns.saturating_add(refill_ns)
        };
        // Governor adds without looking: half of the numbers are left for its sums, whatever is
        // stored.
        Self { full_at_ns: full_at_ns.min(u64::MAX.wrapping_shr(1)), interval_ns }
    }
}

struct Stored(Cell<u64>);

impl StateStore for Stored {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let seen = Some(self.0.get()).filter(|full_at| *full_at > 0).map(Nanos::new);
        let (value, full_at) = f(seen)?;
        self.0.set(full_at.as_u64());
        Ok(value)
    }
}

struct At(Cell<u64>);

impl Clock for At {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.get())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Law 1: at most burst + rate × window; and a refused call fits exactly when told.
        #[test]
        fn never_over_burst_plus_rate(
            calls in 1_u32..50, period in 1_u32..60, burst in 1_u32..20,
            gaps in proptest::collection::vec(0_u64..2_000_000_000, 1..300),
        ) {
            let rule = BucketRule {
                calls: NonZeroU32::new(calls).unwrap(),
                period_seconds: NonZeroU32::new(period).unwrap(),
                burst: NonZeroU32::new(burst).unwrap(),
            };
            let (mut bucket, mut now, mut admitted) = (Bucket::default(), 1_000_000_000, Vec::new());
            for gap in gaps {
                now += gap;
                match bucket.take(rule, now) {
                    Ok(after) => {
                        prop_assert!(bucket.room(rule, now) >= 1);
                        bucket = after;
                        admitted.push(now);
                    }
                    Err(WaitNs(wait)) => {
                        prop_assert_eq!(bucket.room(rule, now), 0);
                        prop_assert!(wait > 0);
                        prop_assert!(bucket.take(rule, now + wait - 1).is_err());
                        prop_assert!(bucket.take(rule, now + wait).is_ok());
                    }
                }
                for from in &admitted {
                    let inside = admitted.iter().filter(|at| *at >= from).count() as u128;
                    let gained = u128::from(now - from) * u128::from(calls)
                        / (u128::from(period) * 1_000_000_000);
                    prop_assert!(inside <= u128::from(burst) + gained);
                }
            }
        }
    }

    #[test]
    fn a_new_rule_finds_as_many_calls_missing() {
        let rule = |calls, period: u32, burst| BucketRule {
            calls: NonZeroU32::new(calls).unwrap(),
            period_seconds: NonZeroU32::new(period).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        };
        let (fast, slow, now) = (rule(10, 1, 10), rule(1, 10, 10), 1_000_000_000);
        let mut bucket = Bucket::default();
        for _ in 0..7 {
            bucket = bucket.take(fast, now).unwrap();
        }
        assert_eq!((bucket.room(fast, now), bucket.room(slow, now)), (3, 3));
        for _ in 0..3 {
            bucket = bucket.take(slow, now).unwrap();
        }
        assert_eq!(bucket.take(slow, now), Err(WaitNs(10_000_000_000)));
        assert_eq!(bucket.take(fast, now), Err(WaitNs(100_000_000)));
        assert_eq!(bucket.take(rule(1, 10, 5), now), Err(WaitNs(60_000_000_000)));
    }

    #[test]
    fn a_bucket_past_the_clock_holds_one() {
        let rule = BucketRule {
            calls: NonZeroU32::MIN,
            period_seconds: NonZeroU32::MAX,
            burst: NonZeroU32::MAX,
        };
        let bucket = Bucket::default().take(rule, 5).unwrap();
        assert!(bucket.take(rule, 6).is_err());
    }
}
