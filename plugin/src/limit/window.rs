//! A sliding window: calls counted in sub-buckets of a ring.
//!
//! The ring spans the window plus the sub-bucket that is being filled, so the sum never misses a
//! call of the last `period`; it may still hold calls up to one sub-bucket older. That is the
//! price of a bounded state, and it only ever refuses.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

/// Sub-buckets: 63 span the window, one is being filled.
pub const BUCKETS: usize = 64;
const SPANNING: u64 = 63;
const NANOS: u64 = 1_000_000_000;

/// Calls of the last window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// Length of a sub-bucket.
    pub bucket_ns: u64,
    /// Number of the newest sub-bucket: monotonic time divided by `bucket_ns`.
    pub newest: u64,
    /// Calls by sub-bucket, at place number modulo 64.
    pub counts: [u32; BUCKETS],
}

/// The length of a sub-bucket of a window.
pub fn bucket_ns(period_seconds: NonZeroU32) -> u64 {
    u64::from(period_seconds.get()).saturating_mul(NANOS).div_ceil(SPANNING)
}

impl Window {
    /// A window without calls.
    pub fn empty(bucket_ns: u64) -> Self {
        Self { bucket_ns: bucket_ns.max(1), newest: 0, counts: [0; BUCKETS] }
    }

    /// How many calls still fit at `now_ns`, or how long until one does.
    pub fn room(&self, calls: NonZeroU32, now_ns: u64) -> Result<u64, WaitNs> {
        let limit = u64::from(calls.get());
        let used = self.used(now_ns);
        if used < limit {
            return Ok(limit.saturating_sub(used));
        }
        // One call fits once enough of the oldest sub-buckets have left to be below the limit.
        let mut left = used;
        for number in self.counted(now_ns) {
            left = left.saturating_sub(self.count(number).into());
            if left < limit {
                let gone_from = number.saturating_add(SPANNING).saturating_add(1);
                return Err(WaitNs(
                    gone_from.saturating_mul(self.bucket_ns).saturating_sub(now_ns),
                ));
            }
        }
        Err(WaitNs(self.bucket_ns.saturating_mul(SPANNING)))
    }

    /// Calls that count at `now_ns`.
    pub fn used(&self, now_ns: u64) -> u64 {
        self.counted(now_ns).map(|number| u64::from(self.count(number))).sum()
    }

    /// Counts a call.
    pub fn charge(&mut self, now_ns: u64) {
        self.advance(now_ns);
        let newest = self.newest;
        let count = self.place(newest);
        *count = count.saturating_add(1);
    }

    /// This window with another length: all that counts now does so until it has left the new one.
    /// What had left the shorter one is not known any more.
    #[must_use]
    pub fn fitted(&self, period_seconds: NonZeroU32, now_ns: u64) -> Self {
        let mut fitted = Self::empty(bucket_ns(period_seconds));
        let used = self.used(now_ns);
        // Another VM's clock reading may be newer than ours.
        fitted.advance(now_ns.max(self.newest.saturating_mul(self.bucket_ns)));
        let newest = fitted.newest;
        *fitted.place(newest) = u32::try_from(used).unwrap_or(u32::MAX);
        fitted
    }

    /// Forgets when calls were made, to need less room: all that count do as if made just now.
    pub fn collapse(&mut self, now_ns: u64) {
        let used = self.used(now_ns);
        self.advance(now_ns);
        self.counts = [0; BUCKETS];
        let newest = self.newest;
        *self.place(newest) = u32::try_from(used).unwrap_or(u32::MAX);
    }

    /// Numbers of the sub-buckets that count at `now_ns`. Time never goes back here: another VM's
    /// clock reading may be newer than ours.
    fn counted(&self, now_ns: u64) -> RangeInclusive<u64> {
        let now = now_ns.checked_div(self.bucket_ns).unwrap_or(0).max(self.newest);
        now.saturating_sub(SPANNING)..=self.newest
    }

    /// Moves on to `now_ns`, clearing the places that its sub-buckets will use.
    fn advance(&mut self, now_ns: u64) {
        let now = now_ns.checked_div(self.bucket_ns).unwrap_or(0).max(self.newest);
        let passed = now.saturating_sub(self.newest).min(SPANNING.saturating_add(1));
        for back in 0..passed {
            *self.place(now.saturating_sub(back)) = 0;
        }
        self.newest = now;
    }

