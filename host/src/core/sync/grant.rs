//! How many units a process gets: little at first, what it wants later, and an equal part of what
//! is left while others want some too. Alone, it may get all.

/// A first grant is at most this part of the limit: a clean return cannot be relied on.
const FIRST_GRANT_PART: u64 = 10;

/// What is known when units are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    /// The whole limit.
    pub(super) limit: u64,
    /// What is left of it.
    pub(super) left: u64,
    /// What the process may still spend.
    pub(super) unspent: u64,
    /// What it would like to hold.
    pub(super) want: u64,
    /// What a call waits for.
    pub(super) need: u64,
    /// Whether it never got any.
    pub(super) first: bool,
    /// Other processes that want some.
    pub(super) others: u64,
}

impl Claim {
    /// Units to give: what a call waits for in any case, if there is as much.
    pub(super) fn units(&self) -> u64 {
        let mut units = self.want.max(self.need).saturating_sub(self.unspent);
        if self.first {
            units = units.min(part(self.limit, FIRST_GRANT_PART));
        }
        if self.others > 0 {
            units = units.min(part(self.left, self.others.saturating_add(1)));
        }
        units.max(self.lacking()).min(self.left)
    }

    /// What a call that waits lacks.
    pub(super) fn lacking(&self) -> u64 {
        self.need.saturating_sub(self.unspent)
    }
}

fn part(of: u64, parts: u64) -> u64 {
    of.checked_div(parts).unwrap_or(of).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_grant_is_small_at_first_and_shared_when_others_want_some() {
        let check = |limit, left, (want, need), (unspent, first, others), expected| {
            let claim = Claim { limit, left, unspent, want, need, first, others };
            assert_eq!(claim.units(), expected, "{claim:?}");
        };
        check(100, 100, (1_000, 1), (0, true, 0), 10);
        check(100, 100, (3, 1), (0, true, 0), 3);
        check(100, 100, (0, 1), (0, true, 0), 1);
        check(5, 5, (5, 1), (0, true, 0), 1);
        // Alone it may get all.
        check(100, 90, (1_000, 1), (0, false, 0), 90);
        check(100, 90, (30, 0), (10, false, 0), 20);
        check(100, 0, (1_000, 1), (0, false, 0), 0);
        // Others share, in equal parts.
        check(100, 80, (1_000, 1), (0, false, 1), 40);
        check(100, 80, (1_000, 1), (0, false, 3), 20);
        check(100, 1, (1_000, 1), (0, false, 1), 1);
        // A call that weighs more than all this goes first, if there is enough for it.
        check(100, 80, (1_000, 50), (0, true, 3), 50);
        check(100, 80, (1_000, 50), (20, true, 3), 30);
        check(100, 30, (1_000, 50), (0, false, 0), 30);
        // Enough is there.
        check(100, 30, (5, 1), (7, false, 0), 0);
    }

    proptest! {
        #[test]
        fn never_more_than_is_left(
            limit in 1_u64..,
            left in any::<u64>(),
            unspent in any::<u64>(),
            want in any::<u64>(),
            need in any::<u64>(),
            first in any::<bool>(),
            others in any::<u64>(),
        ) {
            let claim = Claim { limit, left, unspent, want, need, first, others };
            prop_assert!(claim.units() <= left);
            prop_assert!(claim.lacking() > left || claim.units() >= claim.lacking());
        }
    }
}
