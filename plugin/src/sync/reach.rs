//! Whether the host can be asked, as one VM sees it.

/// After a failed call the next one is made no sooner than this, counted from its sending, …
const BACK_OFF_NS: u64 = 1_000_000_000;
/// … and up to this much later, by chance: VMs and gateways that failed together do not come back
/// together.
const JITTER_NS: u64 = 1_000_000_000;
/// The same, where the call itself took longer than that.
const LATE_JITTER_NS: u64 = 500_000_000;

/// Whether the last call to the host failed.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Failing(Option<Failure>);

#[derive(Clone, Copy, Debug)]
struct Failure {
    /// When it was noticed.
    at_ns: u64,
    /// When to try again.
    retry_ns: u64,
}

impl Failing {
    /// A call failed that was sent at some time. `chance` is any number.
    pub(super) fn note(&mut self, sent_ns: u64, now_ns: u64, chance: u64) {
        let part = |most: u64| chance.checked_rem(most).unwrap_or(0);
        let soonest_ns = sent_ns.saturating_add(BACK_OFF_NS).saturating_add(part(JITTER_NS));
        let retry_ns = soonest_ns.max(now_ns.saturating_add(part(LATE_JITTER_NS)));
        // Calls that fail together are one failure.
        let retry_ns = match self.0 {
            Some(known) if known.retry_ns > now_ns => known.retry_ns,
            _ => retry_ns,
        };
        self.0 = Some(Failure { at_ns: now_ns, retry_ns });
    }

    /// The host has answered this VM.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Whether it failed, and has not answered since.
    pub(super) fn is_failing(self) -> bool {
        self.0.is_some()
    }

    /// Whether a call may be made now.
    pub(super) fn may_call(self, now_ns: u64) -> bool {
        self.0.is_none_or(|failure| now_ns >= failure.retry_ns)
    }

    /// Whether the host is not to be waited for: a call failed, and no VM of the process has heard
    /// from it since at `heard_ns`. News of another VM counts once this one may try again.
    pub(super) fn is_away(self, now_ns: u64, heard_ns: u64) -> bool {
        self.0.is_some_and(|failure| heard_ns <= failure.at_ns || now_ns < failure.retry_ns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    proptest! {
        /// Law 8, and recovery within 3 s: one second to two after the sending; at most half a
        /// second where the call took longer.
        #[test]
        fn one_tries_again_soon_but_not_at_once(
            sent in 0_u64..100 * SECOND, took in 0_u64..3 * SECOND, chance in any::<u64>(),
        ) {
            let mut failing = Failing::default();
            let now = sent + took;
            failing.note(sent, now, chance);
            prop_assert!(!failing.may_call(sent + SECOND - 1));
            prop_assert!(failing.may_call((sent + 2 * SECOND).max(now + SECOND / 2)));
        }
    }

    #[test]
    fn away_until_the_host_answers_anyone() {
        let mut failing = Failing::default();
        assert!(!failing.is_away(5 * SECOND, 0));
        failing.note(5 * SECOND, 5 * SECOND, 300_000_000);
        assert!(failing.is_away(6 * SECOND, 5 * SECOND));
        assert!(failing.is_away(60 * SECOND, 5 * SECOND), "nobody has heard since");
        assert!(failing.is_away(6 * SECOND, 6 * SECOND), "its own way may be the broken one");
        assert!(!failing.is_away(7 * SECOND, 6 * SECOND));
        failing.note(5 * SECOND, 5 * SECOND + 1, 999_999_999);
        assert!(failing.may_call(6 * SECOND + 300_000_000), "one failure");
        failing.clear();
        assert!(!failing.is_away(6 * SECOND, 0) && !failing.is_failing());
    }
}