    fn count(&self, number: u64) -> u32 {
        usize::try_from(number & SPANNING).ok().and_then(|at| self.counts.get(at)).map_or(0, |n| *n)
    }

    /// The place of a sub-bucket. 64 is a power of two: the mask is the modulo, and always inside.
    #[allow(clippy::indexing_slicing)]
    fn place(&mut self, number: u64) -> &mut u32 {
        &mut self.counts[usize::try_from(number & SPANNING).unwrap_or(0)]
    }
}

/// How long until a call fits, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WaitNs(pub u64);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(window: &mut Window, calls: NonZeroU32, now_ns: u64) -> Result<u64, WaitNs> {
        let room = window.room(calls, now_ns);
        if room.is_ok() {
            window.charge(now_ns);
        }
        room
    }

    proptest! {
        /// Law 1, and the specification of Retry-After: never more than `calls` in any window;
        /// a refused call fits exactly when it was told to, and not a nanosecond before.
        #[test]
        fn never_over_in_any_window_and_exact_about_when(
            calls in 1_u32..20,
            period in 1_u32..100,
            gaps in proptest::collection::vec(0_u64..5_000_000_000, 1..300),
        ) {
            let (calls, period) = (NonZeroU32::new(calls).unwrap(), NonZeroU32::new(period).unwrap());
            let mut window = Window::empty(bucket_ns(period));
            let mut admitted: Vec<u64> = Vec::new();
            let mut now = 1_000_000_000_000;
            for gap in gaps {
                now += gap;
                match ask(&mut window, calls, now) {
                    Ok(_) => admitted.push(now),
                    Err(WaitNs(wait)) => {
                        prop_assert!(wait > 0);
                        prop_assert!(ask(&mut window.clone(), calls, now + wait - 1).is_err());
                        prop_assert!(ask(&mut window.clone(), calls, now + wait).is_ok());
                        let slack = bucket_ns(period);
                        prop_assert!(wait <= u64::from(period.get()) * NANOS + slack);
                    }
                }
                let from = now - u64::from(period.get()) * NANOS;
                let inside = admitted.iter().filter(|at| **at > from).count();
                prop_assert!(inside <= calls.get() as usize);
            }
        }

        /// A changed window forgets nothing early, and neither does one that was collapsed.
        #[test]
        fn a_new_length_only_refuses_more(
            old in 1_u32..100, new in 1_u32..100, used in 1_u32..50, late in 0_u64..2_000_000_000,
        ) {
            let (old, new) = (NonZeroU32::new(old).unwrap(), NonZeroU32::new(new).unwrap());
            let mut window = Window::empty(bucket_ns(old));
            let start = 7 * NANOS;
            let limit = NonZeroU32::new(used).unwrap();
            for _ in 0..used {
                prop_assert!(ask(&mut window, limit, start).is_ok());
            }
            let until = start + u64::from(old.get()) * NANOS - 1;
            let mut collapsed = window.clone();
            collapsed.collapse(start + late.min(until - start));
            prop_assert!(collapsed.room(limit, until).is_err());
            let fitted = window.fitted(new, (start + late).min(until));
            prop_assert!(fitted.room(limit, start + u64::from(new.get()) * NANOS - 1).is_err());
            let all_gone = until + u64::from(new.get()) * NANOS + bucket_ns(new) + 1;
            prop_assert_eq!(fitted.used(all_gone), 0);
        }
    }

    #[test]
    fn exactly_the_limit_and_all_of_it_again_later() {
        let calls = NonZeroU32::new(100).unwrap();
        let minute = NonZeroU32::new(60).unwrap();
        let mut window = Window::empty(bucket_ns(minute));
        let start = 5_000 * NANOS;
        for call in 0..100 {
            assert_eq!(ask(&mut window, calls, start + call), Ok(100 - call));
        }
        assert!(ask(&mut window, calls, start + 59 * NANOS).is_err());
        for _ in 0..100 {
            assert!(ask(&mut window, calls, start + 61 * NANOS).is_ok());
        }
    }
}
