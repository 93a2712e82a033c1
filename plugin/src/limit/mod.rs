//! Limits: one file per kind, each a state in the record and a check that charges nothing.
//!
//! All limits of a product are checked before any is charged, so a refused call changes nothing.

pub mod bucket;
pub mod lease;
pub mod pace;
pub mod quota;
pub mod rate;
pub mod window;

use tollgate_pricing::gate::{Rule, Scope};
use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::LeaseReport;

use self::bucket::Bucket;
use self::lease::Lease;
use self::pace::Pace;
use self::quota::QuotaState;
use self::rate::RateState;
use self::window::Window;
use crate::admit::Now;

/// The state of one limit in a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitState {
    /// The limit's tag.
    pub tag: Tag,
    /// What is remembered of it.
    pub kind: Kind,
}

/// What is remembered of a limit.
// A window is the large one and the common one: boxing it would cost every request an allocation.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A sliding window's counts, of [`Scope::Gateway`].
    Window(Window),
    /// A token bucket's fill, of [`Scope::Gateway`].
    Bucket(Bucket),
    /// The lease of a window or bucket of [`Scope::Fleet`].
    Rate(RateState),
    /// A quota's leases.
    Quota(QuotaState),
}

impl LimitState {
    /// The state of a limit that was never used.
    pub fn fresh(tag: Tag, rule: &Rule) -> Self {
        let kind = match rule {
            Rule::SlidingWindow { scope: Scope::Fleet, .. }
            | Rule::TokenBucket { scope: Scope::Fleet, .. } => Kind::Rate(RateState::default()),
            Rule::SlidingWindow { period_seconds, .. } => {
                Kind::Window(Window::empty(window::bucket_ns(*period_seconds)))
            }
            Rule::TokenBucket { .. } => Kind::Bucket(Bucket::default()),
            Rule::Quota { .. } => Kind::Quota(QuotaState::default()),
        };
        Self { tag, kind }
    }

    /// Whether this is the state of such a rule. A plan may use another's id for another kind of
    /// limit; each kind keeps a state of its own, so that none forgets what it granted.
    pub fn is_of(&self, tag: Tag, rule: &Rule) -> bool {
        let kind = match (&self.kind, rule) {
            (
                Kind::Rate(_),
                Rule::SlidingWindow { scope, .. } | Rule::TokenBucket { scope, .. },
            ) => *scope == Scope::Fleet,
            (Kind::Window(_), Rule::SlidingWindow { scope, .. })
            | (Kind::Bucket(_), Rule::TokenBucket { scope, .. }) => *scope == Scope::Gateway,
            (Kind::Quota(_), Rule::Quota { .. }) => true,
            _ => false,
        };
        kind && self.tag == tag
    }

    /// Whether forgetting it could admit nothing more: a window or bucket without recent calls, a
    /// quota whose periods are over. A fleet-wide rate has one lease for ever: the host's
    /// cumulative grant would look like a new one.
    pub fn is_over(&self, now: Now) -> bool {
        match &self.kind {
            Kind::Window(window) => window.used(now.mono_ns) == 0,
            Kind::Bucket(bucket) => bucket.full_at_ns <= now.mono_ns,
            Kind::Rate(rate) => rate.lease.is_untouched(),
            Kind::Quota(quota) => quota
                .leases
                .iter()
                .all(|kept| kept.end_ms <= now.wall_ms || kept.lease.is_untouched()),
        }
    }

    /// Shrinks the state of a limit that the product no longer has to what must be remembered of
    /// it. Its units go back.
    pub fn retire(&mut self, now: Now) {
        match &mut self.kind {
            Kind::Window(window) => window.collapse(now.mono_ns),
            Kind::Bucket(_) => {}
            Kind::Rate(rate) => {
                rate.lease.give_back(u64::MAX);
            }
            Kind::Quota(quota) => {
                for kept in &mut quota.leases {
                    kept.lease.give_back(u64::MAX);
                }
            }
        }
    }

    /// The lease of a period, if this limit has one.
    pub fn lease_mut(&mut self, period: u32) -> Option<(&mut Lease, &Pace)> {
        match &mut self.kind {
            Kind::Rate(rate) if rate.lease.period == period => Some((&mut rate.lease, &rate.pace)),
            Kind::Quota(QuotaState { leases, pace, .. }) => {
                let kept = leases.iter_mut().find(|kept| kept.lease.period == period)?;
                Some((&mut kept.lease, pace))
            }
            Kind::Rate(_) | Kind::Window(_) | Kind::Bucket(_) => None,
        }
    }

    /// Returns units that nobody will spend: of periods that are over, of rates that expired, of
    /// leases that lie idle. True if there were any.
    pub fn return_unused(&mut self, now: Now) -> bool {
        match &mut self.kind {
            Kind::Window(_) | Kind::Bucket(_) => false,
            Kind::Rate(rate) => rate.expire(now.mono_ns),
            Kind::Quota(quota) => {
                let idle = quota.pace.is_idle(now.mono_ns);
                let due = |end_ms| idle || end_ms <= now.wall_ms;
                let mut any = false;
                for kept in quota.leases.iter_mut().filter(|kept| due(kept.end_ms)) {
                    any |= kept.lease.give_back(u64::MAX);
                }
                any
            }
        }
    }

    /// What the host is told of its leases.
    pub fn leases(&self) -> Vec<LeaseReport> {
        match &self.kind {
            Kind::Quota(quota) => {
                quota.leases.iter().map(|kept| kept.lease.report(self.tag)).collect()
            }
            Kind::Rate(rate) => vec![rate.lease.report(self.tag)],
            Kind::Window(_) | Kind::Bucket(_) => Vec::new(),
        }
    }
}
