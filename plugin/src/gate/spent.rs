//! What the host said is spent: remembered for a short time, so that refused calls cost it nothing.

use std::collections::HashMap;

use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::LeaseAsk;

/// The host's word holds for no longer than this, even when it names a later time: units may come
/// back before.
const HOLDS_NS: u64 = 1_000_000_000;
/// Limits remembered.
const MAX_REMEMBERED: usize = 10_000;

/// Limits that have nothing left, by subscription, limit and period.
#[derive(Default)]
pub(crate) struct Spent(HashMap<(SubscriptionId, Tag, u32), Word>);

/// What the host said.
#[derive(Clone, Copy)]
struct Word {
    /// Until when it holds, monotonic.
    holds_until_ns: u64,
    /// When there can be units again, monotonic.
    free_at_ns: u64,
    /// It was said to someone who waited: only then did the host look for units that others hold.
    is_last: bool,
}

impl Spent {
    /// The host has answered an ask: nothing for `retry_ms`.
    pub(crate) fn remember(&mut self, ask: &LeaseAsk, retry_ms: u64, now_ns: u64) {
        let wait_ns = retry_ms.saturating_mul(1_000_000);
        let word = Word {
            holds_until_ns: now_ns.saturating_add(wait_ns.min(HOLDS_NS)),
            free_at_ns: now_ns.saturating_add(wait_ns),
            is_last: ask.need > 0,
        };
        let known = self.0.get(&ask.about()).filter(|known| known.holds_until_ns > now_ns);
        if known.is_some_and(|known| known.is_last && !word.is_last) {
            return;
        }
        if self.0.len() >= MAX_REMEMBERED {
            self.forget_old(now_ns);
        }
        // Whoever waited for this must find it, or would ask again at once; others ask once more.
        if self.0.len() >= MAX_REMEMBERED {
            self.clear();
        }
        self.0.insert(ask.about(), word);
    }

    /// There are units after all.
    pub(crate) fn forget(&mut self, ask: &LeaseAsk) {
        self.0.remove(&ask.about());
    }

    /// Something has changed, perhaps a limit.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets what holds no longer.
    pub(crate) fn forget_old(&mut self, now_ns: u64) {
        self.0.retain(|_, word| word.holds_until_ns > now_ns);
    }

    /// For how long there is nothing, if the host's word on that still holds. To a limit that
    /// refuses, only a word counts that was said to someone who waited.
    pub(crate) fn get(
        &self,
        about: (SubscriptionId, Tag, u32),
        refuses: bool,
        now_ns: u64,
    ) -> Option<u64> {
        let word = self.0.get(&about)?;
        let holds = word.holds_until_ns > now_ns && (word.is_last || !refuses);
        holds.then(|| word.free_at_ns.saturating_sub(now_ns))
    }
}

#[cfg(test)]
mod tests {
    use tollgate_pricing::sync::LeaseReport;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_word_holds_until_units_come_free_and_for_a_second_at_most() {
        let about = |limit| (SubscriptionId(1), Tag(limit), 0);
        let ask = |limit, need| LeaseAsk {
            subscription: SubscriptionId(1),
            lease: LeaseReport { limit: Tag(limit), ..LeaseReport::default() },
            want: 1,
            need,
        };
        let mut spent = Spent::default();
        spent.remember(&ask(1, 1), 300, 1_000 * MS);
        spent.remember(&ask(2, 1), 7_000, 1_000 * MS);
        spent.remember(&ask(3, 0), 7_000, 1_000 * MS);
        let check = |limit, refuses, at_ms: u64, left_ms: Option<u64>| {
            let found = spent.get(about(limit), refuses, at_ms * MS);
            assert_eq!(found, left_ms.map(|ms| ms * MS), "{limit} {at_ms}");
        };
        check(1, true, 1_299, Some(1));
        check(1, true, 1_300, None);
        check(2, true, 1_999, Some(6_001));
        check(2, true, 2_000, None);
        check(3, true, 1_001, None);
        check(3, false, 1_001, Some(6_999));
        check(4, true, 1_001, None);
        // What was said to nobody in particular does not shorten what was said to one who waits.
        spent.remember(&ask(2, 0), 10, 1_500 * MS);
        assert_eq!(spent.get(about(2), true, 1_900 * MS), Some(6_100 * MS));
        spent.forget(&ask(2, 1));
        assert_eq!(spent.get(about(2), true, 1_900 * MS), None);
    }

    #[test]
    fn the_last_word_is_known_however_many_hold() {
        let mut spent = Spent::default();
        for subscription in 0..=u64::try_from(MAX_REMEMBERED).unwrap() {
            let (subscription, lease) = (SubscriptionId(subscription), LeaseReport::default());
            let ask = LeaseAsk { subscription, lease, want: 1, need: 1 };
            spent.remember(&ask, 5_000, 1_000 * MS);
            assert!(spent.get(ask.about(), true, 1_000 * MS).is_some(), "{subscription}");
        }
        assert!(spent.0.len() <= MAX_REMEMBERED);
    }

    #[test]
    fn memory_is_bounded() {
        let mut spent = Spent::default();
        for subscription in 0..30_000 {
            let subscription = SubscriptionId(subscription);
            let lease = LeaseReport::default();
            let ask = LeaseAsk { subscription, lease, want: 1, need: 1 };
            spent.remember(&ask, 5_000, subscription.0 * 500_000);
        }
        assert!(spent.0.len() <= MAX_REMEMBERED);
        let last = (SubscriptionId(29_999), Tag::default(), 0);
        assert!(spent.get(last, true, 29_999 * 500_000).is_some());
    }
}
