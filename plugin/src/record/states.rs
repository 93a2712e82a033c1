//! The states of limits in a record: found, made, and forgotten when nothing hangs on them.

use std::borrow::Cow;

use tollgate_pricing::gate::{GateProduct, MAX_LIMITS, Rule};
use tollgate_pricing::id::Tag;
use tollgate_pricing::timeline::Period;

use super::Record;
use crate::admit::Now;
use crate::limit::{Kind, LimitState};

/// States a record holds: those of its product's limits, and a few of earlier plans that must not
/// be forgotten yet.
pub const MAX_STATES: usize = MAX_LIMITS + 7;

impl Record {
    /// A limit's rule, with this subscription's own numbers if it has such.
    pub fn rule<'a>(&self, tag: Tag, rule: &'a Rule) -> Cow<'a, Rule> {
        match self.overrides.iter().find(|own| own.limit == tag) {
            Some(own) => Cow::Owned(rule.clone().with(own)),
            None => Cow::Borrowed(rule),
        }
    }

    /// The state of a limit, if it has one of that kind.
    pub fn state(&self, tag: Tag, rule: &Rule) -> Option<&LimitState> {
        self.limits.iter().find(|state| state.is_of(tag, rule))
    }

    /// The same, to charge, and made if there is none. Only after [`Record::make_room`].
    pub fn state_mut(&mut self, tag: Tag, rule: &Rule) -> Option<&mut LimitState> {
        if let Some(place) = self.limits.iter().position(|state| state.is_of(tag, rule)) {
            return self.limits.get_mut(place);
        }
        if self.limits.len() >= MAX_STATES {
            return None;
        }
        self.limits.push(LimitState::fresh(tag, rule));
        self.limits.last_mut()
    }

    /// The period of a quota at `wall_ms`: never one of which leases were forgotten.
    pub fn quota_period(&self, tag: Tag, wall_ms: u64) -> Option<Period> {
        let (_, periods) = self.quotas.iter().find(|(quota, _)| *quota == tag)?;
        periods.at(wall_ms.max(self.forgotten_ms))
    }

    /// Whether [`Record::make_room`] can make room for so many more states.
    pub fn has_room(&self, more: usize, product: &GateProduct, now: Now) -> bool {
        let fits = |states: usize| states.saturating_add(more) <= MAX_STATES;
        fits(self.limits.len()) || {
            let kept = self.limits.iter().filter(|state| !is_past(state, product, now));
            fits(kept.count())
        }
    }

    /// Forgets states that nothing hangs on, if there are more than a product's: they would be in
    /// the way of a grant, which cannot tell which limits the product has. True if there were any.
    pub fn forget_past(&mut self, now: Now) -> bool {
        let before = self.limits.len();
        if before > MAX_LIMITS {
            self.retain(now, LimitState::is_over);
        }
        self.limits.len() < before
    }

    /// Forgets states of limits that the product no longer has, and shrinks those that must be
    /// remembered: a plan that comes back meets what was spent under it.
    pub fn make_room(&mut self, product: &GateProduct, now: Now) {
        self.retain(now, |state, now| is_past(state, product, now));
        self.limits.iter_mut().filter(|state| !has(product, state)).for_each(|s| s.retire(now));
    }

    /// Forgets what is past, and remembers which periods that were.
    fn retain(&mut self, now: Now, is_past: impl Fn(&LimitState, Now) -> bool) {
        let forgotten_ms = &mut self.forgotten_ms;
        self.limits.retain(|state| {
            let past = is_past(state, now);
            if past && let Kind::Quota(quota) = &state.kind {
                let ends = quota.leases.iter().filter(|kept| !kept.lease.is_untouched());
                *forgotten_ms = ends.fold(*forgotten_ms, |last, kept| last.max(kept.end_ms));
            }
            !past
        });
    }
}

fn has(product: &GateProduct, state: &LimitState) -> bool {
    product.limits.iter().any(|limit| state.is_of(limit.tag(), &limit.rule))
}

fn is_past(state: &LimitState, product: &GateProduct, now: Now) -> bool {
    state.is_over(now) && !has(product, state)
}
